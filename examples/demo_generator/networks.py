"""The discriminator: a small residual network with equalised learning rate and a minibatch-deviation channel.

After StyleGAN2 (Karras et al., CVPR 2020, arXiv:1912.04958), written for CPUs: a strided stem instead of a layer at
full resolution, average pooling instead of FIR filters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE, GAIN = 0.2, math.sqrt(2.0)


def activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE) * GAIN


class Conv(nn.Module):
    """Convolution whose weights are stored at unit variance and scaled by 1/√fan-in when used."""

    def __init__(self, in_channels: int, out_channels: int, size: int, *, stride: int = 1, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.stride, self.padding = stride, (size - 1) // 2
        self.scale = 1 / math.sqrt(in_channels * size * size)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        weight = (self.weight * (self.scale * gain)).to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.conv2d(x, weight, bias, stride=self.stride, padding=self.padding)


class Dense(nn.Module):
    """Linear layer, scaled the same way."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


class Halve(nn.Module):
    """Residual block that halves the size: (N, I, 2H, 2W) -> (N, O, H, W)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv0 = Conv(in_channels, in_channels, 3)
        self.conv1 = Conv(in_channels, out_channels, 3)
        self.skip = Conv(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.skip(F.avg_pool2d(x, 2), gain=math.sqrt(0.5))
        y = F.avg_pool2d(activate(self.conv0(x)), 2)
        return shortcut + F.leaky_relu(self.conv1(y), SLOPE)  # activate()'s √2 and the block's √½ cancel


class Discriminator(nn.Module):
    """Logits (N,) of pictures (N, 3, R, R) in [-1, 1]. `channels[r]` is the width at r x r pixels, r = 4 ... R/2.

    It is also told the latent that each picture should show, and adds how well they agree: the projection of Miyato and
    Koyama (ICLR 2018, arXiv:1802.05637). A latent of zeros says nothing.
    """

    def __init__(self, resolution: int, channels: Mapping[int, int], z_dim: int, group: int = 8):
        super().__init__()
        self.group, self.compute_dtype = group, torch.float32
        self.stem = Conv(3, channels[resolution // 2], 4, stride=2)
        sizes = [resolution // 2**i for i in range(1, int(math.log2(resolution)) - 2)]  # R/2, ..., 8
        self.blocks = nn.ModuleList(Halve(channels[r], channels[r // 2]) for r in sizes)
        self.conv = Conv(channels[4] + 1, channels[4], 3)
        self.fc = Dense(channels[4] * 16, channels[4])
        self.out = Dense(channels[4], 1)
        self.embedding = nn.Parameter(torch.zeros(channels[4], z_dim))

    def forward(self, images: Tensor, latents: Tensor) -> Tensor:
        x = images.to(self.compute_dtype).contiguous(memory_format=torch.channels_last)
        x = activate(self.stem(x))
        for block in self.blocks:
            x = block(x)
        x = x.float()
        x = activate(self.conv(torch.cat([x, self.deviation(x)], dim=1)))
        seen = activate(self.fc(x.flatten(1)))
        told = F.linear(latents, self.embedding)
        return self.out(seen)[:, 0] + (seen * told).sum(1) / math.sqrt(told.shape[1])

    def deviation(self, x: Tensor) -> Tensor:
        """One channel (N, 1, H, W): how much the pictures of a group differ, so that a collapse is seen."""
        size = math.gcd(self.group, len(x))
        groups = x.reshape(size, -1, *x.shape[1:])
        spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # (N / size,)
        return spread.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
