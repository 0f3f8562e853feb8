"""Targets and conditions: moves to an absolute coordinate, and directions that leave others alone. Pure.

Absolute moves: GANSpace's centred strips and teaser edits (Härkönen et al., NeurIPS 2020, arXiv:2004.02546) and
InterFaceGAN's distances (Shen et al., CVPR 2020, arXiv:1907.10786), whose conditional manipulation `project` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

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
    from eigan.edit import move

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

    v - Cᵀ (C Cᵀ)⁻¹ C v, renormalised, with the conditions as rows of C. Sigma is kept, so that an amount moves as far
    as before; layers and range too. Conditions may depend on each other.

    Raises:
        PackFormatError: nothing to project on, vectors of different kinds, directions that depend on the code, or one
            that the conditions hold.
    """
    if not conditions:
        raise PackFormatError("no conditions given; name at least one direction to leave alone")
    varying = [d.name for d in (direction, *conditions) if d.model is not None]
    if varying:
        raise PackFormatError(
            f"{list_names(varying)} depends on the code; only fixed directions can be projected on each other"
        )
    vector = direction.vector.double()
    for condition in conditions:
        if condition.vector.shape != vector.shape:
            raise PackFormatError(
                f"{condition.name!r} has shape {tuple(condition.vector.shape)}, {direction.name!r} "
                f"{tuple(vector.shape)}; only directions of one shape can be projected on each other"
            )
    left = project_vectors(vector, torch.stack([condition.vector.double() for condition in conditions]))
    if bool((left.norm(dim=-1) < MIN_LEFT).any()):
        names = ", ".join(condition.name for condition in conditions)
        raise PackFormatError(f"nothing is left of {direction.name!r} when {names} must stay as they are")
    kept = ", ".join(condition.name for condition in conditions)
    name = f"{direction.name}, keeping {kept}"
    return replace(
        direction, name=name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…", vector=_unit(left).float()
    )


def project_vectors(vector: Tensor, conditions: Tensor) -> Tensor:
    """What of `vector` (..., D) is orthogonal to `conditions` (K, ..., D); not renormalised."""
    rows = conditions.movedim(0, -2)  # (..., K, D)
    gram = rows @ rows.mT
    along = rows @ vector[..., None]  # (..., K, 1)
    weights = torch.linalg.pinv(gram, hermitian=True, rtol=1e-10) @ along
    left: Tensor = vector - (rows.mT @ weights)[..., 0]
    return left


def _unit(vectors: Tensor) -> Tensor:
    unit: Tensor = vectors / vectors.norm(dim=-1, keepdim=True)
    return unit


def _rows_of(mean: Tensor, layers: LayerRange) -> Tensor:
    return mean if mean.ndim == 1 else mean[layers.slice]
