"""The codes that an evaluation looks at, and what is read off their pictures.

Codes come from a stream of their own, so that no direction is measured on codes it was fitted to. Pictures are drawn in
batches whose size depends on the generator alone, so that not even their rounding depends on threads.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.edit import Edit
from eigan.generators.base import Codes, Generator, iterate_batches
from eigan.latents import BLOCK_ROWS, block_generator
from eigan.render import Pictures, Renderer
from hub_export.evaluation.features import FeatureNetwork, Inception
from hub_export.evaluation.scorers import HeadsAttributes, Numbers, Scorer, score
from hub_export.methods.base import Progress, silent
from hub_export.workers import parallel_map

STREAM = 0xE7A1  # tells the latents of evaluations from those of fits
CLASS_STREAM = STREAM + 1
CHOICE_STREAM = STREAM + 2
BATCH_PIXELS = 16 * 128**2  # pixels in a batch: 16 pictures up to 128 px, 4 of 256 px, 1 of 512 px and above
MAX_BATCH = 16
DEVICE_FACTOR = 8  # more of both where the device is no CPU
OURS = (HeadsAttributes, Inception)  # feature networks that several threads may use at once
LARGE = 512  # px from which one picture at a time is drawn, with every thread on it


@dataclass(frozen=True)
class Source:
    """What codes are drawn: seed of the stream, truncation, and the one class; None draws classes uniformly."""

    generator: Generator
    seed: int = 0
    truncation_psi: float = 1.0
    class_index: int | None = None

    def latents(self, start: int, stop: int) -> Tensor:
        """z (stop - start, z_dim) of rows start <= i < stop, float32, CPU; row i depends on the seed and on i alone."""
        blocks = range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS))
        drawn = [
            torch.empty(BLOCK_ROWS, self.generator.z_dim).normal_(generator=block_generator(self.seed, block, STREAM))
            for block in blocks
        ]
        first = blocks.start * BLOCK_ROWS
        return torch.cat(drawn)[start - first : stop - first]

    def classes(self, start: int, stop: int) -> Tensor:
        """Classes (stop - start,) of those rows, int64; only of a generator that has classes."""
        if self.class_index is not None:
            return torch.full((stop - start,), self.class_index)
        blocks = range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS))
        drawn = [
            torch.randint(
                self.generator.c_dim, (BLOCK_ROWS,), generator=block_generator(self.seed, block, CLASS_STREAM)
            )
            for block in blocks
        ]
        first = blocks.start * BLOCK_ROWS
        return torch.cat(drawn)[start - first : stop - first]

    @torch.no_grad()
    def codes(self, start: int, stop: int, *, class_index: int | None = None) -> Codes:
        """Codes (stop - start, L, D), float32, CPU; all of class_index when given."""
        generator, labels = self.generator, None
        if generator.c_dim:
            chosen = self.classes(start, stop)
            chosen = chosen if class_index is None else torch.full_like(chosen, class_index)
            labels = F.one_hot(chosen, generator.c_dim).float()
        z = self.latents(start, stop)
        found = [
            generator.mapping(
                z[rows].to(generator.device),
                None if labels is None else labels[rows].to(generator.device),
                truncation_psi=self.truncation_psi,
            ).float()
            for rows in iterate_batches(len(z), BLOCK_ROWS)
        ]
        return torch.cat(found).cpu()


@dataclass(frozen=True)
class Readings:
    """What pictures show: scores (N, A) and features (N, F), float64."""

    scores: Numbers
    features: Numbers

    @classmethod
    def join(cls, parts: Sequence[Readings]) -> Readings:
        return cls(np.concatenate([p.scores for p in parts]), np.concatenate([p.features for p in parts]))


@dataclass(frozen=True)
class Reader:
    """Reads pictures with a scorer, if there is one, and a feature network; once where they are the same network.

    A person's own code is called by one thread at a time.
    """

    scorer: Scorer | None
    features: FeatureNetwork
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def names(self) -> tuple[str, ...]:
        return () if self.scorer is None else tuple(self.scorer.names)

    @property
    def identity(self) -> list[int]:
        """Columns of the attributes that say who it is."""
        chosen = set(getattr(self.scorer, "identity", ()))
        return [i for i, name in enumerate(self.names) if name in chosen]

    @property
    def takes_threads(self) -> bool:
        """Whether everything in it is known to be safe to call from several threads at once."""
        return isinstance(self.features, OURS) and isinstance(self.scorer, (HeadsAttributes, type(None)))

    def read(self, pictures: Pictures) -> Readings:
        """Raises FitError when a scorer gives anything but (N, A) finite numbers."""
        with contextlib.nullcontext() if self.takes_threads else self.lock:
            return self._read(pictures)

    def _read(self, pictures: Pictures) -> Readings:
        if isinstance(self.features, HeadsAttributes) and id(self.features) == id(self.scorer):
            return Readings(*self.features.read(pictures))
        scores = np.zeros((len(pictures), 0)) if self.scorer is None else score(self.scorer, pictures)
        return Readings(scores, self.features.features(pictures))


def batch_size(generator: Generator) -> int:
    """Pictures drawn at once."""
    factor = 1 if generator.device.type == "cpu" else DEVICE_FACTOR
    return max(1, min(factor * MAX_BATCH, factor * BATCH_PIXELS // generator.resolution**2))


def num_workers(generator: Generator) -> int:
    """Threads that draw at once: torch's number where pictures are small; else one, with all of torch's threads."""
    if generator.device.type != "cpu" or generator.resolution >= LARGE:
        return 1
    return torch.get_num_threads()


def read_codes(
    generator: Generator,
    reader: Reader,
    codes: Codes,
    edit_of: Callable[[int], Edit] | None = None,
    *,
    progress: Progress = silent,
    what: str = "drawing",
) -> Readings:
    """What the pictures of codes (N, L, D) show, row i after edit_of(i)."""

    def draw(rows: slice) -> Readings:
        chosen = codes[rows]
        if edit_of is not None:
            chosen = torch.cat([edit_of(i).apply(codes[i : i + 1]) for i in range(rows.start, rows.stop)])
        return reader.read(Renderer(generator, batch_size=len(chosen)).render(chosen))

    parts = []
    batches = list(iterate_batches(len(codes), batch_size(generator)))
    for part in parallel_map(draw, batches, num_workers(generator)):
        parts.append(part)
        progress(sum(len(p.features) for p in parts), len(codes), what)
    return Readings.join(parts)
