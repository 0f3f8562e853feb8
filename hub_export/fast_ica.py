"""FastICA: the rotation of whitened codes after which they are least like Gaussians; sums, steps and where it stands.

Fixed-point iteration with symmetric decorrelation (Hyvärinen, IEEE Trans. Neural Networks 10(3), 1999), g = tanh. Where
codes are nearly Gaussian, or no rotation makes them independent, its steps stop shrinking or go in circles; from there
on the same fixed point is sought by quasi-Newton steps on the rotations, preconditioned by the Hessian of independent
sources (Picard-O: Ablin, Cardoso & Gramfort, ICASSP 2018, arXiv:1711.10873). What counts as converged is FastICA's own
criterion, everywhere. Checked against scikit-learn's FastICA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from eigan.errors import FitError
from eigan.generators.base import iterate_batches
from eigan.latents import BLOCK_ROWS
from hub_export.sampling import PIXEL_BATCH, uses_onednn
from hub_export.workers import exact_products
from hub_export.world import ALONE, World

T = TypeVar("T")

CHUNK_NUMBERS = 1 << 19  # of a chunk: x and tanh(y) stay near a core
MAX_CHUNK_ROWS = 1 << 14
MAX_BATCHED = 64  # sources
DEVICE_CHUNK_ROWS = 1 << 18  # elsewhere than on a CPU: few, large kernels
GAUSSIAN_LOG_COSH = 0.37456720749143  # E[log cosh v] of a standard normal v
PATIENCE = 16  # FastICA's own steps are made as long as the limit halves within so many of them
SETTLING = 8  # and is small after so many:
LARGE_LIMIT = 0.1  # beyond it steps turn sources by 25 degrees and more, and rounding decides where they lead
MEMORY = 7  # steps that a quasi-Newton step remembers (Picard's default)
MIN_CURVATURE = 0.01  # as Picard: flatter pairs of sources are moved as if they were this curved
MAX_ANGLE = 0.3  # radians in one plane and one step: the model of the objective holds no further


@dataclass(frozen=True)
class Sums:
    """Means over all rows x of y = W x. cross (C, C): E[tanh(y) xᵀ]; slopes (C,): E[1 - tanh²(y)]. Float64, CPU."""

    cross: Tensor
    slopes: Tensor


class Rows:
    """Whitened rows x (n, C), float32, and passes over them, in fixed chunks that are added in their order.

    On a CPU chunks are worked on by the pool's threads, each on one: their number changes no bit. In a world every
    process keeps its own rows.
    """

    def __init__(self, rows: Tensor, total: int, pool: ThreadPoolExecutor, world: World = ALONE, chunk_rows: int = 0):
        """rows: this process's, of `total` in the world: every size-th block of BLOCK_ROWS, as `over_w` gives them."""
        self.total, self.pool, self.world, self.device = total, pool, world, rows.device
        size = chunk_rows or (chunk_for(rows.shape[1]) if rows.device.type == "cpu" else DEVICE_CHUNK_ROWS)
        whole = len(rows) // BLOCK_ROWS * BLOCK_ROWS
        self.chunks = [rows[part] for part in iterate_batches(whole, size)]
        self.chunks += [rows[whole:]] if whole < len(rows) else []

    def sums(self, rotation: Tensor) -> Sums:
        """One pass: what a step needs of the sources along the rows of rotation (C, C)."""
        weight = rotation.to(self.device, torch.float32)

        def work(x: Tensor) -> tuple[Tensor, Tensor]:
            return _sum_products(_tanh_(product(x, weight)), x)

        size = len(rotation)
        cross, squares = self._over_chunks(work, (size, size), (size,))
        return Sums(cross / self.total, 1 - squares / self.total)

    def shape(self, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Skewness, excess kurtosis and negentropy of the sources y along the rows of rotation, (C,) each, float64.

        Negentropy is approximated up to a factor by (E[log cosh y] - E[log cosh v])², v a standard normal (Hyvärinen
        1999, equation 6 with one G).
        """
        weight = rotation.to(self.device, torch.float32)

        def work(x: Tensor) -> tuple[Tensor, ...]:
            y = product(x, weight)
            square = y.square()
            log_cosh = y.abs() + torch.log1p(torch.exp(-2 * y.abs())) - math.log(2)
            return tuple(part.sum(dim=0) for part in (square, square * y, square * square, log_cosh))

        found = self._over_chunks(work, *[(len(rotation),)] * 4)
        second, third, fourth, log_cosh = (part / self.total for part in found)
        return third / second**1.5, fourth / second.square() - 3, (log_cosh - GAUSSIAN_LOG_COSH).square()

    def on_one_thread(self, work: Callable[[], T]) -> T:
        """work() in one of the pool's threads."""
        return self.pool.submit(work).result()

    def _over_chunks(self, work: Callable[[Tensor], tuple[Tensor, ...]], *shapes: tuple[int, ...]) -> list[Tensor]:
        """Sums of what work(chunk) gives, over all chunks of all processes: of these shapes, float64, CPU."""
        kept_on = self.device if self.device.type == "cuda" else torch.device("cpu")  # mps has no float64
        totals = [torch.zeros(shape, dtype=torch.float64, device=kept_on) for shape in shapes]
        for parts in self._map(work):
            for total, part in zip(totals, parts, strict=True):
                if kept_on.type == "cpu":  # by NumPy, on one thread
                    np.add(total.numpy(), part.cpu().numpy(), out=total.numpy())
                else:
                    total.add_(part)
        totals = [total.cpu() for total in totals]
        self.world.sum_(*totals)
        return totals

    def _map(self, work: Callable[[Tensor], T]) -> Iterator[T]:
        if self.device.type == "cpu":
            yield from self.pool.map(work, self.chunks)
            return
        with exact_products(self.device):
            yield from map(work, self.chunks)


@dataclass(frozen=True)
class Search:
    """Where the search stands. rotation (C, C), float64: the next to look at; row k is source k of the whitened codes.

    best: what FastICA's step made of the rotation with the smallest limit so far; limits: of every iteration, where
    limit = max over k of |1 - |cos| of the angle by which FastICA's step turns source k|. quick: whether quasi-Newton
    steps are made. steps, gradients (m, C, C): the last of these, as antisymmetric generators, and the gradient before
    each; signs (C,): of each source's part in the objective.
    """

    rotation: Tensor
    best: Tensor
    limits: tuple[float, ...]
    quick: bool
    steps: Tensor
    gradients: Tensor
    signs: Tensor

    @classmethod
    def start(cls, random: torch.Generator, size: int) -> Search:
        """From a random rotation (size, size)."""
        normal = torch.empty(size, size, dtype=torch.float64).normal_(generator=random)
        rotation = polar(normal)
        none = torch.zeros(0, size, size, dtype=torch.float64)
        return cls(rotation, rotation, (), False, none, none, torch.zeros(size, dtype=torch.float64))

    @property
    def limit(self) -> float:
        """The smallest so far."""
        return min(self.limits, default=math.inf)

    def advance(self, sums: Sums) -> Search:
        """The search after one iteration: FastICA's step decides the limit, and where to go on until it slows down.

        FastICA: W <- polar(E[g(y) xᵀ] - diag(E[g'(y)]) W), polar(M) = (M Mᵀ)^(-1/2) M.
        """
        cross = sums.cross @ self.rotation.t()  # E[g(y) yᵀ]
        turn = polar(cross - torch.diag(sums.slopes))
        cosines = turn.diagonal()
        limit = float((cosines.abs() - 1).abs().max())
        moved = torch.where(cosines < 0, -1.0, 1.0)[:, None] * (turn @ self.rotation)
        best = moved if limit < self.limit else self.best
        limits = (*self.limits, limit)
        quick = self.quick or leads_nowhere(limits)
        if not quick:
            return replace(self, rotation=moved, best=best, limits=limits)
        return replace(self._quicker(cross, sums.slopes), best=best, limits=limits, quick=True)

    def _quicker(self, cross: Tensor, slopes: Tensor) -> Search:
        """One quasi-Newton step that lowers -sum of s_k E[log cosh y_k], s_k = sign(E[y g(y)] - E[g'(y)]).

        Rotations are exp(E) W, E antisymmetric. Gradient: -(S C - (S C)ᵀ), C = E[g(y) yᵀ]; Hessian for independent
        sources, in the plane of i and j: |E[y_i g(y_i)] - E[g'(y_i)]| + the same of j.
        """
        curvature = cross.diagonal() - slopes
        signs = torch.where(curvature < 0, -1.0, 1.0).double()
        steps, gradients = self.steps, self.gradients
        if not torch.equal(signs, self.signs):  # another objective: what is remembered belongs to the old one
            steps, gradients = steps[:0], gradients[:0]
        pulled = signs[:, None] * cross
        gradient = pulled.t() - pulled
        hessian = (curvature.abs()[:, None] + curvature.abs()).clamp_min(MIN_CURVATURE)
        step = -_inverse_times(gradient, steps, gradients, hessian)
        if float((step * gradient).sum()) >= 0:
            step, steps, gradients = -gradient / hessian, steps[:0], gradients[:0]
        step = step * min(1.0, MAX_ANGLE / max(float(step.abs().max()), 1e-300))
        return replace(
            self,
            rotation=torch.linalg.matrix_exp(step) @ self.rotation,
            steps=torch.cat([steps, step[None]])[-MEMORY:],
            gradients=torch.cat([gradients, gradient[None]])[-MEMORY:],
            signs=signs,
        )

    def tensors(self) -> dict[str, Tensor]:
        """All of it, for a shelf."""
        return {
            "rotation": self.rotation,
            "best": self.best.clone(),  # safetensors refuses memory that is shared
            "limits": torch.tensor(self.limits, dtype=torch.float64),
            "quick": torch.tensor(self.quick),
            "steps": self.steps,
            "gradients": self.gradients,
            "signs": self.signs,
        }

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], size: int) -> Search:
        """What `tensors` gave. Raises FitError when it is not one of `size` sources."""
        try:
            found = cls(
                tensors["rotation"],
                tensors["best"],
                tuple(tensors["limits"].tolist()),
                bool(tensors["quick"]),
                tensors["steps"],
                tensors["gradients"],
                tensors["signs"],
            )
            square, many = (size, size), (len(found.steps), size, size)
            wanted = {"rotation": square, "best": square, "steps": many, "gradients": many, "signs": (size,)}
            for name, shape in wanted.items():
                if tensors[name].shape != shape or tensors[name].dtype != torch.float64:
                    raise ValueError(f"{name} is {tensors[name].dtype} {tuple(tensors[name].shape)}")
            return found
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FitError(f"what was kept of the search cannot be used ({error}); fit without resuming") from None


