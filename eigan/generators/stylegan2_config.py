"""What a StyleGAN2 is besides its weights: the settings, their limits, and how to read them off a checkpoint.

Karras et al., CVPR 2020 (arXiv:1912.04958). Weight names are those of NVIDIA's PyTorch releases; shapes decide, and
what a file says about itself fills in only what shapes cannot tell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor

from eigan.errors import CheckpointError

Skeleton = Literal["skip", "orig", "resnet"]
MAX_RESOLUTION = 4096
MAX_WIDTH = 16384
MAX_MAPPING_LAYERS = 64
MAX_CHANNEL_BASE = 2**24
BLOCK = re.compile(r"synthesis\.b(\d{1,7})\.")
MAPPING_LAYER = re.compile(r"mapping\.fc(\d{1,7})\.weight")

JSON_TYPES: dict[object, tuple[type, ...]] = {  # of settings that are not whole numbers
    "channels": (dict,),
    "architecture": (str,),
    "use_noise": (bool,),
    "mapping_lr_multiplier": (float, int),
    "conv_clamp": (float, int, type(None)),
}


@dataclass(frozen=True)
class StyleGAN2Config:
    """What the weights' shapes do not say twice. `channels[r]` is the width at r x r pixels, r = 4, 8, ..., resolution.

    Raises:
        CheckpointError: a value no StyleGAN2 has (checked before anything is allocated).
    """

    z_dim: int
    c_dim: int
    w_dim: int
    resolution: int
    channels: Mapping[int, int]
    img_channels: int = 3
    architecture: Skeleton = "skip"
    num_mapping_layers: int = 8
    layer_features: int = 0  # 0: w_dim
    embed_features: int = 0  # 0: w_dim
    mapping_lr_multiplier: float = 0.01
    use_noise: bool = True
    conv_clamp: float | None = None
    filter_taps: int = 4
    unused_filter_taps: int = 4  # of convolutions that keep the size: files hold a filter for them that nothing uses
    resolutions: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        size = self.resolution
        if not 4 <= size <= MAX_RESOLUTION or size & (size - 1):
            raise CheckpointError(f"resolution {size} is not a power of two between 4 and {MAX_RESOLUTION}")
        object.__setattr__(self, "resolutions", tuple(2**i for i in range(2, size.bit_length())))
        if set(self.channels) != set(self.resolutions):
            raise CheckpointError(f"channels given for {sorted(self.channels)}, wanted for {list(self.resolutions)}")
        object.__setattr__(self, "layer_features", self.layer_features or self.w_dim)
        object.__setattr__(self, "embed_features", self.embed_features or self.w_dim)
        widths = {
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "img_channels": self.img_channels,
            "layer_features": self.layer_features,
            "embed_features": self.embed_features,
            "filter_taps": self.filter_taps,
            "unused_filter_taps": self.unused_filter_taps,
            **{f"channels at {r}px": n for r, n in self.channels.items()},
        }
        for name, value in widths.items():
            if not 1 <= value <= MAX_WIDTH:
                raise CheckpointError(f"{name} is {value}; wanted 1 to {MAX_WIDTH}")
        if not 1 <= self.num_mapping_layers <= MAX_MAPPING_LAYERS:
            raise CheckpointError(f"num_mapping_layers is {self.num_mapping_layers}; wanted 1 to {MAX_MAPPING_LAYERS}")
        if not 0 <= self.c_dim <= 10 * MAX_WIDTH:
            raise CheckpointError(f"c_dim is {self.c_dim}; wanted 0 to {10 * MAX_WIDTH}")
        if self.architecture not in ("skip", "orig", "resnet"):
            raise CheckpointError(f"unknown synthesis architecture {self.architecture!r}; known: skip, orig, resnet")
        for name, number in (("conv_clamp", self.conv_clamp), ("mapping_lr_multiplier", self.mapping_lr_multiplier)):
            if number is not None and not (math.isfinite(number) and number > 0):
                raise CheckpointError(f"{name} is {number}; wanted a positive number")

    @property
    def num_layers(self) -> int:
        return 2 * len(self.resolutions)

    def has_torgb(self, resolution: int) -> bool:
        return self.architecture == "skip" or resolution == self.resolution

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `from_json` gives it back."""
        values = asdict(self)
        values.pop("resolutions")
        values["channels"] = {str(r): n for r, n in self.channels.items()}
        return values

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> StyleGAN2Config:
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
            raise CheckpointError(f"the generator's config does not describe a StyleGAN2: {error}") from error


