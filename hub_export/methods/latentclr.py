"""LatentCLR: directions told apart by contrast (Yüksel et al., ICCV 2021, arXiv:2104.00820).

K directions are trained so that what one does to the generator's features is alike from code to code, and unlike what
the others do. Facts checked against catlab-team/latentclr, commit f02a70d, whose `loss="code"` differs from the paper's
equation (see `hub_export.contrast.loss`). No projector: the authors' own recipes use the identity.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from eigan.errors import FitError
from eigan.generators.base import Generator
from eigan.latents import BLOCK_ROWS
from hub_export.contrast.crew import crew_for
from hub_export.contrast.features import MIB, FeaturePass, find_stage, moving_size
from hub_export.contrast.loss import Contrast
from hub_export.contrast.measure import curve_of, distil, measure_contrast
from hub_export.contrast.networks import parts_of
from hub_export.contrast.training import Settings, State, Trainer, make_networks
from hub_export.methods.base import Basis, Method, Options, Problem, orient
from hub_export.recipe import Recipe
from hub_export.sampling import stream_w

NUM_DIRECTIONS = 32  # the authors' default
SHARES = (0.1, 0.5)  # of the iterations: the authors' milestones, 1000 and 5000 of 10,000
ALPHA_SIGMAS = 3.0
KEEP_EVERY = 500
MAX_ALPHA = 1e4
RATES = (1e-3, 1e-2)
PATH = 10.0
"""Adam moves a number by about its learning rate a step, and a global direction starts as standard normal numbers: how
far it can turn is rate x iterations. The authors' 10,000 x 1e-3 = 10 is covered by fewer, longer steps."""
Alpha = Annotated[float, Field(ge=-MAX_ALPHA, le=MAX_ALPHA)]


