"""What is known of an open pack: its card as harmless HTML, and its provenance, fact by fact.

A card is a stranger's Markdown. It is taken apart by a parser, and only what is on a list is put together again: no raw
HTML, no pictures but those that lie in the pack, no links but to https. No Gradio.
"""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from eigan import hub, sources
from eigan.errors import EiganError, HubError, PackFormatError
from eigan.format import MANIFEST
from eigan.generators.base import Generator
from eigan.hub import VERSION_TAG, HubRef
from eigan.pack import DirectionPack
from eigan.plain_files import read_plain
from eigan.ui.fitting import FitSource, parse_fit

log = logging.getLogger(__name__)

README = "README.md"
MAX_README_BYTES = 2**20
MAX_BODY = 64 * 1024  # characters that are shown; parsing takes about a second for the worst of that length
MAX_PICTURES = 16  # of a card: each costs a request or two
MAX_PICTURE_BYTES = 2 * 2**20
MAX_PICTURES_BYTES = 8 * 2**20
MAX_PIXELS = 40_000_000
CARD_SECONDS = 12.0  # for a card from the Hub, and once more for its pictures
MAX_VALUE = 300
MAX_ACCOUNTS = 6

FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n.*?^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.S | re.M)
PREVIEW = re.compile(r"(?:\./)?(previews/[a-z0-9][a-z0-9_-]{0,99}\.(?:webp|png))")  # as eigan.format names them
BLOCKS = {"paragraph": "p", "bullet_list": "ul", "ordered_list": "ol", "list_item": "li", "blockquote": "blockquote"}
BLOCKS |= {"hr": "hr", "table": "table", "thead": "thead", "tbody": "tbody", "tr": "tr", "th": "th", "td": "td"}
SPANS = ("em", "strong", "s")
LINE_BREAK = re.compile(r"<br\s{0,9}/?>", re.I)  # the one HTML tag that is understood: cards break lines of tables so
ALIGNMENTS = ("text-align:left", "text-align:right", "text-align:center")
HEADINGS = {f"h{level}": f"h{min(level + 2, 6)}" for level in range(1, 7)}  # the page has its own first ones
MAIN_PARAMETERS = ("num_samples", "seed", "layers", "class_index", "stage", "normalize", "num_directions", "precision")
NON_COMMERCIAL = re.compile(r"(?:^|[^a-z])nc(?:[^a-z]|$)|non-?commercial|nvidia|research-only")

ShowPicture = Callable[[bytes, str], str]
"""Bytes of a checked picture, and its name -> the address that an <img> shows it by."""


@dataclass(frozen=True)
class Card:
    """html: safe to show, "" when there is none. problem: one sentence why, or what is missing from it; else ""."""

    html: str
    problem: str = ""


def inline_picture(data: bytes, name: str) -> str:
    """The picture as an address that holds it."""
    return f"data:image/{Path(name).suffix[1:]};base64,{base64.b64encode(data).decode()}"


def read_card(pack: DirectionPack, *, token: str | bool | None = None, show: ShowPicture = inline_picture) -> Card:
    """The card of `pack`, from where the pack was loaded: of exactly its commit, if from the Hub.

    Never raises for what is missing, damaged or unreachable: the pack works without its card, and `problem` says why.
    """
    try:
        readme = _fetch(pack, [README], MAX_README_BYTES, token)
        if readme is None or not (readme / README).is_file():
            return Card("", "This pack has no card." if readme else "Directions fitted on the spot have no card.")
        text = read_plain(readme / README, MAX_README_BYTES).decode("utf-8", "replace")
    except (EiganError, OSError) as error:
        return Card("", f"The card cannot be shown: {error}")
    tokens = parse(text)
    wanted = pictures_in(tokens)[:MAX_PICTURES]
    problem = ""
    try:
        pictures = _pictures(pack, wanted, token, show)
    except (EiganError, OSError) as error:
        pictures, problem = {}, f"The card's pictures cannot be shown: {error}"
    return Card(render(tokens, pictures), problem)


def parse(text: str) -> list[Token]:
    """The body of a card as tokens, its front matter and what is too long left out."""
    front = FRONT_MATTER.match(text)
    body = text[front.end() :] if front else text
    cut = len(body) > MAX_BODY
    shown = body[:MAX_BODY].rpartition("\n")[0] if cut else body
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(shown)  # html: so that it can be dropped
    return tokens + (MarkdownIt().parse("… the card goes on; read it where the pack was published.") if cut else [])


def pictures_in(tokens: Sequence[Token]) -> list[str]:
    """Names of the pack's own pictures that a card shows, each once, in order."""
    found = (preview_name(token) for block in tokens for token in block.children or () if token.type == "image")
    return list(dict.fromkeys(name for name in found if name))


def preview_name(token: Token) -> str:
    """Which picture of the pack an image token shows; "" for any other picture."""
    match = PREVIEW.fullmatch(str(token.attrGet("src") or ""))
    return match[1] if match else ""


