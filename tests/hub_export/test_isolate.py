"""isolate: mixed directions in, one attribute each out, of a generator whose pictures are known; and its solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import linprog

import hub_export
from eigan.errors import FitError, PackMismatch, UnknownName
from eigan.layers import LayerRange
from eigan.pack import DirectionPack
from hub_export.isolate import candidates, isolate, solve, spans_of
from tests.toys import toy_generator
from tests.toys_models import varying_direction
from tests.toys_painting import BLOCKS, Blocks, Painting, painted_direction, painted_pack

NUM_READ = 4


def mixed_pack(generator: Painting, count: int = 6, seed: int = 0) -> DirectionPack:
    """`count` random directions over as many blocks: each moves all of the attributes that are read."""
    rows = torch.randn(count, count, generator=torch.Generator().manual_seed(seed))
    return painted_pack(generator, [painted_direction(f"mixed-{i}", row.tolist()) for i, row in enumerate(rows)])


def isolated(generator: Painting, pack: DirectionPack, **settings: Any) -> DirectionPack:
    blocks = Blocks(NUM_READ)
    settings = {"scorer": blocks, "features": blocks, "num_pictures": 200, "num_seeds": 8, **settings}
    return isolate(generator, pack, **settings)


@pytest.fixture(scope="module")
def generator() -> Painting:
    return Painting()


def test_mixed_directions_are_taken_apart(generator: Painting) -> None:
    mixed = mixed_pack(generator)
    pack = isolated(generator, mixed)
    assert pack.names == [f"block {i}" for i in range(NUM_READ)]
    blocks = Blocks(NUM_READ)
    before, after = (
        hub_export.evaluate(generator, p, scorer=blocks, features=blocks, num_pictures=200, num_seeds=8, frechet=False)
        for p in (mixed, pack)
    )
    assert min(entry.leak or 0 for entry in before.directions) > 0.25
    for entry in after.directions:
        assert entry.main == entry.name
        assert (entry.leak or 0) < 0.05
        assert entry.monotonicity == pytest.approx(1)
    for direction in pack:
        assert direction.metrics["leak"] < 0.05
        assert direction.sigma == pytest.approx(1, rel=0.05)  # codes of this generator have unit variance everywhere
    assert pack.method["basis"]["painted"] == dict(mixed.method)


def test_the_same_arguments_give_the_same_pack(generator: Painting) -> None:
    first, again = (isolated(generator, mixed_pack(generator), attributes=["block 2"]) for _ in range(2))
    assert first.names == ["block 2"]
    assert torch.equal(first["block 2"].vector, again["block 2"].vector)


def test_one_attribute_alone_leaks_nothing(generator: Painting) -> None:
    blocks = Blocks(1)
    pack = isolated(generator, mixed_pack(generator), scorer=blocks, features=blocks)
    assert pack.names == ["block 0"]
    assert pack["block 0"].metrics["leak"] == 0


def test_what_nothing_moves_is_refused(generator: Painting) -> None:
    pack = painted_pack(generator, [painted_direction("first", [1.0]), painted_direction("second", [0, 1.0])])
    with pytest.raises(FitError, match="moves block 3"):
        isolated(generator, pack, attributes=["block 0", "block 3"])
    assert isolated(generator, pack).names == ["block 0", "block 1"]  # all that are moved
    unseen = painted_pack(generator, [painted_direction("unseen", [0] * 9 + [1.0])])
    with pytest.raises(FitError, match="moves block 0, block 1"):
        isolated(generator, unseen)


def test_bad_input_is_told(generator: Painting) -> None:
    pack = mixed_pack(generator)
    with pytest.raises(UnknownName, match="block 0"):
        isolated(generator, pack, attributes=["smile"])
    with pytest.raises(PackMismatch):
        isolate(toy_generator(), pack, scorer=Blocks())
    assert isolated(generator, pack, attributes=["block 1", "block 1"]).names == ["block 1"]
    with pytest.raises(FitError, match="num_seeds is 1"):
        isolated(generator, pack, num_seeds=1)
    model = painted_pack(generator, [varying_direction("bent", (0, 4), dim=BLOCKS)])
    with pytest.raises(FitError, match="not one vector"):
        isolated(generator, model)


@example(seed=230, moves=2, attributes=2)
@given(seed=st.integers(0, 10_000), moves=st.integers(2, 6), attributes=st.integers(2, 6))
def test_solve_changes_its_attribute_by_one_and_is_near_the_optimum(seed: int, moves: int, attributes: int) -> None:
    effects = np.random.default_rng(seed).normal(size=(moves, attributes))
    weights = solve(effects, 0, 1e-12)  # next to no ridge: moves that are nearly alike may be long
    assert weights @ effects[:, 0] == pytest.approx(1, abs=1e-6)
    leak = np.abs(weights @ effects[:, 1:]).max()
    assert leak <= minimax(effects) * 1.15 + 1e-3


def minimax(effects: np.ndarray) -> float:
    """The least possible greatest effect on the other attributes, as a linear programme."""
    moves, others = len(effects), effects[:, 1:]
    cost = np.r_[np.zeros(moves), 1.0]
    upper = np.c_[np.r_[others.T, -others.T], -np.ones(2 * others.shape[1])]
    equal = np.r_[effects[:, 0], 0.0][None]
    bounds = [(None, None)] * moves + [(0, None)]
    found = linprog(cost, upper, np.zeros(len(upper)), equal, [1.0], bounds)
    return float(found.fun)


def test_solve_refuses_an_attribute_that_nothing_moves() -> None:
    with pytest.raises(FitError, match="moves this attribute"):
        solve(np.array([[0.0, 1.0], [0.0, 2.0]]), 0, 0.1)


def test_candidates_choose_the_layers_where_an_attribute_moves_alone() -> None:
    spans = spans_of(LayerRange(0, 5))
    assert [str(span) for span in spans] == ["0-1", "2-3", "4"]
    responses = np.zeros((2, 3, 1, 2))  # (half, span, move, attribute)
    responses[:, :, 0] = [[0.1, 1.0], [1.0, 0.01], [0.5, 0.8]]
    best = candidates(responses, spans, 0)[0]
    assert str(best.layers) == "2-3"
    assert best.weights == pytest.approx([1.0], rel=1e-6)


def test_a_move_that_only_half_of_the_pictures_confirm_is_not_trusted() -> None:
    """One span's leak differs between the halves, another's is small in both."""
    spans = spans_of(LayerRange(0, 4))
    responses = np.zeros((2, 2, 2, 2))
    responses[:, 0] = [[[1.0, 0.5], [0.5, 0.2]], [[1.0, -0.5], [0.5, 0.3]]]
    responses[:, 1] = [[1.0, 0.1], [0.2, 0.3]]
    assert str(candidates(responses, spans, 0)[0].layers) == "2-3"
