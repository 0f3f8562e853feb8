"""The algebra of edits, as properties."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigan.edit import Edit, Slider, coordinate, move, overlap, unit_move
from eigan.errors import InvalidCodes, PackFormatError
from eigan.pack import Direction
from tests.toys import toy_direction
from tests.toys_models import varying_direction

DIRECTIONS = [toy_direction(f"d{i}", layers, seed=i) for i, layers in enumerate([(0, 8), (2, 5), (4, 6), (7, 8)])]
VARYING = [  # their models depend on the code; the last one's moves the first 12 numbers alone
    varying_direction(f"v{i}", layers, depth=depth, size=size, seed=i)
    for i, (layers, depth, size) in enumerate([((0, 8), 3, 0), ((2, 5), 1, 0), ((5, 8), 2, 12)])
]
amounts = st.floats(-5, 5).map(lambda x: round(x, 3))


def edits_of(directions: list[Direction]) -> st.SearchStrategy[Edit]:
    moves = st.lists(st.tuples(st.sampled_from(directions), amounts), max_size=6)
    return moves.map(lambda chosen: Edit(tuple(Slider(d, a) for d, a in chosen)))


fixed_edits = edits_of(DIRECTIONS)
edits = edits_of(DIRECTIONS + VARYING)


def random_codes(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 8, 16, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def same(a: Edit, b: Edit) -> bool:
    return torch.allclose(a.apply(random_codes()), b.apply(random_codes()), atol=1e-9)


@given(edits, edits)
def test_addition_is_order_free(a: Edit, b: Edit) -> None:
    assert same(a + b, b + a)


@given(fixed_edits, fixed_edits)
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


@given(edits)
@settings(deadline=None)
def test_a_sum_of_moves_is_the_sum_of_what_each_does_to_the_codes_given(a: Edit) -> None:
    """Not of what the moves before left: no order is the right one."""
    base = random_codes()
    together = base + sum((move(base, s.direction, s.amount) - base for s in a), torch.zeros_like(base))
    assert torch.allclose(a.apply(base), together, atol=1e-9)


@given(st.permutations([Slider(d, a) for d, a in zip(DIRECTIONS + VARYING, [1, -2, 3, 0.5, 4, -5, 2], strict=True)]))
@settings(deadline=None)
def test_any_order_of_sliders_is_the_same_edit(sliders: list[Slider]) -> None:
    assert same(Edit(tuple(sliders)), Edit(tuple(reversed(sliders))))


@given(edits)
@settings(deadline=None)
def test_layers_that_no_direction_names_keep_their_bits(a: Edit) -> None:
    """So that a picture is drawn again only from the first layer that moved."""
    base = random_codes().float()
    moved = a.apply(base)
    still = [layer for layer in range(8) if not any(layer in s.direction.layers for s in a if s.amount)]
    assert torch.equal(moved[:, still], base[:, still])


@given(st.sampled_from(VARYING), amounts, st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_a_model_moves_every_row_along_its_own_direction_by_amount_sigmas(
    direction: Direction, amount: float, seed: int
) -> None:
    base = torch.randn(3, 8, 16, generator=torch.Generator().manual_seed(seed))
    moved = (move(base, direction, amount) - base)[:, direction.layers.slice]
    torch.testing.assert_close(moved.norm(dim=2), torch.full(moved.shape[:2], abs(amount) * 0.5), atol=1e-5, rtol=1e-5)
    assert direction.model is not None
    for n in range(3):
        wanted = direction.model.directions(base[n, direction.layers.slice])[0]
        torch.testing.assert_close(moved[n], amount * 0.5 * wanted, atol=1e-5, rtol=1e-5)
    assert not torch.equal(unit_move(base[:1], direction), unit_move(base[1:2], direction))


def test_rows_at_which_a_model_points_nowhere_stay() -> None:
    direction = VARYING[1]
    assert direction.model is not None
    nowhere = replace(direction, model=direction.model.each(torch.zeros_like))
    assert torch.equal(move(random_codes(), nowhere, 3.0), random_codes())


def test_the_coordinate_of_a_varying_direction_is_that_of_its_mean() -> None:
    direction = VARYING[0]
    assert torch.equal(
        coordinate(random_codes(), direction), coordinate(random_codes(), replace(direction, model=None))
    )


def test_overlap_is_the_cosine_of_what_two_edits_add() -> None:
    one, other = toy_direction("one", (0, 4)), toy_direction("other", (2, 6), seed=2)
    assert overlap(one, one) == pytest.approx(1.0)
    assert overlap(2 * one, -3 * one) == pytest.approx(-1.0)
    alike = float(one.vector.double() @ other.vector.double())
    assert overlap(one, other) == pytest.approx(2 * alike / 4)  # 2 rows in common, 4 of each
    # sigma and amounts weigh in: as directions move further, the sum turns towards them
    far = replace(other, sigma=5.0)
    assert overlap(1 * one + far, other) > overlap(1 * one + other, other) > overlap(5 * one + other, other)
    rows = replace(one, vector=one.vector.repeat(4, 1))
    assert overlap(rows, 2 * one) == pytest.approx(1.0)


@given(edits, edits, st.floats(0.1, 3), st.floats(0.1, 3))
@settings(deadline=None)
def test_overlap_is_symmetric_bounded_and_free_of_scale(a: Edit, b: Edit, first: float, second: float) -> None:
    found = overlap(a, b)
    assert -1 <= found <= 1
    assert overlap(b, a) == pytest.approx(found, abs=1e-9)
    assert overlap(first * a, second * b) == pytest.approx(found, abs=1e-6)
    assert overlap(a, -b) == pytest.approx(-found, abs=1e-9)


@given(edits, edits)
@settings(deadline=None)
def test_overlap_is_that_of_the_codes_moved(a: Edit, b: Edit) -> None:
    """Of the directions' means, where they depend on the code."""
    fixed = [
        Edit(tuple(Slider(replace(s.direction, model=None), s.amount) for s in edit)).apply(random_codes(1))
        - random_codes(1)
        for edit in (a, b)
    ]
    length = float(fixed[0].norm() * fixed[1].norm())
    wanted = float((fixed[0] * fixed[1]).sum()) / length if length > 1e-9 else None
    if wanted is not None:
        assert overlap(a, b) == pytest.approx(wanted, abs=1e-6)


def test_edits_that_share_no_layer_or_move_nothing_do_not_overlap() -> None:
    assert overlap(toy_direction("a", (0, 4)), toy_direction("a", (4, 8))) == 0.0
    assert overlap(Edit(), toy_direction()) == overlap(toy_direction(), 0 * toy_direction()) == 0.0
    assert overlap(toy_direction("a", (0, 2)), 0 * toy_direction("b", (0, 8)) + toy_direction("c", (2, 4))) == 0.0
    rows = replace(toy_direction("rows", (0, 8)), vector=toy_direction().vector.repeat(8, 1))  # beyond what moves
    assert overlap(toy_direction("a", (0, 2)), 0 * rows + toy_direction("a", (0, 2))) == pytest.approx(1.0)
    with pytest.raises(InvalidCodes, match="rows of 12 and 16 numbers"):
        overlap(toy_direction(), toy_direction(dim=12))
