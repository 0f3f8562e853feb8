"""How codes lie along directions: spread, skewness, excess kurtosis, histogram; and how random directions would do.

GANSpace (Härkönen et al., NeurIPS 2020, arXiv:2004.02546) finds coordinates bell-shaped; a direction whose coordinates
are not is the better candidate for one independent thing (the premise of ICA).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from eigan.edit import unit_move
from eigan.generators.base import iterate_batches
from eigan.latents import block_generator
from eigan.pack import Direction, DirectionPack
from hub_export.evaluation.samples import CHOICE_STREAM, Source
from hub_export.metrics import Coordinates
from hub_export.workers import on_one_thread

REACH = 5.0  # the histogram's ends, in standard deviations
BINS = 40
RANDOM_STREAM = CHOICE_STREAM + 1
ROWS = 1024


@dataclass(frozen=True)
class Layout:
    """Of each direction: its share of the codes' variance, and how codes lie along it. random: as Metrics says."""

    variance_ratios: list[float]
    coordinates: list[Coordinates]
    random: list[float]


def lay_out(pack: DirectionPack, source: Source, num_codes: int) -> Layout:
    """Measured on num_codes untruncated codes w; their mean is taken off, their variance is over N - 1.

    A direction with a vector for each layer counts by the mean of its layers' variances, one that depends on the code
    by the mean over codes x of u(x)ᵀ C u(x); such a one's coordinates are those along its mean vector.
    """
    codes = torch.cat(
        [source.codes(rows.start, rows.stop)[:, 0] for rows in iterate_batches(num_codes, ROWS)]
    ).double()  # (N, D)
    centred = codes - codes.mean(dim=0)
    covariance = on_one_thread(lambda: centred.t() @ centred / (len(codes) - 1))
    total = float(covariance.trace())
    return Layout(
        [_variance(direction, codes, covariance) / total for direction in pack],
        [describe(_project(centred, direction)) for direction in pack],
        random_ratios(covariance, len(pack), source.seed),
    )


def describe(values: npt.NDArray[np.float64]) -> Coordinates:
    """Coordinates (N,) in any unit: moments as scipy.stats.skew and kurtosis give them, and the histogram."""
    spread = float(values.std())
    x = (values - values.mean()) / spread if spread else np.zeros_like(values)
    counts, _ = np.histogram(x.clip(-REACH, REACH), BINS, (-REACH, REACH))
    return Coordinates(
        skewness=float((x**3).mean()),
        excess_kurtosis=float((x**4).mean() - 3) if spread else 0.0,
        low=-REACH,
        high=REACH,
        counts=counts.tolist(),
    )


def random_ratios(covariance: Tensor, count: int, seed: int) -> list[float]:
    """Shares of the variance along `count` random unit directions, the strongest first."""
    normal = torch.empty(count, len(covariance), dtype=torch.float64)
    vectors = normal.normal_(generator=block_generator(seed, 0, RANDOM_STREAM))
    vectors /= vectors.norm(dim=1, keepdim=True)
    found = on_one_thread(lambda: (vectors @ covariance * vectors).sum(dim=1) / covariance.trace())
    return sorted((float(v) for v in found), reverse=True)


def _project(codes: Tensor, direction: Direction) -> npt.NDArray[np.float64]:
    """codes (N, D) . vector -> (N,); the layers' mean where each has its own vector."""
    vector = direction.vector.double()
    vector = vector if vector.ndim == 1 else vector.mean(dim=0)
    found: npt.NDArray[np.float64] = on_one_thread(lambda: codes @ vector).numpy()
    return found


def _variance(direction: Direction, codes: Tensor, covariance: Tensor) -> float:
    """Mean of uᵀ C u over the unit vectors that the direction moves codes along."""
    if direction.model is None:
        units = direction.vector.double().reshape(-1, direction.code_dim)
    else:
        rows = codes[:ROWS].float()[:, None].expand(-1, direction.layers.stop, -1)
        units = unit_move(rows, direction)[:, 0].double()
    return float(on_one_thread(lambda: (units @ covariance * units).sum(dim=1).mean()))
