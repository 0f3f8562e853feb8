"""Random directions: the baseline that any method has to beat.

GANSpace (Härkönen et al., NeurIPS 2020, arXiv:2004.02546) draws its own so, from RandomState(2), as unit vectors that
are not made orthogonal; so do these, from the recipe's seed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field

from eigan.errors import FitError
from eigan.generators.base import Generator
from eigan.latents import block_generator
from hub_export.methods.base import Basis, Method, Options, Problem, orient
from hub_export.recipe import Recipe
from hub_export.workers import on_one_thread

DIRECTION_STREAM = 5


class RandomOptions(Options):
    orthogonal: bool = Field(False, description="make them orthogonal, as the directions of pca and sefa are")


def resolve(recipe: Recipe, generator: Generator) -> Recipe:
    """The recipe. Raises FitError: more orthogonal directions than there are dimensions."""
    size, count = varying_size(generator), recipe.num_directions or 0
    if isinstance(recipe.options, RandomOptions) and recipe.options.orthogonal and count > size:
        raise FitError(
            f"{count} orthogonal directions asked for; codes of {generator.describe()} vary in {size} dimensions. "
            f"Ask for {size} at most, or leave orthogonal off"
        )
    return recipe


def solve(problem: Problem) -> Basis:
    """Unit directions, uniform over the sphere of the numbers that vary; the greatest variance of the codes first."""
    size, covariance = varying_size(problem.generator), problem.moments.covariance
    random = block_generator(problem.recipe.seed, 0, DIRECTION_STREAM)
    vectors = torch.empty(problem.num_directions, size, dtype=torch.float64).normal_(generator=random)
    if problem.options(RandomOptions).orthogonal:
        vectors = on_one_thread(lambda: torch.linalg.qr(vectors.t())[0]).t()
    vectors = F.pad(vectors / vectors.norm(dim=1, keepdim=True), (0, len(covariance) - size))
    variances = on_one_thread(lambda: (vectors @ covariance * vectors).sum(dim=1))
    return Basis(orient(vectors[variances.argsort(descending=True, stable=True)]).float())


def varying_size(generator: Generator) -> int:
    """How many of a code's numbers are not its class: all of w, the latent's of z."""
    return generator.code_dim if generator.code_space == "w" else min(generator.code_dim, generator.z_dim)


METHOD = Method(solve, num_samples=20_000, options=RandomOptions, resolve=resolve)
