"""Cards: a stranger's Markdown can show words, tables and the pack's own pictures, and do nothing else. Provenance."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from eigan import sources
from eigan.format import pack_files, save_pack
from eigan.pack import DirectionPack, MadeFor
from eigan.readers.safetensors import save_generator
from eigan.ui import cards
from eigan.ui.cards import Card, license_warning, link_hint, method_lines, parse, provenance, read_card, render
from tests.fakehub.server import FakeHub
from tests.hub_export.cards import HOSTILE as HOSTILE_LINES
from tests.toys import toy_generator, toy_pack
from tests.ui.bundles import HOSTILE, hostile_pack, words_pack

HARMLESS = {"p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "table", "thead", "tbody", "tr", "th"}
HARMLESS |= {"td", "em", "strong", "s", "code", "pre", "br", "a", "img", "div"}
ATTRIBUTES = {
    "a": {"href", "target", "rel"},
    "img": {"src", "alt", "loading"},
    "div": {"style"},
    "th": {"style"},
    "td": {"style"},
    "ol": {"start"},
}
STYLES = {"overflow-x:auto", "text-align:left", "text-align:right", "text-align:center"}


class Taken(HTMLParser):
    """HTML as a browser takes it apart: tags with attributes, the text, and what is left open."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl}")


def shown(text: str, pictures: Mapping[str, str] | None = None) -> Taken:
    """`text` as a card, checked: only harmless tags and attributes, closed in order."""
    return checked(render(parse(text), pictures or {}))


def checked(html: str) -> Taken:
    taken = Taken(html)
    for tag, attributes in taken.tags:
        assert tag in HARMLESS, tag
        assert attributes.keys() <= ATTRIBUTES.get(tag, set()), (tag, attributes)
        assert attributes.get("style") in {None, *STYLES}
        assert str(attributes.get("href", "https://")).startswith("https://")
        assert str(attributes.get("src", "data:image/")).startswith("data:image/")
    assert taken.open == []
    return taken


def picture(size: tuple[int, int] = (8, 8), kind: str = "WEBP") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "red").save(stream, kind)
    return stream.getvalue()


def tags(taken: Taken) -> list[str]:
    return [tag for tag, _ in taken.tags]


# what a card shows


def test_what_cards_are_made_of() -> None:
    text = """---
license: mit
---
# Title

Words, **bold**, *leaning*, `code <b>`, [a link](https://example.org/?a=1&b=2).

| name | sigma |
| :-- | --: |
| smile<br>more | 1 |

3. one
4. two

> quoted

```python
print("<hi>")
```
![All](previews/contact-sheet.webp) ![Other](previews/other.webp)
"""
    taken = shown(text, {"previews/contact-sheet.webp": "data:image/webp;base64,AAAA"})
    assert "license" not in taken.words
    for tag in ("h3", "strong", "em", "code", "a", "table", "ol", "blockquote", "pre", "img", "br"):
        assert tag in tags(taken), tag
    (link,) = (attributes for tag, attributes in taken.tags if tag == "a")
    assert link == {
        "href": "https://example.org/?a=1&b=2",
        "target": "_blank",
        "rel": "noopener noreferrer nofollow ugc",
    }
    (image,) = (attributes for tag, attributes in taken.tags if tag == "img")
    assert (image["alt"], image["src"]) == ("All", "data:image/webp;base64,AAAA")
    assert "Other" in taken.words, "a picture that is not there becomes its words"
    assert 'print("<hi>")' in taken.words and "code <b>" in taken.words
    assert ("ol", {"start": "3"}) in taken.tags


