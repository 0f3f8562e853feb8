"""Absolute coordinates and conditional directions: their algebra, and agreement with least squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from eigan import Direction, LayerRange, PackFormatError, project, set_coordinate
from eigan.edit import coordinate, move
from eigan.errors import InvalidCodes
from eigan.targets import project_vectors
from tests.toys_models import varying_direction

DIM, LAYERS = 12, 6
SEEDS = st.integers(0, 2**16)
AMOUNTS = st.floats(-50, 50)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def a_direction(seed: int, *, rows: int = 0, name: str = "") -> Direction:
    vector = random(*((rows,) if rows else ()), DIM, seed=seed)
    layers = LayerRange(1, 1 + rows) if rows else LayerRange(1, 4)
    return Direction(name or f"d{seed}", vector / vector.norm(dim=-1, keepdim=True), 0.5, layers)


def codes(seed: int) -> Tensor:
    return random(3, LAYERS, DIM, seed=seed + 1000).float()


@given(SEEDS, AMOUNTS, st.booleans())
def test_the_coordinate_is_what_was_set(seed: int, amount: float, centred: bool) -> None:
    direction, mean = a_direction(seed), random(DIM, seed=seed + 1).float() if centred else None
    moved = set_coordinate(codes(seed), direction, amount, mean)
    there = coordinate(moved if mean is None else moved - mean, direction)
    torch.testing.assert_close(there, torch.full((3,), amount), atol=1e-3, rtol=1e-4)


@given(SEEDS, AMOUNTS)
def test_other_layers_and_other_coordinates_stay(seed: int, amount: float) -> None:
    direction, before = a_direction(seed), codes(seed)
    moved = set_coordinate(before, direction, amount)
    assert torch.equal(moved[:, [0, 4, 5]], before[:, [0, 4, 5]])
    change = (moved - before)[:, 1:4]
    along = (change @ direction.vector)[..., None] * direction.vector
    torch.testing.assert_close(change, along, atol=1e-4, rtol=1e-4)


@given(SEEDS, AMOUNTS, AMOUNTS)
def test_the_last_target_wins_and_repeating_it_changes_nothing(seed: int, first: float, second: float) -> None:
    direction, before = a_direction(seed), codes(seed)
    once = set_coordinate(before, direction, second)
    twice = set_coordinate(set_coordinate(before, direction, first), direction, second)
    torch.testing.assert_close(twice, once, atol=1e-4, rtol=1e-4)
    assert torch.equal(before, codes(seed))  # left alone


@given(SEEDS, AMOUNTS, AMOUNTS)
def test_a_relative_move_from_a_target_adds(seed: int, target: float, amount: float) -> None:
    direction = a_direction(seed)
    moved = move(set_coordinate(codes(seed), direction, target), direction, amount)
    torch.testing.assert_close(moved, set_coordinate(codes(seed), direction, target + amount), atol=1e-3, rtol=1e-3)


@given(SEEDS)
def test_every_layer_has_its_own_vector_and_mean(seed: int) -> None:
    direction, mean = a_direction(seed, rows=3), random(LAYERS, DIM, seed=seed).float()
    moved = set_coordinate(codes(seed), direction, 2.0, mean)
    for row, layer in enumerate(range(1, 4)):
        there = (moved[:, layer] - mean[layer]) @ direction.vector[row] / direction.sigma
        torch.testing.assert_close(there, torch.full((3,), 2.0), atol=1e-4, rtol=1e-4)


def test_codes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidCodes):
        set_coordinate(torch.zeros(1, 2, DIM), a_direction(0), 1.0)


@given(SEEDS, st.integers(1, 5))
def test_projection_leaves_the_conditions_alone_and_only_takes_from_them(seed: int, count: int) -> None:
    direction, conditions = a_direction(seed), [a_direction(seed + i) for i in range(1, count + 1)]
    made = project(direction, conditions)
    matrix = torch.stack([c.vector for c in conditions]).double()
    assert float((matrix @ made.vector.double()).abs().max()) < 1e-5
    # numpy's least squares is the oracle: what is left of v after the best combination of the conditions
    best = np.linalg.lstsq(matrix.numpy().T, direction.vector.double().numpy(), rcond=None)[0]
    left = direction.vector.double() - torch.from_numpy(best @ matrix.numpy())
    torch.testing.assert_close(made.vector.double(), left / left.norm(), atol=1e-5, rtol=1e-5)
    assert made.sigma == direction.sigma and made.layers == direction.layers
    assert float(made.vector @ direction.vector) > 0


@given(SEEDS)
def test_projecting_again_or_on_a_repeated_condition_changes_nothing(seed: int) -> None:
    direction, condition = a_direction(seed), a_direction(seed + 1)
    once = project(direction, [condition])
    for again in (project(once, [condition]), project(direction, [condition, condition])):
        torch.testing.assert_close(again.vector, once.vector, atol=1e-5, rtol=1e-5)


@given(SEEDS)
def test_rows_of_layers_are_projected_each_on_its_own(seed: int) -> None:
    direction, condition = a_direction(seed, rows=3), a_direction(seed + 1, rows=3)
    made = project(direction, [condition])
    for row in range(3):
        alone = project_vectors(direction.vector[row].double(), condition.vector[row].double()[None])
        torch.testing.assert_close(made.vector[row].double(), alone / alone.norm(), atol=1e-5, rtol=1e-5)


def test_what_cannot_be_projected_is_told() -> None:
    direction = a_direction(0)
    with pytest.raises(PackFormatError, match="no conditions"):
        project(direction, [])
    with pytest.raises(PackFormatError, match="nothing is left"):
        project(direction, [direction])
    with pytest.raises(PackFormatError, match="one shape"):
        project(direction, [a_direction(1, rows=3)])
    assert project(direction, [a_direction(1, name="x" * 80)]).name.endswith("…")


def test_directions_that_depend_on_the_code_have_no_coordinate_and_no_projection() -> None:
    varying, fixed = varying_direction(dim=DIM, layers=(1, 4)), a_direction(0)
    with pytest.raises(PackFormatError, match="'turn' depends on the code"):
        set_coordinate(codes(0), varying, 1.0)
    for direction, conditions in ((varying, [fixed]), (fixed, [fixed, varying])):
        with pytest.raises(PackFormatError, match="turn depends on the code; only fixed"):
            project(direction, conditions)
