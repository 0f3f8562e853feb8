"""Fréchet distance between two sets of features, as if both were Gaussian.

Heusel et al., NeurIPS 2017, arXiv:1706.08500, equation 6; with Inception's features it is the FID. Checked against
scipy.linalg.sqrtm, which the usual implementations take. Between edited pictures and their own originals: Palaev et
al., ICLR 2023 Tiny Papers, arXiv:2305.14551.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from eigan.errors import FitError
from hub_export.workers import on_one_thread


def frechet_distance(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    """|m_a - m_b|² + tr(A + B - 2 (A B)^½) of features a (N, D) and b (M, D); A, B their covariances over N - 1.

    With centred rows X, Y scaled so that A = XᵀX and B = YᵀY, tr (A B)^½ is the sum of the singular values of X Yᵀ, or
    of R_x R_yᵀ of their QR factors: no root of a matrix, so a singular covariance (fewer pictures than features) needs
    no offset and nothing turns complex.

    Raises:
        FitError: fewer than two rows, different widths, or values that are not finite.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise FitError(f"features have shapes {a.shape} and {b.shape}; wanted two rows or more of equal width")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise FitError("features hold NaN or infinite values; a picture or the feature network is broken")
    a, b = a.astype(np.float64), b.astype(np.float64)
    factors = [_factor(rows) for rows in (a, b)]
    overlap = on_one_thread(lambda: torch.linalg.svdvals(factors[0] @ factors[1].t())).sum()
    spread = a.var(axis=0, ddof=1).sum() + b.var(axis=0, ddof=1).sum()
    return max(float(np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + spread - 2 * float(overlap)), 0.0)


def _factor(rows: npt.NDArray[np.floating]) -> Tensor:
    """R (min(N, D), D) with RᵀR the covariance of rows (N, D)."""
    centred = torch.from_numpy((rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1))
    triangle: Tensor = on_one_thread(lambda: torch.linalg.qr(centred, mode="r")).R
    return triangle
