"""What a PGGAN is besides its weights: the settings, their limits, and how to read them off a checkpoint.

Karras et al., ICLR 2018 (arXiv:1710.10196). Weight names are genforce's; shapes decide, and what a file says about
itself fills in only what shapes cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor

from eigan.generators.config import (
    MAX_BLOCKS,
    Channels,
    Classes,
    Config,
    Sizes,
    Width,
    check_channels,
    check_lod,
    check_resolution,
    count_indices,
    resolutions_to,
)

OUTPUT = re.compile(r"output\d+\.weight")


class PGGANConfig(Config):
    """What the weights' shapes do not say twice. `channels[r]` is the width at r x r pixels, r = 4, 8, ..., resolution.

    all_outputs: every resolution keeps its toRGB layer, as in training; else only the last has one. bias_per_pixel: the
    first layer has a bias for each of its 16 pixels (it was a matrix), not for each channel alone. norm_z_alone: z is
    pixel-normalised before the class joins it, and once more with it (genforce); else only with it (pytorch_GAN_zoo).

    Raises:
        CheckpointError: a value no PGGAN has (checked before anything is allocated).
    """

    family: ClassVar[str] = "PGGAN"

    z_dim: Width
    c_dim: Classes
    resolution: int
    channels: Channels
    img_channels: Width = 3
    all_outputs: bool = True
    bias_per_pixel: bool = False
    final_tanh: bool = False
    lrelu_slope: Annotated[float, Field(ge=0, le=1)] = 0.2
    norm_z_alone: bool = False

    def check(self) -> None:
        check_resolution(self.resolution)
        check_channels(self.channels, self.resolutions)

    @property
    def resolutions(self) -> tuple[int, ...]:
        return resolutions_to(self.resolution)

    @property
    def max_lod(self) -> int:
        """The largest level of detail: halvings of the resolution at which a toRGB is left to draw."""
        return len(self.resolutions) - 1 if self.all_outputs else 0

    def check_lod(self, lod: Tensor | None) -> None:
        """Raise CheckpointError when this network draws nothing at that level of detail."""
        check_lod(lod, self.max_lod, self.family)

    def has_output(self, resolution: int) -> bool:
        return self.all_outputs or resolution == self.resolution


def infer_config(weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
    """`PGGAN.config()` of genforce-named weights, None when they are no PGGAN's.

    Shapes decide sizes. hints: "final_tanh", "lrelu_slope" and "norm_z_alone", which leave no trace in the weights.

    Raises:
        CheckpointError: a PGGAN that is incomplete or absurd.
    """
    if "layer0.weight" not in weights or not any(map(OUTPUT.fullmatch, weights)):
        return None
    sizes = Sizes(weights, PGGANConfig.family)
    blocks = (count_indices(weights, r"layer(\d+)\.weight", 2 * MAX_BLOCKS, "a layer") + 1) // 2
    settings = PGGANConfig(
        z_dim=sizes.of("layer0.weight", 4)[1],
        c_dim=sizes.of("layer0.label_weight", 4)[1] if "layer0.label_weight" in weights else 0,
        resolution=2 ** (blocks + 1),
        channels={4 * 2**b: sizes.of(f"layer{2 * b + 1}.weight", 4)[0] for b in range(blocks)},
        img_channels=sizes.of(f"output{blocks - 1}.weight", 4)[0],
        all_outputs=blocks == 1 or "output0.weight" in weights,
        bias_per_pixel="layer0.bias" in weights and weights["layer0.bias"].ndim == 3,
        final_tanh=hints.get("final_tanh", False),
        lrelu_slope=hints.get("lrelu_slope", 0.2),
        norm_z_alone=hints.get("norm_z_alone", False),
    )
    settings.check_lod(weights.get("lod"))
    return settings.to_json()
