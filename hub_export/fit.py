"""Recipe -> DirectionPack: sample codes, run the method, measure sigma, name the directions. Ctrl-C loses nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from eigan.direction_model import DirectionModel
from eigan.errors import EiganError, FitError, FitInterrupted
from eigan.generators.base import Generator
from eigan.latents import BLOCK_ROWS
from eigan.pack import Direction, DirectionPack, MadeFor, reach_for
from hub_export.methods import METHODS, Basis, Problem
from hub_export.methods.base import Progress, silent
from hub_export.moments import Moments, Sums, sum_up
from hub_export.recipe import Recipe
from hub_export.sampling import SAMPLER, over_w, stream_w
from hub_export.shelf import NotKept, Shelf, forget, uninterrupted
from hub_export.workers import draws_ahead, on_one_thread
from hub_export.world import ALONE, Stopped, World

REPORT_ROWS = 8 * BLOCK_ROWS  # between two progress reports, when the recipe leaves it open
ROUND_PIECES = {"cpu": 16, "cuda": 64}  # of each process between two exchanges: a good part of a second's work
KEEP_SECONDS = 60.0  # between two copies of the moments on disk
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

    Work is done on the generator's device, shared between the processes of `world`, each of which gets the pack: the
    first alone reports and writes files. With a state_path, moments of the codes drawn so far are kept there when the
    fit is interrupted, every minute, and when drawing is done; what the method itself has reached is kept beside it
    (`shelf_path`). resume=True goes on from them, with any number of processes, to the same bytes as an uninterrupted
    fit (in a world: to rounding). The caller removes the files (`forget_state`) when it has what it wanted.

    Raises:
        FitError: a recipe that does not fit the generator, or a state that was gathered for another one.
        NotConverged: an iterative method ran out of iterations.
        FitInterrupted: Ctrl-C, or another process of the world failed; the message says how far it got and where that
            is kept.
    """
    with world.together():
        recipe = recipe.resolve(generator)
    keeper = Keeper(state_path if world.is_first else None, generator, recipe)
    shelf = Shelf(shelf_path(state_path), solve_notes(generator, recipe), world)
    moments = Moments(generator.code_dim)
    report = world.reporter(progress or silent)
    phase = "sampling"
    try:
        with world.together():
            _check_alike(world, shelf.notes)
            if resume:
                moments = take_moments(state_path, generator, recipe, world)
                shelf.take()  # refuses what another recipe left, before any work
            elif world.is_first:
                forget(shelf.path)
            gather(moments, generator, recipe, report, world, keeper.now_and_then)
            keeper.keep(moments)
            phase = "solving"
            problem = Problem(generator, recipe, recipe.layer_range(generator), moments, world, shelf, report)
            basis = METHODS[recipe.method].solve(problem)
            directions = _directions(basis, generator, recipe, moments.covariance)
    except KeyboardInterrupt as stopped:
        raise _interrupted(stopped, phase, moments, recipe, keeper, shelf) from None
    except EiganError:
        raise
    except OSError as error:
        raise _not_kept(error, recipe, keeper) from None
    except Exception:  # out of memory, a device gone: the samples are good
        keeper.keep(moments)
        raise
    return DirectionPack(
        name=name or f"{generator.architecture}-{generator.resolution}-{recipe.method}",
        made_for=MadeFor.describe(generator),
        directions=directions,
        method={**recipe.describe(), **basis.notes},
        license=license,
    )


def gather(
    moments: Moments,
    generator: Generator,
    recipe: Recipe,
    progress: Progress = silent,
    world: World = ALONE,
    reached: Callable[[Moments], None] | None = None,
) -> None:
    """Take the codes that `recipe` (resolved) draws into `moments`, from the row it has reached on.

    In a world every process ends with the same moments. reached: called with them after every step.
    """
    total = recipe.num_samples or 0
    step = recipe.batch_size or REPORT_ROWS
    reported = moments.count
    if not moments.count:
        moments.start_at(next(stream_w(generator, recipe, stop=min(total, BLOCK_ROWS))))
        moments.share(world)
    pieces = over_w(generator, recipe, moments.sum, start=moments.count, world=world)
    for sums in _rounds(pieces, moments, generator.device, total, world):
        moments.add(sums)
        if reached is not None:
            reached(moments)
        if moments.count - reported >= step or moments.count == total:
            reported = moments.count
            progress(moments.count, total, "sampling")


