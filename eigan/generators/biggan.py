"""BigGAN-deep: class-conditional, the whole condition (z, class, truncation) fed to every block.

Brock et al., ICLR 2019 (arXiv:1809.11096). Parameter names are those of pytorch-pretrained-BigGAN with spectral
normalisation folded; outputs were checked against its commit 1e18aed, layer-wise codes against latentclr f02a70d.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eigan.errors import InvalidCodes
from eigan.generators.base import Codes, Generator, NoiseMode, Stage, State, Truncation
from eigan.generators.biggan_config import ATTENTION, BOTTLENECK, START, BigGANConfig, BlockLayout, infer_config
from eigan.generators.biggan_layers import (
    ConditionalNorm,
    DoublingConv,
    OutputNorm,
    PlainConv,
    PlainLinear,
    StatisticsRow,
)
from eigan.generators.config import Config
from eigan.generators.doubling import double
from eigan.generators.truncnorm import redraw_tails
from eigan.layers import LayerRange
from eigan.pose import STILL, Pose

QUERIES = 512  # attention scores of so many pixels at a time: they stay in the cache
T_SLACK = 1e-4  # a t that rounding pushed over the edge is taken as the edge


class GenBlock(nn.Module, Stage):
    """Bottleneck block: 1x1, [double], 3x3, 3x3, 1x1, each after norm and ReLU, plus the input itself.

    Where the width halves, the sum takes the first half of the input's channels.
    """

    layers: LayerRange

    def __init__(self, name: str, row: int, layout: BlockLayout, config: BigGANConfig):
        super().__init__()
        self.name, self.layers, self.up = name, LayerRange(row, row + 1), layout.up
        self.n_stats = config.n_stats
        inside, outside = config.channel_width * layout.in_width, config.channel_width * layout.out_width
        middle = inside // BOTTLENECK
        self.out_channels = outside
        for i, channels in enumerate((inside, middle, middle, middle)):
            self.add_module(f"bn_{i}", ConditionalNorm(channels, config))
        self.conv_0 = PlainConv(inside, middle, 1)
        self.conv_1 = DoublingConv(middle) if layout.up else PlainConv(middle, middle, 3)
        self.conv_2 = PlainConv(middle, middle, 3)
        self.conv_3 = PlainConv(middle, outside, 1)

    @property
    def norms(self) -> list[ConditionalNorm]:
        return [module for module in self.children() if isinstance(module, ConditionalNorm)]

    def __call__(self, state: State, codes: Codes) -> State:
        row = codes[:, self.layers.start]
        condition, rows = row[:, :-1], StatisticsRow(row[:, -1], self.n_stats)
        bn_0, bn_1, bn_2, bn_3 = self.norms
        x = state.features
        y = self.conv_0(bn_0(x, condition, rows))  # (N, in / 4, H, W)
        y = self.conv_1(bn_1(y, condition, rows))  # (N, in / 4, H', W'), twice the size when `up`
        y = self.conv_2(bn_2(y, condition, rows))
        y = self.conv_3(bn_3(y, condition, rows))  # (N, out, H', W')
        kept = x[:, : self.out_channels]
        return replace(state, features=y + (double(kept) if self.up else kept))


class SelfAttention(nn.Module, Stage):
    """x + gamma o(softmax(θᵀ φ) g), keys and values max-pooled 2x2; it reads no codes.

    Zhang et al., ICML 2019 (arXiv:1805.08318).
    """

    layers = None
    gamma: Tensor

    def __init__(self, name: str, channels: int):
        super().__init__()
        self.name = name
        self.snconv1x1_theta = PlainConv(channels, channels // ATTENTION, 1, bias=False)
        self.snconv1x1_phi = PlainConv(channels, channels // ATTENTION, 1, bias=False)
        self.snconv1x1_g = PlainConv(channels, channels // 2, 1, bias=False)
        self.snconv1x1_o_conv = PlainConv(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.empty(1))

    def __call__(self, state: State, codes: Codes) -> State:
        x = state.features
        height, width = x.shape[2:]
        query = self.snconv1x1_theta(x).flatten(2).transpose(1, 2)  # (N, HW, C / 8)
        key = F.max_pool2d(self.snconv1x1_phi(x), 2).flatten(2)  # (N, C / 8, HW / 4)
        value = F.max_pool2d(self.snconv1x1_g(x), 2).flatten(2).transpose(1, 2)  # (N, HW / 4, C / 2)
        rows = [torch.bmm(torch.bmm(part, key).softmax(dim=2), value) for part in query.split(QUERIES, dim=1)]
        seen = torch.cat(rows, dim=1)  # (N, HW, C / 2)
        seen = seen.transpose(1, 2).reshape(len(x), -1, height, width)
        added = F.conv2d(seen, self.snconv1x1_o_conv.weight * self.gamma)
        return replace(state, features=x + added)


class FirstStage(nn.Module, Stage):
    """gen_z: a linear layer from the condition to 4x4 pixels, which its output holds channels last."""

    name = "gen_z"
    layers = LayerRange(0, 1)
    weight: Tensor
    bias: Tensor

    def __init__(self, config: BigGANConfig):
        super().__init__()
        self.channels = START * config.channel_width
        self.weight = nn.Parameter(torch.empty(16 * self.channels, config.condition_dim))
        self.bias = nn.Parameter(torch.empty(16 * self.channels))

    def __call__(self, state: State, codes: Codes) -> State:
        pixels = F.linear(codes[:, 0, :-1], self.weight, self.bias).view(-1, 4, 4, self.channels)
        return replace(state, features=pixels.permute(0, 3, 1, 2))  # (N, C, 4, 4), channels last in memory


class LastStage(nn.Module, Stage):
    """bn, ReLU, conv_to_rgb and tanh. Of the convolution's channels the first three are the image."""

    name = "conv_to_rgb"
    layers: LayerRange

    def __init__(self, row: int, config: BigGANConfig):
        super().__init__()
        self.layers, self.n_stats = LayerRange(row, row + 1), config.n_stats
        self.bn = OutputNorm(config.channel_width, config)
        self.conv_to_rgb = PlainConv(config.channel_width, config.channel_width, 3)

    def __call__(self, state: State, codes: Codes) -> State:
        x = self.bn(state.features, StatisticsRow(codes[:, self.layers.start, -1], self.n_stats))
        weight, bias = self.conv_to_rgb.weight[:3], self.conv_to_rgb.bias
        rgb = F.conv2d(x, weight, None if bias is None else bias[:3], padding=1)
        return replace(state, features=rgb, image=rgb.tanh())


