"""Absolute coordinates and conditional directions: their algebra, and agreement with least squares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eigan import Direction, LayerRange, PackFormatError, keep, project, set_coordinate
from eigan.edit import Edit, Slider, coordinate, move
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
@settings(deadline=None)
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
    with pytest.raises(PackFormatError, match="'d1' has 11 numbers a layer, 'd0' 12"):
        project(direction, [replace(a_direction(1), vector=torch.eye(11)[0])])
    with pytest.raises(PackFormatError, match="would move layers 1, 3 alone"):
        project(direction, [direction.on(LayerRange(2, 3))])
    assert project(direction, [a_direction(1, name="x" * 80)]).name.endswith("…")


def test_directions_that_depend_on_the_code_have_no_coordinate_and_no_projection() -> None:
    varying, fixed = varying_direction(dim=DIM, layers=(1, 4)), a_direction(0)
    with pytest.raises(PackFormatError, match="'turn' depends on the code"):
        set_coordinate(codes(0), varying, 1.0)
    for direction, conditions in ((varying, [fixed]), (fixed, [fixed, varying])):
        with pytest.raises(PackFormatError, match="turn depends on the code; only fixed"):
            project(direction, conditions)


def on(direction: Direction, start: int, stop: int) -> Direction:
    return direction.on(LayerRange(start, stop))


def a_pack(seed: int) -> list[Direction]:
    """Directions of every kind: on all layers, on some, on some with a vector for each."""
    return [
        on(a_direction(seed, name="all"), 0, LAYERS),
        on(a_direction(seed + 1, name="some"), 1, 4),
        on(a_direction(seed + 2, name="late"), 4, LAYERS),
        on(a_direction(seed + 3, name="one"), 2, 3),
        a_direction(seed + 4, rows=4, name="rows"),
        a_direction(seed + 5, rows=2, name="few rows"),
    ]


def lift(direction: Direction) -> Tensor:
    """The direction on all layers, (LAYERS, DIM), float64; zeros where it does not move."""
    found = torch.zeros(LAYERS, DIM, dtype=torch.float64)
    found[direction.layers.slice] = direction.vector.double()
    return found


def change(edit: Edit) -> Tensor:
    """What the edit adds to codes, (LAYERS, DIM)."""
    return edit.apply(torch.zeros(1, LAYERS, DIM, dtype=torch.float64))[0]


@given(SEEDS, st.integers(0, 5), st.sets(st.integers(0, 5), min_size=1, max_size=4))
@settings(deadline=None)
def test_every_row_is_projected_on_the_conditions_that_move_it(seed: int, index: int, others: set[int]) -> None:
    """numpy's least squares is the oracle, row by row."""
    directions = a_pack(seed)
    direction, conditions = directions[index], [directions[i] for i in others - {index}]
    if not conditions:
        return
    made = project(direction, conditions)
    assert made.layers == direction.layers and made.sigma == direction.sigma
    for layer in range(direction.layers.start, direction.layers.stop):
        row, active = lift(direction)[layer], [lift(c)[layer] for c in conditions if layer in c.layers]
        if not active:
            assert torch.equal(lift(made)[layer], row)
            continue
        matrix = torch.stack(active)
        best = np.linalg.lstsq(matrix.numpy().T, row.numpy(), rcond=None)[0]
        left = row - torch.from_numpy(best @ matrix.numpy())
        torch.testing.assert_close(lift(made)[layer], left / left.norm(), atol=1e-5, rtol=1e-5)


def test_the_vector_is_one_where_all_rows_are_alike() -> None:
    everywhere, some, late, one, rows, _ = a_pack(0)
    assert project(some, [everywhere]).vector.shape == (DIM,)
    assert project(some, [late]).vector.shape == (DIM,)  # no layer in common: as it was
    assert torch.equal(project(some, [late]).vector, some.vector)
    assert project(everywhere, [some]).vector.shape == (LAYERS, DIM)
    assert project(some, [one]).vector.shape == (3, DIM)
    assert project(some, [rows]).vector.shape == (3, DIM)
    assert project(one, [rows]).vector.shape == (DIM,)


