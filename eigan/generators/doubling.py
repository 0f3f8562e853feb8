"""Twice the size by repeating pixels, alone and with the 3x3 convolution that follows it.

Over pixels that come in fours a 3x3 kernel meets 2x2 different ones: the same sums are a transposed convolution of
stride 2, whose 4x4 kernel has every weight added to 2x2 places; 4 products for each output pixel instead of 9.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_TRANSPOSED = 16  # pixels a side; below, weights outnumber pixels and a larger kernel costs more than it saves


def double(x: Tensor) -> Tensor:
    """x (N, C, H, W) -> (N, C, 2H, 2W): every pixel four times."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def sum_shifts(weight: Tensor) -> Tensor:
    """weight (O, I, 3, 3), shifted to the four corners of 4 x 4 and summed: (I, O, 4, 4)."""
    summed = F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 2, stride=1, divisor_override=1)
    return summed.transpose(0, 1)


class DoublingConvolution(nn.Module):
    """`double`, then a 3x3 convolution padded by 1. The weight is its owner's; the kernel is kept while that lasts."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: tuple[Tensor, int, Tensor] | None = None  # a weight, its version, the kernel

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """x (N, I, H, W), weight (O, I, 3, 3), bias (O,) -> (N, O, 2H, 2W)."""
        learning = torch.is_grad_enabled() and weight.requires_grad
        if learning or min(x.shape[2:]) < LEAST_TRANSPOSED:
            return F.conv2d(double(x), weight, bias, padding=1)
        return F.conv_transpose2d(x, self.kernel(weight), bias, stride=2, padding=1)

    def kernel(self, weight: Tensor) -> Tensor:
        """(I, O, 4, 4), channels last in memory, as the CPU wants it."""
        version = -1 if weight.is_inference() else weight._version
        if self._kept is None or self._kept[0] is not weight or self._kept[1] != version:
            with torch.inference_mode(False), torch.no_grad():  # made to last: gradients may pass through it later
                kernel = sum_shifts(weight.flip(2, 3)).contiguous(memory_format=torch.channels_last)
            self._kept = weight, version, kernel
        return self._kept[2]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DoublingConvolution:
        self._kept = None  # the weights move to another device, type or layout
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]
