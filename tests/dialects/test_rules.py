"""Renaming: strict, and never a view of the file's tensors."""

from __future__ import annotations

import pytest
import torch

from eigan.dialects import rules
from eigan.dialects.rules import Rule, rename, rename_each
from eigan.errors import CheckpointError

CHANGES = {
    "as it is": (torch.Tensor.contiguous, torch.randn(2, 3)),
    "transposed": (rules.transposed, torch.randn(2, 3)),
    "first": (rules.first, torch.randn(1, 2, 3)),
    "plane": (rules.plane, torch.randn(1, 1, 2, 3)),
    "scalar": (rules.scalar, torch.randn(1, 1)),
    "flipped": (rules.flipped, torch.randn(2, 3)),
    "plus one": (rules.plus_one, torch.randn(2)),
}


def test_all_that_is_wrong_is_told_at_once() -> None:
    wanted = {"ours.a": Rule("a", 1), "ours.b": Rule("b", 1), "ours.c": Rule("c", 1)}
    given = {"a": torch.zeros(1), "x": torch.zeros(1), "y": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"do not fit a toy: missing b, c; unexpected x, y"):
        rename(given, wanted, "a toy")
    with pytest.raises(CheckpointError, match=r"missing b, c$"):
        rename(given, wanted, "a toy", ignored=("x", "y", "not there"))


@pytest.mark.parametrize("shape", [(), (2,), (2, 2, 2), (0, 2)])
def test_the_number_of_axes_is_checked_first(shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match=r"a has shape .*; a toy has 2 dimensions there"):
        rename({"a": torch.zeros(shape)}, {"ours": Rule("a", 2, rules.transposed)}, "a toy")


@pytest.mark.parametrize("name", CHANGES)
def test_changes_give_contiguous_tensors_and_leave_the_files_alone(name: str) -> None:
    change, given = CHANGES[name]
    before = given.clone()
    changed = change(given)
    assert changed.is_contiguous() and torch.equal(given, before)


def test_axes_that_are_taken_away_have_size_1() -> None:
    with pytest.raises(CheckpointError, match="wanted 1 for the first 2"):
        rules.plane(torch.zeros(1, 2, 3, 3))


def test_two_weights_never_take_one_name() -> None:
    given = {"g.a": torch.zeros(1), "b": torch.ones(1)}
    assert rename_each(given, lambda name: name.removeprefix("g."), "a toy") == {"a": given["g.a"], "b": given["b"]}
    with pytest.raises(CheckpointError, match="a is the second a of a toy; keep one of them"):
        rename_each({**given, "a": torch.zeros(1)}, lambda name: name.removeprefix("g."), "a toy")
