"""Local: directions that each change few places of the picture in few ways. A method of eigan's own.

Around a code, moving along a direction b changes place p of the picture (brightness or one of two chromas of a cell of
a coarse grid) by J_p b. Averaged over codes, G_p = E[J_pᵀ J_p] says how strongly each pair of moves acts together on p.
A principal component acts on many places at once; a slider should not. So, among all orthonormal bases R of the
whitened codes, the one is taken that diagonalises all G_p together as far as it can be done:

    R = argmax over RᵀR = I of  sum over p, k of (r_kᵀ G_p r_k)²        (each G_p divided by its trace)

The objective is convex in R, so R <- polar(gradient) never lowers it (Journée et al., JMLR 2010, arXiv:0811.4724).
Joint diagonalisation: Cardoso & Souloumiac, SIAM 1996. The metric Jᵀ J of a generator: Wang & Ponce, ICLR 2021,
arXiv:2101.06006. No labels, no training: only pictures drawn by the generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from eigan.errors import FitError
from eigan.generators.base import Generator, iterate_batches
from hub_export.methods.base import Basis, Method, Options, Problem, orient, top_eigenvectors
from hub_export.sampling import stream_w
from hub_export.workers import on_one_thread

OPPONENT = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, -(2**-0.5), 0.0), (6**-0.5, 6**-0.5, -2 * 6**-0.5))
"""Rows: brightness, red against green, yellow against blue."""
FLOOR = 0.05  # of the mean trace: places where nothing happens are not blown up
BATCH = 16  # pictures drawn at once
TOLERANCE = 1e-10
MAX_ITERATIONS = 2000
MAX_BYTES = 2**31
Z_CODES = 8  # codes that pick the subspace of a z generator, where no direction varies more than another


class LocalOptions(Options):
    num_codes: Annotated[int, Field(ge=2, le=10**5)] = Field(64, description="codes whose surroundings are drawn")
    cells: Annotated[int, Field(ge=2, le=64)] = Field(16, description="places across the picture, and down")
    step: Annotated[float, Field(gt=0, le=3)] = Field(0.5, description="sigmas moved to either side")


def solve(problem: Problem) -> Basis:
    """Direction k is column k of B R: B (D, K) moves one sigma along each axis of the subspace, R is as above.

    The subspace is that of the K first principal components of w; of z, that of the K moves that change pictures most.
    Strongest first: by their share of the objective. metrics: strength, that share; locality, from 0 to 1: how much of
    the change lies in few places (1 minus the effective number of places over their number).
    """
    options = problem.options(LocalOptions)
    axes = subspace(problem, options)  # (D, K)
    metrics = gather_metrics(problem, options, axes, options.num_codes)
    metrics = metrics / (traces(metrics) + FLOOR * traces(metrics).mean())[:, None, None]
    rotation, iterations = on_one_thread(lambda: diagonalize(metrics))
    energies = quadratic(metrics, rotation)  # (P, K)
    strengths = energies.square().sum(dim=0)
    order = strengths.argsort(descending=True, stable=True)
    vectors = (axes @ rotation)[:, order].t()
    vectors = orient(vectors / vectors.norm(dim=1, keepdim=True))
    spread = energies.sum(dim=0).square() / strengths / len(metrics)
    return Basis(
        vectors.float(),
        {"strength": strengths[order], "locality": 1 - spread[order]},
        notes={"iterations": iterations},
    )


def subspace(problem: Problem, options: LocalOptions) -> Tensor:
    """Moves of one sigma (D, K), float64: the axes that are rotated."""
    generator, k = problem.generator, problem.num_directions
    if generator.code_space == "w":
        vectors, variances = top_eigenvectors(problem.moments.covariance, k)
        return (vectors * variances.sqrt()[:, None]).t()
    sigmas = problem.moments.covariance.diagonal().sqrt()
    every = torch.diag(sigmas)[:, : generator.z_dim]  # (D, z_dim)
    overall = gather_metrics(problem, options, every, Z_CODES, together=True)
    strongest, _ = top_eigenvectors(overall[0], k)
    return every @ strongest.t()


def gather_metrics(
    problem: Problem, options: LocalOptions, axes: Tensor, num_codes: int, *, together: bool = False
) -> Tensor:
    """G_p (P, K, K), float64, the sum over codes of J_pᵀ J_p, for moves along the columns of `axes` (D, K).

    together: their sum over places (1, K, K) alone. Interrupted, the codes done so far are kept on the shelf.

    Raises:
        FitError: it would take more than MAX_BYTES.
    """
    shape = (1 if together else 3 * options.cells**2, axes.shape[1], axes.shape[1])
    if 8 * math.prod(shape) > MAX_BYTES:
        raise FitError(
            f"{shape[1]} directions seen in {options.cells} x {options.cells} places take {8 * math.prod(shape):,} "
            f"bytes; at most {MAX_BYTES:,}. Ask for fewer num_directions or cells."
        )
    state = _State.start(problem, shape, together)
    rows = torch.cat(list(stream_w(problem.generator, problem.recipe, stop=num_codes)))
    what = "overall changes" if together else "local changes"
    with problem.shelf.keeping(lambda: state.tensors()):
        while state.done < num_codes:
            end = min(state.done + problem.world.size, num_codes)
            added = torch.zeros_like(state.total)
            for i in problem.world.share(range(state.done, end)):
                jacobian = local_changes(problem, rows[i], axes, options)  # (P, K)
                parts = jacobian[None] if together else jacobian[:, None]  # (1, P, K) or (P, 1, K)
                added.baddbmm_(parts.mT, parts)
            problem.world.sum_(added)
            state = _State(state.total + added, end, together)
            problem.report(state.done, num_codes, what)
    return state.total


def local_changes(problem: Problem, row: Tensor, axes: Tensor, options: LocalOptions) -> Tensor:
    """J (P, K), float64: change of every place for a sigma along each axis; central differences around `row` (D,)."""
    generator = problem.generator
    moves = (options.step * axes.t()).to(row)  # (K, D)
    sides = torch.cat([moves, -moves])
    codes = row.expand(len(sides), generator.num_layers, -1).clone()
    codes[:, problem.layers.slice] += sides[:, None]
    seen = torch.cat([places(generator, codes[part], options.cells) for part in iterate_batches(len(codes), BATCH)])
    forth, back = seen.double().cpu().chunk(2)
    return ((forth - back) / (2 * options.step)).t().contiguous()


@torch.no_grad()
def places(generator: Generator, codes: Tensor, cells: int) -> Tensor:
    """Pictures of codes (N, L, D) as brightness and chromas of cells x cells places: (N, 3 cells²)."""
    images = generator.synthesis(codes)
    rgb = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    small = F.adaptive_avg_pool2d(rgb.clamp(-1, 1), cells)
    return torch.einsum("oc,nchw->nohw", torch.tensor(OPPONENT).to(small), small).flatten(1)


def diagonalize(metrics: Tensor) -> tuple[Tensor, int]:
    """The orthogonal R (K, K) that makes Rᵀ G_p R as diagonal as can be, for all of `metrics` (P, K, K); iterations."""
    rotation = torch.eye(metrics.shape[1], dtype=metrics.dtype)
    reached = 0.0
    for iteration in range(MAX_ITERATIONS):
        moved = metrics @ rotation  # (P, K, K)
        energies = (rotation * moved).sum(dim=1)  # (P, K)
        objective = float(energies.square().sum())
        if objective <= reached * (1 + TOLERANCE):
            return rotation, iteration
        reached = objective
        left, _, right = torch.linalg.svd(torch.einsum("pik,pk->ik", moved, energies))
        rotation = left @ right
    return rotation, MAX_ITERATIONS


def quadratic(metrics: Tensor, vectors: Tensor) -> Tensor:
    """v_kᵀ G_p v_k for the columns of vectors (K, M): (P, M)."""
    return (vectors * (metrics @ vectors)).sum(dim=1)


def traces(metrics: Tensor) -> Tensor:
    """(P,) of metrics (P, K, K)."""
    return metrics.diagonal(dim1=1, dim2=2).sum(dim=1)


@dataclass(frozen=True)
class _State:
    """total: sums over the first `done` codes; together: as in `gather_metrics`."""

    total: Tensor
    done: int
    together: bool

    @classmethod
    def start(cls, problem: Problem, shape: tuple[int, int, int], together: bool) -> _State:
        kept = problem.shelf.take()
        if kept is not None and bool(kept["together"]) == together:
            return cls(kept["total"], int(kept["done"]), together)
        return cls(torch.zeros(shape, dtype=torch.float64), 0, together)

    def tensors(self) -> dict[str, Tensor]:
        return {"total": self.total, "done": torch.tensor(self.done), "together": torch.tensor(self.together)}


METHOD = Method(solve, num_samples=100_000, options=LocalOptions)
