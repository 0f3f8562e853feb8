"""What a StyleGAN is besides its weights: the settings, their limits, and how to read them off a checkpoint.

Karras et al., CVPR 2019 (arXiv:1812.04948). Weight names are those of genforce (197feee); shapes decide, and what a
file says about itself fills in only what shapes cannot tell: how the upsampling convolutions are computed, and the
learning-rate multiplier of the mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.config import (
    MAX_BLOCKS,
    MAX_MAPPING_LAYERS,
    Channels,
    Classes,
    Config,
    HiddenWidth,
    MappingDepth,
    Positive,
    Sizes,
    Width,
    check_channels,
    check_lod,
    check_resolution,
    count_indices,
    resolutions_to,
)

FUSED_FROM = 128  # pixels from which "auto" upsamples and convolves in one step


def true_false_or_auto(value: object) -> object:
    if value is True or value is False or value == "auto":
        return value
    raise PydanticCustomError("fused_scale", "Input should be true, false or 'auto'")


class StyleGANConfig(Config):
    """What the weights' shapes do not say twice. `channels[r]` is the width at r x r pixels, r = 4, 8, ..., resolution.

    fused_scale: upsampling convolutions as one transposed convolution; "auto": from 128 px on. progressive: a toRGB
    at every resolution, as progressive growing needs; False: one at the last alone.

    Raises:
        CheckpointError: a value no StyleGAN has (checked before anything is allocated).
    """

    family: ClassVar[str] = "StyleGAN"

    z_dim: Width
    c_dim: Classes
    w_dim: Width
    resolution: int
    channels: Channels
    img_channels: Width = 3
    num_mapping_layers: MappingDepth = 8
    layer_features: HiddenWidth = 0
    mapping_lr_multiplier: Positive = 0.01
    fused_scale: Annotated[bool | Literal["auto"], BeforeValidator(true_false_or_auto)] = "auto"
    use_noise: bool = True
    progressive: bool = True

    def check(self) -> None:
        check_resolution(self.resolution)
        check_channels(self.channels, self.resolutions)

    @property
    def resolutions(self) -> tuple[int, ...]:
        return resolutions_to(self.resolution)

    @property
    def num_layers(self) -> int:
        return 2 * len(self.resolutions)

    @property
    def max_lod(self) -> int:
        """The largest level of detail: halvings of the resolution at which a toRGB is left to draw."""
        return len(self.resolutions) - 1 if self.progressive else 0

    def check_lod(self, lod: Tensor | None) -> None:
        """Raise CheckpointError when this network draws nothing at that level of detail."""
        check_lod(lod, self.max_lod, self.family)

    def has_torgb(self, resolution: int) -> bool:
        return self.progressive or resolution == self.resolution

    def is_fused(self, resolution: int) -> bool:
        """Whether the convolution that doubles the size to `resolution` is a transposed one."""
        return resolution >= FUSED_FROM if self.fused_scale == "auto" else self.fused_scale


def infer_config(weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
    """`StyleGAN.config()` of genforce-named weights, None when they are no StyleGAN's.

    Shapes decide sizes; the hints "fused_scale" and "mapping_lr_multiplier", where a file has them, decide the rest.

    Raises:
        CheckpointError: a StyleGAN that is incomplete or absurd.
    """
    if "synthesis.layer0.const" not in weights:
        return None
    sizes = Sizes(weights, StyleGANConfig.family)
    blocks = (count_indices(weights, r"synthesis\.layer(\d+)\.", 2 * MAX_BLOCKS, "a synthesis layer") + 1) // 2
    w_dim = sizes.of("synthesis.layer0.style.weight", 2)[1]
    features, z_dim = sizes.of("mapping.dense0.weight", 2)
    c_dim = 0
    if "mapping.label_weight" in weights:
        c_dim, z_dim = sizes.of("mapping.label_weight", 2)
    depth = count_indices(weights, r"mapping\.dense(\d+)\.weight", MAX_MAPPING_LAYERS, "a mapping layer")
    check_one_w_for_all_layers(sizes.of(f"mapping.dense{depth - 1}.weight", 2)[0], w_dim)
    settings = StyleGANConfig(
        z_dim=z_dim,
        c_dim=c_dim,
        w_dim=w_dim,
        resolution=2 ** (blocks + 1),
        channels={4 * 2**b: sizes.of(f"synthesis.layer{2 * b + 1}.weight", 4)[0] for b in range(blocks)},
        img_channels=sizes.of(f"synthesis.output{blocks - 1}.weight", 4)[0],
        num_mapping_layers=depth,
        layer_features=features if depth > 1 else 0,
        mapping_lr_multiplier=hints.get("mapping_lr_multiplier", 0.01),
        fused_scale=hints.get("fused_scale", "auto"),  # as in the official code and in genforce
        use_noise="synthesis.layer0.apply_noise.weight" in weights,
        progressive="synthesis.output0.weight" in weights,
    )
    settings.check_lod(weights.get("synthesis.lod"))
    return settings.to_json()


def check_one_w_for_all_layers(width: int, w_dim: int) -> None:
    """Raise CheckpointError when the mapping does not end in one w that every style layer reads."""
    if width != w_dim:
        raise CheckpointError(
            f"the mapping ends in {width} numbers and the layers read {w_dim}; "
            "eigan knows StyleGANs with one w for all layers"
        )
