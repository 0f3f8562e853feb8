"""CHANGELOG.md of a published folder: one '## version' section each, newest first, no dates (the Hub has them)."""

from __future__ import annotations

import re
from collections.abc import Mapping

UNRELEASED = "Unreleased"
_HEADING = re.compile(r"^##[ \t]+(?:v(?=\d))?(Unreleased|\d+\.\d+\.\d+)(?=\s)[^\n]*\n", re.MULTILINE)


def read_sections(text: str) -> dict[str, str]:
    """Version, or "Unreleased", -> what changed, in the file's order. Text under no such heading is left out."""
    parts = _HEADING.split(text.replace("\r\n", "\n") + "\n")
    return {version: body.strip() for version, body in zip(parts[1::2], parts[2::2], strict=True)}


def write_sections(sections: Mapping[str, str]) -> str:
    """The whole file, in the order of `sections`."""
    return "# Changelog\n" + "".join(f"\n## {version}\n\n{body}\n" for version, body in sections.items())
