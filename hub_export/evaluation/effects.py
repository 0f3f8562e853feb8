"""What a direction does to attributes: effects, the main one, purity, leak, monotonicity. Arrays in, numbers out.

Re-scoring edited pictures is how InterFaceGAN (Shen et al., CVPR 2020, arXiv:1907.10786) and SeFa (Shen & Zhou, CVPR
2021, arXiv:2007.06600) compare directions; here in standard deviations of each attribute, so that attributes compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
STILL = 1e-9  # standard deviations per sigma; below it nothing moves


@dataclass(frozen=True)
class Main:
    """The main attribute. index: its column, None when nothing moves. purity, leak: as in `DirectionMetrics`."""

    index: int | None
    purity: float
    leak: float


def slopes(amounts: Numbers, changes: Numbers) -> Numbers:
    """Change per sigma of every column: least squares through the origin over amounts and pictures.

    amounts (M,), changes (M, N, A) from the unmoved picture -> (A,): sum a·change / sum a². Zeros when nothing moved.
    """
    weight = float((amounts**2).sum()) * changes.shape[1]
    if not weight:
        return np.zeros(changes.shape[2])
    found: Numbers = np.tensordot(amounts, changes.sum(axis=1), axes=1) / weight
    return found


def standardized(changes: Numbers, deviations: Numbers) -> Numbers:
    """changes (..., A) in standard deviations (A,); an attribute that never varies counts as still."""
    safe = np.where(deviations > 0, deviations, 1.0)
    found: Numbers = np.where(deviations > 0, changes / safe, 0.0)
    return found


def strongest(effects: Numbers) -> int | None:
    """Column of the largest of |effects| (A,); None when nothing moves."""
    sizes = np.abs(effects)
    return int(sizes.argmax()) if len(sizes) and sizes.max() > STILL else None


def judge(effects: Numbers, index: int | None) -> Main:
    """How alone attribute `index` moves, of effects (A,): purity |e_m| / sum |e|, leak max over others |e| / |e_m|."""
    sizes = np.abs(effects)
    if index is None or sizes[index] <= STILL:
        return Main(None, 0.0, 0.0)
    others = np.delete(sizes, index)
    return Main(index, float(sizes[index] / sizes.sum()), float(others.max() / sizes[index]) if len(others) else 0.0)


def monotonicity(amounts: Numbers, values: Numbers) -> float:
    """|mean over pictures of the Spearman correlation of values (M, N) with ascending amounts (M,)|; 0 below 2 amounts.

    A picture on which nothing changes counts 0.
    """
    if len(amounts) < 2:
        return 0.0
    return abs(float(spearman(amounts, values).mean()))


def spearman(amounts: Numbers, values: Numbers) -> Numbers:
    """Spearman's correlation (N,) of each column of values (M, N) with amounts (M,); ties share their rank."""
    x, y = _ranks(amounts[:, None]), _ranks(values)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    found: Numbers = np.where(scale > 0, (x * y).sum(axis=0) / np.where(scale > 0, scale, 1.0), 0.0)
    return found


def _ranks(values: Numbers) -> Numbers:
    """Average ranks (M, N) within each column of values (M, N)."""
    below = (values[None] < values[:, None]).sum(axis=1)
    level = (values[None] == values[:, None]).sum(axis=1)
    found: Numbers = below + (level + 1) / 2
    return found
