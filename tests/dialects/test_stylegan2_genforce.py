"""The kinds of genforce's StyleGAN2 that eigan cannot draw, each with its reason."""

from __future__ import annotations

import pytest
import torch

from eigan.checkpoint import recognize
from eigan.errors import CheckpointError
from eigan.readers.base import RawCheckpoint
from tests.dialects.stylegan2_exports import to_genforce, toy

CHANGES = {
    "resnet": ({"synthesis.layer1.weight": torch.zeros(6, 6, 1, 1)}, "resnet skeleton"),
    "classes that nothing reads": ({"mapping.label_weight": torch.zeros(3, 12)}, "z_dim is 0"),
    "a w for every layer": ({"truncation.w_avg": torch.zeros(4 * 12)}, "one w for all layers"),
    "no constant": ({"synthesis.early_layer.weight": torch.zeros(96, 12)}, "starts from a constant"),
    "a filter of two": ({"synthesis.layer1.filter.kernel": torch.zeros(2, 1, 4, 4)}, "wanted 1 for the first 2"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refusals(name: str) -> None:
    changes, message = CHANGES[name]
    with pytest.raises(CheckpointError, match=message):
        recognize(RawCheckpoint({**to_genforce(toy(resolution=8)), **changes}, {}, "torch"), "x").build()


def test_classes_are_joined_to_z_before_both_are_normalised() -> None:
    weights = to_genforce(toy(resolution=8, c_dim=3, z_dim=9, joint_labels=True, num_mapping_layers=1))
    generator = recognize(RawCheckpoint(weights, {}, "torch"), "x").build()
    z, c = torch.randn(2, 9, generator=torch.Generator().manual_seed(0)), torch.eye(3)[1:]
    x = torch.cat([z, c @ weights["mapping.label_weight"]], dim=1)
    x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    x = x @ weights["mapping.dense0.weight"].t() * (0.01 / 18**0.5) + weights["mapping.dense0.bias"] * 0.01
    wanted = torch.nn.functional.leaky_relu(x, 0.2) * 2**0.5
    torch.testing.assert_close(generator.mapping(z, c)[:, 0], wanted, atol=1e-5, rtol=1e-5)
