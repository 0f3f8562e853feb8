"""What a BigGAN-deep is besides its weights: the settings, their limits, and how to read them off a checkpoint.

Brock et al., ICLR 2019 (arXiv:1809.11096). Settings and weight names are those of pytorch-pretrained-BigGAN 1e18aed,
spectral normalisation folded; `config.json` there and `to_json` here have the same nine keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.config import MAX_CLASSES, MAX_RESOLUTION, MAX_WIDTH, Config, Sizes, Width, shown

MAX_LAYERS = 64
MAX_STATS = 10_001
START = 16  # gen_z gives 4 x 4 pixels of 16 channel_width
BOTTLENECK = 4  # the 3x3 convolutions have a quarter of a block's channels
ATTENTION = 8  # queries and keys have an eighth of the channels
BLOCK = re.compile(r"generator\.layers\.(\d{1,3})\.conv_0\.weight")
ATTENTION_LAYER = re.compile(r"generator\.layers\.(\d{1,3})\.gamma")

_128 = [(16, 16), (16, 16), (16, 16), (16, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1)]
_256 = [*_128[:5], (8, 8), (8, 8), *_128[5:]]
OFFICIAL_WIDTHS = (_128, _256, [*_256, (1, 1), (1, 1)])  # in all three every second block doubles the size

Units = Annotated[int, Field(ge=1, le=START)]


class BlockLayout(NamedTuple):
    """One GenBlock: whether it doubles the size, and its widths in units of channel_width."""

    up: bool
    in_width: Units
    out_width: Units


class BigGANConfig(Config):
    """The settings of pytorch-pretrained-BigGAN's config.json.

    layers: the GenBlocks in order. attention_layer_position: the block that self-attention stands before; there is none
    when no such block exists. n_stats: rows of batch statistics, for truncations from 0 to 1. output_dim: pixels.

    Raises:
        CheckpointError: a value no BigGAN-deep has (checked before anything is allocated).
    """

    family: ClassVar[str] = "BigGAN-deep"

    output_dim: int
    z_dim: Width
    class_embed_dim: Width
    channel_width: Annotated[int, Field(ge=3, le=MAX_WIDTH // START)]
    num_classes: Annotated[int, Field(ge=1, le=MAX_CLASSES)]
    layers: Annotated[tuple[BlockLayout, ...], Field(strict=False, min_length=1, max_length=MAX_LAYERS)]
    attention_layer_position: Annotated[int, Field(ge=0, le=MAX_LAYERS)]
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-4
    n_stats: Annotated[int, Field(ge=2, le=MAX_STATS)] = 51

    def check(self) -> None:
        self._check_widths()
        resolution = 4 * 2 ** sum(block.up for block in self.layers)
        if resolution > MAX_RESOLUTION or self.output_dim != resolution:
            raise CheckpointError(
                f"output_dim is {shown(self.output_dim)}, layers make {resolution}px; "
                f"wanted the same, at most {MAX_RESOLUTION}"
            )
        narrowest = min(self.channel_width * block.in_width for block in self.layers)
        if narrowest < BOTTLENECK:
            raise CheckpointError(f"a block has {narrowest} channels; wanted at least {BOTTLENECK}")
        if self.has_attention and self.attention_channels < ATTENTION:
            raise CheckpointError(f"attention has {self.attention_channels} channels; wanted at least {ATTENTION}")

    def _check_widths(self) -> None:
        width = START
        for j, block in enumerate(self.layers):
            if block.in_width != width:
                raise CheckpointError(f"layers[{j}] takes {block.in_width} channel widths; {width} come before it")
            if block.in_width not in (block.out_width, 2 * block.out_width):
                raise CheckpointError(
                    f"layers[{j}] goes from {block.in_width} to {block.out_width} channel widths; "
                    "a block keeps its width or halves it"
                )
            width = block.out_width
        if width != 1:
            raise CheckpointError(f"layers end at {width} channel widths; wanted 1")

    @property
    def has_attention(self) -> bool:
        return self.attention_layer_position < len(self.layers)

    @property
    def attention_channels(self) -> int:
        return self.channel_width * self.layers[self.attention_layer_position].in_width

    @property
    def condition_dim(self) -> int:
        """z and the class embedding, side by side."""
        return self.z_dim + self.class_embed_dim


def infer_config(weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
    """`BigGAN.config()` of folded official weights, None when they are no BigGAN-deep's.

    hints: the settings of config.json by name, its layers one by one ("layers.3"). Without them shapes tell all but
    eps (1e-4) and which blocks double the size; that is known for the three official layouts, of any width.

    Raises:
        CheckpointError: a BigGAN-deep that is incomplete or absurd, or of a layout that only its config.json tells.
    """
    if "generator.gen_z.weight" not in weights:
        return None
    if "layers.0" in hints:
        return stated_config(hints).to_json()
    sizes = Sizes(weights, BigGANConfig.family)
    width = sizes.of("generator.conv_to_rgb.weight", 4)[0]
    embed_dim, num_classes = sizes.of("embeddings.weight", 2)
    layers, attention = infer_layers(sizes, width)
    settings = BigGANConfig(
        output_dim=4 * 2 ** sum(block.up for block in layers),
        z_dim=sizes.of("generator.gen_z.weight", 2)[1] - embed_dim,
        class_embed_dim=embed_dim,
        channel_width=width,
        num_classes=num_classes,
        layers=layers,
        attention_layer_position=attention,
        n_stats=sizes.of("generator.bn.running_means", 2)[0],
    )
    return settings.to_json()


def stated_config(hints: Mapping[str, Any]) -> BigGANConfig:
    """The settings that hints hold whole. Raises CheckpointError."""
    blocks = tuple(hints[f"layers.{j}"] for j in range(MAX_LAYERS + 1) if f"layers.{j}" in hints)
    settings = {name: hints[name] for name in BigGANConfig.model_fields if name in hints}
    return BigGANConfig.from_json({**settings, "layers": blocks})


def infer_layers(sizes: Sizes, width: int) -> tuple[tuple[BlockLayout, ...], int]:
    """The blocks of an official layout, and where attention stands. Raises CheckpointError when it is none of them."""
    places = sorted(int(match[1]) for name in sizes.weights if (match := BLOCK.fullmatch(name)))
    attention = sorted(int(match[1]) for name in sizes.weights if (match := ATTENTION_LAYER.fullmatch(name)))
    unit = max(width, 1)
    widths = [
        (
            sizes.of(f"generator.layers.{place}.conv_0.weight", 4)[1] // unit,
            sizes.of(f"generator.layers.{place}.conv_3.weight", 4)[0] // unit,
        )
        for place in places
    ]
    if widths not in OFFICIAL_WIDTHS or len(attention) > 1:
        raise CheckpointError(
            f"the weights are a BigGAN-deep of {len(widths)} blocks in a layout of its own; "
            "which of them double the size stands in its config.json alone. Put that file beside the weights."
        )
    layers = tuple(BlockLayout(j % 2 == 1, *pair) for j, pair in enumerate(widths))
    return layers, attention[0] if attention else len(layers)
