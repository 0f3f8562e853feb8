"""World: the processes that share one fit, started by torchrun; alone, every call is free and changes nothing.

Each process takes every size-th block of the streams (`sampling.over_w`), and sums are all-reduced: the result is that
of one process up to the order in which float64 numbers are added.

Every exchange begins with one of states (`World.agree`): a process that fails, or hears Ctrl-C, tells the others there,
and all of them stop at the same place. So nobody waits for one that is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from eigan.errors import FitError

T = TypeVar("T")
TIMEOUT = timedelta(minutes=30)  # a process that says nothing for so long is taken for lost
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # torchrun sends the latter when another process ended
FINE, INTERRUPTED, FAILED = 0, 1, 2


class Stopped(KeyboardInterrupt):
    """Raised by an exchange when some process was interrupted, failed or is gone; its text says which, if need be."""


@dataclass
class _News:
    """heard: whether this process got a signal. failed: ranks that failed, as far as they could tell."""

    heard: bool = False
    failed: tuple[int, ...] = ()


@dataclass(frozen=True)
class World:
    """rank: which process this is, 0 is the one that writes and prints. size: how many there are."""

    rank: int = 0
    size: int = 1
    _news: _News = field(default_factory=_News, compare=False, repr=False)

    @classmethod
    def join(cls, device: torch.device) -> World:
        """The world that torchrun's environment describes, or the process group that is there; ALONE without either.

        CUDA tensors are exchanged by nccl, others by gloo.

        Raises:
            FitError: a process group that cannot exchange CPU tensors, or another process that does not answer.
        """
        if not dist.is_available():
            return ALONE
        if not dist.is_initialized():
            if _environment("WORLD_SIZE", 1) <= 1:
                return ALONE
            _start_group(device)
        if "cpu" not in dist.get_backend_config():
            raise FitError("the process group cannot exchange CPU tensors; initialise it with cpu:gloo,cuda:nccl")
        return cls(dist.get_rank(), dist.get_world_size())

    def leave(self) -> None:
        """End the process group that `join` began."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def speaks(self) -> bool:
        """Whether this process tells a person what went wrong: the first does, and the first of those that failed."""
        return self.is_first or self.rank == min(self._news.failed, default=0)

    def share(self, items: Iterable[T]) -> Iterator[T]:
        """This process's part of `items`: every size-th, from the rank-th on."""
        return islice(items, self.rank, None, self.size)

    def reporter(self, report: Callable[[int, int, str], None]) -> Callable[[int, int, str], None]:
        """`report`, called in the first process only; in any of them, a signal that was heard is raised there."""
        if self.size == 1:
            return report

        def reported(done: int, total: int, what: str) -> None:
            if self._news.heard:
                raise KeyboardInterrupt
            if self.is_first:
                report(done, total, what)

        return reported

    def sum_(self, *tensors: Tensor) -> None:
        """Each tensor, in place, becomes its sum over all processes; the same bits in each of them. Raises Stopped."""
        self.agree()
        if self.size > 1:
            with _answered():
                for tensor in tensors:
                    dist.all_reduce(tensor)

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (n, ...) of all processes, rank after rank; n may differ between them. Raises Stopped."""
        if self.size == 1:
            return rows
        counts = torch.zeros(self.size, dtype=torch.int64, device=rows.device)
        counts[self.rank] = len(rows)
        self.sum_(counts)
        padded = rows.new_zeros(int(counts.max()), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with _answered():
            dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts.tolist(), strict=True)])

    def spread(self, data: bytes | None) -> bytes | None:
        """The first process's `data`, in all of them; what the others give is not looked at. Raises Stopped."""
        if self.size == 1:
            return data
        self.agree()
        length = torch.tensor([-1 if data is None else len(data)])
        with _answered():
            dist.broadcast(length, 0)
            if int(length) <= 0:
                return None if int(length) < 0 else b""
            buffer = torch.empty(int(length), dtype=torch.uint8)
            if self.is_first and data is not None:
                buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            dist.broadcast(buffer, 0)
        return buffer.numpy().tobytes()

    def agree(self) -> None:
        """Wait for all processes. Raises Stopped in all of them when one was interrupted, failed or is gone."""
        if self.size == 1:
            return
        states = self._tell(INTERRUPTED if self._news.heard else FINE)
        if self._news.failed:
            raise Stopped(f"process {self._news.failed[0]} of {self.size} failed, and says why")
        if any(states):
            raise Stopped

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All processes go through this part together, or none: leaves it when the others do.

        What fails in one process stops the others at their next exchange. Ctrl-C and SIGTERM are noted, and stop all of
        them at the next exchange or report.
        """
        if self.size == 1:
            yield
            return
        with self.listening():
            try:
                yield
                self.agree()
            except Stopped:  # everyone knows
                raise
            except BaseException as error:
                with contextlib.suppress(Stopped):  # the others are gone: this process's own reason is what counts
                    self._tell(INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED)
                raise

    def _tell(self, state: int) -> list[int]:
        """Exchange states: everyone's, by rank."""
        states = torch.zeros(self.size, dtype=torch.int64)
        states[self.rank] = state
        with _answered():
            dist.all_reduce(states)
        found: list[int] = states.tolist()
        self._news.failed = tuple(rank for rank, state in enumerate(found) if state == FAILED)
        return found

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Signals are noted within, not raised: between two exchanges they would leave the others waiting.

        They are raised at the next exchange or report.
        """
        if (
            self.size == 1 or threading.current_thread() is not threading.main_thread()
        ):  # signals go to the main thread alone
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            self._news.heard = True

        before = {number: signal.signal(number, note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


ALONE = World()


def local_device(device: torch.device) -> torch.device:
    """`device`; of several processes on a machine, each one's own CUDA device when none is numbered.

    Raises:
        FitError: one numbered CUDA device for several processes.
    """
    if device.type != "cuda" or _environment("WORLD_SIZE", 1) <= 1:
        return device
    if device.index is not None and _environment("LOCAL_WORLD_SIZE", 1) > 1:
        raise FitError(f"{device} cannot serve several processes; give the device cuda, and each takes its own")
    return device if device.index is not None else torch.device("cuda", _environment("LOCAL_RANK", 0))


def launched_first() -> bool:
    """Whether torchrun calls this process the first, or did not start it."""
    return os.environ.get("RANK", "0") == "0"


def _environment(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise FitError(f"{name} is {text!r} in the environment; wanted a whole number, as torchrun sets it")
    return int(text)


def _start_group(device: torch.device) -> None:
    on_cuda = device.type == "cuda"
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo", timeout=TIMEOUT, device_id=device if on_cuda else None
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise FitError(f"the other processes cannot be reached ({reason}); start all of them with torchrun") from None


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Raises Stopped when a process that is waited for is gone."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].rpartition("] ")[2]  # without the place in gloo's sources
        raise Stopped(f"another process ended: {reason[:80]}") from None
