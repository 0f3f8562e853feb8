"""What a PGGAN is besides its weights: the settings, their limits, and how to read them off a checkpoint.

Karras et al., ICLR 2018 (arXiv:1710.10196). Weight names are genforce's; shapes decide, and what a file says about
itself fills in only what shapes cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.stylegan2_config import MAX_RESOLUTION, MAX_WIDTH

MAX_CLASSES = 10 * MAX_WIDTH
LAYER = re.compile(r"layer(\d{1,4})\.weight")
OUTPUT = re.compile(r"output(\d{1,4})\.weight")

JSON_TYPES: dict[object, tuple[type, ...]] = {  # of settings that are not whole numbers
    "channels": (dict,),
    "all_outputs": (bool,),
    "bias_per_pixel": (bool,),
    "final_tanh": (bool,),
    "lrelu_slope": (float, int),
}


@dataclass(frozen=True)
class PGGANConfig:
    """What the weights' shapes do not say twice. `channels[r]` is the width at r x r pixels, r = 4, 8, ..., resolution.

    all_outputs: every resolution keeps its toRGB layer, as in training; else only the last has one. bias_per_pixel: the
    first layer has a bias for each of its 16 pixels (it was a matrix), not for each channel alone.

    Raises:
        CheckpointError: a value no PGGAN has (checked before anything is allocated).
    """

    z_dim: int
    c_dim: int
    resolution: int
    channels: Mapping[int, int]
    img_channels: int = 3
    all_outputs: bool = True
    bias_per_pixel: bool = False
    final_tanh: bool = False
    lrelu_slope: float = 0.2
    resolutions: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        size = self.resolution
        if not 4 <= size <= MAX_RESOLUTION or size & (size - 1):
            raise CheckpointError(f"resolution {size} is not a power of two between 4 and {MAX_RESOLUTION}")
        object.__setattr__(self, "resolutions", tuple(2**i for i in range(2, size.bit_length())))
        object.__setattr__(self, "all_outputs", self.all_outputs or size == 4)
        if set(self.channels) != set(self.resolutions):
            raise CheckpointError(f"channels given for {sorted(self.channels)}, wanted for {list(self.resolutions)}")
        widths = {"z_dim": self.z_dim, "img_channels": self.img_channels}
        widths |= {f"channels at {r}px": n for r, n in self.channels.items()}
        for name, value in widths.items():
            if not 1 <= value <= MAX_WIDTH:
                raise CheckpointError(f"{name} is {value}; wanted 1 to {MAX_WIDTH}")
        if not 0 <= self.c_dim <= MAX_CLASSES:
            raise CheckpointError(f"c_dim is {self.c_dim}; wanted 0 to {MAX_CLASSES}")
        if not 0 <= self.lrelu_slope <= 1:  # not true of NaN either
            raise CheckpointError(f"lrelu_slope is {self.lrelu_slope}; wanted 0 to 1")

    @property
    def max_lod(self) -> int:
        """The largest level of detail that there are toRGB layers for."""
        return len(self.resolutions) - 1 if self.all_outputs else 0

    def check_lod(self, lod: float) -> float:
        """`lod`. Raises CheckpointError when this network has no image at that level of detail."""
        if not 0 <= lod <= self.max_lod:  # not true of NaN either
            raise CheckpointError(
                f"lod is {lod}; a {self.resolution}px PGGAN with these outputs has 0 to {self.max_lod}"
            )
        return lod

    def has_output(self, resolution: int) -> bool:
        return self.all_outputs or resolution == self.resolution

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `from_json` gives it back."""
        values = asdict(self)
        values.pop("resolutions")
        values["channels"] = {str(r): n for r, n in self.channels.items()}
        return values

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> PGGANConfig:
        """The settings that `to_json` wrote. Raises CheckpointError on anything malformed."""
        try:
            values = dict(config)
            values["channels"] = {int(r): n for r, n in values["channels"].items()}
            for name, value in [*values.items(), *values["channels"].items()]:
                wanted = JSON_TYPES.get(name, (int,))
                if type(value) not in wanted:
                    kinds = " or ".join(kind.__name__ for kind in wanted)
                    raise CheckpointError(f"the generator's config has {name} {str(value)[:40]!r}; wanted {kinds}")
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"the generator's config does not describe a PGGAN: {error}") from error


def infer_config(weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
    """`PGGAN.config()` of genforce-named weights, None when they are no PGGAN's.

    Shapes decide sizes. hints: "final_tanh" and "lrelu_slope", which leave no trace in the weights.

    Raises:
        CheckpointError: a PGGAN that is incomplete or absurd.
    """
    outputs = [int(match[1]) for name in weights if (match := OUTPUT.fullmatch(name))]
    if not outputs or "layer0.weight" not in weights:
        return None
    layers = 1 + max(int(match[1]) for name in weights if (match := LAYER.fullmatch(name)))
    last = (layers - 1) // 2
    if last >= MAX_RESOLUTION.bit_length() - 2:
        raise CheckpointError(f"the weights have {layers} layers; a PGGAN of {MAX_RESOLUTION}px has two for each size")
    settings = PGGANConfig(
        z_dim=shape(weights, "layer0.weight", 4)[1],
        c_dim=shape(weights, "layer0.label_weight", 4)[1] if "layer0.label_weight" in weights else 0,
        resolution=4 * 2**last,
        channels={4 * 2**b: shape(weights, f"layer{2 * b + 1}.weight", 4)[0] for b in range(last + 1)},
        img_channels=shape(weights, f"output{last}.weight", 4)[0],
        all_outputs=len(outputs) > 1,
        bias_per_pixel="layer0.bias" in weights and weights["layer0.bias"].ndim == 3,
        final_tanh=flag(hints.get("final_tanh", False), "final_tanh"),
        lrelu_slope=slope(hints.get("lrelu_slope", 0.2)),
    )
    lod = weights.get("lod")
    if lod is not None and lod.ndim == 0 and not lod.is_meta:
        settings.check_lod(float(lod))
    return settings.to_json()


def shape(weights: Mapping[str, Tensor], name: str, dims: int) -> tuple[int, ...]:
    """Shape of a weight; a missing or misshapen one is told by name."""
    tensor = weights.get(name)
    if tensor is None:
        raise CheckpointError(f"weights do not fit a PGGAN: missing {name}; the checkpoint is incomplete")
    if tensor.ndim != dims:
        raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}; a PGGAN has {dims} dimensions there")
    return tuple(tensor.shape)


def flag(value: object, noun: str) -> bool:
    if not isinstance(value, bool):
        raise CheckpointError(f"the file's {noun} is of type {type(value).__name__}; wanted true or false")
    return value


def slope(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise CheckpointError("the file's lrelu_slope is no number from 0 to 1; leaky ReLU has one")
    return float(value)
