"""What every reader hands on: weights under published names, and whatever else the file says about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor

Hint = bool | int | float | str | tuple[int | float, ...] | None
MAX_HINT_NAME = 200
MAX_HINT_TEXT = 200
MAX_HINT_LENGTH = 64


@dataclass(frozen=True, eq=False)
class RawCheckpoint:
    """A file's weights, read safely and not yet recognised.

    weights: published name -> tensor; floating point ones are float32, on the CPU, and this process's own.
    hints: what the file says that shapes do not, by dotted path ("synthesis.b4.conv1.conv_clamp"); may be wrong.
    container: the reader's name. license, source: as the file states them, "" and {} when it does not.
    architecture, config, fingerprint: stated by eigan's own folders; "", None and "" elsewhere.
    """

    weights: dict[str, Tensor]
    hints: Mapping[str, Hint]
    container: str
    license: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = ""
    config: Mapping[str, Any] | None = None
    fingerprint: str = ""


class Reader(NamedTuple):
    """How one container is known by its content, and read."""

    sniff: Callable[[bytes, Path], bool]  # first bytes of the file (empty for a folder), path
    read: Callable[[Path], RawCheckpoint]
    describes: str  # "NVIDIA StyleGAN pickle (.pkl)", for messages


def note_hint(hints: dict[str, Hint], name: str, value: object) -> bool:
    """Keep `value` under `name` when both are short and it is plain: text (cut), a number, a few numbers, None.

    Returns: whether `value` is plain.
    """
    if isinstance(value, (list, tuple)):
        plain = len(value) <= MAX_HINT_LENGTH and all(map(is_number, value))
        value = tuple(value) if plain else value
    else:
        plain = value is None or isinstance(value, str) or is_number(value)
    if plain and len(name) <= MAX_HINT_NAME:
        hints[name] = value[:MAX_HINT_TEXT] if isinstance(value, str) else cast(Hint, value)
    return plain


def is_number(value: object) -> bool:
    """Whether `value` is a bool, an int or a finite float."""
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
