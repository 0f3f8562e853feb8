"""Seeds to latents. Row i depends on its own seed alone, so that any batching gives the same picture.

Long streams, for statistics, come in fixed blocks: a block depends on the seed and its number alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from eigan.errors import InvalidCodes

MAX_SEED = 2**32 - 1
BLOCK_ROWS = 1024
CLASS_STREAM = 1


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


def block_generator(*entropy: int) -> torch.Generator:
    """A CPU generator whose stream depends on all of `entropy` (whole numbers >= 0), mixed by NumPy's SeedSequence."""
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def z_block(seed: int, block: int, z_dim: int) -> Tensor:
    """Latents (BLOCK_ROWS, z_dim) of block number `block`: standard normal, float32, CPU."""
    return torch.empty(BLOCK_ROWS, z_dim).normal_(generator=block_generator(seed, block))


def class_block(seed: int, block: int, c_dim: int) -> Tensor:
    """Classes (BLOCK_ROWS,) of block number `block`: uniform over c_dim, int64, CPU."""
    return torch.randint(c_dim, (BLOCK_ROWS,), generator=block_generator(seed, block, CLASS_STREAM))
