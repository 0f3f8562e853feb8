"""Known factors -> latents: every training picture gets a z that is distributed like a fresh one.

Each factor is turned into a normal variable by its rank, the factors are whitened together (a Gaussian copula), and a
fixed random rotation mixes them, so that no coordinate of z is a factor.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata

from examples.demo_generator.factors import MIRRORED

SMALLEST_VARIANCE = 0.02  # eigenvalues below it (three base heads sum to 1) are not blown up to 1
ROTATION_SEED = 5


def normal_scores(column: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Standard-normal values in the order of `column`; ties (0 or 1 factors) are ordered at random."""
    jitter = 1e-7 * rng.random(len(column)) * (np.ptp(column) + 1)
    return norm.ppf((rankdata(column + jitter, method="ordinal") - 0.5) / len(column))


def latents_of(names: list[str], values: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """z of the pictures and z of their mirror images, both (N, z_dim) float32.

    A hue is an angle: it becomes two coordinates, a point of that direction in the plane.
    """
    rng = np.random.default_rng(seed)
    columns, signs = [], []
    for name, column in zip(names, values.T.astype(np.float64), strict=True):
        if name.endswith("_hue"):
            radius = np.sqrt(rng.chisquare(2, len(column)))
            columns += [radius * np.cos(2 * np.pi * column), radius * np.sin(2 * np.pi * column)]
            signs += [1.0, 1.0]
        else:
            columns.append(normal_scores(column, rng))
            signs.append(-1.0 if name in MIRRORED else 1.0)
    straight = np.stack(columns, axis=1)
    mirrored = straight * np.array(signs)
    both = np.concatenate([straight, mirrored])
    variances, axes = np.linalg.eigh(both.T @ both / len(both))
    whiten = axes @ np.diag(np.maximum(variances, SMALLEST_VARIANCE) ** -0.5) @ axes.T
    z_dim = straight.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(ROTATION_SEED).normal(size=(z_dim, z_dim)))[0]
    turn = whiten @ rotation
    return (straight @ turn).astype(np.float32), (mirrored @ turn).astype(np.float32)
