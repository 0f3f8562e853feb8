"""Seeds to latents. Row i depends on its own seed alone, so that any batching gives the same picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from eigan.errors import InvalidCodes

MAX_SEED = 2**32 - 1


def seeded_z(seeds: Sequence[int], z_dim: int) -> Tensor:
    """z (N, z_dim), float32, CPU: row i depends on seeds[i] alone.

    The stream is `numpy.random.RandomState(seed).randn`, as in NVIDIA's generate.py: the same seed numbers give the
    same pictures there and here, and NumPy keeps that stream frozen.

    Raises:
        InvalidCodes: a seed that is not a whole number in 0..2^32 - 1.
    """
    rows = []
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= MAX_SEED:
            raise InvalidCodes(f"seed is {seed!r}; wanted a whole number from 0 to {MAX_SEED}")
        rows.append(np.random.RandomState(int(seed)).randn(z_dim))
    return torch.from_numpy(np.asarray(rows, dtype=np.float32).reshape(-1, z_dim))
