"""World: the processes that share one fit, started by torchrun; alone, every call is free and changes nothing.

Each process takes every size-th block of the streams (`sampling.over_w`), and sums are all-reduced: the result is that
of one process up to the order in which float64 numbers are added.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """rank: which process this is, 0 is the one that writes and prints. size: how many there are."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> World:
        """The world that torchrun's environment describes: nccl between CUDA devices, gloo otherwise; ALONE without."""
        if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
            return ALONE
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, items: Iterable[T]) -> Iterator[T]:
        """This process's part of `items`: every size-th, from the rank-th on."""
        return islice(items, self.rank, None, self.size)

    def sum_(self, *tensors: Tensor) -> None:
        """Each tensor, in place, becomes its sum over all processes; the same bits in each of them."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (n, ...) of all processes, rank after rank; n may differ between them."""
        if self.size == 1:
            return rows
        counts = torch.zeros(self.size, dtype=torch.int64, device=rows.device)
        counts[self.rank] = len(rows)
        dist.all_reduce(counts)
        most = int(counts.max())
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts.tolist(), strict=True)])


ALONE = World()
