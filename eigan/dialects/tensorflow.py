"""What the TensorFlow releases of StyleGAN and StyleGAN2 have in common: static arguments, kernels, filters.

Names are those of NVlabs/stylegan and NVlabs/stylegan2 (`training/networks*.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.config import MAX_NUMBER, shown
from eigan.generators.layers import fir_filter

MAX_TAPS = 64
RESOLUTION = r"synthesis/(\d+)x\d+/"  # how a variable's name spells it


def static_arguments(hints: Mapping[str, Any]) -> dict[str, Any]:
    """The networks' static arguments by name. Gs hands its own on to its components, over theirs."""
    found = {}
    for owner in ("mapping.", "synthesis.", ""):
        start = f"{owner}static_kwargs."
        found.update({name.removeprefix(start): value for name, value in hints.items() if name.startswith(start)})
    return found


def check_arguments(arguments: Mapping[str, Any], wanted: Mapping[str, Any], family: str) -> None:
    """Raise CheckpointError when an argument is given and not what eigan's network always has."""
    for name, value in wanted.items():
        if arguments.get(name, value) != value:
            raise CheckpointError(
                f"the file says {name} is {shown(arguments[name])}; eigan's {family} knows {value!r} alone"
            )


def filter_of(arguments: Mapping[str, Any], name: str, default: tuple[int, ...], most: int = MAX_TAPS) -> Tensor:
    """(k, k), summing to 1: the outer product of the taps stated under `name`; of `default` when none are.

    Raises:
        CheckpointError: what is stated is not a list of 1 to `most` numbers within ±MAX_NUMBER, or sums to 0.
    """
    taps = arguments.get(name, default)
    if not isinstance(taps, tuple) or not 1 <= len(taps) <= most or not all(map(is_tap, taps)) or not sum(taps):
        raise CheckpointError(f"the file says {name} is {shown(taps)}; wanted a list of numbers such as {default}")
    return fir_filter(taps)


def is_tap(value: object) -> bool:
    return isinstance(value, (int, float)) and abs(value) <= MAX_NUMBER  # not true of NaN either


def kernels(x: Tensor) -> Tensor:
    """(H, W, I, O) -> (O, I, H, W)."""
    return x.permute(3, 2, 0, 1).contiguous()