@pytest.mark.parametrize(
    "line",
    [
        *HOSTILE_LINES,
        *HOSTILE.values(),
        "<script>alert(1)</script>",
        "words <script>alert(1)</script> words",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<a href='javascript:alert(1)'>x</a>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](data:image/svg+xml,<svg/onload=alert(1)>)",
        "[x](vbscript:x) [x](file:///etc/passwd) [x](http://evil.test) [x](//evil.test) [x](/etc/passwd)",
        "[x](https://user:secret@evil.test/) [x](https://) [x](https:evil) [x](https://[bad)",
        "<javascript:alert(1)> <http://evil.test> <x@evil.test>",
        "[x][ref]\n\n[ref]: javascript:alert(1)",
        "![x][ref]\n\n[ref]: https://evil.test/a.png",
        "![x](https://evil.test/a.png) ![x](//evil.test/a.png) ![x](http://127.0.0.1:7860/)",
        "![x](previews/../../secret.png) ![x](../previews/a.webp) ![x](/etc/passwd) ![x](previews/%2e%2e/a.png)",
        "![x](data:image/png;base64,AAAA) ![x](file:///etc/passwd) ![x](previews/a.svg) ![x](previews/A.webp)",
        '![x" onerror="alert(1)](previews/a.webp "t\\" onload=alert(1)")',
        '[x](https://evil.test/"onmouseover="alert(1)) [y](https://evil.test/ "a\\"onclick=alert(1)")',
        "| a |\n| - |\n| <td onclick=alert(1)> |",
        "<!-- --><b onclick=alert(1)>x</b> <!-->",
        "<![CDATA[<script>alert(1)</script>]]> <?php evil() ?> <!DOCTYPE evil>",
        "```html <script>\n</code></pre><script>alert(1)</script>\n```",
        "~~~ \"onclick=alert(1)\n</pre>",
        "<details><summary>x</summary>\n\n**in**\n\n</details>",
        "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62; &NewLine;",
        "1" * 30 + ". a list\n\n0000000009999999999999. b",
        "\x00\x01\x1b[31m \u202eevil\u202c \ud7ff",
        "<style>*{display:none}</style> <link rel=stylesheet href=//evil.test> <meta http-equiv=refresh>",
        "<form action=//evil.test><input name=password></form>",
    ],
)  # fmt: skip
def test_hostile_lines_do_nothing(line: str) -> None:
    for text in (line, f"# {line}", f"- {line}", f"> {line}", f"a\n{line}\nb", f"| a |\n| - |\n| {line} |"):
        taken = shown(text, {"previews/a.webp": "data:image/webp;base64,AAAA"})
        for tag, attributes in taken.tags:
            assert not any(name.startswith("on") for name in attributes), (tag, attributes)


def test_raw_html_is_dropped_and_words_between_stay() -> None:
    taken = shown("<details>\n<summary>no</summary>\n\nSome **words** <b>and</b> more.\n\n</details>")
    assert taken.words.strip() == "Some words and more."
    assert tags(taken) == ["p", "strong"]


@pytest.mark.parametrize(
    "front",
    [
        "---\n: : :\n- [\n\t\x00!!python/object/apply:os.system ['id']\n---\n",
        "---\nlicense: mit\n...\n",
        "\ufeff---\r\nlicense: mit\r\n---\r\n",
        "---\n---\n",
    ],
)
def test_front_matter_is_cut_off_and_never_read(front: str) -> None:
    assert shown(front + "Words.").words.strip() == "Words."


def test_front_matter_without_an_end_is_shown_as_text() -> None:
    assert "license" in shown("---\nlicense: mit\n\nWords.").words


def test_a_long_card_is_cut_at_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = shown("word " * 3 + "\n" + ("line of words\n" * 20_000))
    assert len(taken.words) < cards.MAX_BODY + 200
    assert "the card goes on" in taken.words
    assert len(shown("x" * 10 * cards.MAX_BODY).words) < 200


@pytest.mark.parametrize("text", ["![" * 50_000, "[" * 99_999, "> " * 50_000, "*a_ " * 25_000, "<a x=" * 20_000])
def test_cards_that_are_hard_to_parse_end_soon(text: str) -> None:
    began = time.monotonic()
    shown(text)
    assert time.monotonic() - began < 20


