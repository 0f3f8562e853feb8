"""Threads that each run torch on one core: work on many blocks at once, results in order; and blocks for a device."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

S = TypeVar("S")
T = TypeVar("T")
MAX_WORKERS = 16  # each holds about 10 MB at 512-d codes
PENDING = 2  # blocks for each worker that may be waiting or done, and not yet taken


def parallel_map(work: Callable[[S], T], items: Iterable[S], num_workers: int) -> Iterator[T]:
    """work(item) for every item, in order; at most PENDING results for each worker are held.

    Leaving the loop early (an error, Ctrl-C) waits for the blocks in hand and drops the others.
    """
    if num_workers <= 1:
        yield from map(work, items)
        return
    num_workers = min(num_workers, MAX_WORKERS)
    with single_threaded_workers(num_workers) as pool:
        pending: deque[Future[T]] = deque()
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= PENDING * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def on_one_thread(work: Callable[[], T]) -> T:
    """work(), with every torch operator on one thread.

    For decompositions of small matrices: the same bits on any number of cores, and no waiting for a core that is busy.
    """
    if torch.get_num_threads() == 1:
        return work()
    with single_threaded_workers(1) as pool:
        return pool.submit(work).result()


@contextlib.contextmanager
def single_threaded_workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of `count` threads in which every torch operator runs on one thread.

    torch.set_num_threads acts on the calling thread, and on threads that first use torch afterwards; so the caller's
    number is set anew once the workers have theirs, and nothing outside the pool is changed.
    """
    before = torch.get_num_threads()
    barrier = threading.Barrier(count)

    def enter() -> None:
        torch.get_num_threads()  # a thread's first question makes torch copy the global number, so ask before setting
        torch.set_num_threads(1)
        barrier.wait()  # keeps this worker busy, so that every worker gets one of these

    pool = ThreadPoolExecutor(count)
    try:
        try:
            for entered in [pool.submit(enter) for _ in range(count)]:
                entered.result()
        finally:
            torch.set_num_threads(before)
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def num_cores() -> int:
    """Cores for this process: those it may run on, divided between the processes that torchrun started here.

    Not torch's number of threads, which torchrun sets to 1: for work beside a device's.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, cores // max(1, int(beside) if beside.isdecimal() else 1))


def draws_ahead(device: torch.device) -> bool:
    """Whether blocks for `device` are drawn by the CPU's cores while the device works."""
    return device.type != "cpu"


def ready_for(device: torch.device, block: Tensor) -> Tensor:
    """`block`, CPU, where a copy to `device` need not be waited for: pinned memory, for CUDA."""
    return block.pin_memory() if device.type == "cuda" else block


@contextlib.contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Matrix products on a CUDA device are in float32 within, not TF32, whatever the program allows elsewhere."""
    if device.type != "cuda":
        yield
        return
    flags = torch.backends.cuda.matmul
    # torch 2.9 has one name for each backend's precision, and complains where old and new names are mixed
    name, exact = ("fp32_precision", "ieee") if hasattr(flags, "fp32_precision") else ("allow_tf32", False)
    before = getattr(flags, name)
    if before in ("tf32", True):
        setattr(flags, name, exact)
    try:
        yield
    finally:
        if getattr(flags, name) != before:
            setattr(flags, name, before)
