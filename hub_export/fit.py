"""Recipe -> DirectionPack: sample codes, run the method, measure sigma, name the directions. Ctrl-C loses nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from eigan.direction_model import DirectionModel
from eigan.errors import FitError, FitInterrupted
from eigan.generators.base import Generator
from eigan.latents import BLOCK_ROWS
from eigan.pack import Direction, DirectionPack, MadeFor, reach_for
from hub_export.methods import METHODS, Basis, Problem
from hub_export.methods.base import Progress, silent
from hub_export.moments import Moments
from hub_export.recipe import Recipe
from hub_export.sampling import SAMPLER, over_w, stream_w
from hub_export.shelf import Shelf, uninterrupted
from hub_export.workers import on_one_thread
from hub_export.world import ALONE, World

REPORT_ROWS = 8 * BLOCK_ROWS  # between two progress reports, when the recipe leaves it open
MIN_VARIANCE = 1e-8  # of the total; below it a variance is rounding


def fit(
    generator: Generator,
    recipe: Recipe,
    *,
    name: str = "",
    license: str = "",
    progress: Progress | None = None,
    state_path: Path | None = None,
    resume: bool = False,
    world: World = ALONE,
) -> DirectionPack:
    """Directions of `generator` fitted by `recipe`. The same recipe gives the same bytes, on any number of threads.

    Work is done on the generator's device, shared between the processes of `world`. With a state_path, moments of the
    codes drawn so far are kept there when the fit is interrupted, and when drawing is done; what the method itself has
    reached is kept beside it (`shelf_path`). resume=True goes on from them, to the same bytes as an uninterrupted fit.
    The caller removes the files when it has what it wanted.

    Raises:
        FitError: a recipe that does not fit the generator, or a state that was gathered for another one.
        NotConverged: an iterative method ran out of iterations.
        FitInterrupted: Ctrl-C; the message says how far it got and where that is kept.
    """
    recipe = recipe.resolve(generator)
    layers = recipe.layer_range(generator)
    shelf = Shelf(shelf_path(state_path), solve_notes(generator, recipe), world.is_first)
    moments = Moments(generator.code_dim)
    if resume:
        moments = load_state(state_path, generator, recipe)
        shelf.take()  # refuses what another recipe left, before any work
    elif shelf.path is not None:
        shelf.path.unlink(missing_ok=True)
    report = progress or silent
    try:
        gather(moments, generator, recipe, report, world)
        if state_path is not None and world.is_first:
            with contextlib.suppress(OSError):  # a convenience for what follows; the fit itself needs no file
                moments.save(state_path, state_notes(generator, recipe))
        basis = METHODS[recipe.method].solve(Problem(generator, recipe, layers, moments, world, shelf, report))
    except KeyboardInterrupt:
        raise _interrupted(moments, generator, recipe, state_path if world.is_first else None) from None
    return DirectionPack(
        name=name or f"{generator.architecture}-{generator.resolution}-{recipe.method}",
        made_for=MadeFor.describe(generator),
        directions=_directions(basis, generator, recipe, moments.covariance),
        method={**recipe.describe(), **basis.notes},
        license=license,
    )


def gather(
    moments: Moments, generator: Generator, recipe: Recipe, progress: Progress = silent, world: World = ALONE
) -> None:
    """Take the codes that `recipe` (resolved) draws into `moments`, from the row it has reached on."""
    total = recipe.num_samples or 0
    step = recipe.batch_size or REPORT_ROWS
    reported = moments.count
    if not moments.count:
        moments.start_at(next(stream_w(generator, recipe, stop=min(total, BLOCK_ROWS))))
    for sums in over_w(generator, recipe, moments.sum, start=moments.count):
        moments.add(sums)
        if moments.count - reported >= step or moments.count == total:
            reported = moments.count
            progress(moments.count, total, "sampling")


def shelf_path(state_path: Path | None) -> Path | None:
    """Where the method keeps what it has reached: beside the moments."""
    return None if state_path is None else state_path.with_suffix(f".method{state_path.suffix}")


def solve_notes(generator: Generator, recipe: Recipe) -> dict[str, str]:
    """What a method's state depends on: the generator and the whole recipe."""
    return {"generator": generator.fingerprint, "recipe": json.dumps(recipe.describe(), sort_keys=True)}


