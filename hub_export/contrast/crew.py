"""Crew: pieces of one step's work, each on one core, results in order; and updates that Ctrl-C does not cut in half.

Pieces are cut by sizes that do not depend on the number of cores, and each runs on one thread: so do the bits not.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

import torch

from hub_export.workers import MAX_WORKERS, single_threaded_workers

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Crew:
    """pool: None works through the pieces one after the other, in the calling thread."""

    pool: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[S], T], pieces: Iterable[S]) -> list[T]:
        """work(piece) for every piece, in order. An error or Ctrl-C waits for those in hand and drops the others."""
        if self.pool is None:
            return [work(piece) for piece in pieces]
        futures = [self.pool.submit(work, piece) for piece in pieces]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            wait(futures)
            raise


@contextlib.contextmanager
def crew_for(device: torch.device) -> Iterator[Crew]:
    """A crew of as many threads as torch has, on CPU; elsewhere the device is one worker that keeps its own queue."""
    count = min(torch.get_num_threads(), MAX_WORKERS) if device.type == "cpu" else 1
    if count == 1:
        yield Crew()
        return
    with single_threaded_workers(count) as pool:
        yield Crew(pool)


@contextlib.contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """Ctrl-C within is raised at the end: what is written in place is then whole."""
    before = signal.getsignal(signal.SIGINT)
    if (
        not callable(before) or threading.current_thread() is not threading.main_thread()
    ):  # signals go to the main thread
        yield
        return
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        before(signal.SIGINT, None)  # raises KeyboardInterrupt, unless somebody had other plans