def render(tokens: Sequence[Token], pictures: Mapping[str, str]) -> str:
    """HTML of what is on the list; pictures: name -> address. Any other picture becomes its words."""
    return "".join(_render(tokens, pictures))


def _render(tokens: Sequence[Token], pictures: Mapping[str, str]) -> Iterator[str]:
    open_links: list[bool] = []
    for token in tokens:
        kind = token.type.removesuffix("_open").removesuffix("_close")
        if token.type == "image":
            yield _image(token, pictures)
        elif kind == "link":
            yield _link(token, open_links)
        elif token.type == "inline":
            yield from _render(token.children or (), pictures)
        elif kind not in BLOCKS and kind != "heading":
            yield _text(token)
        elif not token.hidden:
            yield _block(token, kind)


def _text(token: Token) -> str:
    """A token that holds text, or opens or closes a span of it; "" for all that is not on the list, raw HTML first."""
    match token.type:
        case "text":
            return escape(token.content)
        case "softbreak":
            return "\n"
        case "hardbreak":
            return "<br>"
        case "html_inline":
            return "<br>" if LINE_BREAK.fullmatch(token.content) else ""
        case "code_inline":
            return f"<code>{escape(token.content)}</code>"
        case "code_block" | "fence":
            return f"<pre><code>{escape(token.content)}</code></pre>\n"
    span = token.type.partition("_")[0]
    if span not in SPANS:
        return ""
    return f"</{span}>" if token.nesting < 0 else f"<{span}>"


def _block(token: Token, kind: str) -> str:
    """The start or end of a block, its tag and attributes made here and not taken over."""
    tag = BLOCKS.get(kind, "")
    if kind == "heading":
        tag = HEADINGS.get(token.tag, "h6")
    if token.nesting < 0:
        return f"</{tag}>\n" + ("</div>" if kind == "table" else "")
    style, start = token.attrGet("style"), token.attrGet("start")
    shown = f' style="{style}"' if style in ALIGNMENTS else ""
    shown += f' start="{start}"' if kind == "ordered_list" and isinstance(start, int) else ""
    return ('<div style="overflow-x:auto">' if kind == "table" else "") + f"<{tag}{shown}>"


def _link(token: Token, open_links: list[bool]) -> str:
    if token.nesting < 0:
        return "</a>" if open_links.pop() else ""
    address = str(token.attrGet("href") or "")
    open_links.append(is_https(address))
    if not open_links[-1]:
        return ""
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer nofollow ugc">'


def _image(token: Token, pictures: Mapping[str, str]) -> str:
    words = escape(token.content)
    address = pictures.get(preview_name(token))
    return f'<img src="{escape(address)}" alt="{words}" loading="lazy">' if address else words


def is_https(address: str) -> bool:
    """Whether `address` is a plain https address."""
    try:
        parts = urlsplit(address)
        return parts.scheme == "https" and bool(parts.hostname) and parts.username is None and address.isprintable()
    except ValueError:
        return False


def _fetch(pack: DirectionPack, names: Sequence[str], max_bytes: int, token: str | bool | None) -> Path | None:
    """The folder that holds those files of the pack, as far as it has them; None for a pack that has no folder.

    Raises:
        HubError: the Hub cannot give them in time.
    """
    if bundled := sources.bundled_path(pack.source):
        return bundled
    ref = hub.parse_ref(pack.source)
    if not pack.revision or ref is None:
        return Path(pack.source) if pack.source and Path(pack.source).is_dir() else None
    pinned = HubRef(ref.repo_id, pack.revision)
    try:
        return hub.ask(
            lambda: hub.download(pinned, names, max_bytes=max_bytes, token=token), attempts=1, deadline=CARD_SECONDS
        ).path
    except TimeoutError:
        raise HubError(f"the Hub has not answered within {CARD_SECONDS:g} s") from None


def _pictures(pack: DirectionPack, names: Sequence[str], token: str | bool | None, show: ShowPicture) -> dict[str, str]:
    """Address by name of those pictures that are there and sound. Raises HubError."""
    folder = _fetch(pack, names, MAX_PICTURES_BYTES, token) if names else None
    shown: dict[str, str] = {}
    left = MAX_PICTURES_BYTES
    for name in names if folder else ():
        data = _sound_picture(folder / name, min(left, MAX_PICTURE_BYTES)) if folder else None
        if data is not None:
            left -= len(data)
            shown[name] = show(data, Path(name).name)
    return shown


