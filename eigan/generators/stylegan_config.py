"""What a StyleGAN is besides its weights: the settings, their limits, and how to read them off a checkpoint.

Karras et al., CVPR 2019 (arXiv:1812.04948). Weight names are those of genforce (197feee); shapes decide, and what a
file says about itself fills in only what shapes cannot tell: how the upsampling convolutions are computed, and the
learning-rate multiplier of the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor

from eigan.errors import CheckpointError

MAX_RESOLUTION = 4096
MAX_WIDTH = 16384
MAX_MAPPING_LAYERS = 64
FUSED_FROM = 128  # pixels from which "auto" upsamples and convolves in one step
STYLE_LAYER = re.compile(r"synthesis\.layer(\d{1,7})\.")
MAPPING_LAYER = re.compile(r"mapping\.dense(\d{1,7})\.weight")

JSON_TYPES: dict[object, tuple[type, ...]] = {  # of settings that are not whole numbers
    "channels": (dict,),
    "mapping_lr_multiplier": (float, int),
    "fused_scale": (bool, str),
    "use_noise": (bool,),
    "progressive": (bool,),
}


@dataclass(frozen=True)
class StyleGANConfig:
    """What the weights' shapes do not say twice. `channels[r]` is the width at r x r pixels, r = 4, 8, ..., resolution.

    fused_scale: upsampling convolutions as one transposed convolution; "auto": from 128 px on. progressive: a toRGB
    at every resolution, as progressive growing needs; False: one at the last alone.

    Raises:
        CheckpointError: a value no StyleGAN has (checked before anything is allocated).
    """

    z_dim: int
    c_dim: int
    w_dim: int
    resolution: int
    channels: Mapping[int, int]
    img_channels: int = 3
    num_mapping_layers: int = 8
    layer_features: int = 0  # 0: w_dim
    mapping_lr_multiplier: float = 0.01
    fused_scale: bool | Literal["auto"] = "auto"
    use_noise: bool = True
    progressive: bool = True
    resolutions: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        size = self.resolution
        if not 4 <= size <= MAX_RESOLUTION or size & (size - 1):
            raise CheckpointError(f"resolution {size} is not a power of two between 4 and {MAX_RESOLUTION}")
        object.__setattr__(self, "resolutions", tuple(2**i for i in range(2, size.bit_length())))
        if set(self.channels) != set(self.resolutions):
            raise CheckpointError(f"channels given for {sorted(self.channels)}, wanted for {list(self.resolutions)}")
        object.__setattr__(self, "layer_features", self.layer_features or self.w_dim)
        widths = {
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "img_channels": self.img_channels,
            "layer_features": self.layer_features,
            **{f"channels at {r}px": n for r, n in self.channels.items()},
        }
        for name, value in widths.items():
            if not 1 <= value <= MAX_WIDTH:
                raise CheckpointError(f"{name} is {value}; wanted 1 to {MAX_WIDTH}")
        if not 1 <= self.num_mapping_layers <= MAX_MAPPING_LAYERS:
            raise CheckpointError(f"num_mapping_layers is {self.num_mapping_layers}; wanted 1 to {MAX_MAPPING_LAYERS}")
        if not 0 <= self.c_dim <= 10 * MAX_WIDTH:
            raise CheckpointError(f"c_dim is {self.c_dim}; wanted 0 to {10 * MAX_WIDTH}")
        if self.fused_scale not in (True, False, "auto"):
            raise CheckpointError(f"fused_scale is {self.fused_scale!r}; wanted true, false or 'auto'")
        if not 0 < self.mapping_lr_multiplier < 1e6:
            raise CheckpointError(f"mapping_lr_multiplier is {self.mapping_lr_multiplier}; wanted a positive number")

    @property
    def num_layers(self) -> int:
        return 2 * len(self.resolutions)

    @property
    def max_lod(self) -> int:
        """The largest level of detail: halvings of the resolution at which a toRGB is left to draw."""
        return len(self.resolutions) - 1 if self.progressive else 0

    def has_torgb(self, resolution: int) -> bool:
        return self.progressive or resolution == self.resolution

    def is_fused(self, resolution: int) -> bool:
        """Whether the convolution that doubles the size to `resolution` is a transposed one."""
        return resolution >= FUSED_FROM if self.fused_scale == "auto" else self.fused_scale

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `from_json` gives it back."""
        values = asdict(self)
        values.pop("resolutions")
        values["channels"] = {str(r): n for r, n in self.channels.items()}
        return values

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> StyleGANConfig:
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
            raise CheckpointError(f"the generator's config does not describe a StyleGAN: {error}") from error


