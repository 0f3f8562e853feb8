"""What a FastGAN is besides its weights: the settings, their limits, and how to read them off the weights.

Liu et al., "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis", ICLR 2021
(arXiv:2101.04775), and the variants of Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021 (arXiv:2111.01007).
Weight names are the official ones with the spectral norm folded into the weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.config import (
    Channels,
    Classes,
    Config,
    Sizes,
    Width,
    check_channels,
    check_stated,
    resolutions_to,
    shown,
)

Variant = Literal["official", "projected"]
Blocks = Literal["alternate", "big", "small"]
RESOLUTIONS = (64, 128, 256, 512, 1024)
SIDE_RESOLUTION = 128  # of the official code's second, small picture
TANH_RESOLUTION = 1024  # the only one at which the official code bounds the picture
GATED_BY = {64: 4, 128: 8, 256: 16, 512: 32}  # skip-layer excitation: resolution -> the one whose features gate it
BLOCK = re.compile(r"feat_(\d{1,4})\.")


class FastGANConfig(Config):
    """`channels[r]` is the width at r x r pixels after the gated linear unit, r = 4, 8, ..., up to the last block.

    variant: "official" has a second picture of 128 px (`to_128`), no bias in `to_big`, and tanh at 1024 px only;
    "projected" has neither second picture nor tanh, scales z to mean square 1, and knows classes.
    blocks: "big" blocks have two convolutions, each with noise; "small" ones one, without; "alternate": big at 8, 32,
    128 and 512 px (the official network, and the first projected GANs).
    c_dim: classes, one row of `embed.weight` (c_dim, z_dim) each; 0 for none.

    Raises:
        CheckpointError: a value no FastGAN has (checked before anything is allocated).
    """

    family: ClassVar[str] = "FastGAN"

    z_dim: Width
    resolution: int
    channels: Channels
    c_dim: Classes = 0
    img_channels: Width = 3
    variant: Variant = "official"
    blocks: Blocks = "alternate"

    def check(self) -> None:
        if self.resolution not in RESOLUTIONS:
            raise CheckpointError(f"resolution {shown(self.resolution)} is none of a FastGAN's: {RESOLUTIONS}")
        check_channels(self.channels, self.block_resolutions)
        if self.c_dim and self.is_official:
            raise CheckpointError(f"c_dim is {self.c_dim}; the official FastGAN has no classes")

    @property
    def is_official(self) -> bool:
        return self.variant == "official"

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the last block; the second picture needs the one at 128 px even when the first is smaller."""
        last = max(self.resolution, SIDE_RESOLUTION) if self.is_official else self.resolution
        return resolutions_to(last)

    @property
    def has_tanh(self) -> bool:
        return self.is_official and self.resolution == TANH_RESOLUTION

    @property
    def code_dim(self) -> int:
        """z, and behind it the class's embedding, of the same length."""
        return 2 * self.z_dim if self.c_dim else self.z_dim

    def is_big(self, resolution: int) -> bool:
        """Whether the block that ends at this resolution has noise and a second convolution."""
        return self.blocks == "big" or (self.blocks == "alternate" and resolution in (8, 32, 128, 512))


def infer_config(weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
    """`FastGAN.config()` of folded weights under the official names, None when they are no FastGAN's.

    Shapes decide everything; `hints` must not contradict them. The official network alone has `to_128`.

    Raises:
        CheckpointError: a FastGAN that is incomplete, absurd, or says of itself what its weights do not.
    """
    if "init.init.0.weight" not in weights:
        return None
    sizes = Sizes(weights, FastGANConfig.family)
    z_dim, doubled = sizes.of("init.init.0.weight", 4)[:2]
    channels = {4: doubled // 2}
    for resolution in sorted({int(match[1]) for name in weights if (match := BLOCK.match(name))}):
        channels[resolution] = sizes.of(first_convolution(weights, resolution), 4)[0] // 2
    variant: Variant = "official" if "to_128.weight" in weights else "projected"
    img_channels, last_width = sizes.of("to_big.weight", 4)[:2]
    settings = FastGANConfig(
        z_dim=z_dim,
        resolution=picture_size(channels, last_width, variant),
        channels=channels,
        c_dim=sizes.of("embed.weight", 2)[0] if "embed.weight" in weights else 0,
        img_channels=img_channels,
        variant=variant,
        blocks=kind_of_blocks(weights),
    )
    check_stated(hints, "img_resolution", settings.resolution)
    check_stated(hints, "img_channels", settings.img_channels)
    check_stated(hints, "z_dim", settings.z_dim)
    return settings.to_json()


def first_convolution(weights: Mapping[str, Tensor], resolution: int) -> str:
    """The name of a block's first convolution: "1" in a sequence, "conv1" or "conv" where classes steer the norms."""
    names = [f"feat_{resolution}.{part}.weight" for part in ("1", "conv1", "conv")]
    return next((name for name in names if name in weights), names[0])


def kind_of_blocks(weights: Mapping[str, Tensor]) -> Blocks:
    """Told by which blocks have a second convolution."""
    second = [r for r in (8, 16) if f"feat_{r}.5.weight" in weights or f"feat_{r}.conv2.weight" in weights]
    return "big" if 16 in second else "alternate" if second else "small"


def picture_size(channels: Mapping[int, int], last_width: int, variant: Variant) -> int:
    """The last block's resolution. The official network keeps the 128 px block for 64 px pictures too: width tells."""
    last = max(channels)
    is_half = last_width == channels.get(last // 2) != channels[last]
    return last // 2 if variant == "official" and last == SIDE_RESOLUTION and is_half else last
