"""JSON from strangers: bounded, UTF-8, no duplicate keys, no NaN, no giant integers; and JSON written one way only."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from eigan.errors import PackFormatError

MAX_DEPTH = 32
MAX_DIGITS = 18
Model = TypeVar("Model", bound=BaseModel)


class StrictModel(BaseModel):
    """Types are taken literally ("4" and True are not numbers), NaN is refused, unknown keys are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


def parse_json(data: bytes, noun: str, max_bytes: int) -> Any:
    """The value that UTF-8 JSON `data` holds.

    Raises:
        PackFormatError: too large, not UTF-8, malformed, too deep, a key twice, NaN, or an absurd number.
    """
    if len(data) > max_bytes:
        raise PackFormatError(f"{noun} has {len(data):,} bytes; at most {max_bytes:,} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PackFormatError(f"{noun} is not UTF-8 text; save it as UTF-8 JSON") from None
    _check_depth(text, noun)
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_bounded_int)
    except PackFormatError as error:
        raise PackFormatError(f"{noun}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise PackFormatError(f"{noun} is not valid JSON: {error}") from None


def parse_model(model: type[Model], data: bytes, noun: str, max_bytes: int) -> Model:
    """`data` checked against `model`; the first problem is told with its place in the file. Raises PackFormatError."""
    value = parse_json(data, noun, max_bytes)
    try:
        # JSON mode: arrays may fill tuples, everything else stays strict
        return model.model_validate_json(json.dumps(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"]) or "the top level"
        raise PackFormatError(f"{noun}: {place}: {first['msg']} ({error.error_count()} problems in all)") from None


def dump_json(value: Any) -> bytes:
    """Deterministic, readable UTF-8 JSON with a final newline."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _check_depth(text: str, noun: str) -> None:
    depth, quoted, escaped = 0, False, False
    for ch in text:
        if quoted:
            quoted, escaped = (escaped or ch != '"'), (not escaped and ch == "\\")
        elif ch == '"':
            quoted = True
        elif ch in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise PackFormatError(f"{noun} is nested deeper than {MAX_DEPTH} levels")
        elif ch in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise PackFormatError(f"key {twice[:40]!r} is there twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise PackFormatError(f"{name} is not a number JSON has")


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise PackFormatError(f"a number has {len(digits)} digits; at most {MAX_DIGITS} are read")
    return int(digits)
