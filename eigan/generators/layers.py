"""Numerics that the StyleGAN families share, in plain PyTorch: FIR resampling, equalised layers, mapping network.

Written from the papers (Karras et al., StyleGAN2, CVPR 2020, arXiv:1912.04958; StyleGAN2-ADA, NeurIPS 2020,
arXiv:2006.06676) and checked against stylegan2-ada-pytorch d72cc7d.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)
EPSILON = 1e-8


def fir_filter(taps: Sequence[float] = (1, 3, 3, 1)) -> Tensor:
    """Separable low-pass filter (k, k) that sums to 1."""
    row = torch.tensor(taps, dtype=torch.float32)
    kernel = torch.outer(row, row)
    return kernel / kernel.sum()


def blur(x: Tensor, kernel: Tensor, gain: float, before: int, after: int) -> Tensor:
    """True convolution of every channel with `kernel` (k, k), padded `before` and `after` on both axes."""
    channels = x.shape[1]
    weight = (kernel.flip(0, 1) * gain).to(x.dtype).expand(channels, 1, -1, -1)
    if before == after and before >= 0:
        return F.conv2d(x, weight, padding=before, groups=channels)
    return F.conv2d(F.pad(x, (before, after, before, after)), weight, groups=channels)


def upsample2d(x: Tensor, kernel: Tensor) -> Tensor:
    """x (N, C, H, W) -> (N, C, 2H, 2W): zeros between pixels, then `kernel` with gain 4.

    Zeros are never multiplied: a transposed convolution gives the same sums, cropped to the same window.
    """
    taps, size = kernel.shape[0], x.shape[2]
    weight = (kernel * 4.0).to(x.dtype).expand(x.shape[1], 1, -1, -1)
    crop = taps - 1 - (taps + 1) // 2  # rows of the full response that lie before the first output pixel
    full = 2 * (size - 1) + taps
    if crop >= 0 and full - crop - 2 * size == crop:
        return F.conv_transpose2d(x, weight, stride=2, padding=crop, groups=x.shape[1])
    y = F.conv_transpose2d(x, weight, stride=2, groups=x.shape[1])
    after = crop + 2 * size - full
    return F.pad(y, (-crop, after, -crop, after))


def up_convolution(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """Transposed 3x3 convolution of stride 2, then `kernel` with gain 4: (N, I, H, W) -> (N, O, 2H, 2W)."""
    taps = kernel.shape[0]
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # (N, O, 2H + 1, 2W + 1)
    return blur(y, kernel, 4.0, (taps + 1) // 2 - 1, (taps - 2) // 2)


def normalize_second_moment(x: Tensor) -> Tensor:
    """Rows of x (N, D) scaled to mean square 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()


class EqualizedLinear(nn.Module):
    """y = x Wᵀ lr/√in + b lr, optionally leaky ReLU with gain √2 (equalised learning rate, Karras et al. 2018)."""

    weight: Tensor
    bias: Tensor

    def __init__(self, in_features: int, out_features: int, *, lr_multiplier: float = 1.0, activate: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        self.lr_multiplier = lr_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        scale = self.lr_multiplier / math.sqrt(self.weight.shape[1])
        gain = LRELU_GAIN if self.activate else 1.0  # lrelu(g x) = g lrelu(x): the gain rides on the small factors
        y = torch.addmm(self.bias, x, self.weight.t(), beta=self.lr_multiplier * gain, alpha=scale * gain)
        return F.leaky_relu(y, LRELU_SLOPE) if self.activate else y

    def initialize(self, generator: torch.Generator, bias: float = 0.0) -> None:
        with torch.no_grad():
            self.weight.normal_(generator=generator).div_(self.lr_multiplier)
            self.bias.fill_(bias / self.lr_multiplier)


class MappingNetwork(nn.Module):
    """z (N, z_dim), optional class c (N, c_dim) -> w (N, w_dim). Widths of hidden layers may differ.

    joint_labels: z and the embedded class are normalised as one vector, not each by itself.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        *,
        num_layers: int,
        layer_features: int,
        embed_features: int,
        lr_multiplier: float,
        joint_labels: bool = False,
    ):
        super().__init__()
        self.num_layers, self.joint_labels = num_layers, joint_labels
        widths = [z_dim + (embed_features if c_dim else 0)] + [layer_features] * (num_layers - 1) + [w_dim]
        self.embed = EqualizedLinear(c_dim, embed_features) if c_dim else None
        for i in range(num_layers):
            layer = EqualizedLinear(widths[i], widths[i + 1], lr_multiplier=lr_multiplier, activate=True)
            self.add_module(f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:
        parts = [z.float()] if self.embed is None or c is None else [z.float(), self.embed(c)]
        if self.joint_labels:
            parts = [torch.cat(parts, dim=1)]
        x = torch.cat([normalize_second_moment(part) for part in parts], dim=1)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x

    def initialize(self, generator: torch.Generator) -> None:
        for module in self.children():
            module.initialize(generator)  # type: ignore[operator]
        self.w_avg.zero_()
