"""The yardstick of unedited pictures: how far apart two are, how attributes vary, and which pictures are odd."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from eigan.errors import FitError
from hub_export.evaluation.samples import Readings
from hub_export.evaluation.scorers import Numbers
from hub_export.workers import on_one_thread

ODD = 0.99  # of unedited pictures are less odd than a picture called odd
KEPT = 0.99  # of the features' variance is looked at for it
ROWS_PER_AXIS = 10  # pictures for each axis whose variance is trusted
MIN_PICTURES = 40


@dataclass(frozen=True)
class Yardstick:
    """What unedited pictures are like.

    deviations (A,): of attributes. distance: mean distance of two pictures in the features; identity_distance: in the
    attributes `identity`, standardised. mean (F,), axes (F, K): features whitened along the K strongest axes.
    limit: squared length of whitened features that 99 % of pictures stay below.
    """

    deviations: Numbers
    distance: float
    identity: list[int]
    identity_distance: float
    mean: Numbers
    axes: Numbers
    limit: float

    @classmethod
    def learn(cls, pictures: Readings, identity: list[int]) -> Yardstick:
        """From unedited pictures: axes from the first half of them, the limit from the second, so that it is fair.

        Raises:
            FitError: fewer than 40 pictures, or all of them alike.
        """
        count = len(pictures.features)
        if count < MIN_PICTURES:
            raise FitError(f"{count} unedited pictures tell too little; draw {MIN_PICTURES} or more")
        half = count // 2
        first, second = pictures.features[:half], pictures.features[half : 2 * half]
        distance = float(np.linalg.norm(first - second, axis=1).mean())
        if not distance > 0:
            raise FitError("every unedited picture looks the same to the feature network; nothing can be measured")
        deviations = pictures.scores.std(axis=0, ddof=1)
        mean, axes = _whitening(first)
        who = _standard(pictures.scores, deviations)[:, identity]
        return cls(
            deviations,
            distance,
            identity if identity and bool((deviations[identity] > 0).any()) else [],
            float(np.linalg.norm(who[:half] - who[half : 2 * half], axis=1).mean()),
            mean,
            axes,
            float(np.quantile(np.square((second - mean) @ axes).sum(axis=1), ODD)),
        )

    def drift(self, moved: Readings, still: Readings) -> float:
        """Mean distance of moved pictures from their originals; 1 is that of two pictures at random."""
        return float(np.linalg.norm(moved.features - still.features, axis=1).mean()) / self.distance

    def identity_drift(self, moved: Readings, still: Readings) -> float:
        """Likewise, in the attributes that say who it is."""
        change = _standard(moved.scores - still.scores, self.deviations)[:, self.identity]
        return float(np.linalg.norm(change, axis=1).mean()) / self.identity_distance

    def strangeness(self, moved: Readings) -> float:
        """The share of pictures that are odder than 99 % of unedited ones."""
        lengths = np.square((moved.features - self.mean) @ self.axes).sum(axis=1)
        return float((lengths > self.limit).mean())


def _whitening(features: Numbers) -> tuple[Numbers, Numbers]:
    """Mean (F,) and axes (F, K), scaled so that features along them have unit variance.

    K axes hold 99 % of the variance; at most one for every ten pictures, as weaker ones are not known well.
    """
    mean = features.mean(axis=0)
    centred = torch.from_numpy((features - mean) / np.sqrt(len(features) - 1))
    _, found, basis = on_one_thread(lambda: torch.linalg.svd(centred, full_matrices=False))
    sizes, rows = found.numpy(), basis.numpy()
    variances = sizes**2
    enough = int(np.searchsorted(np.cumsum(variances), KEPT * variances.sum())) + 1
    count = max(1, min(enough, len(features) // ROWS_PER_AXIS, int((sizes > 1e-9 * sizes[0]).sum())))
    return mean, (rows[:count] / sizes[:count, None]).T


def _standard(values: Numbers, deviations: Numbers) -> Numbers:
    found: Numbers = values / np.where(deviations > 0, deviations, np.inf)
    return found
