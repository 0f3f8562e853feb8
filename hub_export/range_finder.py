"""Streaming randomized PCA: the few directions along which very wide rows vary most, and how latents vary with them.

Halko, Martinsson & Tropp, SIAM Review 2011 (arXiv:0909.4061), algorithm 4.4 with the covariance in place of A Aᵀ: each
pass but the last multiplies the range by the covariance C, chunk by chunk, and makes it orthonormal again. The last one
gathers the joint moments of the rows projected on the range, and of the latents. N x size numbers are never stored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from eigan.errors import FitError
from eigan.latents import block_generator
from hub_export.activations import Activations
from hub_export.methods.base import Problem
from hub_export.workers import exact_products, on_one_thread, single_threaded_workers

RANGE_STREAM = 3
MAX_RANGE_BYTES = 2**33


@dataclass(frozen=True)
class JointCovariance:
    """Of y = probe x (l numbers, rows of `probe` orthonormal) and the latents z (d numbers); float64, CPU.

    projected (l, l): cov(y). cross (l, d): cov(y, z). latents (d, d): cov(z). total_variance: the trace of cov(x).
    probe (l, size): float32, on the generator's device.
    """

    projected: Tensor
    cross: Tensor
    latents: Tensor
    total_variance: float
    probe: Tensor


@dataclass(frozen=True)
class State:
    """What the passes have reached: all of it tensors, for a shelf.

    done, rows: passes finished, and rows taken in by this one. center (size,): what is taken from each row x, float32:
    the mean of the first chunk in the first pass, then that of all. probe (l, size): what x is projected on, to y.
    outer: sum of y xᵀ (l, size), float32; in the last pass of [y, z] [y, z]ᵀ, float64. total: sum of x, or of [y, z].
    spread: sum of |x|².
    """

    done: Tensor
    rows: Tensor
    center: Tensor
    probe: Tensor
    outer: Tensor
    total: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Piece:
    """What one chunk adds. left (n, a), right (n, b): outer grows by leftᵀ right, or by `outer` where that is given."""

    count: int
    total: Tensor
    spread: Tensor
    left: Tensor | None = None
    right: Tensor | None = None
    outer: Tensor | None = None


def measure(problem: Problem, source: Activations, width: int, passes: int) -> JointCovariance:
    """Moments of the activations of `source` within their strongest `width` directions, after `passes` >= 2.

    The same bytes whatever the number of threads. Ctrl-C keeps the state on the problem's shelf, to the chunk (of
    several processes, to the pass); with what was kept there, goes on from it.

    Raises:
        FitError: activations that are not finite, a range that takes too much memory, or a kept state of another fit.
    """
    _check_memory(source, width)
    sums = Sums(_kept(problem, source, width, passes) or _begin(problem, source, width))
    alone = problem.world.size == 1
    if not alone:  # a part of a pass belongs to one process
        sums.state = restarted(sums.state)
    with problem.shelf.keeping(lambda: vars(sums.state if alone else restarted(sums.state))):
        for number in range(int(sums.state.done), passes):
            is_last = number == passes - 1
            _run_pass(problem, source, sums, f"{source.stage}, pass {number + 1} of {passes}", is_last=is_last)
            if not is_last:
                sums.state = _next_pass(problem, source, sums.state, is_last=number == passes - 2)
    return _joint(problem, sums.state, len(sums.state.probe))


def _check_memory(source: Activations, width: int) -> None:
    """Raise FitError when the range and its product with the covariance would not fit."""
    wanted = 2 * 4 * width * source.size
    if wanted > MAX_RANGE_BYTES:
        raise FitError(
            f"{width} directions of the {source.size:,} activations of {source.stage!r} take {wanted / 2**30:.1f} GiB; "
            f"at most {MAX_RANGE_BYTES / 2**30:.0f} are used. Ask for fewer directions, or choose an earlier stage."
        )


class Sums:
    """The state, and the only thing that changes it.

    `add` runs in a thread of its own: it hears no Ctrl-C, so that a chunk is taken in whole or not at all.
    """

    def __init__(self, state: State):
        self._state = state
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """The state between two chunks."""
        with self._lock:
            return self._state

    @state.setter
    def state(self, state: State) -> None:
        with self._lock:
            self._state = state

    @torch.no_grad()
    def add(self, piece: Piece) -> None:
        """Take in a chunk. Raises FitError when it is not finite."""
        if not (piece.total.isfinite().all() and piece.spread.isfinite()):
            raise FitError(
                f"activations after row {int(self._state.rows):,} are NaN or infinite; the checkpoint is damaged, or "
                "its numbers are too large for this precision"
            )
        with self._lock:
            mine = self._state
            if piece.outer is not None:
                mine.outer.add_(piece.outer)
            elif piece.left is not None and piece.right is not None:
                mine.outer.addmm_(piece.left.t(), piece.right)
            self._state = replace(
                mine, rows=mine.rows + piece.count, total=mine.total + piece.total, spread=mine.spread + piece.spread
            )


def restarted(state: State) -> State:
    """The state at the beginning of its pass."""
    return replace(
        state,
        rows=torch.zeros_like(state.rows),
        outer=torch.zeros_like(state.outer),
        total=torch.zeros_like(state.total),
        spread=torch.zeros_like(state.spread),
    )


def _begin(problem: Problem, source: Activations, width: int) -> State:
    random = block_generator(problem.recipe.seed, 0, RANGE_STREAM)
    probe = torch.empty(width, source.size).normal_(generator=random).to(problem.generator.device)
    center = _quietly(source.first_mean, problem.generator.device)
    return _pass_state(0, center, probe, torch.zeros_like(probe), source.size)


def _pass_state(done: int, center: Tensor, probe: Tensor, outer: Tensor, width: int) -> State:
    total, spread = torch.zeros(width, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    return State(torch.tensor(done), torch.tensor(0), center, probe, outer, total, spread)


def _kept(problem: Problem, source: Activations, width: int, passes: int) -> State | None:
    """The state on the problem's shelf, None without one. Raises FitError when it is not of this fit."""
    tensors = problem.shelf.take()
    if tensors is None:
        return None
    joint, device = width + source.latent_dim, problem.generator.device
    try:
        is_last = int(tensors["done"]) == passes - 1
        wanted = {
            "done": (torch.int64, ()),
            "rows": (torch.int64, ()),
            "center": (torch.float32, (source.size,)),
            "probe": (torch.float32, (width, source.size)),
            "outer": (torch.float64, (joint, joint)) if is_last else (torch.float32, (width, source.size)),
            "total": (torch.float64, (joint if is_last else source.size,)),
            "spread": (torch.float64, ()),
        }
        found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
        fits = found == wanted and all(bool(tensor.isfinite().all()) for tensor in tensors.values())
        fits = fits and 0 <= int(tensors["done"]) < passes and 0 <= int(tensors["rows"]) <= _count(problem)
    except (KeyError, RuntimeError, ValueError):
        fits = False
    if not fits:
        raise FitError(f"{problem.shelf.path} holds no state of these passes; fit again without resuming")
    on_device = ("center", "probe") if is_last else ("center", "probe", "outer")
    return State(**{name: tensor.to(device) if name in on_device else tensor for name, tensor in tensors.items()})


