"""What every reader hands on: weights under published names, and whatever else the file says about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

Hint = bool | int | float | str | tuple[int | float, ...] | None


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
