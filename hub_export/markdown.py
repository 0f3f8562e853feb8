"""Strangers' text made harmless in a model card: what a pack says is shown as it was written, and does nothing else."""

from __future__ import annotations

import json
import re
import unicodedata

MAX_SHOWN = 2000
_LITERAL = str.maketrans(
    {ch: "\\" + ch for ch in "`*_{}[]#|~!$"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;"}  # two backslashes would begin mathematics on the Hub
)
_BLOCK_START = re.compile(r"[-+](?= |$)|[-=](?=[-= ]*$)|\d+(?=[.)](?: |$))")  # a list, a rule or an underlining
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


class Markdown(str):
    """Text that may stand in the card as it is; everything else is escaped on its way in."""


def escape(value: object) -> Markdown:
    """`value` on one line that Markdown and HTML show literally, in a paragraph, heading, link and table cell alike."""
    if isinstance(value, Markdown):
        return value
    text = one_line(str(value)).translate(_LITERAL)
    if start := _BLOCK_START.match(text):
        where = start.end() if start[0].isdigit() else 0
        text = f"{text[:where]}\\{text[where:]}"
    return Markdown(text)


def one_line(text: str) -> str:
    """`text` without line breaks, control and direction-changing characters, and not endless."""
    seen = "".join(" " if unicodedata.category(ch) in _INVISIBLE else ch for ch in text)
    seen = " ".join(seen.split())
    return seen if len(seen) <= MAX_SHOWN else seen[:MAX_SHOWN] + "…"


def literal(text: str) -> Markdown:
    """`text` as a Python literal for a code block: on one line, so that it cannot close the block."""
    return Markdown(json.dumps(text, ensure_ascii=False))
