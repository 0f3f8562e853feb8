"""The model card: what it tells, and that nothing in a stranger's pack can do more than be read."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from markdown_it.token import Token

from eigan.format import EXTRA_FILE
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor, Preset
from eigan.readers.safetensors import GeneratorConfig
from hub_export.card import render_card, render_generator_card
from hub_export.changelog import read_sections, write_sections
from hub_export.markdown import escape, literal
from tests.fakehub.store import card_problems
from tests.toys import toy_pack

EXTRAS = {"previews/contact-sheet.webp": b"", "previews/smile.webp": b"", "CHANGELOG.md": b"", "README.md": b"old"}
HOSTILE = [
    "<script>alert(1)</script>",
    "| x | y |",
    "](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "`code` ``` ~~~",
    "```",
    "---",
    "- item",
    "1. item",
    "# heading",
    "> quote",
    "***bold*** _it_ ~~gone~~",
    "a\n---\nlicense: mit\n---\n# owned",
    "a\n\n## owned\n",
    'x"\nlicense: evil\n"',
    "!!python/object/apply:os.system ['id']",
    "{{ 7 * 7 }} {% for x in y %} {# no #}",
    "&lt;b&gt; &amp;",
    "\\| \\` \\\\",
    "$$x$$ \\(x\\)",
    "<!-- ",
    "[x]: http://evil.example",
    "x" * 80,
    "‮evil‬",
    "line sep para\x85nel",
    "'; rm -rf / #",
]


def front_matter(card: str) -> dict[str, Any]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def tokens(card: str) -> list[Token]:
    """The body as a browser gets it, flattened."""
    body = card.split("---\n", 2)[2]
    flat: list[Token] = []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(body):
        flat += [token, *(token.children or [])]
    return flat


def headings(card: str) -> list[str]:
    return [line for line in card.split("---\n", 2)[2].splitlines() if re.match("##? ", line)]


def hostile_pack(text: str) -> DirectionPack:
    pack = toy_pack()
    made_for = replace(pack.made_for, source=text, architecture=text)
    visible = not any(ch in text for ch in "‮‬\x85")  # these never get past the pack's own checks
    named = text if visible else "plain"
    smile = replace(pack["smile"], name=named, description=named, poles=(named, named))
    return replace(
        pack,
        name=named,
        description=named,
        license=text,
        made_for=made_for,
        directions=(smile, *pack.directions[1:]),
        method={"name": text, text: text, "nested": {text: [text]}},
        presets=(Preset(named, {named: 1.0}, named),),
    )


def test_tells_what_a_user_needs() -> None:
    card = render_card(toy_pack().with_version("1.2.0"), EXTRAS, repo_id="alice/smiles", changes="- louder\n* softer")
    for wanted in (
        'eigan.DirectionPack.load("alice/smiles@v1.2.0")',
        'pack["smile"]',
        "?pack=alice/smiles@v1.2.0",
        "| smile | sad | happy | 2-4 | 0.5 | -3 to 3 | – |",
        "| older and happy | smile +2, age +1.5 | two at once |",
        "![All directions at a glance](previews/contact-sheet.webp)",
        "![smile: sad to happy](previews/smile.webp)",
        "| num\\_samples | 1000 |",
        "GANSpace",
        toy_pack().made_for.fingerprint,
        "## Limits and bias",
        "## Changes in 1.2.0\n\n- louder\n- softer\n",
        "| [previews/smile.webp](previews/smile.webp) |",
        "hub-export fit --generator generator.pkl --method pca",
    ):
        assert wanted in card
    assert "age.webp" not in card


def test_front_matter_is_the_hubs() -> None:
    pack = toy_pack().with_version("1.2.0")
    card = render_card(pack, EXTRAS, repo_id="alice/smiles")
    assert front_matter(card) == {
        "library_name": "eigan",
        "license": "cc0-1.0",
        "model_name": "toy",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["eigan", "gan", "latent-directions", "stylegan2", "pca"],
        "thumbnail": "https://huggingface.co/alice/smiles/resolve/v1.2.0/previews/contact-sheet.webp",
        "widget": [{"text": "smile", "output": {"url": "previews/smile.webp"}}],
    }
    assert ModelCard(card).data.library_name == "eigan"
    assert card_problems(card) == []


@pytest.mark.parametrize(
    ("source", "revision", "base"),
    [
        ("acme/ffhq", "0" * 40, "acme/ffhq"),
        ("acme/ffhq@v1.0.0:net.pkl", "0" * 40, "acme/ffhq"),
        ("models/ffhq", "", None),  # a path that looks like a Hub id
        ("/home/me/ffhq.pkl", "", None),
        ("demo", "", None),
    ],
)
def test_the_base_model_is_named_only_when_it_is_on_the_hub(source: str, revision: str, base: str | None) -> None:
    pack = toy_pack()
    card = render_card(replace(pack, made_for=replace(pack.made_for, source=source, revision=revision)), {})
    assert front_matter(card).get("base_model") == base
    assert front_matter(card).get("base_model_relation") == (base and "adapter")


@pytest.mark.parametrize(
    ("license", "field", "note"),
    [
        ("", None, "No licence is stated: check"),
        ("MIT", "mit", "Licence: MIT."),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", "for non-commercial use only"),
        ("NVIDIA Source Code License", "other", "NVIDIA's weights are for non-commercial use only"),
        ("my-own", "other", "Check its terms"),
    ],
)
def test_licences(license: str, field: str | None, note: str) -> None:
    card = render_card(replace(toy_pack(), license=license), {})
    assert front_matter(card).get("license") == field
    assert note in card
    assert ("NVIDIA" in card) == ("NVIDIA" in license)
    assert card_problems(card) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_only_shows(text: str) -> None:
    benign, card = render_card(hostile_pack("plain"), EXTRAS), render_card(hostile_pack(text), EXTRAS)
    assert headings(card)[1:] == headings(benign)[1:]
    assert len(headings(card)) == len(headings(benign))
    kinds = [t.type for t in tokens(card)]
    assert not {"html_block", "html_inline", "blockquote_open", "ordered_list_open", "hr", "s_open"} & set(kinds)
    for kind in (
        "fence",
        "code_inline",
        "link_open",
        "table_open",
        "td_open",
        "th_open",
        "bullet_list_open",
        "heading_open",
    ):
        expected = [t.type for t in tokens(benign)].count(kind)
        if kind in ("fence", "heading_open"):  # one block fewer for an unknown method; one heading more with pictures
            assert kinds.count(kind) <= expected + 1
        elif kind != "link_open":
            assert kinds.count(kind) == expected, kind
    for token in tokens(card):
        for target in ("href", "src"):
            address = token.attrGet(target)
            assert address is None or EXTRA_FILE.fullmatch(str(address)) or str(address) in (
                "config.json", "directions.safetensors", "presets.json",
            )  # fmt: skip
    fields = front_matter(card)
    assert set(fields) <= {"library_name", "license", "license_name", "model_name", "pipeline_tag", "tags", "widget"}
    assert fields["library_name"] == "eigan"
    assert fields["license"] == "other"
    assert re.fullmatch("[a-z0-9-]+", fields["license_name"])
    assert card_problems(card) == []


@pytest.mark.parametrize("text", [t for t in HOSTILE if "\n" not in t and t.isprintable()])
def test_what_is_escaped_reads_as_it_was_written(text: str) -> None:
    (paragraph,) = [
        t for t in MarkdownIt("commonmark", {"html": True}).enable("table").parse(str(escape(text))) if t.children
    ]
    shown = "".join(child.content for child in paragraph.children or [])
    assert shown == " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_code_literals_are_one_line_of_python(text: str) -> None:
    assert "\n" not in literal(text)
    assert ast.literal_eval(literal(text)) == text


def test_a_hostile_source_cannot_leave_its_shell_word() -> None:
    pack = toy_pack()
    card = render_card(replace(pack, made_for=replace(pack.made_for, source="x; rm -rf ~ $(id)")), {})
    assert "--generator 'x; rm -rf ~ $(id)' --method" in card


def test_extras_of_other_names_are_not_linked() -> None:
    assert "evil" not in render_card(toy_pack(), {"previews/../evil.webp": b"", "evil](x).md": b""})


def test_the_same_pack_gives_the_same_card() -> None:
    cards = {render_card(toy_pack(), dict(order)) for order in (EXTRAS.items(), reversed(EXTRAS.items()))}
    assert len(cards) == 1


def test_thousands_of_hyper_parameters_do_not_flood_the_page() -> None:
    pack = replace(toy_pack(), method={"name": "pca", **{f"k{i}": i for i in range(5000)}})
    assert len(render_card(pack, {})) < 20_000


def test_explained_variance_is_a_percentage() -> None:
    direction = Direction(
        "d", toy_pack()["smile"].vector, 1.0, LayerRange(0, 8), metrics={"explained_variance_ratio": 0.1234}
    )
    pack = DirectionPack("p", MadeFor("stylegan2", "0" * 64, 32, 8, 16), (direction,), {"name": "pca"})
    card = render_card(pack, {})
    assert "| 12.3% |" in card
    assert "1 direction for" in card


@pytest.mark.parametrize("text", HOSTILE)
def test_generator_cards_are_as_careful(text: str) -> None:
    config = GeneratorConfig(
        format="eigan-generator",
        format_version=1,
        architecture=text,
        config={text: text},
        license=text,
        description=text,
        source={"file": text},
    )
    card = render_generator_card(config, repo_id="alice/heads", version="1.0.0", changes=text)
    assert 'eigan.load_generator("alice/heads@v1.0.0")' in card
    assert not {"html_block", "html_inline", "link_open", "image", "hr"} & {t.type for t in tokens(card)}
    assert len(headings(card)) == 5
    assert card_problems(card) == []


def test_changelogs_are_read_as_people_write_them() -> None:
    text = "# Changes\r\n\r\n## Unreleased\n- new\n\n## v1.1.0 (2024-05-01)\n- b\n### detail\nx\n\n## 1.0.0\n\n- a"
    assert read_sections(text) == {"Unreleased": "- new", "1.1.0": "- b\n### detail\nx", "1.0.0": "- a"}
    assert read_sections(write_sections({"2.0.0": "x", "1.0.0": "y"})) == {"2.0.0": "x", "1.0.0": "y"}
    assert read_sections("") == read_sections("nothing\n## else\n") == {}
