"""Recipe -> DirectionPack: sample codes, run the method, measure sigma, name the directions. Ctrl-C loses nothing."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor

from eigan.errors import FitError, FitInterrupted
from eigan.generators.base import Generator
from eigan.latents import BLOCK_ROWS
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor, reach_for
from hub_export.methods import METHODS, Basis, Problem
from hub_export.moments import Moments
from hub_export.recipe import Recipe
from hub_export.sampling import SAMPLER, over_w, stream_w
from hub_export.workers import on_one_thread

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done). May raise KeyboardInterrupt to stop the fit."""

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
) -> DirectionPack:
    """Directions of `generator` fitted by `recipe`. The same recipe gives the same bytes, on any number of threads.

    Work is done on the generator's device. With a state_path, moments of the codes drawn so far are kept there when the
    fit is interrupted, and when drawing is done; resume=True goes on from them, to the same bytes as an uninterrupted
    fit. The caller removes the file when it has what it wanted.

    Raises:
        FitError: a recipe that does not fit the generator, or a state that was gathered for another one.
        FitInterrupted: Ctrl-C; the message says how far it got and where that is kept.
    """
    recipe = recipe.resolve(generator)
    layers = recipe.layer_range(generator)
    moments = Moments(generator.code_dim)
    if resume:
        moments = load_state(state_path, generator, recipe)
    try:
        gather(moments, generator, recipe, progress)
        if state_path is not None:
            with contextlib.suppress(OSError):  # a convenience for what follows; the fit itself needs no file
                moments.save(state_path, state_notes(generator, recipe))
        basis = METHODS[recipe.method].solve(Problem(generator, recipe, layers, moments))
    except KeyboardInterrupt:
        raise _interrupted(moments, generator, recipe, state_path) from None
    return DirectionPack(
        name=name or f"{generator.architecture}-{generator.resolution}-{recipe.method}",
        made_for=MadeFor.describe(generator),
        directions=_directions(basis, moments.covariance, recipe.method, layers, generator.num_layers),
        method=recipe.describe(),
        license=license,
    )


def gather(moments: Moments, generator: Generator, recipe: Recipe, progress: Progress | None = None) -> None:
    """Take the codes that `recipe` (resolved) draws into `moments`, from the row it has reached on."""
    total = recipe.num_samples or 0
    step = recipe.batch_size or REPORT_ROWS
    reported = moments.count
    if not moments.count:
        moments.start_at(next(stream_w(generator, recipe, stop=min(total, BLOCK_ROWS))))
    for sums in over_w(generator, recipe, moments.sum, start=moments.count):
        moments.add(sums)
        if progress is not None and (moments.count - reported >= step or moments.count == total):
            reported = moments.count
            progress(moments.count, total, "sampling")


def state_notes(generator: Generator, recipe: Recipe) -> dict[str, str]:
    """What the codes depend on; a state may only be resumed where all of it is the same."""
    return {
        "generator": generator.fingerprint,
        "sampler": SAMPLER,
        "seed": str(recipe.seed),
        "class": str(recipe.class_index),
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


def _directions(
    basis: Basis, covariance: Tensor, method: str, layers: LayerRange, num_layers: int
) -> tuple[Direction, ...]:
    """Named directions. sigma² = vᵀ C v: the variance of the codes along v, measured alike for every method."""
    vectors = basis.vectors.double()  # (K, D)
    variances = on_one_thread(lambda: (vectors @ covariance * vectors).sum(dim=1))  # (K,)
    total = float(covariance.trace())
    flat = int((variances <= MIN_VARIANCE * total).sum())
    if flat:
        raise FitError(
            f"codes do not vary along {flat} of {len(vectors)} directions; ask for num_directions={len(vectors) - flat}"
        )
    digits = max(2, len(str(len(vectors) - 1)))
    return tuple(
        Direction(
            name=f"{method}-{i:0{digits}d}",
            vector=basis.vectors[i].clone(),
            sigma=float(variance.sqrt()),
            layers=layers,
            amount_range=(-reach_for(layers, num_layers), reach_for(layers, num_layers)),
            metrics={
                "explained_variance_ratio": float(variance) / total,
                **{name: float(values[i]) for name, values in basis.metrics.items()},
            },
        )
        for i, variance in enumerate(variances)
    )


def _interrupted(moments: Moments, generator: Generator, recipe: Recipe, path: Path | None) -> FitInterrupted:
    """Keep the moments at `path`, and the error that says so."""
    reached = f"stopped after {moments.count:,} of {recipe.num_samples:,} samples"
    if path is None or not moments.count:
        return FitInterrupted(f"{reached}; nothing was kept")
    try:
        with _uninterrupted():
            moments.save(path, state_notes(generator, recipe))
    except OSError as error:
        return FitInterrupted(f"{reached}; they could not be kept in {path}: {error.strerror or error}")
    return FitInterrupted(f"{reached}; they are kept in {path}, and resuming goes on from there.")


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C is not heard within: the file is small, and half of it is worth nothing."""
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread alone
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
