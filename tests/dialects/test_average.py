"""The estimated average w."""

from __future__ import annotations

import pytest
import torch

from eigan.dialects.average import COUNT, average_w
from eigan.errors import CheckpointError
from eigan.latents import seeded_z
from tests.dialects.stylegan2_exports import toy


def test_it_is_the_mean_of_w_of_the_first_seeds() -> None:
    generator = toy(resolution=4, num_mapping_layers=3)
    mean = generator.map_to_w(seeded_z(range(COUNT), 12)).double().mean(dim=0).float()
    average = average_w(generator.weights())
    assert average.dtype == torch.float32
    torch.testing.assert_close(average, mean, atol=1e-4, rtol=1e-4)


def test_the_weights_are_left_alone() -> None:
    weights = dict(toy(resolution=4).weights())
    before = {name: (t.clone(), t.dtype) for name, t in weights.items()}
    assert torch.equal(average_w(weights), average_w(weights))
    assert all(torch.equal(t, before[n][0]) and t.dtype == before[n][1] for n, t in weights.items())


def test_absurd_widths_are_refused_before_anything_is_drawn() -> None:
    weights = {"mapping.fc0.weight": torch.zeros(1, 20_000), "mapping.fc0.bias": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="widths 20000"):
        average_w(weights)
