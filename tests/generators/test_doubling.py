"""Doubling and convolving in one step: the same sums, with a kernel that follows its weight."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.generators.doubling import LEAST_TRANSPOSED, DoublingConvolution, double, sum_shifts


def plain(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), weight, bias, padding=1)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_every_pixel_is_there_four_times() -> None:
    x = drawn(2, 3, 4, 5)
    assert torch.equal(double(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (7, 3)])
def test_a_sum_of_shifts_is_a_transposed_convolution(height: int, width: int) -> None:
    x, weight = drawn(2, 3, height, width).double(), drawn(4, 3, 3, 3).double()
    y = F.conv_transpose2d(x, sum_shifts(weight.flip(2, 3)), stride=2, padding=1)
    torch.testing.assert_close(y, plain(x, weight), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("size", [4, LEAST_TRANSPOSED, LEAST_TRANSPOSED + 1])
def test_the_sums_are_the_same_and_the_kernel_follows_its_weight(size: int) -> None:
    x, weight, bias, layer = drawn(2, 5, size, size + 3), drawn(4, 5, 3, 3), drawn(4), DoublingConvolution()
    for _ in range(2):
        for given in (weight, weight + 1.0):
            torch.testing.assert_close(layer(x, given, bias), plain(x, given, bias), atol=1e-4, rtol=1e-4)
        weight.mul_(2.0)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, weight.clone()), plain(x, weight), atol=1e-4, rtol=1e-4)
    exact = layer.double()(x.double(), weight.double(), bias.double())
    torch.testing.assert_close(exact, plain(x.double(), weight.double(), bias.double()), atol=1e-12, rtol=1e-12)


def test_the_kernel_is_made_once() -> None:
    layer, weight = DoublingConvolution(), drawn(4, 5, 3, 3)
    assert layer.kernel(weight) is layer.kernel(weight)
    assert copy.deepcopy(layer).kernel(weight) is not layer.kernel(weight)
    assert not layer.state_dict()


def test_gradients_reach_the_weight_and_what_comes_before() -> None:
    layer, weight, x = DoublingConvolution(), drawn(4, 5, 3, 3), drawn(1, 5, 16, 16)
    with torch.inference_mode():
        layer(x, weight)
    layer(x.requires_grad_(), weight).sum().backward()
    layer(x, weight.requires_grad_()).sum().backward()
    assert x.grad is not None and weight.grad is not None
