"""A sweep of one direction -> its DirectionMetrics: range first, then everything within it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hub_export.evaluation.drift import Yardstick
from hub_export.evaluation.effects import judge, monotonicity, slopes, standardized, strongest
from hub_export.evaluation.ranges import choose_range, core_of
from hub_export.evaluation.samples import Readings
from hub_export.evaluation.scorers import Numbers
from hub_export.evaluation.sweep import Sweep
from hub_export.metrics import Coordinates, Curve, DirectionMetrics

DIGITS = 6  # significant ones that are kept: the rest is rounding

Indices = npt.NDArray[np.intp]


class Profile:
    """What a sweep shows. changes: (M, N, A), in standard deviations, from the unmoved pictures.

    responses (M, N): how far the main attribute has gone or, without attributes, the features along their mean path.
    """

    def __init__(self, sweep: Sweep, still: Readings, yardstick: Yardstick):
        self.sweep, self.still, self.yardstick = sweep, still, yardstick
        self.amounts = np.array(sweep.amounts)
        self.changes = np.stack([standardized(r.scores - still.scores, yardstick.deviations) for r in sweep.readings])
        self.strangeness = np.array([yardstick.strangeness(r) for r in sweep.readings])
        self.core = core_of(self.amounts, self.strangeness)
        self.main = strongest(self.effects(self.core))
        self.responses = self._attribute() if self.main is not None else self._path()

    def effects(self, chosen: Indices) -> Numbers:
        """(A,): standard deviations of every attribute per sigma, over the chosen amounts."""
        return slopes(self.amounts[chosen], self.changes[chosen])

    def range(self) -> tuple[float, float]:
        """The amounts that a slider should have; see `ranges`."""
        return choose_range(self.amounts, self.strangeness, self.responses.mean(axis=1))

    def describe(
        self, name: str, names: Sequence[str], variance_ratio: float, coordinates: Coordinates
    ) -> DirectionMetrics:
        """All that is known of the direction called `name`, its attributes called `names`."""
        low, high = self.range()
        chosen = np.flatnonzero((self.amounts >= low) & (self.amounts <= high))
        effects = self.effects(chosen)
        main = judge(effects, self.main)
        within = self.responses[chosen]
        readings, yardstick = self.sweep.readings, self.yardstick
        return DirectionMetrics(
            name=name,
            explained_variance_ratio=rounded(variance_ratio),
            coordinates=coordinates,
            drift=self._curve([yardstick.drift(r, self.still) for r in readings]),
            range=(low, high),
            monotonicity=rounded(monotonicity(self.amounts[chosen], within)),
            identity=self._curve([yardstick.identity_drift(r, self.still) for r in readings])
            if yardstick.identity
            else None,
            effects={attribute: rounded(value) for attribute, value in zip(names, effects, strict=True)},
            main="" if main.index is None else names[main.index],
            purity=rounded(main.purity) if names else None,
            leak=rounded(main.leak) if names else None,
            strangeness=self._curve(self.strangeness.tolist()),
            response=Curve(
                amounts=self.amounts[chosen].tolist(), values=[rounded(value) for value in within.mean(axis=1)]
            ),
        )

    def _attribute(self) -> Numbers:
        """How far the main attribute has gone at every amount: (M, N), standard deviations."""
        found: Numbers = self.changes[:, :, self.main]
        return found

    def _path(self) -> Numbers:
        """How far the features have gone along their mean path over the core: (M, N), in distances of two pictures."""
        moves = np.stack([reading.features - self.still.features for reading in self.sweep.readings])
        path = slopes(self.amounts[self.core], moves[self.core])
        length = float(np.linalg.norm(path))
        along: Numbers = moves @ path / (length * self.yardstick.distance) if length else np.zeros(moves.shape[:2])
        return along

    def _curve(self, values: Sequence[float]) -> Curve:
        return Curve(amounts=self.amounts.tolist(), values=[rounded(value) for value in values])


def rounded(value: float) -> float:
    """`value` with six significant digits."""
    return float(f"{float(value):.{DIGITS}g}")