def _sound_picture(path: Path, max_bytes: int) -> bytes | None:
    """The bytes of a picture that is what its name says, and no larger than pictures are; else None."""
    try:
        data = read_plain(path, max_bytes)
        with Image.open(io.BytesIO(data), formats=(path.suffix[1:].upper(),)) as image:
            fits = image.width * image.height <= MAX_PIXELS
    except (PackFormatError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        log.info("a picture of a card is left out: %s", error)
        return None
    return data if fits else None


# provenance


def provenance(pack: DirectionPack, generator: Generator) -> list[tuple[str, str]]:
    """What a person should know before they use or pass on what the pack makes, as (what, value): plain text, bounded,
    to be escaped where it is shown."""
    made_for = pack.made_for
    generators = generator_license(pack)
    license = pack.license or (generators if parse_fit(pack.source) else "")
    where = made_for.source + (f", commit {made_for.revision}" if made_for.revision else "")
    facts = [
        ("Made for", generator.describe()),
        ("Generator", where or "not stated where it came from"),
        ("Fingerprint", made_for.fingerprint),
        ("Generator's licence", generators),
        *[("Method", line) for line in method_lines(pack)],
        ("Version", pack.version or "not published under a version"),
        ("Commit", pack.revision),
        ("Licence", license or "not stated"),
        *[("Mind", line) for line in warnings(license, generators)],
        ("Links", link_hint(pack)),
    ]
    return [(what, _bounded(value)) for what, value in facts if value]


def method_lines(pack: DirectionPack) -> list[str]:
    """How the directions were found: one line for the pack, or for each pack that they were picked from."""
    from hub_export.card import METHOD_NOTES
    from hub_export.recipe_text import accounts_of

    lines = []
    accounts = accounts_of(pack)
    for source, method in accounts[:MAX_ACCOUNTS]:
        name = str(method.get("name", "not stated"))
        parameters = [f"{key} {method[key]}" for key in MAIN_PARAMETERS if method.get(key) not in (None, "")]
        words = f"{source}: {name}" if source else name + (f", {note}" if (note := METHOD_NOTES.get(name)) else "")
        lines.append(words.rstrip(".") + (f" ({', '.join(parameters)})" if parameters else ""))
    if len(accounts) > MAX_ACCOUNTS:
        lines.append(f"and {len(accounts) - MAX_ACCOUNTS} more; see the card")
    return lines


def warnings(license: str, generators: str) -> list[str]:
    """What the licences of a pack and of its generator ask to mind, where they differ."""
    found = [license_warning(license)]
    if generators.strip().lower() not in ("", license.strip().lower()) and (told := license_warning(generators)):
        found.append(f"Of the generator: {told[0].lower()}{told[1:]}")
    return [line for line in found if line]


def license_warning(license: str) -> str:
    """One plain sentence where a licence asks for care; "" for those that are known to allow use."""
    from hub_export.card import HUB_LICENSE

    text = license.strip().lower()
    if not text:
        return "No licence is stated: ask the author before you use or pass on what this makes."
    if NON_COMMERCIAL.search(text):
        return "Non-commercial use only, and so is what is made with it."
    if not HUB_LICENSE.fullmatch(text):
        return "This licence is not one that is known here: read its terms before you use or pass on what this makes."
    return ""


def generator_license(pack: DirectionPack) -> str:
    """The licence that the generator's own folder states, where it is bundled or downloaded; "" when not known."""
    from eigan.readers.safetensors import read_config

    for name in sources.bundled_generators():
        folder = sources.bundled_path(name)
        try:
            config = read_config(folder / MANIFEST) if folder else None
        except (EiganError, OSError):
            continue
        if config is not None and config.fingerprint == pack.made_for.fingerprint:
            return config.license
    ref = hub.parse_ref(pack.made_for.source)
    if ref is None or not pack.made_for.revision:
        return ""
    pinned = HubRef(ref.repo_id, pack.made_for.revision)
    try:
        folder = hub.download(pinned, [MANIFEST], max_bytes=MAX_README_BYTES, offline=True).path
        return read_config(folder / MANIFEST).license
    except (EiganError, OSError):
        return ""


def link_hint(pack: DirectionPack) -> str:
    """Whether links to the pack go on showing the same picture."""
    if sources.bundled_path(pack.source):
        return "bundled with eigan; links last as long as this version of it"
    if fit := parse_fit(pack.source):
        return _fit_link_hint(fit)
    ref = hub.parse_ref(pack.source)
    if not pack.revision or ref is None:
        return "of this machine; links work here alone"
    if ref.is_pinned:
        return "pinned to a commit; links last"
    if ref.revision and VERSION_TAG.fullmatch(ref.revision):
        return f"pinned to {ref.revision}; links last"
    return f"opened from {ref.revision or 'main'}, which may change; pin a version for links that last"


def _fit_link_hint(fit: FitSource) -> str:
    ref = hub.parse_ref(fit.generator)
    if ref is None and not sources.bundled_path(fit.generator):
        return "fitted on the spot of a generator that others may not have; links work where it is"
    return "fitted on the spot, and anew for whoever opens a link: the same generator gives the same directions"


def _bounded(value: str) -> str:
    from hub_export.markdown import one_line

    line = one_line(value)
    return line if len(line) <= MAX_VALUE else line[: MAX_VALUE - 1] + "…"