def infer_config(weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
    """`StyleGAN2.config()` of NVIDIA-named weights, None when they are no StyleGAN2's.

    Shapes decide sizes; `hints` (dotted attribute path -> value) give the clamp and the learning-rate multiplier, and
    must not contradict the weights.

    Raises:
        CheckpointError: a StyleGAN2 that is incomplete, absurd, or says of itself what its weights do not.
    """
    if "synthesis.b4.const" not in weights:
        return None
    resolution = max(int(match[1]) for name in weights if (match := BLOCK.match(name)))
    if not 4 <= resolution <= MAX_RESOLUTION or resolution & (resolution - 1):
        raise CheckpointError(
            f"the weights go up to {resolution}px; wanted a power of two between 4 and {MAX_RESOLUTION}"
        )
    sizes = Sizes(weights)
    channels = {2**i: sizes.of(f"synthesis.b{2**i}.conv1.weight", 4)[0] for i in range(2, resolution.bit_length())}
    embed_features, c_dim = (0, 0)
    if "mapping.embed.weight" in weights:
        embed_features, c_dim = sizes.of("mapping.embed.weight", 2)
    first = sizes.of("mapping.fc0.weight", 2)
    depth = 1 + max(int(match[1]) for name in weights if (match := MAPPING_LAYER.fullmatch(name)))
    settings = StyleGAN2Config(
        z_dim=first[1] - embed_features,
        c_dim=c_dim,
        w_dim=sizes.of("synthesis.b4.conv1.affine.weight", 2)[1],
        resolution=resolution,
        channels=channels,
        img_channels=sizes.of(f"synthesis.b{resolution}.torgb.weight", 4)[0],
        architecture=skeleton(weights, hints, resolution),
        num_mapping_layers=depth,
        layer_features=first[0] if depth > 1 else 0,
        embed_features=embed_features,
        mapping_lr_multiplier=lr_multiplier(hints, depth),
        use_noise="synthesis.b4.conv1.noise_const" in weights,
        conv_clamp=conv_clamp(hints),
        filter_taps=sizes.of("synthesis.b4.resample_filter", 2)[0],
        unused_filter_taps=sizes.of("synthesis.b4.conv1.resample_filter", 2)[0],
    )
    check_hints(settings, hints)
    return settings.to_json()


class Sizes:
    """Shapes of weights by name; a missing or misshapen one is told by name."""

    def __init__(self, weights: Mapping[str, Tensor]):
        self.weights = weights

    def of(self, name: str, dims: int) -> tuple[int, ...]:
        tensor = self.weights.get(name)
        if tensor is None:
            raise CheckpointError(f"weights do not fit a StyleGAN2: missing {name}; the checkpoint is incomplete")
        if tensor.ndim != dims:
            raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}; a StyleGAN2 has {dims} dimensions there")
        return tuple(tensor.shape)


def skeleton(weights: Mapping[str, Tensor], hints: Mapping[str, Any], resolution: int) -> Skeleton:
    """How blocks reach the image. A single 4px block draws the same in all three, so there the hint may say."""
    if resolution == 4:
        stated = hints.get("synthesis.b4.architecture", "skip")
        return stated if stated in ("orig", "resnet") else "skip"  # type: ignore[return-value]
    if "synthesis.b8.skip.weight" in weights:
        return "resnet"
    return "skip" if "synthesis.b4.torgb.weight" in weights else "orig"


def conv_clamp(hints: Mapping[str, Any]) -> float | None:
    """The clamp that every convolution of the file states; None without a statement."""
    stated = {hints[name] for name in hints if re.fullmatch(r"synthesis\.b\d+\.(?:conv[01]|torgb)\.conv_clamp", name)}
    if len(stated) > 1:
        raise CheckpointError(
            f"layers are clamped differently ({sorted(map(str, stated))[:4]}); eigan knows one clamp for all"
        )
    clamp = stated.pop() if stated else hints.get("synthesis._init_kwargs.conv_clamp")
    return None if clamp is None else number(clamp, "conv_clamp")


def lr_multiplier(hints: Mapping[str, Any], depth: int) -> float:
    """The mapping's learning-rate multiplier: the gain its layers put on their biases; 0.01 without a statement."""
    stated = {hints[name] for i in range(depth) if (name := f"mapping.fc{i}.bias_gain") in hints}
    if len(stated) > 1:
        raise CheckpointError(
            f"mapping layers have different gains ({sorted(map(str, stated))[:4]}); eigan knows one for all"
        )
    multiplier = stated.pop() if stated else hints.get("mapping._init_kwargs.lr_multiplier", 0.01)
    return number(multiplier, "the mapping's lr_multiplier")


def number(value: object, noun: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise CheckpointError(f"{noun} is {str(value)[:40]!r}; wanted a positive number")
    return float(value)


def check_hints(settings: StyleGAN2Config, hints: Mapping[str, Any]) -> None:
    """Raise CheckpointError when the file says of itself what its weights are not, or asks for what eigan lacks."""
    same = {
        "img_resolution": settings.resolution,
        "num_ws": settings.num_layers,
        "num_layers": settings.num_mapping_layers,
        "z_dim": settings.z_dim,
        "c_dim": settings.c_dim,
        "w_dim": settings.w_dim,
        "img_channels": settings.img_channels,
    }
    owners = {"num_layers": ("mapping.",), "z_dim": ("", "mapping."), "c_dim": ("", "mapping.")}
    for name, actual in same.items():
        for owner in owners.get(name, ("", "synthesis.", "mapping.")):
            for path in (f"{owner}{name}", f"{owner}_init_kwargs.{name}"):
                if path in hints and hints[path] is not None and hints[path] != actual:
                    raise CheckpointError(f"the file says {path} is {hints[path]!r}; its weights say {actual}")
    for path, value in hints.items():
        if path.endswith((".channel_base", ".channel_max")) and not 1 <= number(value, path) <= MAX_CHANNEL_BASE:
            raise CheckpointError(f"the file says {path} is {value}; wanted 1 to {MAX_CHANNEL_BASE}")
        activated = re.fullmatch(r"mapping\.fc\d+|synthesis\.b\d+\.conv[01]", path.removesuffix(".activation"))
        if activated and path.endswith(".activation") and value != "lrelu":
            raise CheckpointError(f"the file says {path} is {value!r}; eigan's StyleGAN2 knows lrelu")
