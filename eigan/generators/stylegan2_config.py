"""What a StyleGAN2 is besides its weights: the settings, their limits, and how to read them off a checkpoint.

Karras et al., CVPR 2020 (arXiv:1912.04958). Weight names are those of NVIDIA's PyTorch releases; shapes decide, and
what a file says about itself fills in only what shapes cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.config import (
    MAX_MAPPING_LAYERS,
    Channels,
    Classes,
    Config,
    HiddenWidth,
    MappingDepth,
    Positive,
    Sizes,
    Width,
    agreed,
    check_channels,
    check_number,
    check_resolution,
    check_stated,
    count_indices,
    largest_resolution,
    resolutions_to,
    shown,
)

Skeleton = Literal["skip", "orig", "resnet"]
MAX_CHANNEL_BASE = 2**24
CLAMP = re.compile(r"synthesis\.b\d+\.(?:conv[01]|torgb)\.conv_clamp")
ACTIVATION = re.compile(r"(?:mapping\.fc\d+|synthesis\.b\d+\.conv[01])\.activation")
GAIN = re.compile(r"mapping\.fc\d+\.bias_gain")


class StyleGAN2Config(Config):
    """What the weights' shapes do not say twice. `channels[r]` is the width at r x r pixels, r = 4, 8, ..., resolution.

    Raises:
        CheckpointError: a value no StyleGAN2 has (checked before anything is allocated).
    """

    family: ClassVar[str] = "StyleGAN2"

    z_dim: Width
    c_dim: Classes
    w_dim: Width
    resolution: int
    channels: Channels
    img_channels: Width = 3
    architecture: Skeleton = "skip"
    num_mapping_layers: MappingDepth = 8
    layer_features: HiddenWidth = 0
    embed_features: HiddenWidth = 0
    mapping_lr_multiplier: Positive = 0.01
    use_noise: bool = True
    conv_clamp: Positive | None = None
    filter_taps: Width = 4
    unused_filter_taps: Width = 4  # of convolutions that keep the size: files hold a filter for them that nothing uses
    joint_labels: bool = False  # z and the class are normalised as one, as before StyleGAN2-ADA

    def to_json(self) -> dict[str, Any]:
        values = super().to_json()
        for name, usual in (("unused_filter_taps", 4), ("joint_labels", False)):
            if values[name] == usual:  # nearly always; so the JSON is what it was before there were these settings
                del values[name]
        return values

    def check(self) -> None:
        check_resolution(self.resolution)
        check_channels(self.channels, self.resolutions)

    @property
    def resolutions(self) -> tuple[int, ...]:
        return resolutions_to(self.resolution)

    @property
    def num_layers(self) -> int:
        return 2 * len(self.resolutions)

    def has_torgb(self, resolution: int) -> bool:
        return self.architecture == "skip" or resolution == self.resolution


def infer_config(weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
    """`StyleGAN2.config()` of NVIDIA-named weights, None when they are no StyleGAN2's.

    Shapes decide sizes; `hints` (dotted attribute path -> value) give the clamp and the learning-rate multiplier, and
    must not contradict the weights.

    Raises:
        CheckpointError: a StyleGAN2 that is incomplete, absurd, or says of itself what its weights do not.
    """
    if "synthesis.b4.const" not in weights:
        return None
    resolution = largest_resolution(weights, r"synthesis\.b(\d+)\.")
    sizes = Sizes(weights, StyleGAN2Config.family)
    settings = StyleGAN2Config(
        **mapping_settings(sizes, hints),
        w_dim=sizes.of("synthesis.b4.conv1.affine.weight", 2)[1],
        resolution=resolution,
        channels={r: sizes.of(f"synthesis.b{r}.conv1.weight", 4)[0] for r in resolutions_to(resolution)},
        img_channels=sizes.of(f"synthesis.b{resolution}.torgb.weight", 4)[0],
        architecture=skeleton(weights, hints, resolution),
        use_noise="synthesis.b4.conv1.noise_const" in weights,
        conv_clamp=conv_clamp(hints, CLAMP, None),
        filter_taps=sizes.of("synthesis.b4.resample_filter", 2)[0],
        unused_filter_taps=sizes.of("synthesis.b4.conv1.resample_filter", 2)[0],
        joint_labels=hints.get("mapping.joint_labels") is True,
    )
    check_hints(settings, hints)
    return settings.to_json()


def mapping_settings(sizes: Sizes, hints: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of NVIDIA's mapping network, by name. The file alone tells the learning-rate multiplier: 0.01 unless
    stated, as the gain that the layers put on their biases.
    """
    embed_features, c_dim = (0, 0)
    if "mapping.embed.weight" in sizes.weights:
        embed_features, c_dim = sizes.of("mapping.embed.weight", 2)
    features, inputs = sizes.of("mapping.fc0.weight", 2)
    depth = count_indices(sizes.weights, r"mapping\.fc(\d+)\.weight", MAX_MAPPING_LAYERS, "a mapping layer")
    multiplier = hints.get("mapping._init_kwargs.lr_multiplier", 0.01)
    return {
        "z_dim": inputs - embed_features,
        "c_dim": c_dim,
        "num_mapping_layers": depth,
        "layer_features": features if depth > 1 else 0,
        "embed_features": embed_features,
        "mapping_lr_multiplier": agreed(hints, filter(GAIN.fullmatch, hints), multiplier, "gain of mapping layers"),
    }


def skeleton(weights: Mapping[str, Tensor], hints: Mapping[str, Any], resolution: int) -> Skeleton:
    """How blocks reach the image. A single 4px block draws the same in all three, so there the hint may say."""
    if resolution == 4:
        stated = hints.get("synthesis.b4.architecture", "skip")
        return stated if stated in ("orig", "resnet") else "skip"  # type: ignore[return-value]
    if "synthesis.b8.skip.weight" in weights:
        return "resnet"
    return "skip" if "synthesis.b4.torgb.weight" in weights else "orig"


def conv_clamp(hints: Mapping[str, Any], path: re.Pattern[str], default: float | None) -> Any:
    """The clamp that every layer of the file states at a path like this; `default` without a statement."""
    stated = hints.get("synthesis._init_kwargs.conv_clamp", default)
    return agreed(hints, filter(path.fullmatch, hints), stated, "clamp of layers")


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
            check_stated(hints, f"{owner}{name}", actual)
            check_stated(hints, f"{owner}_init_kwargs.{name}", actual)
    for path, value in hints.items():
        if path.endswith((".channel_base", ".channel_max")):
            check_number(value, path, 1, MAX_CHANNEL_BASE)
        if ACTIVATION.fullmatch(path) and value != "lrelu":
            raise CheckpointError(f"the file says {path} is {shown(value)}; eigan's StyleGAN2 knows lrelu")
