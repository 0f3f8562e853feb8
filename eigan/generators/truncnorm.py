"""The truncated normal distribution that BigGAN draws its latents from: a standard normal within ±2.

Brock et al., ICLR 2019 (arXiv:1809.11096), section 3.1; checked against scipy.stats.truncnorm, which the official code
draws with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from eigan.latents import seeded_z

THRESHOLD = 2.0
TAIL = 0.5 * math.erfc(THRESHOLD / math.sqrt(2.0))  # Φ(-2): what a standard normal has beyond 2, on one side


def from_uniform(u: Tensor) -> Tensor:
    """Truncated normal numbers of u, uniform on [0, 1], float64: Φ⁻¹(Φ(-2) + u (Φ(2) - Φ(-2)))."""
    z: Tensor = torch.special.ndtri(TAIL + u * (1.0 - 2.0 * TAIL))
    return z.clamp(-THRESHOLD, THRESHOLD)


def redraw_tails(z: Tensor) -> Tensor:
    """z with every number beyond ±2 drawn again from within, so that standard normal z gives truncated normal z.

    No randomness is needed: of a standard normal number beyond 2, u = (Φ(|z|) - Φ(2)) / (1 - Φ(2)) is uniform on
    [0, 1], whatever its sign, and `from_uniform` makes a truncated normal number of it. Numbers within ±2 have that
    distribution already and stay, to the bit: an official draw passes unchanged. z: any shape, float32; float64 inside.
    """
    beyond = z.abs() > THRESHOLD
    if not bool(beyond.any()):
        return z
    survival = torch.special.ndtr(-z[beyond].abs().to("cpu", torch.float64))  # 1 - Φ(|z|), exact far out too
    redrawn = z.clone()
    redrawn[beyond] = from_uniform(1.0 - survival / TAIL).to(z)
    return redrawn


def truncated_z(seeds: Sequence[int], z_dim: int) -> Tensor:
    """z (N, z_dim), float32, CPU, all within ±2: row i depends on seeds[i] alone.

    Row i is the official code's draw of one latent from seeds[i], before it is scaled by the truncation: the numbers
    of numpy.random.RandomState(seed).uniform, made truncated normal.

    Raises:
        InvalidCodes: a seed that is not a whole number in 0..2^32 - 1.
    """
    seeded_z(seeds, 1)  # refuses what is no seed
    rows = [np.random.RandomState(int(seed)).uniform(size=z_dim) for seed in seeds]
    return from_uniform(torch.from_numpy(np.asarray(rows, dtype=np.float64).reshape(-1, z_dim))).float()
