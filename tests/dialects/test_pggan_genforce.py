"""genforce's fused upsampling layers read as plain convolutions, and its classes told by the discriminator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.checkpoint import Checkpoint, recognize
from eigan.dialects.pggan_genforce import translate
from eigan.errors import CheckpointError
from eigan.generators.pggan import PGGAN, pixel_norm
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


def conditional(tmp_path: Path, *, classes: int, prefix: str = "") -> Path:
    """A genforce checkpoint of a toy with classes: one first layer for both, and a discriminator beside it."""
    weights = dict(toy_pggan(c_dim=3).weights())
    weights["layer0.weight"] = torch.cat([weights["layer0.weight"], weights.pop("layer0.label_weight")], dim=1)
    judge = {"layer9.weight": torch.zeros(16, 8, 3, 3), "layer10.weight": torch.zeros(1 + classes, 16)}
    state = {
        "generator_smooth": {prefix + name: tensor for name, tensor in weights.items()},
        "discriminator": {prefix + name: tensor for name, tensor in judge.items()},
    }
    torch.save(state, tmp_path / "g.pth")
    return tmp_path / "g.pth"


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_discriminator_tells_the_classes(tmp_path: Path, prefix: str) -> None:
    generator, found = toy_pggan(c_dim=3), Checkpoint.open(conditional(tmp_path, classes=3, prefix=prefix)).build()
    assert found.config() == generator.config() | {"norm_z_alone": True}
    assert found.fingerprint == generator.fingerprint
    z = torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(1))
    label = torch.nn.functional.one_hot(torch.tensor([0, 2]), 3).float()
    normed = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    joint = torch.cat([normed, label], dim=1)  # as genforce joins them; its first layer normalises the whole
    torch.testing.assert_close(found.mapping(z, label)[:, 0], pixel_norm(joint), atol=1e-6, rtol=1e-6)


def test_a_discriminator_of_one_output_means_no_classes(tmp_path: Path) -> None:
    assert Checkpoint.open(conditional(tmp_path, classes=0)).build().c_dim == 0


def test_more_classes_than_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="judges 500 classes"):
        Checkpoint.open(conditional(tmp_path, classes=500))