def state_notes(generator: Generator, recipe: Recipe) -> dict[str, str]:
    """What the codes depend on; a state may only be resumed where all of it is the same."""
    return {
        "generator": generator.fingerprint,
        "sampler": SAMPLER,
        "seed": str(recipe.seed),
        "class": str(recipe.class_index),
        "precision": recipe.precision,
    }


def load_state(path: Path | None, generator: Generator, recipe: Recipe) -> Moments:
    """The moments kept at `path`. Raises FitError when they are missing, damaged or of another generator or recipe."""
    if path is None or not path.is_file():
        raise FitError(f"nothing to resume from: {path} does not exist; fit without resuming")
    moments, kept = Moments.load(path)
    for key, wanted in state_notes(generator, recipe).items():
        if kept.get(key) != wanted:
            raise FitError(
                f"{path} was gathered with {key} {str(kept.get(key))[:16]}; this fit has {wanted[:16]}. "
                f"Use the same {key}, or fit without resuming."
            )
    if moments.dim != generator.code_dim or moments.count > (recipe.num_samples or 0):
        raise FitError(
            f"{path} holds {moments.count:,} samples of {moments.dim} numbers; this fit wants {recipe.num_samples:,} "
            f"of {generator.code_dim}. Fit without resuming."
        )
    return moments


def _directions(basis: Basis, generator: Generator, recipe: Recipe, covariance: Tensor) -> tuple[Direction, ...]:
    """Named directions. sigma² = vᵀ C v: the variance of the codes along v, measured alike for every method.

    A direction that depends on the code x is u(x), and its sigma² the mean of u(x)ᵀ C u(x) over codes.
    """
    layers, vectors = recipe.layer_range(generator), basis.vectors.double()  # (K, D)
    if basis.models:
        variances = _mean_variances(basis.models, generator, recipe, covariance)
    else:
        variances = on_one_thread(lambda: (vectors @ covariance * vectors).sum(dim=1))  # (K,)
    total = float(covariance.trace())
    flat = int((variances <= MIN_VARIANCE * total).sum())
    if flat:
        raise FitError(
            f"codes do not vary along {flat} of {len(vectors)} directions; ask for num_directions={len(vectors) - flat}"
        )
    digits = max(2, len(str(len(vectors) - 1)))
    reach = reach_for(layers, generator.num_layers)
    return tuple(
        Direction(
            name=f"{recipe.method}-{i:0{digits}d}",
            vector=basis.vectors[i].clone(),
            sigma=float(variance.sqrt()),
            layers=layers,
            amount_range=(-reach, reach),
            metrics={
                "explained_variance_ratio": float(variance) / total,
                **{name: float(values[i]) for name, values in basis.metrics.items()},
            },
            model=basis.models[i] if basis.models else None,
        )
        for i, variance in enumerate(variances)
    )


@torch.no_grad()
def _mean_variances(
    models: Sequence[DirectionModel], generator: Generator, recipe: Recipe, covariance: Tensor
) -> Tensor:
    """Mean of u(x)ᵀ C u(x) over the recipe's first codes x, for each model's unit directions u: (K,), float64."""
    rows = next(stream_w(generator, recipe, stop=min(recipe.num_samples or 0, BLOCK_ROWS))).cpu()
    found = []
    for model in models:
        units = model.directions(rows)[0].double()  # (N, D)
        found.append((units @ covariance * units).sum(dim=1).mean())
    return torch.stack(found)


def _interrupted(moments: Moments, generator: Generator, recipe: Recipe, path: Path | None) -> FitInterrupted:
    """Keep the moments at `path`, and the error that says so."""
    reached = f"stopped after {moments.count:,} of {recipe.num_samples:,} samples"
    if path is None or not moments.count:
        return FitInterrupted(f"{reached}; nothing was kept")
    try:
        with uninterrupted():
            moments.save(path, state_notes(generator, recipe))
    except OSError as error:
        return FitInterrupted(f"{reached}; they could not be kept in {path}: {error.strerror or error}")
    return FitInterrupted(f"{reached}; they are kept in {path}, and resuming goes on from there.")
