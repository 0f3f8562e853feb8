"""What a BigGAN-deep is besides its weights: the settings, their limits, and how to read them off a checkpoint.

Brock et al., ICLR 2019 (arXiv:1809.11096). Settings and weight names are those of pytorch-pretrained-BigGAN 1e18aed,
spectral normalisation folded; `config.json` there and `to_json` here have the same nine keys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from torch import Tensor

from eigan.errors import CheckpointError

MAX_RESOLUTION = 4096
MAX_WIDTH = 16384
MAX_CLASSES = 10 * MAX_WIDTH
MAX_BLOCKS = 64
MAX_STATS = 10_001
START = 16  # gen_z gives 4 x 4 pixels of 16 channel_width
BOTTLENECK = 4  # the 3x3 convolutions have a quarter of a block's channels
ATTENTION = 8  # queries and keys have an eighth of the channels
BLOCK = re.compile(r"generator\.layers\.(\d{1,3})\.conv_0\.weight")
ATTENTION_LAYER = re.compile(r"generator\.layers\.(\d{1,3})\.gamma")

_128 = [(16, 16), (16, 16), (16, 16), (16, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1)]
_256 = [*_128[:5], (8, 8), (8, 8), *_128[5:]]
OFFICIAL_WIDTHS = (_128, _256, [*_256, (1, 1), (1, 1)])  # in all three every second block doubles the size


class BlockLayout(NamedTuple):
    """One GenBlock: whether it doubles the size, and its widths in units of channel_width."""

    up: bool
    in_width: int
    out_width: int


@dataclass(frozen=True)
class BigGANConfig:
    """The settings of pytorch-pretrained-BigGAN's config.json.

    layers: the GenBlocks in order. attention_layer_position: the block that self-attention stands before; there is none
    when no such block exists. n_stats: rows of batch statistics, for truncations from 0 to 1. output_dim: pixels.

    Raises:
        CheckpointError: a value no BigGAN-deep has (checked before anything is allocated).
    """

    output_dim: int
    z_dim: int
    class_embed_dim: int
    channel_width: int
    num_classes: int
    layers: tuple[BlockLayout, ...]
    attention_layer_position: int
    eps: float = 1e-4
    n_stats: int = 51

    def __post_init__(self) -> None:
        limits = {
            "z_dim": (1, MAX_WIDTH),
            "class_embed_dim": (1, MAX_WIDTH),
            "channel_width": (3, MAX_WIDTH // START),
            "num_classes": (1, MAX_CLASSES),
            "n_stats": (2, MAX_STATS),
            "attention_layer_position": (0, MAX_BLOCKS),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise CheckpointError(f"{name} is {getattr(self, name)}; wanted {least} to {most}")
        if not (math.isfinite(self.eps) and 0 < self.eps <= 1):
            raise CheckpointError(f"eps is {self.eps}; wanted a positive number of at most 1")
        self._check_layers()

    def _check_layers(self) -> None:
        if not 1 <= len(self.layers) <= MAX_BLOCKS:
            raise CheckpointError(f"layers lists {len(self.layers)} blocks; wanted 1 to {MAX_BLOCKS}")
        width = START
        for j, block in enumerate(self.layers):
            if block.in_width != width:
                raise CheckpointError(f"layers[{j}] takes {block.in_width} channel widths; {width} come before it")
            if block.out_width < 1 or block.in_width not in (block.out_width, 2 * block.out_width):
                raise CheckpointError(
                    f"layers[{j}] goes from {block.in_width} to {block.out_width} channel widths; "
                    "a block keeps its width or halves it"
                )
            width = block.out_width
        if width != 1:
            raise CheckpointError(f"layers end at {width} channel widths; wanted 1")
        resolution = 4 * 2 ** sum(block.up for block in self.layers)
        if resolution > MAX_RESOLUTION or self.output_dim != resolution:
            raise CheckpointError(
                f"output_dim is {self.output_dim}, layers make {resolution}px; "
                f"wanted the same, at most {MAX_RESOLUTION}"
            )
        narrowest = min(self.channel_width * block.in_width for block in self.layers)
        if narrowest < BOTTLENECK:
            raise CheckpointError(f"a block has {narrowest} channels; wanted at least {BOTTLENECK}")
        if self.has_attention and self.attention_channels < ATTENTION:
            raise CheckpointError(f"attention has {self.attention_channels} channels; wanted at least {ATTENTION}")

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

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `from_json` gives it back."""
        return asdict(self) | {"layers": [list(block) for block in self.layers]}

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> BigGANConfig:
        """The settings that `to_json` or the official code wrote. Raises CheckpointError on anything malformed."""
        try:
            for name, value in config.items():
                wanted = {"layers": (list, tuple), "eps": (float, int)}.get(name, (int,))
                if type(value) not in wanted:
                    kinds = " or ".join(kind.__name__ for kind in wanted)
                    raise CheckpointError(f"the generator's config has {name} {str(value)[:40]!r}; wanted {kinds}")
            return cls(**{**config, "layers": block_layouts(config["layers"])})
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"the generator's config does not describe a BigGAN-deep: {error}") from error


