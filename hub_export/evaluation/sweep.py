"""Moving one direction outwards, step by step, on every picture, until its pictures break."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from collections.abc import Generator as Results
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from eigan.generators.base import Codes, Generator, iterate_batches
from eigan.pack import Direction
from eigan.render import Renderer
from hub_export.evaluation.drift import Yardstick
from hub_export.evaluation.ranges import MAX_STRANGENESS
from hub_export.evaluation.samples import Reader, Readings, batch_size
from hub_export.workers import single_threaded_workers

S = TypeVar("S")
T = TypeVar("T")
STEPS = (1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 11.0, 15.0, 20.0)
"""Sigmas tried on either side. 20 is where GANSpace's published edits of few layers end."""

TRAIL_BYTES_PER_PIXEL = 512  # what a Renderer keeps for a picture of a StyleGAN2, about
TRAIL_BUDGET = 4 * 2**30


@dataclass(frozen=True)
class Sweep:
    """What pictures show at each of the amounts (ascending, 0 among them)."""

    amounts: tuple[float, ...]
    readings: tuple[Readings, ...]


class Stopped(Exception):
    """Raised within workers once nobody waits for their results."""


class Canvas:
    """Draws the same pictures along one direction after another, and reads them.

    Each batch has a Renderer of its own while memory allows, so that from one amount to the next only the stages that
    the direction moves are drawn. Safe to share between threads: `sweep` keeps nothing.
    """

    def __init__(self, generator: Generator, reader: Reader, codes: Codes, steps: Sequence[float], num_workers: int):
        self.generator, self.reader, self.codes, self.steps = generator, reader, codes, tuple(steps)
        self.batches = [codes[rows] for rows in iterate_batches(len(codes), batch_size(generator))]
        kept = len(codes) * generator.resolution**2 * TRAIL_BYTES_PER_PIXEL * num_workers
        self.keeps_trails = kept <= TRAIL_BUDGET
        self.stopped = threading.Event()

    def sweep(self, direction: Direction, still: Readings, yardstick: Yardstick) -> Sweep:
        """The direction at 0 (`still`) and at each step outwards on both sides, to the first where pictures break."""
        found = {0.0: still}
        renderers = self._renderers()
        for sign in (1.0, -1.0):
            for step in self.steps:
                found[sign * step] = self._read(renderers, direction, sign * step)
                if yardstick.strangeness(found[sign * step]) > MAX_STRANGENESS:
                    break
        amounts = sorted(found)
        return Sweep(tuple(amounts), tuple(found[a] for a in amounts))

    def at(self, direction: Direction, amounts: Sequence[float]) -> list[Readings]:
        """The direction at each of `amounts`."""
        renderers = self._renderers()
        return [self._read(renderers, direction, amount) for amount in amounts]

    def _renderers(self) -> list[Renderer]:
        size = max(len(batch) for batch in self.batches)
        if self.keeps_trails:
            return [Renderer(self.generator, batch_size=size) for _ in self.batches]
        return [Renderer(self.generator, batch_size=size)] * len(self.batches)

    def _read(self, renderers: list[Renderer], direction: Direction, amount: float) -> Readings:
        parts = []
        for renderer, batch in zip(renderers, self.batches, strict=True):
            if self.stopped.is_set():
                raise Stopped
            parts.append(self.reader.read(renderer.render(batch, direction * amount)))
        return Readings.join(parts)


def each(
    work: Callable[[S], T], items: Sequence[S], num_workers: int, *stopped: threading.Event
) -> Results[T, None, None]:
    """work(item) for every item, in order. An error or Ctrl-C sets `stopped`, which `work` is to look at."""
    if num_workers <= 1:
        yield from map(work, items)
        return
    with single_threaded_workers(min(num_workers, len(items))) as pool:
        pending: list[Future[T]] = [pool.submit(work, item) for item in items]
        try:
            for future in pending:
                yield future.result()
        except BaseException:
            for event in stopped:
                event.set()
            raise
