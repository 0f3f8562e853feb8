"""ICA in W: directions along which w is made of independent parts (FastICA, Hyvärinen, IEEE Trans. NN 10(3), 1999).

Used on generators by GANSpace (Härkönen et al., NeurIPS 2020, arXiv:2004.02546) and Palaev et al. (arXiv:2305.14551),
both through scikit-learn, both with rows of the unmixing matrix. Those may come out in any order and with any sign;
here the greatest spread of codes comes first, and the positive side is the long tail. Only N x C whitened numbers are
kept in memory, not the codes.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from eigan.errors import FitError, NotConverged
from eigan.generators.base import Generator
from eigan.latents import BLOCK_ROWS, block_generator
from hub_export.fast_ica import Rows, Search, count_own, product
from hub_export.methods.base import Basis, Method, Options, Problem, top_eigenvectors
from hub_export.recipe import Recipe
from hub_export.sampling import over_w
from hub_export.workers import MAX_WORKERS, single_threaded_workers

NUM_DIRECTIONS = 20
"""Palaev et al.'s smaller number. Of GANSpace's 80, the parts of w with little variance are so nearly Gaussian that
which directions are found depends on the start: matched, two starts agree to a median |cos| of 0.99 with 20 sources of
synthetic w, and of 0.77 with 100 (benchmarks/fast_ica.py)."""
START_STREAM = 4  # of the initial rotation
MIN_VARIANCE = 1e-8  # of the total; below it a variance is rounding
MAX_POINTS = 200  # of a curve in the notes
KEEP_EVERY = 100  # iterations between two copies of the search on the shelf
WHAT = "separating"


class ICAOptions(Options):
    matrix: Literal["unmixing", "mixing"] = Field(
        "unmixing",
        description="unmixing: rows of the unmixing matrix, as the papers; mixing: columns of its inverse, which move "
        "one source and leave the others",
    )
    tolerance: float = Field(
        1e-4, ge=1e-12, le=0.1, description="done when a step turns no source by more than this: 1 - |cos| of the angle"
    )
    max_iterations: int = Field(1000, ge=1, le=10**6, description="steps after which the search is given up")
    allow_unconverged: bool = Field(
        False, description="keep the best found when it is given up, and say so; otherwise there is no result"
    )


def resolve(recipe: Recipe, generator: Generator) -> Recipe:
    """The recipe with the number of directions filled in."""
    if recipe.num_directions is not None:
        return recipe
    return replace(recipe, num_directions=min(NUM_DIRECTIONS, generator.code_dim))


def solve(problem: Problem) -> Basis:
    """Direction k is row k of the unmixing matrix B = R L^(-1/2) V, or column k of Vᵀ L^(1/2) Rᵀ, made unit.

    V (C, D) are the first principal components of w and L their variances, so that x = L^(-1/2) V (w - mean) is white;
    R (C, C) is the rotation that FastICA finds. Order: variance of w along the direction. Sign: skewness of the source
    is positive. metrics: skewness, excess_kurtosis and negentropy (see `Rows.shape`) of the source.

    Raises:
        FitError: w varies in fewer than num_directions dimensions. NotConverged: the limit stayed above the tolerance.
    """
    options = problem.options(ICAOptions)
    covariance = problem.moments.covariance
    components, variances = top_eigenvectors(covariance, problem.num_directions)  # (C, D), (C,)
    if float(variances[-1]) <= MIN_VARIANCE * float(covariance.trace()):
        varying = int((variances > MIN_VARIANCE * covariance.trace()).sum())
        raise FitError(
            f"codes vary in {varying} dimensions only; {problem.num_directions} sources cannot be told apart. "
            f"Ask for num_directions={varying}"
        )
    deviations = variances.sqrt()[:, None]
    whitened = whiten(problem, components / deviations)
    num_workers = min(torch.get_num_threads(), MAX_WORKERS)
    with single_threaded_workers(num_workers) as pool:
        rows = Rows(whitened, problem.recipe.num_samples or 0, pool, problem.world)
        search = separate(problem, rows, options)
        skewness, kurtosis, negentropy = rows.shape(search.best)
        signed = search.best * torch.where(skewness < 0, -1.0, 1.0)[:, None]
        factor = components / deviations if options.matrix == "unmixing" else components * deviations
        vectors, order = rows.on_one_thread(lambda: arrange(signed @ factor, covariance))
    return Basis(
        vectors.float(),
        {
            "skewness": skewness.abs()[order],
            "excess_kurtosis": kurtosis[order],
            "negentropy": negentropy[order],
        },
        notes=account(search, options),
    )


def whiten(problem: Problem, whitening: Tensor) -> Tensor:
    """Whitened codes (w - mean) Kᵀ of whitening K (C, D): this process's share, (n, C), float32, on the device."""
    device, total = problem.generator.device, problem.recipe.num_samples or 0
    mean, factor = (tensor.to(device, torch.float32) for tensor in (problem.moments.mean, whitening))
    count = count_own(total, problem.world)
    rows, done, reported = torch.empty(count, len(factor), device=device), 0, 0
    work = partial(_whitened, mean, factor)
    for piece in over_w(problem.generator, problem.recipe, work, world=problem.world):
        rows[done : done + len(piece)] = piece
        done += len(piece)
        if done - reported >= 8 * BLOCK_ROWS or done == count:
            reported = done
            problem.report(done, count, "projecting")
    return rows


