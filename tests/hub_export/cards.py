"""What the tests of cards share: hostile texts, and a card taken apart."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from eigan.pack import DirectionPack, Preset
from hub_export.metrics import METRICS, write_metrics
from tests.toys import toy_pack
from tests.toys_metrics import toy_metrics

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


def measured(pack: DirectionPack, **changes: Any) -> dict[str, bytes]:
    metrics = toy_metrics(pack)
    return EXTRAS | {METRICS: write_metrics(metrics.model_copy(update=changes))}
