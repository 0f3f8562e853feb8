"""Seeds are a promise: one row, one seed, NVIDIA's stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eigan.errors import InvalidCodes
from eigan.latents import seeded_z


def test_each_row_depends_on_its_seed_alone() -> None:
    together = seeded_z([3, 1, 4, 1], 32)
    assert torch.equal(together[1], together[3])
    assert torch.equal(together[2], seeded_z([4], 32)[0])


def test_the_stream_is_nvidias() -> None:
    expected = np.random.RandomState(42).randn(1, 512).astype(np.float32)
    assert np.array_equal(seeded_z([42], 512).numpy(), expected)


def test_the_global_stream_is_left_alone() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    seeded_z([1], 8)
    assert np.array_equal(np.random.get_state()[1], before)


def test_no_seeds_give_no_rows() -> None:
    assert seeded_z([], 8).shape == (0, 8)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1", None])
def test_seeds_out_of_range_are_refused(seed: object) -> None:
    with pytest.raises(InvalidCodes, match="whole number"):
        seeded_z([seed], 8)  # type: ignore[list-item]
