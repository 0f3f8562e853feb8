"""genforce's fused upsampling layers, read as plain convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.checkpoint import recognize
from eigan.dialects.pggan_fused import translate
from eigan.generators.pggan import PGGAN
from eigan.readers.base import RawCheckpoint
from tests.toys_pggan import toy_pggan


def raw(weights: dict[str, Tensor]) -> RawCheckpoint:
    return RawCheckpoint(weights, {}, "torch")


def fused(generator: PGGAN) -> dict[str, Tensor]:
    """Weights as genforce keeps them with fused_scale: [in, out, 3, 3], the kernel turned by 180 degrees."""
    weights = dict(generator.weights())
    for name in ("layer2.weight", "layer4.weight"):
        weights[name] = weights[name].flip(2, 3).transpose(0, 1).contiguous()
    return weights


def test_the_same_generator_either_way() -> None:
    generator = toy_pggan()  # layer2 has 16 channels in and out: only layer4 tells
    found = recognize(raw(fused(generator)), "toy").build()
    assert found.config() == generator.config()
    assert found.fingerprint == generator.fingerprint


def test_the_transposed_convolution_is_what_genforce_computes() -> None:
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    stored = fused(toy_pggan())["layer4.weight"]
    padded = F.pad(stored, (1, 1, 1, 1))
    summed = padded[:, :, 1:, 1:] + padded[:, :, :-1, 1:] + padded[:, :, 1:, :-1] + padded[:, :, :-1, :-1]
    official = F.conv_transpose2d(x, summed, stride=2, padding=1)
    plain = F.conv2d(F.interpolate(x, scale_factor=2), toy_pggan().weights()["layer4.weight"], padding=1)
    torch.testing.assert_close(plain, official, atol=1e-4, rtol=1e-4)


def test_plain_and_foreign_weights_are_not_its() -> None:
    assert translate(raw(dict(toy_pggan().weights()))) is None
    assert translate(raw({"layer0.weight": torch.zeros(1)})) is None
    assert translate(raw({"layer2.weight": torch.zeros(2, 3, 3, 3), "layer2.bias": torch.zeros(3)})) is None
