"""PCA: of w (GANSpace, Härkönen et al., NeurIPS 2020, arXiv:2004.02546), or of a stage's activations.

GANSpace approximates with scikit-learn's IncrementalPCA, whose last components are truncation error; in W the
covariance is exact here, from one pass, so N x D is never stored. Checked against scikit-learn's PCA on the same
samples. In z every direction has the same spread: there it is the activations' spread that is taken, and brought back
to z (`activation_pca`).
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field
from torch import Tensor

from eigan.errors import FitError
from eigan.generators.base import Generator
from hub_export.activations import check_stage
from hub_export.methods.activation_pca import solve_linear, solve_stage
from hub_export.methods.base import Basis, Method, Options, Problem, top_eigenvectors
from hub_export.recipe import NUM_DIRECTIONS, Recipe

NUM_SAMPLES = 1_000_000
NUM_DRAWN = 100_000  # where the generator's stages run for every sample


class PCAOptions(Options):
    stage: str = Field(
        "",
        max_length=80,
        description="the stage whose activations are analysed; empty: the codes themselves in W, the first stage in z",
    )
    passes: int = Field(3, ge=2, le=16, description="over the activations; each but the last sharpens the components")
    oversampling: int = Field(64, ge=0, le=2048, description="rows of the sketch beyond the directions asked for")
    closed_form: bool = Field(True, description="take directions from the weights where the stage is linear in z")


def solve(problem: Problem) -> Basis:
    """Direction k is the eigenvector of cov(w), divided by N - 1, with the k-th largest eigenvalue (its variance).

    With a stage, of its activations instead, brought back to the latents: see `activation_pca`.
    """
    options = problem.options(PCAOptions)
    matrix = closed_form(problem.generator, options)
    if matrix is not None:
        return solve_linear(problem, matrix, options.stage)
    if options.stage:
        return solve_stage(problem, options.stage, options.passes, options.oversampling)
    vectors, variances = top_eigenvectors(problem.moments.covariance, problem.num_directions)
    return Basis(vectors.float(), {"eigenvalue": variances})


def closed_form(generator: Generator, options: PCAOptions) -> Tensor | None:
    """The matrix (M, z_dim) from which the stage's directions can be taken, None where there is none or it is off."""
    return generator.linear_map(options.stage) if options.stage and options.closed_form else None


def resolve(recipe: Recipe, generator: Generator) -> Recipe:
    """The recipe with its stage and number of samples filled in.

    Raises:
        UnknownName: a stage that the generator does not have.
        FitError: more directions than a linear stage varies along, or a class that is needed and missing.
    """
    options = recipe.options
    if not isinstance(options, PCAOptions):
        raise FitError(f"options are {type(options).__name__}; pca takes PCAOptions")
    if not options.stage and generator.code_space == "z":
        options = options.model_copy(update={"stage": generator.stages[0].name})
    if not options.stage:
        return recipe
    check_stage(generator, options.stage)
    matrix = closed_form(generator, options)
    if matrix is None and generator.code_space == "z" and generator.c_dim and recipe.class_index is None:
        raise FitError(
            f"activations of {options.stage!r} differ between the {generator.c_dim} classes of {generator.describe()} "
            f"more than within one; give --class (class_index), 0 to {generator.c_dim - 1}"
        )
    linear = generator.linear_map(options.stage)
    num_directions = recipe.num_directions
    if linear is not None:
        most = min(linear.shape)
        num_directions = min(NUM_DIRECTIONS, most) if num_directions is None else num_directions
        if num_directions > most:
            raise FitError(
                f"{num_directions} directions asked for; stage {options.stage!r} is linear in z and varies along "
                f"{most}. Ask for at most {most}, or choose a later stage"
            )
    num_samples = (NUM_DRAWN if matrix is None else NUM_SAMPLES) if recipe.num_samples is None else recipe.num_samples
    return replace(recipe, options=options, num_directions=num_directions, num_samples=num_samples)


METHOD = Method(solve, num_samples=NUM_SAMPLES, options=PCAOptions, code_spaces=("w", "z"), resolve=resolve)
