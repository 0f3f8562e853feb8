"""Activations of a generator's stage, beside the latents that made them: rows in order, whatever the number of threads.

The generator is run up to the stage and no further, in chunks of a fixed number of pictures, each on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from eigan.errors import FitError, UnknownName, list_names
from eigan.generators.base import Codes, Generator, iterate_batches
from hub_export.recipe import Recipe
from hub_export.sampling import over_w, stream_w
from hub_export.workers import exact_products, parallel_map
from hub_export.world import ALONE, World

T = TypeVar("T")
CHUNK_BYTES = {"cpu": 2**24, "cuda": 2**30}
"""Of a chunk's largest feature maps; on CPU so little that malloc takes it from its heap."""
MIN_CHUNK, MAX_CHUNK = 8, 256


@dataclass(frozen=True)
class Activations:
    """Where activations come from. stage: its name. size: numbers of one picture. chunk: pictures drawn at a time.

    The chunk follows from the stage and the kind of device alone, so that rounding does too. latent_dim: how many of a
    code row's first numbers may move: all of a w, the z of a z code (its class stays).
    """

    generator: Generator
    recipe: Recipe
    stage: str
    size: int
    chunk: int
    latent_dim: int

    @classmethod
    def of(cls, generator: Generator, recipe: Recipe, stage: str) -> Activations:
        """Activations of the stage called `stage`, of the codes that `recipe` (resolved) draws.

        Raises:
            UnknownName: the generator has no such stage.
        """
        check_stage(generator, stage)
        row = next(stream_w(generator, recipe, stop=1))
        size, largest = _measure(generator, _as_codes(generator, row), stage)
        budget = CHUNK_BYTES.get(generator.device.type, CHUNK_BYTES["cpu"])
        chunk = 1 << max(0, (budget // (4 * largest)).bit_length() - 1)
        latent_dim = generator.code_dim if generator.code_space == "w" else generator.z_dim
        return cls(generator, recipe, stage, size, max(MIN_CHUNK, min(MAX_CHUNK, chunk)), latent_dim)

    def features(self, rows: Tensor) -> Tensor:
        """Activations (n, size), float32, of code rows (n, D), one chunk."""
        codes, device = _as_codes(self.generator, rows), rows.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            maps = self.generator.features(codes, self.stage)
        return maps.float().flatten(1)

    @torch.no_grad()
    def first_mean(self) -> Tensor:
        """The mean (size,) of the first chunk's activations."""
        return self.features(next(stream_w(self.generator, self.recipe))[: self.chunk]).mean(dim=0)

    def over(self, work: Callable[[Tensor, Tensor], T], start: int = 0, world: World = ALONE) -> Iterator[T]:
        """work(activations (n, size), latents (n, latent_dim)) for every chunk, in order; of a world, this one's share.

        start: the row to begin with. On CPU `work` runs in as many threads as torch has, each on one core; it must
        change nothing outside.
        """
        device = self.generator.device

        @torch.no_grad()
        def work_on(rows: Tensor) -> T:
            with exact_products(device):
                return work(self.features(rows), rows[:, : self.latent_dim])

        blocks = over_w(self.generator, self.recipe, lambda w: w, start, world=world)
        chunks = (block[cut] for block in blocks for cut in iterate_batches(len(block), self.chunk))
        return parallel_map(work_on, chunks, torch.get_num_threads() if device.type == "cpu" else 1)


def check_stage(generator: Generator, stage: str) -> None:
    """Raise UnknownName unless `generator` has a stage of that name."""
    names = [each.name for each in generator.stages]
    if stage not in names:
        raise UnknownName(f"unknown stage {stage!r}; {generator.describe()} has {list_names(names, 60)}")


def _as_codes(generator: Generator, rows: Tensor) -> Codes:
    """Codes (n, L, D) with every layer's row the same."""
    return rows[:, None].expand(-1, generator.num_layers, -1)


@torch.no_grad()
def _measure(generator: Generator, codes: Codes, stage: str) -> tuple[int, int]:
    """How many numbers a picture has after the stage, and in the largest state on the way there."""
    state, largest = generator.initial_state(codes, "const"), 1
    for each in generator.stages:
        state = each(state, codes)
        kept = sum(maps.numel() for maps in state.kept.values())
        largest = max(largest, state.features.numel() + kept)
        if each.name == stage:
            break
    if not state.features.numel():
        raise FitError(f"stage {stage!r} gives no feature maps; choose another")
    return state.features.numel(), largest