def _whitened(mean: Tensor, factor: Tensor, w: Tensor) -> Tensor:
    return product(w - mean, factor)


def separate(problem: Problem, rows: Rows, options: ICAOptions) -> Search:
    """The search at its end: converged, or given up where options allow that. Interrupted, it is kept on the shelf.

    Raises:
        NotConverged: it was given up.
    """
    random, size = block_generator(problem.recipe.seed, 0, START_STREAM), problem.num_directions
    kept = problem.shelf.take()
    search = rows.on_one_thread(lambda: Search.start(random, size)) if kept is None else Search.restore(kept, size)
    with problem.shelf.keeping(lambda: search.tensors()):
        while search.limit >= options.tolerance and len(search.limits) < options.max_iterations:
            sums = rows.sums(search.rotation)
            search = rows.on_one_thread(partial(search.advance, sums))
            if len(search.limits) % KEEP_EVERY == 0:
                with contextlib.suppress(OSError):  # a convenience; Ctrl-C tries again, and says if it fails
                    problem.shelf.put(search.tensors())
            problem.report(len(search.limits), options.max_iterations, WHAT)
    if search.limit >= options.tolerance and not options.allow_unconverged:
        raise NotConverged(
            f"ICA of {size} sources reached a limit of {search.limit:.1e} in {len(search.limits):,} iterations; wanted "
            f"less than {options.tolerance:g}. Raise max_iterations or tolerance, take fewer num_directions or more "
            f"num_samples, or set allow_unconverged to keep the best found."
        )
    return search


def arrange(directions: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (C, D) made unit, the greatest variance vᵀ C v first; and their order."""
    units = directions / directions.norm(dim=1, keepdim=True)
    order = (units @ covariance * units).sum(dim=1).argsort(descending=True, stable=True)
    return units[order], order


def account(search: Search, options: ICAOptions) -> dict[str, Any]:
    """What the pack says of the search."""
    count = len(search.limits)
    shown = sorted({round(i * (count - 1) / max(1, min(count, MAX_POINTS) - 1)) for i in range(min(count, MAX_POINTS))})
    return {
        "iterations": count,
        "limit": search.limit,
        "converged": search.limit < options.tolerance,
        "history": {"iteration": [float(i + 1) for i in shown], "limit": [search.limits[i] for i in shown]},
    }


METHOD = Method(solve, num_samples=100_000, options=ICAOptions, code_spaces=("w",), resolve=resolve)