def _rounds(pieces: Iterator[Sums], moments: Moments, device: torch.device, total: int, world: World) -> Iterator[Sums]:
    """Sums to add to `moments`: each piece alone on a CPU; else of rounds of pieces, one exchange for each round."""
    if world.size == 1 and not draws_ahead(device):
        yield from pieces
        return
    num_pieces = ROUND_PIECES.get(device.type, ROUND_PIECES["cpu"])
    while moments.count < total:
        sums = sum_up(islice(pieces, num_pieces), moments.shift, device)
        count = torch.tensor([sums.count])
        world.sum_(count, sums.total, sums.outer)
        yield replace(sums, count=int(count))


def shelf_path(state_path: Path | None) -> Path | None:
    """Where the method keeps what it has reached: beside the moments."""
    return None if state_path is None else state_path.with_suffix(f".method{state_path.suffix}")


def forget_state(state_path: Path) -> None:
    """Remove all that a fit with this state_path has kept."""
    forget(state_path)
    forget(shelf_path(state_path))


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


@dataclass
class Keeper:
    """Keeps moments at `path`, None for nowhere. problem: why the disk did not take them, the last time."""

    path: Path | None
    generator: Generator
    recipe: Recipe
    problem: str = ""
    last: float = field(default_factory=time.monotonic)

    def keep(self, moments: Moments) -> bool:
        """Whether the moments are kept now; when not, those kept before still are."""
        self.last = time.monotonic()
        if self.path is None or not moments.count:
            return False
        try:
            with uninterrupted():
                moments.save(self.path, state_notes(self.generator, self.recipe))
        except OSError as error:
            self.problem = f"{error.strerror or error}"
            return False
        return True

    def now_and_then(self, moments: Moments) -> None:
        """Keep them once a minute, for a process that is killed."""
        if time.monotonic() - self.last >= KEEP_SECONDS:
            self.keep(moments)


def take_moments(path: Path | None, generator: Generator, recipe: Recipe, world: World = ALONE) -> Moments:
    """The moments kept at `path`, read by the first process for all. Raises FitError as `load_state` does.

    None were kept, but what the method had reached was: empty moments, to be gathered again.
    """
    moments = Moments(generator.code_dim)
    if world.is_first:
        beside = shelf_path(path)
        if path is None or path.is_file() or beside is None or not beside.is_file():
            moments = load_state(path, generator, recipe)
    moments.share(world)
    return moments


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


def _check_alike(world: World, notes: Mapping[str, str]) -> None:
    """Raise FitError unless the first process has the same generator and recipe."""
    mine = json.dumps(notes).encode()
    if world.spread(mine) != mine:
        raise FitError(f"process {world.rank} of {world.size} has another generator or recipe than the first")


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


def _interrupted(
    stopped: KeyboardInterrupt, phase: str, moments: Moments, recipe: Recipe, keeper: Keeper, shelf: Shelf
) -> FitInterrupted:
    """Keep the moments, and the error that says so: in which phase it stopped, and what is kept where."""
    reason = f" ({stopped})" if isinstance(stopped, Stopped) and str(stopped) else ""
    count = f"{moments.count:,} of {recipe.num_samples:,} samples"
    reached = f"stopped{reason} while sampling, after {count}"
    if phase == "solving":
        reached = f"stopped{reason} while {recipe.method} was solving, after {count}"
    if not keeper.keep(moments):
        lost = f"could not be kept in {keeper.path}: {keeper.problem}" if keeper.problem else ""
        return FitInterrupted(f"{reached}; {f'they {lost}' if lost else 'nothing was kept'}")
    if isinstance(stopped, NotKept):
        return FitInterrupted(f"{reached}; they are kept in {keeper.path}, what {recipe.method} had reached {stopped}")
    beside = shelf.path is not None and shelf.path.is_file()
    method = f", what {recipe.method} had reached in {shelf.path}" if beside and shelf.path else ""
    return FitInterrupted(f"{reached}; they are kept in {keeper.path}{method}, and resuming goes on from there.")


def _not_kept(error: OSError, recipe: Recipe, keeper: Keeper) -> FitError:
    """The error for a disk that did not take what the method wanted to keep."""
    where = f"all samples are kept in {keeper.path}; " if keeper.path is not None and keeper.path.is_file() else ""
    return FitError(
        f"{recipe.method} could not keep what it had reached: {error.strerror or error}; {where}make room, and resume"
    )
