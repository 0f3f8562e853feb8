"""What a fitting method is given and what it gives back. A method is numerics only: no files, no clock, no global RNG.

Randomness comes from `problem.recipe.seed`, the device from `problem.generator.device`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from eigan.generators.base import Generator
from eigan.layers import LayerRange
from hub_export.moments import Moments
from hub_export.recipe import Recipe
from hub_export.workers import on_one_thread


@dataclass(frozen=True)
class Problem:
    """The generator, the recipe (resolved), the layers it names, and the moments of its num_samples codes.

    A method that needs the codes themselves draws them again: `sampling.stream_w(generator, recipe)` repeats them.
    """

    generator: Generator
    recipe: Recipe
    layers: LayerRange
    moments: Moments

    @property
    def num_directions(self) -> int:
        return self.recipe.num_directions or 0


@dataclass(frozen=True)
class Basis:
    """Directions, the strongest first. vectors (K, D), unit rows, float32, CPU. metrics: name -> (K,), float64."""

    vectors: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """solve: the numerics. num_samples: codes drawn by default. options: the recipe's fields that only it reads.

    code_spaces: where it has a meaning; in z every direction has the same spread, so that some methods find nothing.
    """

    solve: Callable[[Problem], Basis]
    num_samples: int
    options: tuple[str, ...] = ()
    code_spaces: tuple[str, ...] = ("w", "z")


def top_eigenvectors(matrix: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Top-k eigenvectors of the symmetric `matrix` (D, D), largest eigenvalue first: (k, D), (k,), float64.

    Eigenvectors are rows, signed by `orient`.
    """
    values, columns = on_one_thread(lambda: torch.linalg.eigh(matrix.double().cpu()))  # ascending
    return orient(columns.flip(1)[:, :k].t()), values.flip(0)[:k]


def orient(vectors: Tensor) -> Tensor:
    """Rows of vectors (K, D) with the sign that makes the entry of largest magnitude positive (the first, if tied)."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return (vectors * torch.where(largest < 0, -1.0, 1.0)).contiguous()
