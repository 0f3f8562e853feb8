"""Metrics in a few numbers: what a card states as evidence, and what a comparison sets side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from hub_export.metrics import Curve, DirectionMetrics, Metrics

FIRST = 10  # directions whose explained variance is summed
MIN_MONOTONICITY = 0.95
MAX_LEAK = 0.25
MIN_OTHER = (0.03, 0.15)  # what else moves is told from this much on: per sigma, and as a share of the main effect


@dataclass(frozen=True)
class Summary:
    """One pack's numbers; None for what was not measured.

    variance, random_variance: sums over the first ten directions, and ten random ones. purity, leak, monotonicity,
    drift (per sigma): means over directions. mains: how many different attributes are some direction's main one.
    controlled: attribute -> the direction that controls it best, of those
    with monotonicity >= 0.95 and leak <= 0.25. frechet: greatest amount -> distance; floor: of unedited pictures.
    """

    num_directions: int
    variance: float | None
    random_variance: float | None
    purity: float | None
    leak: float | None
    monotonicity: float | None
    mains: int
    controlled: dict[str, str]
    frechet: dict[str, float]
    floor: float | None
    drift: float | None
    identity: float | None
    class_independence: float | None


def summarize(metrics: Metrics) -> Summary:
    """The numbers of `metrics`."""
    found, frechet = metrics.directions, metrics.frechet
    return Summary(
        num_directions=len(found),
        variance=sum(entry.explained_variance_ratio for entry in found[:FIRST]) if found else None,
        random_variance=sum(metrics.random_variance_ratio[:FIRST]) if metrics.random_variance_ratio else None,
        purity=_mean(entry.purity for entry in found),
        leak=_mean(entry.leak for entry in found),
        monotonicity=_mean(abs(entry.monotonicity) for entry in found),
        mains=len({entry.main for entry in found if entry.main}),
        controlled=controlled(found),
        frechet=dict(frechet.edited) if frechet else {},
        floor=frechet.floor if frechet else None,
        drift=_mean(per_sigma(entry.drift) for entry in found),
        identity=_mean(per_sigma(entry.identity) for entry in found if entry.identity),
        class_independence=_mean(entry.class_independence for entry in found),
    )


def controls(entry: DirectionMetrics) -> bool:
    """Whether the direction controls its main attribute: monotone over its range, moving little else."""
    well = abs(entry.monotonicity) >= MIN_MONOTONICITY
    return bool(entry.main) and well and entry.leak is not None and entry.leak <= MAX_LEAK


def controlled(entries: Sequence[DirectionMetrics]) -> dict[str, str]:
    """Attribute -> name of the purest direction that controls it, by attribute."""
    best: dict[str, DirectionMetrics] = {}
    for entry in entries:
        if controls(entry) and (entry.main not in best or (entry.purity or 0) > (best[entry.main].purity or 0)):
            best[entry.main] = entry
    return {name: best[name].name for name in sorted(best)}


def others(entry: DirectionMetrics, limit: int = 3) -> list[tuple[str, float]]:
    """What else the direction moves, the most moved first: (attribute, standard deviations per sigma)."""
    least = max(MIN_OTHER[0], MIN_OTHER[1] * abs(entry.effects.get(entry.main, 0.0)))
    moved = [(name, value) for name, value in entry.effects.items() if name != entry.main and abs(value) >= least]
    return sorted(moved, key=lambda item: (-abs(item[1]), item[0]))[:limit]


def per_sigma(curve: Curve) -> float | None:
    """The curve at one sigma either way, averaged; one that ends sooner counts by its end's slope. None if empty."""
    if not curve.amounts:
        return None
    ends = (max(curve.amounts[0], -1.0), min(curve.amounts[-1], 1.0))
    slopes = [float(np.interp(at, curve.amounts, curve.values)) / abs(at) for at in ends if at]
    return fmean(slopes) if slopes else None


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if numbers else None