class LatentCLROptions(Options):
    unrecorded = frozenset({"memory"})
    model: Literal["global", "linear", "nonlinear"] = Field(
        "global", description="global: fixed vectors; linear, nonlinear: directions that depend on the code"
    )
    loss: Literal["paper", "code"] = Field(
        "code", description="code: as released, opposite effects count as the same; paper: its equation"
    )
    temperature: float = Field(0.5, ge=0.01, le=100, description="paper: similarities are divided by it; code: times")
    alpha: Alpha | tuple[Alpha, Alpha] | None = Field(
        None,
        description="how far codes are moved: a distance, or [low, high] to draw from (once a step for global, else "
        "once for each direction); default: three standard deviations of a code's numbers",
    )
    stage: str | None = Field(
        None, max_length=80, description="whose features are compared; default: the last of 8 px that layers reach"
    )
    iterations: int = Field(2000, ge=1, le=10**7, description="steps; the authors took 10,000, of a smaller rate")
    batch: int = Field(8, ge=2, le=4096, description="codes in a step, each moved along every direction")
    learning_rate: float | None = Field(
        None, gt=0, le=10, description="of Adam; default: the authors' 1e-3, for global 10 / iterations (1e-3 to 1e-2)"
    )
    weight_decay: float = Field(1e-3, ge=0, le=10, description="added to the gradient, times the parameter")
    milestones: Annotated[tuple[int, ...], Field(max_length=100)] | None = Field(
        None, description="iterations at which gamma multiplies the learning rate; default: a tenth and half of all"
    )
    gamma: float = Field(0.2, gt=0, le=1, description="see milestones")
    depth: int = Field(3, ge=2, le=8, description="layers of a nonlinear model")
    memory: int = Field(4096, ge=16, le=2**24, description="MiB for training, beside the generator; not of the result")

    @field_validator("alpha")
    @classmethod
    def _check_alpha(cls, alpha: float | tuple[float, float] | None) -> float | tuple[float, float] | None:
        if alpha == 0 or (isinstance(alpha, tuple) and not alpha[0] < alpha[1]):
            raise ValueError("wanted a number other than 0, or [low, high] with low below high")
        return alpha

    @field_validator("milestones")
    @classmethod
    def _check_milestones(cls, milestones: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if milestones and (milestones[0] < 1 or any(a >= b for a, b in pairwise(milestones))):
            raise ValueError("wanted iterations from 1 on, each after the one before")
        return milestones


def resolve(recipe: Recipe, generator: Generator) -> Recipe:
    """The recipe with stage, learning rate, milestones and the number of directions filled in.

    Raises:
        FitError: one direction (nothing to contrast it with), features that do not depend on the layers, or networks
            that the memory does not hold. UnknownName: a stage that the generator does not have.
    """
    options = recipe.options
    if not isinstance(options, LatentCLROptions):
        raise FitError(f"options are {type(options).__name__}; latentclr takes LatentCLROptions")
    size = moving_size(generator)
    count = min(NUM_DIRECTIONS, size) if recipe.num_directions is None else recipe.num_directions
    if count < 2:
        raise FitError("latentclr tells directions apart, so it wants num_directions=2 at least")
    wanted = 12 * count * parts_of(options.model, size, options.depth)[-1].stop / MIB
    if wanted > options.memory:
        raise FitError(
            f"{count} {options.model} directions of {size} numbers take {wanted:,.0f} MiB to train; memory allows "
            f"{options.memory:,}. Raise memory, or ask for fewer."
        )
    milestones = tuple(math.ceil(share * options.iterations) for share in SHARES)
    filled: dict[str, Any] = {"stage": find_stage(generator, recipe.layer_range(generator), options.stage)}
    if options.learning_rate is None:
        path = min(max(PATH / options.iterations, RATES[0]), RATES[1])
        filled["learning_rate"] = path if options.model == "global" else RATES[0]
    if options.milestones is None:
        filled["milestones"] = tuple(sorted(set(milestones)))
    return replace(recipe, num_directions=count, options=options.model_copy(update=filled))


def solve(problem: Problem) -> Basis:
    """Trains, and gives the directions in the order of how alike their effects are from code to code.

    The loss leaves the sign of a direction open ("code") or arbitrary ("paper"); it is set by `orient`, of conditional
    models by their mean.
    """
    with torch.inference_mode(False), crew_for(problem.generator.device) as crew:
        options = problem.options(LatentCLROptions)
        networks = make_networks(problem.generator, options.model, problem.num_directions, options.depth)
        stages = problem.generator.stages
        last = [stage.name for stage in stages].index(options.stage or "")
        features = FeaturePass(problem.generator, stages[: last + 1], problem.layers, problem.recipe.precision)
        trainer = Trainer(features, settings_of(problem, options), networks, crew, problem.world)
        state = train(problem, trainer)
        return make_basis(problem, trainer, state)


def settings_of(problem: Problem, options: LatentCLROptions) -> Settings:
    """What training needs of the recipe."""
    size = moving_size(problem.generator)
    alpha = options.alpha
    if alpha is None:
        variance = float(problem.moments.covariance.diagonal()[:size].mean())
        alpha = float(f"{ALPHA_SIGMAS * math.sqrt(variance):.6g}")
    return Settings(
        contrast=Contrast(options.loss, options.temperature),
        alpha=alpha,
        batch=options.batch,
        iterations=options.iterations,
        learning_rate=options.learning_rate or RATES[0],
        weight_decay=options.weight_decay,
        milestones=options.milestones or (),
        gamma=options.gamma,
        memory=options.memory,
        seed=problem.recipe.seed,
        class_index=problem.recipe.class_index,
    )


def train(problem: Problem, trainer: Trainer) -> State:
    """The state after all iterations, from the one on the shelf on; kept there now and then, and when interrupted."""
    settings = trainer.settings
    state = State.start(trainer.networks, settings)
    if (kept := problem.shelf.take()) is not None:
        state.restore(kept)
    with problem.shelf.keeping(state.tensors):
        while state.iteration < settings.iterations:
            trainer.step(state)
            if state.iteration % KEEP_EVERY == 0:
                with contextlib.suppress(OSError):  # a convenience; Ctrl-C tries again, and says if it fails
                    problem.shelf.put(state.tensors())
            problem.report(state.iteration, settings.iterations, "training")
    return state


def make_basis(problem: Problem, trainer: Trainer, state: State) -> Basis:
    """The trained directions, sorted, signed and measured."""
    model = trainer.networks.trained()
    positive, accuracy = measure_contrast(trainer, model)
    order = positive.argsort(descending=True, stable=True)
    metrics = {"positive_similarity": positive[order], "contrastive_accuracy": accuracy[order]}
    alpha = trainer.settings.alpha
    notes = {
        "alpha": list(alpha) if isinstance(alpha, tuple) else alpha,
        "history": curve_of(state.losses, state.accuracies),
    }
    if model.fixed is not None:
        vectors = orient(F.normalize(model.fixed.detach().float().cpu()[order], dim=1))
        return Basis(widened(vectors, problem.generator), metrics, notes=notes)
    models = [model.only(k).settled() for k in order.tolist()]
    rows = next(stream_w(problem.generator, problem.recipe, stop=min(problem.recipe.num_samples or 0, BLOCK_ROWS)))
    means, cosines, spreads = distil(models, rows.cpu())
    vectors = orient(means)
    turned = (vectors * means).sum(dim=1) < 0
    models = [m.negated() if turn else m for m, turn in zip(models, turned.tolist(), strict=True)]
    return Basis(vectors, {**metrics, "mean_cosine": cosines, "cosine_spread": spreads}, tuple(models), notes)


def widened(vectors: Tensor, generator: Generator) -> Tensor:
    """Vectors (K, V) with zeros where a row of the codes holds the class."""
    return F.pad(vectors, (0, generator.code_dim - vectors.shape[1]))


METHOD = Method(solve, num_samples=20_000, options=LatentCLROptions, resolve=resolve)
