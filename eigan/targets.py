"""Targets and conditions: moves to an absolute coordinate, and directions that leave others alone. Pure.

Absolute moves: GANSpace's centred strips and teaser edits (Härkönen et al., NeurIPS 2020, arXiv:2004.02546) and
InterFaceGAN's distances (Shen et al., CVPR 2020, arXiv:1907.10786), whose conditional manipulation `project` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor

from eigan.edit import Edit, Slider, move
from eigan.errors import PackFormatError, list_names
from eigan.generators.base import Codes
from eigan.layers import LayerRange
from eigan.pack import MAX_NAME, Direction

MIN_LEFT = 1e-4  # of a unit vector's length, after projection; less is rounding


def set_coordinate(codes: Codes, direction: Direction, amount: float, mean: Tensor | None = None) -> Codes:
    """Codes (N, L, D) moved to `amount` sigmas along `direction` as seen from `mean`, on its layers alone.

    x <- x - ((x - mean) . v) v + amount * sigma * v, for every row on its own. mean: (D,) or (L, D); zeros when None.
    Other coordinates stay as they are.

    Raises:
        InvalidCodes: the direction does not fit the codes.
        PackFormatError: it depends on the code: along such a direction there is no coordinate.
    """
    if direction.model is not None:
        raise PackFormatError(
            f"{direction.name!r} depends on the code, so that codes have no coordinate along it; move by an amount, or "
            "use a fixed direction"
        )
    moved = move(codes, direction, amount)  # checks that they fit
    rows = codes[:, direction.layers.slice]
    vector = direction.vector.to(codes)
    centred = rows if mean is None else rows - _rows_of(mean.to(codes), direction.layers)
    moved[:, direction.layers.slice] -= (centred * vector).sum(dim=-1, keepdim=True) * vector
    return moved


def project(direction: Direction, conditions: Sequence[Direction]) -> Direction:
    """`direction` made orthogonal to all `conditions`: moving along it leaves their coordinates as they are.

    v - Cᵀ (C Cᵀ)⁻¹ C v, renormalised, for every layer's row on its own, with the conditions that move that layer as
    rows of C; a row that none of them moves stays as it is. Sigma is kept, so that an amount moves as far as before;
    range too. Conditions may depend on each other. The vector is (D,) where all rows are alike, else (rows, D).

    A row of which nothing is left does not move, and as rows of a direction have length 1, its layer is taken from the
    direction's layers. Where that leaves several runs of layers, no direction can say it: `keep` can, with one for
    each run.

    Raises:
        PackFormatError: nothing to project on, vectors of different sizes, directions that depend on the code, one that
            the conditions hold, or what is left of it lies on several runs of layers.
    """
    if not conditions:
        raise PackFormatError("no conditions given; name at least one direction to leave alone")
    parts = _parts_left(direction, conditions)
    if len(parts) > 1:
        runs = ", ".join(str(part.layers) for part in parts)
        raise PackFormatError(
            f"{direction.name!r} keeping {list_names(c.name for c in conditions)} would move layers {runs} alone, and "
            "one direction moves layers that follow on each other; use `keep` on an edit, or fewer layers"
        )
    kept = ", ".join(condition.name for condition in conditions)
    name = f"{direction.name}, keeping {kept}"
    return replace(parts[0], name=name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…")


def keep(edit: Edit, kept: Sequence[Direction]) -> Edit:
    """`edit` with the coordinates along all `kept` directions left as they are, as `project` does for one direction.

    Every slider's direction is projected off the kept ones that move one of its layers, except itself (the same
    object): a direction that is both moved and kept still moves, and nothing else moves it. Names and amounts stay. A
    slider whose projection moves several runs of layers becomes one slider a run. So the result does not depend on
    the order of sliders or of `kept`, and is linear in the amounts: keep(a + b) = keep(a) + keep(b).

    Raises:
        PackFormatError: nothing is left of a direction that is moved, directions that depend on the code share layers
            with others, or vectors of different sizes.
    """
    sliders = []
    for slider in edit:
        direction = slider.direction
        conditions = [k for k in kept if k is not direction and k.layers.overlaps(direction.layers)]
        moved = bool(conditions and slider.amount)
        parts = _parts_left(direction, conditions) if moved else [direction]
        sliders += [Slider(part, slider.amount) for part in parts]
    return Edit(tuple(sliders))


def _parts_left(direction: Direction, conditions: Sequence[Direction]) -> list[Direction]:
    """What `conditions` leave of `direction`: one direction for each run of layers in which something is left."""
    varying = [d.name for d in (direction, *conditions) if d.model is not None]
    if varying:
        raise PackFormatError(
            f"{list_names(varying)} depends on the code; only fixed directions can be projected on each other"
        )
    for condition in conditions:
        if condition.code_dim != direction.code_dim:
            raise PackFormatError(
                f"{condition.name!r} has {condition.code_dim} numbers a layer, {direction.name!r} "
                f"{direction.code_dim}; only directions of one generator can be projected on each other"
            )
    rows = _rows_left(direction, conditions)
    stays = rows.any(dim=1).tolist()
    if not any(stays):
        names = list_names(condition.name for condition in conditions)
        raise PackFormatError(f"nothing is left of {direction.name!r} when {names} must stay as they are")
    runs = [list(run) for stay, run in groupby(range(len(rows)), key=stays.__getitem__) if stay]
    return [_part(direction, run[0], rows[run]) for run in runs]


def _part(direction: Direction, first: int, rows: Tensor) -> Direction:
    """`direction` on the layers from its row `first` on, moved along `rows`, (D,) where these are alike."""
    start = direction.layers.start + first
    vector = rows[0] if bool((rows == rows[0]).all()) else rows
    return replace(direction, layers=LayerRange(start, start + len(rows)), vector=vector)


def _rows_left(direction: Direction, conditions: Sequence[Direction]) -> Tensor:
    """(rows, D), float32: what is left of each row, of length 1, or zeros; rows without conditions to the bit."""
    rows = direction.vector.expand(len(direction.layers), -1).clone()
    groups: dict[tuple[int, ...], list[int]] = {}
    for layer in range(direction.layers.start, direction.layers.stop):
        active = tuple(i for i, condition in enumerate(conditions) if layer in condition.layers)
        groups.setdefault(active, []).append(layer)
    for active, layers in groups.items():
        if not active:
            continue
        moved = _vectors_at(direction, layers)
        held = [_vectors_at(conditions[i], layers) for i in active]
        if any(len(vectors) > 1 for vectors in (moved, *held)):  # else one row does for all of these layers
            moved, held = moved.expand(len(layers), -1), [vectors.expand(len(layers), -1) for vectors in held]
        rows[[layer - direction.layers.start for layer in layers]] = _unit_left(moved, torch.stack(held))
    return rows


def _vectors_at(direction: Direction, layers: Sequence[int]) -> Tensor:
    """(1, D) where one vector does for all `layers`, else their (layers, D)."""
    if direction.vector.ndim == 1:
        return direction.vector[None]
    return direction.vector[[layer - direction.layers.start for layer in layers]]


def _unit_left(vectors: Tensor, conditions: Tensor) -> Tensor:
    """What of each row of (N, D) is orthogonal to `conditions` (K, N, D), of length 1; zeros where nothing is."""
    left = project_vectors(vectors.double(), conditions.double())
    length = left.norm(dim=-1, keepdim=True)
    unit: Tensor = torch.where(length < MIN_LEFT, 0.0, left / length.clamp_min(MIN_LEFT)).float()
    return unit


def project_vectors(vector: Tensor, conditions: Tensor) -> Tensor:
    """What of `vector` (..., D) is orthogonal to `conditions` (K, ..., D); not renormalised."""
    rows = conditions.movedim(0, -2)  # (..., K, D)
    gram = rows @ rows.mT
    along = rows @ vector[..., None]  # (..., K, 1)
    weights = torch.linalg.pinv(gram, hermitian=True, rtol=1e-10) @ along
    left: Tensor = vector - (rows.mT @ weights)[..., 0]
    return left


def _rows_of(mean: Tensor, layers: LayerRange) -> Tensor:
    return mean if mean.ndim == 1 else mean[layers.slice]