def test_rows_of_which_nothing_is_left_are_no_longer_moved() -> None:
    everywhere = a_pack(0)[0]
    made = project(everywhere, [on(everywhere, 3, LAYERS)])
    assert made.layers == LayerRange(0, 3) and torch.equal(made.vector, everywhere.vector)
    gap = on(everywhere, 2, 4)
    kept = keep(2.0 * everywhere, [gap])
    assert [s.direction.layers for s in kept] == [LayerRange(0, 2), LayerRange(4, LAYERS)]
    assert kept.amounts == {"all": 2.0}
    torch.testing.assert_close(change(kept), change(2.0 * everywhere) * torch.tensor([1, 1, 0, 0, 1, 1.0])[:, None])


DIRECTIONS = a_pack(0)
EDITS = st.lists(st.tuples(st.sampled_from(DIRECTIONS), st.floats(-9, 9)), max_size=5).map(  # sums below 100
    lambda chosen: Edit(tuple(Slider(d, a) for d, a in chosen))
)
KEPT = st.lists(st.sampled_from(DIRECTIONS), max_size=4)


@given(EDITS, EDITS, KEPT, st.floats(-2, 2))
@settings(deadline=None)
def test_keeping_is_linear_in_the_amounts(a: Edit, b: Edit, kept: list[Direction], factor: float) -> None:
    together = change(keep(a + b, kept))
    torch.testing.assert_close(together, change(keep(a, kept) + keep(b, kept)), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(change(keep(factor * a, kept)), factor * change(keep(a, kept)), atol=1e-4, rtol=1e-5)


@given(EDITS, st.permutations(DIRECTIONS[:4]))
@settings(deadline=None)
def test_keeping_does_not_depend_on_any_order(edit: Edit, kept: list[Direction]) -> None:
    turned = Edit(tuple(reversed(edit.sliders)))
    wanted = change(keep(edit, DIRECTIONS[:4]))
    torch.testing.assert_close(change(keep(turned, kept)), wanted, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(change(keep(edit, [*kept, *kept])), wanted, atol=1e-4, rtol=1e-5)


@given(EDITS, KEPT)
@settings(deadline=None)
def test_coordinates_that_are_kept_stay_and_no_slider_but_its_own_moves_one(edit: Edit, kept: list[Direction]) -> None:
    moved = change(keep(edit, kept))
    for direction in kept:
        own = change(keep(Edit(tuple(s for s in edit if s.direction is direction)), kept))
        along = ((moved - own) * lift(direction)).sum(dim=1)  # row by row
        assert float(along.abs().max()) < 1e-4
    assert keep(edit, kept).amounts == edit.amounts


def test_what_is_moved_and_kept_moves_as_far_as_alone() -> None:
    some = DIRECTIONS[1]
    assert keep(3.0 * some, [some]) == 3.0 * some
    assert torch.equal(change(keep(3.0 * some, [some])), change(3.0 * some))
    both = keep(3.0 * some, [some, DIRECTIONS[0]])
    torch.testing.assert_close(change(both).norm(dim=1)[1:4], torch.full((3,), 1.5, dtype=torch.float64))


def test_keeping_nothing_changes_nothing() -> None:
    edit = 2.0 * DIRECTIONS[0] - DIRECTIONS[4]
    assert keep(edit, []) == edit


def test_directions_that_depend_on_the_code_are_kept_only_from_those_on_other_layers() -> None:
    varying, late = varying_direction(dim=DIM, layers=(0, 4)), DIRECTIONS[2]
    edit = 2.0 * varying + late
    assert keep(edit, [late]) == edit  # layers 4-5 alone
    assert keep(edit, [varying]) == edit
    for sliders, kept in ((edit, DIRECTIONS[0]), (2.0 * DIRECTIONS[0], varying)):
        with pytest.raises(PackFormatError, match="turn depends on the code; only fixed"):
            keep(sliders, [kept])
    assert keep(0.0 * varying, [DIRECTIONS[0]]) == 0.0 * varying  # nothing moves


def test_keeping_all_of_what_moves_is_told() -> None:
    with pytest.raises(PackFormatError, match="nothing is left of 'one' when all must stay"):
        keep(2.0 * on(replace(DIRECTIONS[0], name="one"), 2, 3), [DIRECTIONS[0]])
