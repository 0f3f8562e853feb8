"""Numerics of BigGAN-deep: batch statistics by truncation, conditional normalisation, convolutions.

Brock et al., ICLR 2019 (arXiv:1809.11096); checked against pytorch-pretrained-BigGAN 1e18aed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eigan.generators.biggan_config import BigGANConfig
from eigan.generators.doubling import DoublingConvolution

T_DECIMALS = 1e7  # float32 keeps seven decimals of any t in [0, 1]


class StatisticsRow:
    """Which rows of batch statistics belong to each t, and in which parts.

    t / (1 / (n_stats - 1)) = i + f, in float64. The released code takes row i when f is 0, else
    f row[i] + (1 - f) row[i + 1]: the lerp runs backwards, and where float64 falls short of a whole number (t = 0.58)
    it takes the row before. Its weights were published with these pictures, so both are reproduced. Codes hold t as
    float32; it is rounded to seven decimals first, which gives back the float64 that was typed.
    """

    def __init__(self, t: Tensor, n_stats: int):
        device = torch.device("cpu") if t.device.type == "mps" else t.device  # which has no float64
        exact = (t.to(device, torch.float64).clamp(0.0, 1.0) * T_DECIMALS).round() / T_DECIMALS
        place = exact / (1.0 / (n_stats - 1))
        whole = place.floor()
        fraction = place - whole
        on_row = fraction == 0.0
        self.row = whole.long().clamp(0, n_stats - 1).to(t.device)  # (N,)
        self.next = (self.row + 1).clamp(max=n_stats - 1)
        self.part = torch.where(on_row, 1.0, fraction).to(t.dtype).to(t.device)[:, None]  # (N, 1)
        self.rest = torch.where(on_row, 0.0, 1.0 - fraction).to(t.dtype).to(t.device)[:, None]

    def of(self, table: Tensor) -> Tensor:
        """Statistics (N, C) of a table (n_stats, C)."""
        return table[self.row] * self.part + table[self.next] * self.rest


class PlainLinear(nn.Module):
    """y = x Wᵀ, uninitialised."""

    weight: Tensor

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


class PlainConv(nn.Module):
    """A convolution that keeps the size, uninitialised."""

    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[2] // 2)


class DoublingConv(PlainConv):
    """A 3x3 convolution of the picture with every pixel doubled on both axes."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3)
        self.doubling = DoublingConvolution()

    def forward(self, x: Tensor) -> Tensor:
        return self.doubling(x, self.weight, self.bias)  # type: ignore[no-any-return]


class TruncationNorm(nn.Module):
    """Batch normalisation with the statistics of a truncation: the factor and the summand of every channel.

    (x - m_t) / √(v_t + eps) * gain + offset, as x * factor + summand.
    """

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int, config: BigGANConfig):
        super().__init__()
        self.eps = config.eps
        self.register_buffer("running_means", torch.empty(config.n_stats, channels))
        self.register_buffer("running_vars", torch.empty(config.n_stats, channels))

    def affine(self, rows: StatisticsRow, gain: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C) each."""
        factor = gain * (rows.of(self.running_vars) + self.eps).rsqrt()
        return factor, offset - rows.of(self.running_means) * factor


class ConditionalNorm(TruncationNorm):
    """gain = 1 + scale(condition), offset(condition); then ReLU."""

    def __init__(self, channels: int, config: BigGANConfig):
        super().__init__(channels, config)
        self.scale = PlainLinear(config.condition_dim, channels)
        self.offset = PlainLinear(config.condition_dim, channels)

    def forward(self, x: Tensor, condition: Tensor, rows: StatisticsRow) -> Tensor:
        return scale_shift_relu(x, *self.affine(rows, 1.0 + self.scale(condition), self.offset(condition)))


class OutputNorm(TruncationNorm):
    """gain = weight, offset = bias: learned numbers; then ReLU."""

    def __init__(self, channels: int, config: BigGANConfig):
        super().__init__(channels, config)
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor, rows: StatisticsRow) -> Tensor:
        return scale_shift_relu(x, *self.affine(rows, self.weight, self.bias))


def scale_shift_relu(x: Tensor, factor: Tensor, summand: Tensor) -> Tensor:
    """max(0, x * factor + summand); factor and summand (N, C)."""
    return torch.addcmul(summand[:, :, None, None], x, factor[:, :, None, None]).relu_()
