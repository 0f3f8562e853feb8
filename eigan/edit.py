"""Slider and Edit: codes in, codes out, pure. Edits are sums of moves in sigmas; they add, subtract and scale.

Canonical order: truncate first, then add `amount * sigma * vector` on the layers, unscaled by psi (GANSpace, Härkönen
et al., NeurIPS 2020, arXiv:2004.02546, with the truncation convention of NVIDIA's mapping networks).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from eigan.errors import InvalidCodes
from eigan.generators.base import Codes
from eigan.layers import LayerRange
from eigan.pack import MAX_AMOUNT, Direction, check_number


def move(codes: Codes, direction: Direction, amount: float, *, at: Codes | None = None) -> Codes:
    """Codes (N, L, D) moved `amount` sigmas along `direction`, on its layers only; `codes` is left alone.

    at: the codes that a direction with a model is asked about; None for `codes` themselves.

    Raises:
        InvalidCodes: the direction does not fit the codes.
    """
    if codes.ndim != 3 or codes.shape[2] != direction.code_dim or codes.shape[1] < direction.layers.stop:
        raise InvalidCodes(
            f"direction {direction.name!r} moves layers {direction.layers} of {direction.code_dim} numbers; "
            f"codes have shape {tuple(codes.shape)}"
        )
    moved = codes.clone()
    moved[:, direction.layers.slice] += amount * direction.sigma * unit_move(codes if at is None else at, direction)
    return moved


def unit_move(codes: Codes, direction: Direction) -> Tensor:
    """The unit vectors that `direction` moves codes (N, L, D) along: (D,), (layers, D) or, made by its model from each
    row that it moves, (N, layers, D); zeros for a row at which the model points nowhere.
    """
    if direction.model is None:
        return direction.vector.to(codes)
    rows = codes[:, direction.layers.slice]
    found: Tensor = direction.model.directions(rows.flatten(0, 1))[0].view_as(rows)
    return found


def coordinate(codes: Codes, direction: Direction) -> Tensor:
    """Where codes (N, L, D) lie along `direction`, in sigmas from the origin, averaged over its layers: (N,).

    Of a direction that depends on the code: where they lie along its mean.
    """
    rows = codes[:, direction.layers.slice]
    return (rows * direction.vector.to(rows)).sum(dim=2).mean(dim=1) / direction.sigma


@dataclass(frozen=True)
class Slider:
    """One direction moved by `amount` sigmas. Raises PackFormatError when the amount is not finite or beyond 100."""

    direction: Direction
    amount: float

    def __post_init__(self) -> None:
        check_number(self.amount, f"amount of {self.direction.name!r}", -MAX_AMOUNT, MAX_AMOUNT)
        object.__setattr__(self, "amount", float(self.amount))


@dataclass(frozen=True)
class Edit:
    """A sum of moves. Order does not matter; the same direction twice is one move by the sum of the amounts.

    It holds for directions that depend on the code, too: every one of them is asked about the codes that `apply` is
    given, not about what the moves before have made of them. So applying a + b is one edit, and differs from applying
    a and then b to its result, where b is asked again: that is how LatentCLR's own walks go.
    """

    sliders: tuple[Slider, ...] = ()

    def __post_init__(self) -> None:
        totals: dict[int, tuple[Direction, float]] = {}
        for slider in self.sliders:
            direction, amount = totals.get(id(slider.direction), (slider.direction, 0.0))
            totals[id(slider.direction)] = (direction, amount + slider.amount)
        object.__setattr__(self, "sliders", tuple(Slider(d, a) for d, a in totals.values()))

    def apply(self, codes: Codes) -> Codes:
        """Codes (N, L, D) after all moves; `codes` is left alone."""
        moved = codes
        for slider in self.sliders:
            if slider.amount:
                moved = move(moved, slider.direction, slider.amount, at=codes)
        return moved

    @property
    def layers(self) -> LayerRange | None:
        """The smallest range that holds every layer moved; None when nothing moves."""
        ranges = [slider.direction.layers for slider in self.sliders if slider.amount]
        if not ranges:
            return None
        return LayerRange(min(r.start for r in ranges), max(r.stop for r in ranges))

    @property
    def amounts(self) -> dict[str, float]:
        """Direction name -> sigmas."""
        return {slider.direction.name: slider.amount for slider in self.sliders}

    def __iter__(self) -> Iterator[Slider]:
        return iter(self.sliders)

    def __add__(self, other: Edit | Direction) -> Edit:
        return Edit(self.sliders + _as_edit(other).sliders)

    def __sub__(self, other: Edit | Direction) -> Edit:
        return self + -1.0 * _as_edit(other)

    def __mul__(self, factor: float) -> Edit:
        return Edit(tuple(Slider(s.direction, s.amount * factor) for s in self.sliders))

    __rmul__ = __mul__

    def __neg__(self) -> Edit:
        return self * -1.0


def overlap(a: Edit | Direction, b: Edit | Direction) -> float:
    """How much two edits do the same: the cosine, -1 to 1, of what they add to the codes, over all rows at once.

    sum(A * B) / (|A| |B|) with A (L, D) the sum of amount * sigma * vector over a's sliders, each on its layers. 0 for
    edits that share no layer, and where one of them moves nothing. A bare direction counts as an edit by one sigma; a
    direction that depends on the code by its mean.

    Raises:
        InvalidCodes: edits of codes of different sizes.
    """
    ours, theirs = _as_edit(a), _as_edit(b)
    sizes = {slider.direction.code_dim for slider in (*ours, *theirs)}
    if len(sizes) > 1:
        raise InvalidCodes(f"the edits move rows of {' and '.join(map(str, sorted(sizes)))} numbers; give one size's")
    if ours.layers is None or theirs.layers is None:
        return 0.0
    shape = (max(ours.layers.stop, theirs.layers.stop), *sizes)
    first, second = _displacement(ours, shape), _displacement(theirs, shape)
    length = float(first.norm() * second.norm())
    return max(-1.0, min(1.0, float((first * second).sum()) / length)) if length else 0.0


def _displacement(edit: Edit, shape: tuple[int, ...]) -> Tensor:
    """What `edit` adds to codes of `shape` (L, D), float64; of directions that depend on the code, by their mean."""
    found = torch.zeros(shape, dtype=torch.float64)
    for slider in edit:
        direction = slider.direction
        if slider.amount:
            found[direction.layers.slice] += slider.amount * direction.sigma * direction.vector.double()
    return found


def _as_edit(other: Edit | Direction) -> Edit:
    return other if isinstance(other, Edit) else other * 1.0
