"""Where two packs of one generator agree: directions matched one to one by |cos|, layer range by layer range."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from eigan.errors import FitError, PackMismatch
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack
from hub_export.workers import on_one_thread


@dataclass(frozen=True)
class Pair:
    """A direction of the first pack, its match in the second, and their |cos|."""

    first: str
    second: str
    cosine: float


@dataclass(frozen=True)
class Agreement:
    """Matches on one range of layers, in the first pack's order; all of the smaller number of directions."""

    layers: LayerRange
    pairs: tuple[Pair, ...]

    @property
    def mean(self) -> float:
        return fmean(pair.cosine for pair in self.pairs)


def match(a: DirectionPack, b: DirectionPack) -> tuple[Agreement, ...]:
    """For every range of layers that both packs have directions on: the matching whose sum of |cos| is greatest.

    Directions that depend on the code are compared by their means. Empty where the packs share no range.

    Raises:
        PackMismatch: packs of different generators. FitError: SciPy is not installed.
    """
    if a.made_for.fingerprint != b.made_for.fingerprint:
        raise PackMismatch(
            f"{a.name!r} was made for {a.made_for}, {b.name!r} for {b.made_for}; only packs of one generator can agree"
        )
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise FitError("matching packs needs SciPy; pip install 'eigan[evaluate]'") from None
    found = []
    for layers in sorted({d.layers for d in a} & {d.layers for d in b}):
        first, second = ([d for d in pack if d.layers == layers] for pack in (a, b))
        similarity = cosines(first, second).numpy()
        rows, columns = linear_sum_assignment(similarity, maximize=True)
        pairs = (
            Pair(first[i].name, second[j].name, float(similarity[i, j])) for i, j in zip(rows, columns, strict=True)
        )
        found.append(Agreement(layers, tuple(pairs)))
    return tuple(found)


def cosines(first: list[Direction], second: list[Direction]) -> Tensor:
    """|cos| of every two directions on the same layers (K, M), float64: of their vectors of all layers, end to end."""
    found: Tensor = on_one_thread(lambda: (_rows(first) @ _rows(second).t()).abs().clamp(max=1.0))
    return found


def _rows(directions: list[Direction]) -> Tensor:
    """Unit vectors (K, layers * D), float64."""
    shape = (len(directions[0].layers), directions[0].code_dim)
    rows: Tensor = torch.stack([d.vector.double().expand(shape).flatten() for d in directions])
    rows /= rows.norm(dim=1, keepdim=True)
    return rows