def block_layouts(listed: Sequence[Any]) -> tuple[BlockLayout, ...]:
    """[[up, in, out], ...] checked. Raises CheckpointError."""
    if len(listed) > MAX_BLOCKS:
        raise CheckpointError(f"layers lists {len(listed)} blocks; wanted 1 to {MAX_BLOCKS}")
    for j, block in enumerate(listed):
        if type(block) not in (list, tuple) or [type(value) for value in block] != [bool, int, int]:
            raise CheckpointError(f"layers[{j}] is {str(block)[:40]}; wanted [true or false, in, out]")
    return tuple(BlockLayout(*block) for block in listed)


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
    width, _, _, _ = shape_of(weights, "generator.conv_to_rgb.weight", 4)
    embed_dim, num_classes = shape_of(weights, "embeddings.weight", 2)
    _, condition_dim = shape_of(weights, "generator.gen_z.weight", 2)
    n_stats, _ = shape_of(weights, "generator.bn.running_means", 2)
    layers, attention = infer_layers(weights, width)
    settings = BigGANConfig(
        output_dim=4 * 2 ** sum(block.up for block in layers),
        z_dim=condition_dim - embed_dim,
        class_embed_dim=embed_dim,
        channel_width=width,
        num_classes=num_classes,
        layers=layers,
        attention_layer_position=attention,
        n_stats=n_stats,
    )
    return settings.to_json()


def stated_config(hints: Mapping[str, Any]) -> BigGANConfig:
    """The settings that hints hold whole. Raises CheckpointError."""
    blocks = [hints[f"layers.{j}"] for j in range(MAX_BLOCKS + 1) if f"layers.{j}" in hints]
    names = [setting.name for setting in fields(BigGANConfig) if setting.name in hints]
    return BigGANConfig.from_json({**{name: hints[name] for name in names}, "layers": blocks})


def infer_layers(weights: Mapping[str, Tensor], width: int) -> tuple[tuple[BlockLayout, ...], int]:
    """The blocks of an official layout, and where attention stands. Raises CheckpointError when it is none of them."""
    places = sorted(int(match[1]) for name in weights if (match := BLOCK.fullmatch(name)))
    attention = sorted(int(match[1]) for name in weights if (match := ATTENTION_LAYER.fullmatch(name)))
    widths = []
    for place in places:
        prefix = f"generator.layers.{place}"
        channels = (
            shape_of(weights, f"{prefix}.conv_0.weight", 4)[1],
            shape_of(weights, f"{prefix}.conv_3.weight", 4)[0],
        )
        widths.append((channels[0] // max(width, 1), channels[1] // max(width, 1)))
    if widths not in OFFICIAL_WIDTHS or len(attention) > 1:
        raise CheckpointError(
            f"the weights are a BigGAN-deep of {len(widths)} blocks in a layout of its own; "
            "which of them double the size stands in its config.json alone. Put that file beside the weights."
        )
    layers = tuple(BlockLayout(j % 2 == 1, *pair) for j, pair in enumerate(widths))
    return layers, attention[0] if attention else len(layers)


def shape_of(weights: Mapping[str, Tensor], name: str, dims: int) -> tuple[int, ...]:
    tensor = weights.get(name)
    if tensor is None:
        raise CheckpointError(f"weights do not fit a BigGAN-deep: missing {name}; the checkpoint is incomplete")
    if tensor.ndim != dims:
        raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}; a BigGAN-deep has {dims} dimensions there")
    return tuple(tensor.shape)
