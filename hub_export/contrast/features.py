"""A generator as the contrast sees it: frozen, run up to one stage, its features flat. And how a step is cut in pieces.

The features are those of LatentCLR's released code (f02a70d) without a projector, which is what its authors' recipes
use: the stage's feature maps, flattened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eigan.errors import FitError, UnknownName, list_names
from eigan.generators.base import Codes, Generator, Stage
from eigan.latents import seeded_z
from eigan.layers import LayerRange

BASE_SIZE = 8  # pixels; shapes and poses are settled there, and a pass is cheap
CHUNK_ROWS = 24  # on CPU: as quick a row as 100 at once, and enough chunks for every core
CHUNK_BYTES = 2**27  # of what a backward pass needs, on CPU
NO_CHANGE = 1e-4  # of features, relative: rounding
MIB = 2**20


@contextlib.contextmanager
def frozen(generator: Generator) -> Iterator[None]:
    """No weight of `generator` gets a gradient within."""
    trainable = [p for p in generator.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


@dataclass(frozen=True)
class FeaturePass:
    """stages: those to run. layers: rows of the codes that a move replaces the first numbers of."""

    generator: Generator
    stages: Sequence[Stage]
    layers: LayerRange
    precision: str = "fp32"

    def __call__(self, codes: Codes, moved: Tensor | None = None) -> Tensor:
        """Features (n, F), float32, of codes (n, L, D), their `layers` replaced by moved (n, V), V <= D."""
        if moved is not None:
            row = torch.cat([moved, codes[:, self.layers.start, moved.shape[1] :]], dim=1)[:, None]
            rows = row.expand(-1, len(self.layers), -1)
            codes = torch.cat([codes[:, : self.layers.start], rows, codes[:, self.layers.stop :]], dim=1)
        with torch.autocast(codes.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            state = self.generator.initial_state(codes, "const")
            for stage in self.stages:
                state = stage(state, codes)
        return state.features.float().flatten(1)

    def bytes_per_row(self, codes: Codes, size: int) -> int:
        """What one row's graph keeps for the backward pass; codes (1, L, D), of which `size` numbers move."""
        return max(self._saved(codes, 3, size) - self._saved(codes, 1, size), 0) // 2

    def _saved(self, codes: Codes, count: int, size: int) -> int:
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        rows = codes.expand(count, -1, -1)
        moved = rows[:, self.layers.start, :size].clone().requires_grad_()
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            features = self(rows, moved)
        return sum(kept.values()) + features.numel() * features.element_size()


@dataclass(frozen=True)
class Plan:
    """How the rows of a step are worked through. keeps: whether graphs stay between the two passes, or are made anew.

    The chunks do not depend on that, and on CPU not on the memory either.
    """

    chunks: tuple[slice, ...]
    keeps: bool

    @classmethod
    def make(cls, rows: int, row_bytes: int, other_bytes: int, memory: int, device: torch.device) -> Plan:
        """rows: of the step. row_bytes: kept for one row's backward pass. other_bytes: all else that a step holds.

        memory: bytes that may be used.

        Raises:
            FitError: not even one row at a time fits.
        """
        spare = memory - other_bytes
        limit = min(CHUNK_ROWS, max(1, CHUNK_BYTES // max(row_bytes, 1)))
        if device.type != "cpu":
            limit = max(1, spare // (2 * max(row_bytes, 1)))  # half: a pass needs more than what it keeps
        workers = torch.get_num_threads() if device.type == "cpu" else 1
        if spare < 2 * row_bytes:
            wanted = (other_bytes + 2 * row_bytes) / MIB
            raise FitError(
                f"training wants {wanted:,.0f} MiB at least; memory allows {memory / MIB:,.0f}. Raise memory, or take "
                "an earlier stage, a smaller batch or fewer directions."
            )
        count = -(-rows // limit)
        chunks = tuple(slice(rows * i // count, rows * (i + 1) // count) for i in range(count))
        return cls(chunks, keeps=(rows + workers * limit) * row_bytes <= spare)

    def share(self, rank: int, size: int) -> tuple[slice, ...]:
        """The chunks of process `rank` of `size`: neighbours, so that the processes' rows follow on each other."""
        count = len(self.chunks)
        return self.chunks[count * rank // size : count * (rank + 1) // size]


@torch.no_grad()
def find_stage(generator: Generator, layers: LayerRange, name: str | None = None) -> str:
    """The stage called `name`, or the one to contrast at: the last of at most 8 px whose features depend on `layers`.

    Without one, the first that depends on them and by which a quarter of all rows are read.

    Raises:
        UnknownName: no stage of that name. FitError: features that do not depend on those layers.
    """
    names = [stage.name for stage in generator.stages]
    if name is not None and name not in names:
        raise UnknownName(f"unknown stage {name!r}; known: {list_names(names)}")
    found = ""
    for stage, depends, px, is_deep in _walk(generator, layers):
        if name is not None:
            if stage == name and depends:
                return name
            if stage == name:
                break
        elif px > BASE_SIZE and found:
            return found
        elif depends and (px <= BASE_SIZE or is_deep):
            found = stage
            if px > BASE_SIZE:
                return found
    if name is None and found:
        return found
    raise FitError(
        f"features of {generator.describe()} after {name or 'any stage'} do not depend on layers {layers}: there would "
        "be nothing to contrast. Take a later stage, or other layers."
    )


def _walk(generator: Generator, layers: LayerRange) -> Iterator[tuple[str, bool, int, bool]]:
    """Of each stage its name, whether its features depend on `layers`, their size, and whether a quarter is read."""
    codes = two_codes(generator, layers)
    state, read = generator.initial_state(codes, "const"), 0
    for stage in generator.stages:
        state = stage(state, codes)
        read = max(read, stage.layers.stop if stage.layers else 0)
        first, second = state.features.float()
        depends = bool((first - second).norm() > NO_CHANGE * first.norm())
        yield stage.name, depends, state.features.shape[-1], 4 * read >= generator.num_layers


def two_codes(generator: Generator, layers: LayerRange) -> Codes:
    """Codes (2, L, D) that differ in z's or w's numbers of `layers` alone."""
    z = seeded_z([0, 1], generator.z_dim)
    codes = generator.mapping(z, 0 if generator.c_dim else None)
    first, second = codes
    merged = first.clone()
    merged[layers.slice, : moving_size(generator)] = second[layers.slice, : moving_size(generator)]
    return torch.stack([first, merged])


def moving_size(generator: Generator) -> int:
    """How many of a row's numbers directions move: all of w; of a z code, those that are not the class."""
    return generator.code_dim if generator.code_space == "w" else min(generator.code_dim, generator.z_dim)
