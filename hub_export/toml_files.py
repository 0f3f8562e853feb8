"""TOML files: those of people read bounded, recipes written so that they read back as they were."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eigan.errors import PackFormatError
from eigan.plain_files import read_plain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_TOML_BYTES = 2**20
MAX_DOTS = 16
KEY_PART = re.compile(r"""[ \t]*["'\w-]*[ \t]*""")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def read_toml(path: Path) -> dict[str, Any]:
    """The table that the file at `path` holds.

    Raises:
        PackFormatError: missing, no regular file, larger than a file of names needs to be, or no TOML.
    """
    return parse_toml(read_plain(path, MAX_TOML_BYTES), str(path))


def parse_toml(data: bytes, noun: str) -> dict[str, Any]:
    """The table that UTF-8 TOML holds. Raises PackFormatError."""
    try:
        text = data.decode()
        check_dots(text)
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise PackFormatError(f"{noun} cannot be read as TOML: {error}") from None


def check_dots(text: str) -> None:
    """Raise PackFormatError on a key of many dotted parts: the parser's time grows with the cube of their number."""
    run = 0
    for part in text.split("."):
        run = run + 1 if KEY_PART.fullmatch(part) else 0
        if run > MAX_DOTS:
            raise PackFormatError(f"a key has more than {MAX_DOTS} dots; no file that is read here needs so many")


def dump_toml(values: Mapping[str, Any]) -> str:
    """One line for each value that is not None, which TOML cannot say.

    Raises:
        PackFormatError: a value that is no text, number, truth value, list or table, or text that is no Unicode.
    """
    lines = [f"{_key(name)} = {_value(value)}\n" for name, value in values.items() if value is not None]
    return "".join(lines)


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, which also wants DEL escaped."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PackFormatError(f"{text[:80]!r} is no Unicode text, and cannot be written") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)  # inf, -inf, nan: as TOML spells them
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        pairs = [f"{_key(name)} = {_value(item)}" for name, item in value.items() if item is not None]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    raise PackFormatError(f"{value!r} cannot be written as TOML; wanted text, a number, a list or a table")