def _run_pass(problem: Problem, source: Activations, sums: Sums, what: str, *, is_last: bool) -> None:
    """One pass over the rows that are left; at its end the sums are those of all processes."""
    state, total = sums.state, _count(problem)
    latent_mean = problem.moments.mean[: source.latent_dim].float().to(problem.generator.device)

    def project(x: Tensor, latents: Tensor) -> Piece:
        centred = x - state.center
        y, spread = centred @ state.probe.t(), _sum_of_squares(centred)
        if not is_last:
            return Piece(len(x), centred.sum(dim=0).cpu().double(), spread, left=y, right=centred)
        rows = torch.cat([y, latents - latent_mean], dim=1)
        return Piece(len(x), rows.sum(dim=0).cpu().double(), spread, outer=(rows.t() @ rows).cpu().double())

    step, reported = problem.recipe.batch_size or 1, int(state.rows)
    with single_threaded_workers(1) as pool:
        for piece in source.over(project, int(state.rows), problem.world):
            pool.submit(sums.add, piece).result()
            done = min(int(sums.state.rows) * problem.world.size, total)
            if done - reported >= step or done == total:
                reported = done
                problem.report(done, total, what)
    problem.world.sum_(sums.state.outer, sums.state.total, sums.state.spread)


def _next_pass(problem: Problem, source: Activations, state: State, *, is_last: bool) -> State:
    """The state at the beginning of the next pass: its probe is an orthonormal basis of the range of C probeᵀ."""
    shift = (state.total / _count(problem)).float().to(state.center)

    def sharpen() -> Tensor:
        moved = (state.probe @ shift)[:, None]
        return orthonormal_rows(torch.addmm(state.outer, moved, shift[None], alpha=-_count(problem)))

    probe, center, done = _quietly(sharpen, shift.device), state.center + shift, int(state.done) + 1
    if is_last:
        joint = len(probe) + source.latent_dim
        return _pass_state(done, center, probe, torch.zeros(joint, joint, dtype=torch.float64), joint)
    return _pass_state(done, center, probe, torch.zeros_like(probe), source.size)


def orthonormal_rows(rows: Tensor) -> Tensor:
    """Orthonormal rows (l, size) that span those given, l <= size; by Householder QR, on the CPU where not by CUDA."""
    on = rows if rows.device.type == "cuda" else rows.cpu()
    basis: Tensor = torch.linalg.qr(on.t())[0]  # (size, l)
    return basis.t().contiguous().to(rows.device)


def _quietly(work: Callable[[], Tensor], device: torch.device) -> Tensor:
    """work(), with exact products; of the CPU on one thread, so that no rounding depends on how many there are."""
    with exact_products(device):
        return on_one_thread(work) if device.type == "cpu" else work()


def _joint(problem: Problem, state: State, width: int) -> JointCovariance:
    count = _count(problem)
    covariance: Tensor = (state.outer - torch.outer(state.total, state.total) / count) / (count - 1)
    projected = covariance[:width, :width]
    return JointCovariance(
        projected=torch.add(projected, projected.t()).div(2),
        cross=covariance[:width, width:],
        latents=covariance[width:, width:],
        total_variance=float(state.spread) / (count - 1),
        probe=state.probe,
    )


def _sum_of_squares(rows: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms.cpu().double().square().sum()


def _count(problem: Problem) -> int:
    return problem.recipe.num_samples or 0
