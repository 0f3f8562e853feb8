"""How far a slider should go: as far as it does one thing, and pictures stay what the generator draws.

The rule. What a direction is for is the attribute that it moves most over its core: as far to both sides as pictures
stay likely. A range holds 0 and ends at amounts that were tried. Within it
- pictures stay likely: at no amount is more than one in ten odd, odd being what 99 % of the generator's own pictures
  are less than. The generator is its own judge, and nothing is tuned to a kind of picture;
- that attribute is monotone: its mean over pictures has a Spearman correlation of 0.95 or more with the amount. The
  mean, because a single picture may have nothing to move (the hair of the bald, the glasses of those who wear them
  already), which is no reason to end a slider;
- it still moves: the last step on either side moves that mean by a tenth or more, per sigma, of what the range moves
  it on average. A slider's dead end only makes its useful part harder to hit.
Of all such ranges, the one whose shorter side is longest, then the widest: a slider is for both of its ends. Where
there is none, it is the first step on either side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hub_export.evaluation.effects import spearman
from hub_export.evaluation.scorers import Numbers

MAX_STRANGENESS = 0.1
MIN_MONOTONICITY = 0.95
MIN_LAST_STEP = 0.1
TOLERANCE = 1e-9


def likely(amounts: Numbers, strangeness: Numbers) -> tuple[int, int, int]:
    """Indices of the lowest amount, of 0 and of the highest between which pictures stay likely."""
    zero = int(np.flatnonzero(amounts == 0)[0])
    lowest, highest = zero, zero
    while lowest > 0 and strangeness[lowest - 1] <= MAX_STRANGENESS:
        lowest -= 1
    while highest + 1 < len(amounts) and strangeness[highest + 1] <= MAX_STRANGENESS:
        highest += 1
    return lowest, zero, highest


def core_of(amounts: Numbers, strangeness: Numbers) -> npt.NDArray[np.intp]:
    """Indices of the amounts within which, alike to both sides, pictures stay likely; the first steps at least."""
    lowest, zero, highest = likely(amounts, strangeness)
    reach = min(-amounts[lowest], amounts[highest])
    if not reach > 0:
        return np.arange(max(zero - 1, 0), min(zero + 1, len(amounts) - 1) + 1)
    return np.flatnonzero(np.abs(amounts) <= reach)


def choose_range(amounts: Numbers, strangeness: Numbers, response: Numbers) -> tuple[float, float]:
    """The range that the rule picks of amounts (M,), ascending, 0 among them.

    At each amount, strangeness (M,) as in `Yardstick`, and response (M,): how far the main attribute has moved.
    """
    lowest, zero, highest = likely(amounts, strangeness)
    candidates = [(i, j) for i in range(lowest, zero + 1) for j in range(zero, highest + 1) if i < j]
    candidates.sort(
        key=lambda ends: (-min(-amounts[ends[0]], amounts[ends[1]]), amounts[ends[0]] - amounts[ends[1]], ends)
    )
    for i, j in candidates:
        chosen = np.arange(i, j + 1)
        if _is_useful(amounts[chosen], response[chosen], zero - i):
            return float(amounts[i]), float(amounts[j])
    return float(amounts[max(zero - 1, 0)]), float(amounts[min(zero + 1, len(amounts) - 1)])


def _is_useful(amounts: Numbers, response: Numbers, zero: int) -> bool:
    """Whether response (m,) is monotone over amounts (m,), and moves on to both ends."""
    trend = float(spearman(amounts, response[:, None])[0])
    if abs(trend) < MIN_MONOTONICITY - TOLERANCE:
        return False
    steps = np.diff(response) / np.diff(amounts) * np.sign(trend)
    average = abs(float(response[-1] - response[0])) / float(amounts[-1] - amounts[0])
    ends = ([steps[0]] if zero > 0 else []) + ([steps[-1]] if zero < len(amounts) - 1 else [])
    return all(step >= MIN_LAST_STEP * average for step in ends)