# where cards come from


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pack folder with a card and two pictures, one of them no picture."""
    save_pack(toy_pack(), tmp_path / "pack")
    (tmp_path / "pack" / "previews").mkdir()
    (tmp_path / "pack" / "previews" / "smile.webp").write_bytes(picture())
    (tmp_path / "pack" / "previews" / "bad.webp").write_bytes(b"<svg onload=alert(1)>")
    (tmp_path / "pack" / "README.md").write_text("# Toy\n\n![a](previews/smile.webp) ![b](previews/bad.webp)")
    return tmp_path / "pack"


def test_the_card_of_a_folder(folder: Path) -> None:
    asked: list[tuple[int, str]] = []

    def show(data: bytes, name: str) -> str:
        asked.append((len(data), name))
        return f"/file={name}"

    card = read_card(replace(toy_pack(), source=str(folder)), show=show)
    assert card == Card('<h3>Toy</h3>\n<p><img src="/file=smile.webp" alt="a" loading="lazy"> b</p>\n')
    assert asked == [(len(picture()), "smile.webp")]


def test_the_cards_of_the_bundled_packs_show(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sources.bundled_packs():
        card = read_card(sources.load_pack(name))
        assert card.problem == ""
        assert "data:image/webp;base64," in card.html
        assert card.html.count("<img") <= cards.MAX_PICTURES
        checked(card.html)


def test_pictures_have_bounds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = replace(toy_pack(), source=str(folder))
    many = "".join(f"![{n}](previews/p{n}.webp)" for n in range(40))
    (folder / "README.md").write_text(many)
    for n in range(40):
        (folder / "previews" / f"p{n}.webp").write_bytes(picture())
    assert read_card(pack).html.count("<img") == cards.MAX_PICTURES
    (folder / "previews" / "p0.webp").write_bytes(picture((16_000, 3)))
    monkeypatch.setattr(cards, "MAX_PIXELS", 47_999)
    monkeypatch.setattr(cards, "MAX_PICTURES_BYTES", 3 * len(picture()))
    assert read_card(pack).html.count("<img") == 3


def test_a_picture_is_what_its_name_says(folder: Path) -> None:
    (folder / "README.md").write_text("![a](previews/a.png) ![b](previews/b.png) ![c](previews/c.webp)")
    (folder / "previews" / "a.png").write_bytes(picture(kind="PNG"))
    (folder / "previews" / "b.png").write_bytes(picture(kind="GIF"))
    (folder / "previews" / "c.webp").symlink_to("/etc/passwd")
    assert read_card(replace(toy_pack(), source=str(folder))).html.count("<img") == 1


def test_packs_without_a_card(folder: Path, hub: FakeHub) -> None:
    (folder / "README.md").unlink()
    assert read_card(replace(toy_pack(), source=str(folder))) == Card("", "This pack has no card.")
    assert "have no card" in read_card(replace(toy_pack(), source="sefa:heads-64")).problem
    assert "have no card" in read_card(toy_pack()).problem
    hub.store.push("a/b", {"config.json": b"{}"})
    problem = read_card(replace(toy_pack(), source="a/b", revision=hub.store.repos["a/b"].head), token=False).problem
    assert "holds none of README.md" in problem


def test_a_card_that_is_too_large_or_no_file_is_told(folder: Path) -> None:
    pack = replace(toy_pack(), source=str(folder))
    (folder / "README.md").write_bytes(b"x" * 10 * 2**20)
    assert read_card(pack).html == ""
    assert read_card(pack).problem.endswith("README.md has 10,485,760 bytes; at most 1,048,576 are read")
    (folder / "README.md").write_bytes(bytes(range(256)) * 16)
    assert read_card(pack).problem == ""
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    assert "no card" in read_card(pack).problem


# cards from the Hub


def push(hub: FakeHub, readme: bytes, repo_id: str = "alice/smiles", **files: bytes) -> DirectionPack:
    """A pack on the Hub with that card, as it was loaded."""
    named = {f"previews/{name}.webp": data for name, data in files.items()}
    commit = hub.store.push(repo_id, {**pack_files(toy_pack(), {}), "README.md": readme, **named}, tag="v1.0.0")
    pack = sources.load_pack(f"{repo_id}@v1.0.0", token=False)
    hub.log.clear()
    assert pack.revision == commit
    return pack


def test_a_card_from_the_hub_is_that_of_the_packs_own_commit(hub: FakeHub) -> None:
    pack = push(hub, b"# First\n![a](previews/smile.webp)", smile=picture(), other=picture())
    hub.store.push("alice/smiles", {"README.md": b"# Second"}, tag="v1.1.0")
    card = read_card(pack, token=False)
    assert "First" in card.html and "<img" in card.html and card.problem == ""
    assert not hub.requests("other.webp"), "only what the card shows is downloaded"
    assert all(pack.revision in line for line in hub.requests("/resolve/"))
    assert {request.token for request in hub.log} == {""}
    hub.log.clear()
    assert read_card(pack, token=False) == card
    assert not hub.requests("/resolve/")


def test_a_listed_picture_that_is_missing_costs_only_itself(hub: FakeHub) -> None:
    pack = push(hub, b"# First\n![a](previews/smile.webp) ![b](previews/gone.webp)", smile=picture())
    card = read_card(pack, token=False)
    assert card.html.count("<img") == 1 and card.problem == ""
    pack = push(hub, b"# First\n![b](previews/gone.webp)", "alice/other")
    card = read_card(pack, token=False)
    assert "First" in card.html and "pictures cannot be shown" in card.problem


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"drop": True}, "cannot be reached"),
        ({"status": 503}, "answered 503"),
        ({"status": 429, "headers": {"Retry-After": "290"}}, "limits how often"),
        ({"corrupt": True}, "arrived damaged"),
    ],
)
def test_a_hub_that_fails_costs_the_card_alone(hub: FakeHub, fault: dict[str, object], told: str) -> None:
    pack = push(hub, b"# First")
    hub.fault(".", times=-1, **fault)
    card = read_card(pack, token=False)
    assert card.html == "" and told in card.problem and "\n" not in card.problem


def test_a_hub_that_is_slow_is_not_waited_for(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = push(hub, b"# First")
    answering = threading.Event()

    def slow(*_: object, **__: object) -> None:
        assert answering.wait(20)

    monkeypatch.setattr(cards, "CARD_SECONDS", 0.1)
    monkeypatch.setattr(cards.hub, "download", slow)
    began = time.monotonic()
    assert "has not answered within 0.1 s" in read_card(pack, token=False).problem
    assert time.monotonic() - began < 10
    answering.set()


def test_a_large_card_on_the_hub_is_not_downloaded(hub: FakeHub) -> None:
    pack = push(hub, b"x" * 10 * 2**20)
    card = read_card(pack, token=False)
    assert "at most 1,048,576" in card.problem and card.html == ""
    assert not hub.requests("/resolve/.*README")


# provenance


def facts(pack: DirectionPack) -> dict[str, str]:
    return dict(provenance(pack, toy_generator()))


def test_where_a_bundled_pack_comes_from(toy_bundles: Path) -> None:
    pack = sources.load_pack("toy-words")
    found = facts(pack)
    assert found["Made for"] == toy_generator().describe()
    assert found["Fingerprint"] == toy_generator().fingerprint
    assert found["Method"].startswith("pca, principal components of the codes")
    assert found["Method"].endswith("(seed 0)")
    assert (found["Licence"], found["Generator's licence"], found["Version"]) == ("cc0-1.0", "cc0-1.0", "1.0.0")
    assert "bundled with eigan" in found["Links"]
    assert "Mind" not in found and "Commit" not in found


def test_where_a_pack_of_the_hub_comes_from(hub: FakeHub, tmp_path: Path) -> None:
    generator = toy_generator()
    save_generator(generator, tmp_path / "generator", dtype="fp32", license="cc-by-nc-4.0")
    files = {path.name: path.read_bytes() for path in (tmp_path / "generator").iterdir()}
    commit = hub.store.push("acme/faces", files, tag="v3.0.0")
    loaded = sources.load_generator("acme/faces@v3.0.0", token=False)
    pack = replace(words_pack(generator), made_for=MadeFor.describe(loaded))
    pack = replace(pack, source="alice/smiles@v1.0.0", revision="a" * 40, license="my own terms", version="")
    found = facts(pack)
    assert found["Generator"] == f"acme/faces@v3.0.0, commit {commit}"
    assert found["Generator's licence"] == "cc-by-nc-4.0"
    assert found["Commit"] == "a" * 40
    minds = [value for what, value in provenance(pack, generator) if what == "Mind"]
    assert "read its terms" in minds[0]
    assert minds[1] == "Of the generator: non-commercial use only, and so is what is made with it."
    assert found["Version"] == "not published under a version"


def test_directions_fitted_on_the_spot_have_the_licence_of_their_generator(toy_bundles: Path) -> None:
    pack = replace(sources.load_pack("toy-words"), source="sefa:toy", license="", version="")
    assert facts(pack)["Licence"] == "cc0-1.0"
    assert "Mind" not in facts(pack)
    assert "Mind" in facts(replace(pack, source="/somewhere"))


def test_every_source_of_a_named_pack_has_its_line() -> None:
    method = {"name": "named", "sources": {f"p{n}": {"name": "ica", "seed": n, "num_samples": 9} for n in range(9)}}
    lines = method_lines(replace(toy_pack(), method=method))
    assert lines[0] == "p0: ica (num_samples 9, seed 0)"
    assert len(lines) == cards.MAX_ACCOUNTS + 1
    assert lines[-1] == "and 3 more; see the card"


@pytest.mark.parametrize(
    ("license", "told"),
    [
        ("cc0-1.0", ""),
        ("Apache-2.0", ""),
        ("mit", ""),
        ("cc-by-sa-4.0", ""),
        ("", "No licence is stated"),
        ("  ", "No licence is stated"),
        ("other", "read its terms"),
        ("unknown", "read its terms"),
        ("my own", "read its terms"),
        ("cc-by-nc-4.0", "Non-commercial"),
        ("CC-BY-NC-SA-4.0", "Non-commercial"),
        ("nvidia-source-code-license", "Non-commercial"),
        ("for noncommercial use", "Non-commercial"),
        ("once-upon-a-time", "read its terms"),
    ],
)
def test_licences_that_ask_for_care(license: str, told: str) -> None:
    assert (told in license_warning(license)) if told else license_warning(license) == ""


@pytest.mark.parametrize(
    ("source", "revision", "told"),
    [
        ("a/b", "c" * 40, "opened from main, which may change; pin a version for links that last"),
        ("a/b@dev", "c" * 40, "opened from dev, which may change; pin a version for links that last"),
        ("a/b@v1.2.0", "c" * 40, "pinned to v1.2.0; links last"),
        ("a/b@" + "c" * 40, "c" * 40, "pinned to a commit; links last"),
        ("sefa:a/b@" + "c" * 40, "", "fitted on the spot, and anew for whoever opens a link"),
        ("pca:heads-64", "", "fitted on the spot, and anew for whoever opens a link"),
        ("pca:/home/me/net.pkl", "", "fitted on the spot of a generator that others may not have"),
        ("/home/me/pack", "", "of this machine; links work here alone"),
        ("", "", "of this machine; links work here alone"),
    ],
)
def test_whether_links_last(source: str, revision: str, told: str) -> None:
    assert link_hint(replace(toy_pack(), source=source, revision=revision)).startswith(told)


def test_provenance_is_bounded_plain_text() -> None:
    generator = toy_generator()
    pack = hostile_pack(generator)
    made_for = replace(pack.made_for, source="x" * 500, revision="y" * 80)
    method = {"name": "n" * 9999, "seed": {"a": ["\n\x1b[31m"] * 999}, "layers": "\u202e" * 99}
    pack = replace(pack, made_for=made_for, method=method, license="<b>\n" * 99, source="a/b", revision="c" * 40)
    for what, value in provenance(pack, generator):
        assert what.isprintable()
        assert value.isprintable() and 0 < len(value) <= cards.MAX_VALUE