class BigGAN(Generator):
    """BigGAN-deep. A row of the codes is the whole condition of one block: [t z, class embedding, t].

    Row 0 feeds gen_z and each further row one GenBlock (attention reads none); the output takes its t from the last
    row. Mixed classes, a class or a truncation for each block are therefore codes like any other. Directions move z
    alone: their other numbers are 0.

    Truncation t is the threshold of the truncated normal distribution that z comes from, as a factor of z, and picks
    the batch statistics (`StatisticsRow`).
    """

    architecture: ClassVar[str] = "biggan"
    config_class: ClassVar[type[Config]] = BigGANConfig
    settings: BigGANConfig
    published_prefixes: ClassVar[Mapping[str, str]] = {
        "gen_z.": "generator.gen_z.",
        "blocks.": "generator.layers.",
        "output.": "generator.",
    }
    truncation: ClassVar[Truncation] = "threshold"
    default_psi: ClassVar[float] = 0.6
    code_space = "z"

    def __init__(self, config: BigGANConfig):
        super().__init__()
        self.settings = config
        self.z_dim, self.c_dim, self.resolution = config.z_dim, config.num_classes, config.output_dim
        self.num_layers, self.code_dim = len(config.layers) + 1, config.condition_dim + 1
        self.embeddings = PlainLinear(config.num_classes, config.class_embed_dim)
        self.gen_z = FirstStage(config)
        self.blocks = nn.ModuleList()
        for j, layout in enumerate(config.layers):
            if j == config.attention_layer_position:
                self.blocks.append(SelfAttention(f"layers.{len(self.blocks)}", config.attention_channels))
            self.blocks.append(GenBlock(f"layers.{len(self.blocks)}", j + 1, layout, config))
        self.output = LastStage(len(config.layers), config)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def infer_config(cls, weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
        """`config()` of folded official weights, None when they are another family's: `biggan_config.infer_config`."""
        return infer_config(weights, hints)

    @property
    def stages(self) -> Sequence[Stage]:
        return (self.gen_z, *self.blocks, self.output)  # type: ignore[arg-type]

    def load_weights(self, weights: Mapping[str, Tensor], *, assign: bool = False) -> None:
        super().load_weights(weights, assign=assign)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # files have the other

    def initial_state(self, codes: Codes, noise_mode: NoiseMode, pose: Pose = STILL) -> State:
        self.check_options(noise_mode, pose)
        return State(torch.empty(len(codes), 0, 4, 4, device=codes.device), None, noise_mode)

    def mapping(
        self,
        z: Tensor,
        c: Tensor | int | str | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Codes:
        """Codes (N, L, D) of latents z (N, z_dim) and a class, every row alike; truncation_psi is t, from 0 to 1.

        z within ±2 is the truncated normal draw itself (`truncnorm.truncated_z` gives the official one of a seed) and
        is multiplied by t. Numbers beyond ±2, of which a standard normal z has 4.6 %, are first drawn again from
        within (`truncnorm.redraw_tails`), so standard normal z gives exactly that distribution too.

        c: a class index, one-hot or soft labels (N, c_dim); soft labels mix the embeddings.

        Raises:
            InvalidCodes: latents or class of the wrong shape, t outside [0, 1], or a cutoff.
        """
        if truncation_cutoff is not None:
            raise InvalidCodes(f"{self.describe()} has no truncation cutoff; give each block its t with `codes`")
        return self.codes(redraw_tails(self.check_z(z)) * truncation_psi, c, truncation_psi)

    def codes(self, z: Tensor, c: Tensor | int | str | None, t: float | Tensor) -> Codes:
        """Codes (N, L, D) of latents that are scaled by the truncation already, as the official code takes them.

        z: (N, z_dim), or (L, N, z_dim) with a latent for each row. c: as in `mapping`. t: one number, (N,) for each
        picture, or (N, L) for each row of each.

        Raises:
            InvalidCodes: latents, class or t of the wrong shape, or t outside [0, 1].
        """
        if z.ndim == 3 and len(z) != self.num_layers:
            raise InvalidCodes(f"{len(z)} latents for each picture; {self.describe()} wants 1 or {self.num_layers}")
        layerwise = torch.stack([self.check_z(row) for row in z], dim=1) if z.ndim == 3 else self.check_z(z)[:, None]
        count = len(layerwise)
        labels = self.class_codes(c, count)
        if labels is None:
            raise InvalidCodes(f"{self.describe()} was made without classes")
        truncations = self._truncations(t, count)
        rows = (count, self.num_layers, -1)
        return torch.cat(
            [layerwise.expand(rows), self.embeddings(labels)[:, None].expand(rows), truncations[:, :, None]], dim=2
        )

    def _truncations(self, t: float | Tensor, count: int) -> Tensor:
        """t as (N, L), checked."""
        given = torch.as_tensor(t, dtype=torch.float32, device=self.device)
        if given.ndim == 1:
            given = given[:, None]
        if given.ndim > 2 or (given.ndim == 2 and (len(given) != count or given.shape[1] not in (1, self.num_layers))):
            raise InvalidCodes(f"truncation has shape {tuple(given.shape)}; wanted one number, (N,) or (N, L)")
        check_truncation(given)
        return given.expand(count, self.num_layers)

    def check_codes(self, codes: Codes) -> None:
        """Raise InvalidCodes unless codes are (N, num_layers, code_dim) and every t lies in [0, 1]."""
        super().check_codes(codes)
        check_truncation(codes[:, :, -1])

    def style_weights(self, layers: LayerRange | None = None) -> Tensor:
        """(D, M): the z columns of what a row feeds, transposed: gen_z for row 0, a block's scales and offsets else.

        D covers the whole condition; the numbers of the class and of t have rows of zeros, so directions leave them.
        """
        chosen = self.check_layers(layers)
        readers = [stage for stage in self.stages if isinstance(stage, (FirstStage, GenBlock))]
        matrices: list[Tensor] = []
        for reader in readers[chosen.slice]:
            if isinstance(reader, FirstStage):
                matrices.append(reader.weight)
            else:
                matrices += [part.weight for norm in reader.norms for part in (norm.scale, norm.offset)]
        moving = torch.cat([matrix.detach()[:, : self.z_dim].float().t() for matrix in matrices], dim=1)
        return F.pad(moving, (0, 0, 0, self.code_dim - self.z_dim))

    def linear_map(self, stage_name: str) -> Tensor | None:
        """The z columns of gen_z (16 C, z_dim): its output is linear in z, the class only shifts it. None elsewhere."""
        return self.gen_z.weight.detach()[:, : self.z_dim].float() if stage_name == self.gen_z.name else None


def check_truncation(t: Tensor) -> None:
    """Raise InvalidCodes unless every t lies in [0, 1], give or take rounding."""
    if t.numel():
        least, most = (float(edge) for edge in t.detach().aminmax())
        if not (math.isfinite(least) and least >= -T_SLACK and most <= 1 + T_SLACK):
            raise InvalidCodes(f"truncation_psi is {least if least < 0 or most <= 1 else most}; BigGAN takes 0 to 1")
