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
    "classes": ({"mapping.label_weight": torch.zeros(3, 12)}, "labels are joined to z"),
    "a w for every layer": ({"truncation.w_avg": torch.zeros(4 * 12)}, "one w for all layers"),
    "no constant": ({"synthesis.early_layer.weight": torch.zeros(96, 12)}, "starts from a constant"),
    "a filter of two": ({"synthesis.layer1.filter.kernel": torch.zeros(2, 1, 4, 4)}, "wanted 1 for the first 2"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refusals(name: str) -> None:
    changes, message = CHANGES[name]
    with pytest.raises(CheckpointError, match=message):
        recognize(RawCheckpoint({**to_genforce(toy(resolution=8)), **changes}, {}, "torch"), "x").build()
