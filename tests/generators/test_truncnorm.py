"""The truncated normal distribution against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eigan.errors import InvalidCodes
from eigan.generators.truncnorm import redraw_tails, truncated_z
from eigan.latents import seeded_z

TRUNCATED = stats.truncnorm(-2, 2)


def test_standard_normal_latents_become_truncated_normal() -> None:
    z = seeded_z(range(200), 500)
    drawn = redraw_tails(z)
    beyond = z.abs() > 2
    assert 0.04 < float(beyond.float().mean()) < 0.05
    for part in (drawn.flatten(), drawn[beyond], drawn[z > 2], drawn[z < -2]):
        assert float(part.abs().max()) <= 2
        assert stats.kstest(part.numpy(), TRUNCATED.cdf).pvalue > 0.01


def test_a_truncated_draw_passes_unchanged() -> None:
    z = truncated_z(range(50), 100)
    assert redraw_tails(z) is z
    edges = torch.tensor([[2.0, -2.0, 0.0]])
    assert torch.equal(redraw_tails(edges), edges)


@given(st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=8))
def test_only_what_lies_beyond_is_drawn_again_and_neighbours_do_not_matter(numbers: list[float]) -> None:
    z = torch.tensor([numbers])
    drawn = redraw_tails(z)
    assert bool((drawn.abs() <= 2).all())
    assert torch.equal(drawn[z.abs() <= 2], z[z.abs() <= 2])
    for i in range(len(numbers)):
        assert torch.equal(redraw_tails(z[:, i : i + 1]), drawn[:, i : i + 1])


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_a_seed_gives_the_official_draw(seed: int) -> None:
    wanted = TRUNCATED.rvs(size=(1, 128), random_state=np.random.RandomState(seed)).astype(np.float32)
    np.testing.assert_allclose(truncated_z([seed], 128).numpy(), wanted, atol=1e-6, rtol=1e-6)
    assert torch.equal(truncated_z([3, seed], 128)[1:], truncated_z([seed], 128))


def test_no_seeds_and_no_seed() -> None:
    assert truncated_z([], 4).shape == (0, 4)
    with pytest.raises(InvalidCodes, match="seed is -1"):
        truncated_z([-1], 4)