def infer_config(weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
    """`StyleGAN.config()` of genforce-named weights, None when they are no StyleGAN's.

    Shapes decide sizes; the hints "fused_scale" and "mapping_lr_multiplier", where a file has them, decide the rest.

    Raises:
        CheckpointError: a StyleGAN that is incomplete or absurd.
    """
    if "synthesis.layer0.const" not in weights:
        return None
    resolution = resolution_of(weights)
    channels = {
        2**i: shape_of(weights, f"synthesis.layer{2 * i - 3}.weight", 4)[0] for i in range(2, resolution.bit_length())
    }
    w_dim = shape_of(weights, "synthesis.layer0.style.weight", 2)[1]
    c_dim, z_dim = 0, shape_of(weights, "mapping.dense0.weight", 2)[1]
    if "mapping.label_weight" in weights:
        c_dim, z_dim = shape_of(weights, "mapping.label_weight", 2)
    depth = 1 + max(int(match[1]) for name in weights if (match := MAPPING_LAYER.fullmatch(name)))
    if depth <= MAX_MAPPING_LAYERS:
        check_one_w_for_all_layers(shape_of(weights, f"mapping.dense{depth - 1}.weight", 2)[0], w_dim)
    settings = StyleGANConfig(
        z_dim=z_dim,
        c_dim=c_dim,
        w_dim=w_dim,
        resolution=resolution,
        channels=channels,
        img_channels=shape_of(weights, f"synthesis.output{len(channels) - 1}.weight", 4)[0],
        num_mapping_layers=depth,
        layer_features=shape_of(weights, "mapping.dense0.weight", 2)[0] if depth > 1 else 0,
        mapping_lr_multiplier=lr_multiplier(hints),
        fused_scale=fused_scale(hints),
        use_noise="synthesis.layer0.apply_noise.weight" in weights,
        progressive="synthesis.output0.weight" in weights,
    )
    lod = weights.get("synthesis.lod")
    if lod is not None and not lod.is_meta and lod.numel() == 1:
        check_lod(float(lod), settings.max_lod)
    return settings.to_json()


def resolution_of(weights: Mapping[str, Tensor]) -> int:
    """Pixels of the last of the layers, two of them to each resolution from 4 px on."""
    last = max(int(match[1]) for name in weights if (match := STYLE_LAYER.match(name)))
    if last >= 2 * (MAX_RESOLUTION.bit_length() - 2):
        raise CheckpointError(f"the weights have a synthesis.layer{last}; {MAX_RESOLUTION}px is the most eigan draws")
    return int(4 * 2 ** (last // 2))


def shape_of(weights: Mapping[str, Tensor], name: str, dims: int) -> tuple[int, ...]:
    """The shape of one weight; a missing or misshapen one is told by name."""
    tensor = weights.get(name)
    if tensor is None:
        raise CheckpointError(f"weights do not fit a StyleGAN: missing {name}; the checkpoint is incomplete")
    if tensor.ndim != dims:
        raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}; a StyleGAN has {dims} dimensions there")
    return tuple(tensor.shape)


def check_one_w_for_all_layers(width: int, w_dim: int) -> None:
    """Raise CheckpointError when the mapping does not end in one w that every style layer reads."""
    if width != w_dim:
        raise CheckpointError(
            f"the mapping ends in {width} numbers and the layers read {w_dim}; "
            "eigan knows StyleGANs with one w for all layers"
        )


def check_lod(lod: float, max_lod: int) -> None:
    """Raise CheckpointError when no toRGB draws at this level of detail (0: the full resolution)."""
    if not 0 <= lod <= max_lod:
        raise CheckpointError(f"synthesis.lod is {lod}; this StyleGAN draws at 0 to {max_lod}")


def fused_scale(hints: Mapping[str, Any]) -> bool | Literal["auto"]:
    """What the file states; "auto" without a statement, as in the official code and in genforce."""
    stated = hints.get("fused_scale", "auto")
    if isinstance(stated, bool):
        return stated
    if stated != "auto":
        raise CheckpointError(f"the file says fused_scale is {str(stated)[:40]!r}; wanted true, false or 'auto'")
    return "auto"


def lr_multiplier(hints: Mapping[str, Any]) -> float:
    """The mapping's learning-rate multiplier as the file states it; 0.01 without a statement."""
    stated = hints.get("mapping_lr_multiplier", 0.01)
    if isinstance(stated, bool) or not isinstance(stated, (int, float)) or not 0 < stated < 1e6:
        raise CheckpointError(f"the mapping's lr_multiplier is {str(stated)[:40]!r}; wanted a positive number")
    return float(stated)
