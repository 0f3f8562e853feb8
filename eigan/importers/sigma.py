"""Sigma measured: the standard deviation of a generator's own codes along given vectors.

A file of another tool rarely says how far the codes spread along its directions; a slider's unit needs it. The codes
are drawn in fixed blocks whose stream depends on the seed and the block alone, the ones that `hub-export fit` draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.direction_model import DirectionModel
from eigan.errors import PackFormatError
from eigan.generators.base import Generator
from eigan.latents import BLOCK_ROWS, class_block, z_block
from eigan.layers import LayerRange

NUM_SAMPLES = 20_000  # the standard deviation of a normal variable is known to 0.5 % from as many
MIN_SIGMA = 1e-9


def measure_sigma(
    generator: Generator,
    vectors: Tensor,
    layers: LayerRange | None = None,
    *,
    num_samples: int = NUM_SAMPLES,
    seed: int = 0,
) -> Tensor:
    """Standard deviation of the generator's codes along each vector: (K,), float64, CPU; not truncated.

    vectors: unit rows (K, D), or (K, rows, D) with one row for each of `layers`; of these it is the root mean square
    of the rows' own standard deviations. Classes, where the generator has them, are drawn uniformly.

    Raises:
        PackFormatError: the codes do not vary along a vector.
    """
    layers = generator.check_layers(layers)
    per_layer = vectors.ndim == 3
    rows = layers if per_layer else LayerRange(layers.start, layers.start + 1)
    directions = (vectors if per_layer else vectors[:, None]).double()  # (K, rows, D)
    total = torch.zeros(directions.shape[:2], dtype=torch.float64)
    squares, origin = torch.zeros_like(total), None
    for codes in stream_codes(generator, num_samples, seed):
        found = torch.einsum("nld,kld->nkl", codes[:, rows.slice].double(), directions)  # (n, K, rows)
        if origin is None:
            origin = found.mean(dim=0)  # sums of squares about a point near the mean lose nothing to rounding
        total += (found - origin).sum(dim=0)
        squares += (found - origin).square().sum(dim=0)
    variance = (squares - total.square() / num_samples) / max(num_samples - 1, 1)  # (K, rows)
    return check_sigma(variance.clamp(min=0).mean(dim=1).sqrt())


@torch.no_grad()
def measure_model_sigma(
    generator: Generator, models: Sequence[DirectionModel], *, num_samples: int = NUM_SAMPLES, seed: int = 0
) -> Tensor:
    """Sigma of directions that depend on the code, as a fit measures it: (K,), float64, CPU.

    sigma² is the mean of u(x)ᵀ C u(x): C the covariance of `num_samples` codes, u(x) the model's unit direction at the
    first 1,024 of them. Of a model that gives the same direction everywhere it is the variance along that direction.

    Raises:
        PackFormatError: the codes do not vary along a model's directions.
    """
    first = next(stream_codes(generator, min(num_samples, BLOCK_ROWS), seed))[:, 0]
    origin = first.double().mean(dim=0)
    total, products = torch.zeros_like(origin), torch.zeros(len(origin), len(origin), dtype=torch.float64)
    for codes in stream_codes(generator, num_samples, seed):
        rows = codes[:, 0].double() - origin
        total += rows.sum(dim=0)
        products += rows.T @ rows
    covariance = (products - torch.outer(total, total) / num_samples) / max(num_samples - 1, 1)
    found = []
    for model in models:
        units = model.directions(first)[0].double()
        found.append((units @ covariance * units).sum(dim=1).mean())
    return check_sigma(torch.stack(found).clamp(min=0).sqrt())


def check_sigma(sigma: Tensor) -> Tensor:
    """`sigma` (K,). Raises PackFormatError when one of them is 0."""
    flat = [i for i, value in enumerate(sigma.tolist()) if value < MIN_SIGMA]
    if flat:
        raise PackFormatError(
            f"the generator's codes do not vary along direction {flat[0]} of the file; it moves nothing that the "
            "generator was trained on. Check that the file was made for this generator."
        )
    return sigma


@torch.no_grad()
def stream_codes(generator: Generator, num_samples: int, seed: int) -> Iterator[Tensor]:
    """Codes (n, L, D), float32, CPU, of `num_samples` seeded latents, n at most 1,024; not truncated."""
    for block in range(-(-num_samples // BLOCK_ROWS)):
        count = min(BLOCK_ROWS, num_samples - block * BLOCK_ROWS)
        z = z_block(seed, block, generator.z_dim)
        c = None
        if generator.c_dim:
            c = F.one_hot(class_block(seed, block, generator.c_dim), generator.c_dim).float()[:count]
        yield generator.mapping(z[:count], c).float().cpu()
