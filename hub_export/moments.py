"""First and second moments of a stream of rows, gathered in one pass: exact, resumable, never half updated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.grad import conv2d_weight

from eigan.errors import FitError
from hub_export.sampling import PIXEL_BATCH, uses_onednn
from hub_export.shelf import read_tensors, write_tensors
from hub_export.world import World


@dataclass(frozen=True)
class Sums:
    """Sums over rows x: count, sum of (x - shift) and of (x - shift)(x - shift)ᵀ.

    Of a piece: float32, on the rows' device. Of more: float64.
    """

    count: int
    shift: Tensor  # (D,) float32, CPU, the mean of the first rows: keeps the sums small, so that none of them cancel
    total: Tensor  # (D,)
    outer: Tensor  # (D, D)


class Moments:
    """Mean and covariance of rows (N, D) seen so far.

    Products are float32 over the rows of one update and float64 between updates; with updates of about a thousand rows
    variances agree with an all-float64 sum to 1e-6. An update first writes a second set of sums, then swaps it in:
    interrupted anywhere, the moments are those before or those after it.
    """

    def __init__(self, dim: int):
        self._sums = Sums(0, torch.zeros(dim), *_zeros(dim))
        self._buffers = (self._sums, Sums(0, torch.zeros(dim), *_zeros(dim)))
        self._shift_on: dict[
            torch.device, tuple[Tensor, Tensor]
        ] = {}  # a copy for each piece would wait for the device

    @property
    def count(self) -> int:
        return self._sums.count

    @property
    def dim(self) -> int:
        return len(self._sums.total)

    def update(self, rows: Tensor) -> None:
        """Take in rows (n, D), float32, on any device.

        Raises:
            FitError: a row is not finite.
        """
        if len(rows):
            self.start_at(rows)
            self.add(self.sum(rows))

    def start_at(self, rows: Tensor) -> None:
        """Shift sums by the mean of rows (n, D) from now on, if nothing was taken in yet."""
        if not self.count:
            self._sums = replace(self._sums, shift=rows.mean(dim=0).cpu())

    @property
    def shift(self) -> Tensor:
        """(D,), float32, CPU: what sums are taken about."""
        return self._sums.shift

    @torch.no_grad()
    def sum(self, rows: Tensor) -> Sums:
        """The sums over rows (n, D), products in float32; changes no sums, so that threads may sum at once."""
        shift = self._sums.shift
        centred = rows - self._shift_at(rows.device)
        return Sums(len(rows), shift, centred.sum(dim=0), _gram(centred))

    def add(self, sums: Sums) -> None:
        """Take in what `sum` or `sum_up` gave. Raises FitError when it is not finite."""
        mine = self._sums
        sums = replace(sums, total=sums.total.cpu(), outer=sums.outer.cpu())
        if not sums.total.isfinite().all():
            raise FitError(
                f"the generator's mapping gave NaN or infinite codes between rows {mine.count:,} and "
                f"{mine.count + sums.count:,}; the checkpoint is damaged"
            )
        spare = next(buffer for buffer in self._buffers if buffer.outer is not mine.outer)
        # by NumPy, on one thread: OpenMP's second thread would spin for longer than the addition takes
        np.add(mine.total.numpy(), sums.total.numpy(), out=spare.total.numpy())
        np.add(mine.outer.numpy(), sums.outer.numpy(), out=spare.outer.numpy())
        self._sums = Sums(mine.count + sums.count, mine.shift, spare.total, spare.outer)

    def share(self, world: World) -> None:
        """Make the moments of all processes those of the first. Raises Stopped, as every exchange."""
        if world.size == 1:
            return
        mine = self._sums if world.is_first else Moments(self.dim)._sums
        count = torch.tensor([mine.count])
        tensors = [mine.shift.clone(), mine.total.clone(), mine.outer.clone()]
        world.sum_(count, *tensors)  # zeros but for the first process
        self._sums = Sums(int(count), *tensors)

    def merge(self, other: Moments) -> None:
        """Take in the rows that `other` has seen.

        With o = other's shift - own shift: sum (x - s) = T + n o and sum (x - s)(x - s)ᵀ = O + T oᵀ + o Tᵀ + n o oᵀ.
        """
        if not other.count:
            return
        mine, theirs = self._sums, other._sums
        if not mine.count:
            self._sums = Sums(theirs.count, theirs.shift, theirs.total.clone(), theirs.outer.clone())
            return
        offset = theirs.shift.double() - mine.shift.double()
        cross = torch.outer(theirs.total, offset)
        total = mine.total + theirs.total + theirs.count * offset
        outer = mine.outer + theirs.outer + cross + cross.t() + theirs.count * torch.outer(offset, offset)
        self._sums = Sums(mine.count + theirs.count, mine.shift, total, outer)

    @property
    def mean(self) -> Tensor:
        """(D,), float64. Raises FitError when no rows were seen."""
        self._check_count(1)
        return self._sums.shift.double() + self._sums.total / self.count

    @property
    def covariance(self) -> Tensor:
        """(D, D), float64, symmetric; divided by N - 1. Raises FitError with fewer than 2 rows."""
        self._check_count(2)
        mean = self._sums.total / self.count
        centred = self._sums.outer - self.count * torch.outer(mean, mean)
        return (centred + centred.t()) / (2 * (self.count - 1))

    def _shift_at(self, device: torch.device) -> Tensor:
        shift = self._sums.shift
        if device.type == "cpu":
            return shift
        known = self._shift_on.get(device)
        if known is None or known[0] is not shift:
            known = self._shift_on[device] = (shift, shift.to(device))
        return known[1]

    def _check_count(self, needed: int) -> None:
        if self.count < needed:
            raise FitError(f"{self.count} samples were gathered; at least {needed} are needed. Raise num_samples.")

    def save(self, path: Path, notes: Mapping[str, str]) -> None:
        """Write the moments and `notes` to a safetensors file: complete, or not at all. Raises OSError."""
        sums = self._sums
        tensors = {"shift": sums.shift, "total": sums.total, "outer": sums.outer}
        write_tensors(path, tensors, {**notes, "count": str(sums.count)})

    @classmethod
    def load(cls, path: Path) -> tuple[Moments, dict[str, str]]:
        """The moments and notes that `save` wrote. Raises FitError when the file is missing or damaged."""
        tensors, notes = read_tensors(path)
        try:
            return cls._checked(
                int(notes.pop("count")), {name: tensors[name] for name in ("shift", "total", "outer")}
            ), notes
        except (KeyError, IndexError, ValueError) as error:
            raise FitError(f"{path} holds no moments to resume from ({error}); fit again without resuming") from None

    @classmethod
    def _checked(cls, count: int, tensors: Mapping[str, Tensor]) -> Moments:
        dim = tensors["total"].shape[0]
        wanted = {
            "shift": (torch.float32, (dim,)),
            "total": (torch.float64, (dim,)),
            "outer": (torch.float64, (dim, dim)),
        }
        for name, tensor in tensors.items():
            if (tensor.dtype, tuple(tensor.shape)) != wanted[name] or not tensor.isfinite().all():
                raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)} or not finite")
        if count < 0:
            raise ValueError(f"count is {count}")
        moments = cls(dim)
        moments._sums = Sums(count, tensors["shift"], tensors["total"], tensors["outer"])
        return moments


@torch.no_grad()
def sum_up(pieces: Iterable[Sums], shift: Tensor, device: torch.device) -> Sums:
    """The sums of all `pieces` (about `shift`, none is fine), added up in float64 on `device`.

    A CUDA device is not waited for; one that has no float64 (mps) is asked for its sums at every piece.
    """
    count, total, outer = 0, *_zeros(len(shift), device if device.type == "cuda" else torch.device("cpu"))
    for piece in pieces:
        count += piece.count
        _add_to(total, piece.total)
        _add_to(outer, piece.outer)
    return Sums(count, shift, total, outer)


def _add_to(into: Tensor, values: Tensor) -> None:
    if into.device.type == "cpu":  # by NumPy, on one thread, as in `Moments.add`
        np.add(into.numpy(), values.cpu().numpy(), out=into.numpy())
    else:
        into += values


def _zeros(dim: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    return (
        torch.zeros(dim, dtype=torch.float64, device=device),
        torch.zeros(dim, dim, dtype=torch.float64, device=device),
    )


def _gram(rows: Tensor) -> Tensor:
    """rowsᵀ rows: (D, D), float32, on the rows' device.

    On CPU it is taken as the weight gradient of a 1x1 convolution of the rows with themselves: the same sums, by
    oneDNN (see `sampling`).
    """
    if not uses_onednn(rows):
        return rows.t() @ rows
    dim = rows.shape[1]
    pixels = rows.contiguous().view(PIXEL_BATCH, -1, 1, dim).permute(0, 3, 1, 2)  # (16, D, n / 16, 1), channels last
    gram: Tensor = conv2d_weight(pixels, (dim, dim, 1, 1), pixels)  # type: ignore[no-untyped-call]
    return gram.view(dim, dim)
