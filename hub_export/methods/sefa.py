"""SeFa: directions in closed form from the weights (Shen & Zhou, CVPR 2021, arXiv:2007.06600).

Checked against the authors' code (0d16060), which sorts nothing: numpy.linalg.eig leaves its order to chance, so its
"top k" may be other eigenvectors than these.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from eigan.generators.base import iterate_batches
from hub_export.fast_ica import cross_product
from hub_export.methods.base import Basis, Method, Options, Problem, top_eigenvectors
from hub_export.workers import parallel_map

BLOCK_COLUMNS = 1024


class SeFaOptions(Options):
    normalize: Literal["column", "none"] = Field(
        "column", description="column: every style unit's row made unit first, as the authors' code; none: their paper"
    )


def factorize(weights: Tensor, k: int, normalize: str = "column") -> tuple[Tensor, Tensor]:
    """Top-k eigenvectors of A Aᵀ, largest first. A (D, M): one column for each style unit -> (k, D), (k,), float64.

    n = argmax ‖Aᵀ n‖², ‖n‖ = 1. normalize="column": every column of A divided by its norm first, as the authors' code
    does (columns of zeros stay); "none": the formula of their paper. Directions are those of float64 throughout to 1e-5
    radians where the next eigenvalue is a thousandth away (benchmarks/sefa.py): what the float32 weights leave open.
    """
    return top_eigenvectors(gram(weights.float().cpu(), normalize), k)


def gram(weights: Tensor, normalize: str) -> Tensor:
    """A Aᵀ (D, D), float64, of weights A (D, M); products in float32 over the columns of a block, float64 between.

    Each block on one thread, so that no number of threads changes a bit.
    """
    scale = float(weights.abs().max()) or 1.0  # squares of float32 numbers may be beyond float32

    def multiply(columns: slice) -> Tensor:
        part = weights[:, columns]
        rows = torch.div(part.t(), scale, out=torch.empty(part.shape[1], len(part)))  # (m, D), one for each style unit
        if normalize == "column":
            norms = rows.norm(dim=1, keepdim=True)
            rows /= norms.where(norms > 0, 1.0)
        return cross_product(rows, rows)

    total = torch.zeros(len(weights), len(weights), dtype=torch.float64)
    blocks = iterate_batches(weights.shape[1], BLOCK_COLUMNS)
    for product in parallel_map(multiply, blocks, torch.get_num_threads()):
        np.add(total.numpy(), product.numpy(), out=total.numpy())
    return total if normalize == "column" else total * scale**2


def solve(problem: Problem) -> Basis:
    """Direction k is the k-th eigenvector of A Aᵀ, A the affine weights of the recipe's layers side by side."""
    weights = problem.generator.style_weights(problem.layers)
    vectors, eigenvalues = factorize(weights, problem.num_directions, problem.options(SeFaOptions).normalize)
    return Basis(vectors.float(), {"eigenvalue": eigenvalues})


METHOD = Method(solve, num_samples=20_000, options=SeFaOptions)
