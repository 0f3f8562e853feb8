"""The algebra of edits, as properties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eigan.edit import Edit, Slider, coordinate, move
from eigan.errors import InvalidCodes, PackFormatError
from tests.toys import toy_direction

DIRECTIONS = [toy_direction(f"d{i}", layers, seed=i) for i, layers in enumerate([(0, 8), (2, 5), (4, 6), (7, 8)])]
amounts = st.floats(-5, 5).map(lambda x: round(x, 3))
edits = st.lists(st.tuples(st.sampled_from(DIRECTIONS), amounts), max_size=6).map(
    lambda moves: Edit(tuple(Slider(d, a) for d, a in moves))
)


def random_codes(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 8, 16, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def same(a: Edit, b: Edit) -> bool:
    return torch.allclose(a.apply(random_codes()), b.apply(random_codes()), atol=1e-9)


@given(edits, edits)
def test_addition_is_order_free(a: Edit, b: Edit) -> None:
    assert same(a + b, b + a)


@given(edits, edits)
def test_adding_is_applying_one_after_the_other(a: Edit, b: Edit) -> None:
    assert torch.allclose((a + b).apply(random_codes()), b.apply(a.apply(random_codes())), atol=1e-9)


@given(edits)
def test_an_edit_minus_itself_moves_nothing(a: Edit) -> None:
    assert same(a - a, Edit())
    assert (a - a).layers is None


@given(edits, st.floats(-3, 3).map(lambda x: round(x, 2)))
def test_scaling_scales_the_displacement(a: Edit, factor: float) -> None:
    base = random_codes()
    assert torch.allclose((factor * a).apply(base) - base, factor * (a.apply(base) - base), atol=1e-8)


@given(edits)
def test_codes_given_are_left_alone(a: Edit) -> None:
    base = random_codes()
    a.apply(base)
    assert torch.equal(base, random_codes())


@given(edits)
def test_only_the_layers_named_move(a: Edit) -> None:
    moved = (a.apply(random_codes()) != random_codes()).any(dim=2).any(dim=0).nonzero().flatten().tolist()
    assert all(a.layers is not None and layer in a.layers for layer in moved)


@given(amounts)
def test_a_move_changes_the_coordinate_by_its_amount(amount: float) -> None:
    direction, base = DIRECTIONS[1], random_codes()
    shift = coordinate(move(base, direction, amount), direction) - coordinate(base, direction)
    assert torch.allclose(shift, torch.full_like(shift, amount), atol=1e-5)


def test_the_same_direction_twice_is_one_slider() -> None:
    smile = toy_direction()
    edit = 2 * smile + smile * 1.0 - smile * 0.5
    assert edit.amounts == {"smile": 2.5}
    assert len(list(edit)) == 1


def test_a_direction_can_be_added_bare() -> None:
    smile, age = toy_direction("smile"), toy_direction("age", seed=2)
    assert (2 * smile + age - 0.5 * age).amounts == {"smile": 2.0, "age": 0.5}


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), 101.0, -101.0, True])
def test_amounts_out_of_range_are_refused(amount: float) -> None:
    with pytest.raises(PackFormatError, match="amount of 'smile'"):
        toy_direction() * amount


def test_a_direction_of_another_width_is_refused() -> None:
    with pytest.raises(InvalidCodes, match="codes have shape"):
        move(torch.zeros(1, 8, 12), toy_direction(), 1.0)