def chunk_for(size: int) -> int:
    """Rows of `size` numbers in a chunk: whole blocks."""
    return min(max(CHUNK_NUMBERS // size // BLOCK_ROWS * BLOCK_ROWS, BLOCK_ROWS), MAX_CHUNK_ROWS)


def count_own(total: int, world: World) -> int:
    """How many of the stream's first `total` rows are this process's."""
    return sum(min(BLOCK_ROWS, total - start) for start in world.share(range(0, total, BLOCK_ROWS)))


def leads_nowhere(limits: tuple[float, ...]) -> bool:
    """Whether FastICA's own steps, of these limits so far, are leaps or no longer shrink."""
    leaps = len(limits) >= SETTLING and limits[-1] > LARGE_LIMIT
    return leaps or (len(limits) > PATIENCE and min(limits[-PATIENCE:]) > min(limits[:-PATIENCE]) / 2)


def polar(matrix: Tensor) -> Tensor:
    """The orthogonal matrix nearest to `matrix` (C, C), float64: (M Mᵀ)^(-1/2) M, by singular values."""
    left, _, right = torch.linalg.svd(matrix)
    nearest: Tensor = left @ right
    return nearest


def _inverse_times(gradient: Tensor, steps: Tensor, gradients: Tensor, hessian: Tensor) -> Tensor:
    """The inverse Hessian times the gradient, by L-BFGS's two loops (Nocedal & Wright, algorithm 7.4)."""
    later = torch.cat([gradients, gradient[None]])[1:]
    pairs = []
    for step, before, after in zip(steps, gradients, later, strict=True):
        change = after - before
        product = float((step * change).sum())
        if product > 1e-12 * float(step.norm() * change.norm()):  # curved upwards, as near a minimum
            pairs.append((step, change, 1 / product))
    found, parts = gradient, []
    for step, change, scale in reversed(pairs):
        parts.append(scale * float((step * found).sum()))
        found = found - parts[-1] * change
    found = found / hessian
    for (step, change, scale), part in zip(pairs, reversed(parts), strict=True):
        found = found + (part - scale * float((change * found).sum())) * step
    return found


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x (n, C) -> x Wᵀ (n, C), contiguous; on CPU by oneDNN where it can be (see `sampling`)."""
    if not uses_onednn(x):
        return x @ weight.t()
    y = F.conv2d(_as_pixels(x), weight[:, :, None, None])
    return y.permute(0, 2, 3, 1).reshape(len(x), -1)


def cross_product(y: Tensor, x: Tensor) -> Tensor:
    """yᵀ x (C, C) of rows y and x (n, C), likewise."""
    if not uses_onednn(x):
        return y.t() @ x
    size = x.shape[1]
    cross: Tensor = conv2d_weight(_as_pixels(x), (size, size, 1, 1), _as_pixels(y))  # type: ignore[no-untyped-call]
    return cross.view(size, size)


def _as_pixels(x: Tensor) -> Tensor:
    return x.view(PIXEL_BATCH, -1, 1, x.shape[1]).permute(0, 3, 1, 2)  # (16, C, n / 16, 1), channels last


def _sum_products(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """yᵀ x (C, C) and sums of y² (C,), of rows y and x (n, C).

    On CPU float32 within blocks and float64 between them, so that how blocks are dealt out matters next to
    nothing; yᵀ x of more than MAX_BATCHED sources is one float32 product of the chunk, which is quicker by half.
    """
    if y.device.type != "cpu":
        return y.t() @ x, y.square().sum(dim=0)
    size = x.shape[1]
    blocks = (max(len(x) // BLOCK_ROWS, 1), -1, size)
    ys, xs = y.view(blocks), x.view(blocks)
    squares: Tensor = torch.from_numpy(np.einsum("bij,bij->bj", ys.numpy(), ys.numpy()))
    cross = torch.bmm(ys.mT, xs) if size <= MAX_BATCHED else cross_product(y, x)[None]
    return cross.sum(dim=0, dtype=torch.float64), squares.sum(dim=0, dtype=torch.float64)


def _tanh_(y: Tensor) -> Tensor:
    """tanh in place. On CPU NumPy's, which takes a tenth of torch's time with AVX-512 (NumPy 2.4, torch 2.13)."""
    if y.device.type != "cpu":
        return y.tanh_()
    np.tanh(y.numpy(), out=y.numpy())
    return y
