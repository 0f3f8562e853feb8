"""What every importer hands on: the moves that a file holds, in the file's own units, and what the file says of them.

Importers only read. What a move means for one generator (space, sigma, layers, truncation) is decided in
`convert.py`, alike for all formats.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from eigan.direction_model import DirectionModel
from eigan.errors import PackFormatError
from eigan.generators.base import Generator
from eigan.importers.numpy_files import StoredArray
from eigan.layers import LayerRange
from eigan.pack import MAX_DIRECTIONS, MAX_NAME
from eigan.readers.stored import NumpyArray, StoredTensor
from eigan.readers.torch_contents import SHARING

Space = Literal["w", "z"]
Container = Literal["npz", "npy", "pickle", "torch", "text"]
Leaf = StoredArray | NumpyArray | StoredTensor

MAX_NUMBERS = 2**25  # of one array of directions: 4,096 of 8,192 numbers; 128 MiB
MAX_DIM = 2**15


@dataclass(frozen=True, eq=False)
class Opened:
    """A file whose container was read: arrays are described, not yet read.

    value: npz: name -> StoredArray; npy: StoredArray; pickle, torch: nested dicts, lists and plain values with arrays
    as leaves; text: None.
    """

    path: Path
    container: Container
    value: Any = field(repr=False)

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def name(self) -> str:
        """The file's name, fit to be shown."""
        return clean_text(self.path.name, 200)


@dataclass(frozen=True, eq=False)
class Request:
    """What the caller asks of an import; None and "" leave it to the file. See `eigan.import_directions`."""

    generator: Generator
    layers: LayerRange | None = None
    space: Space | None = None
    truncation_psi: float | None = None
    names: str | None = None
    num_directions: int | None = None
    per_layer: bool | None = None


@dataclass(frozen=True, eq=False)
class Move:
    """One direction as the file has it.

    vector (D,) or (rows, D), one row a layer: any length, any floating dtype.
    model: where the direction depends on the code; the vector is then its mean, of length 1, as the model's own are.
    sigma: what one unit of the file's amounts is, in vector lengths, when the file states a standard deviation of the
    codes; None: the file's amounts are multiples of the vector itself, and the standard deviation is to be measured.
    layers: [start, stop) as the file says, None when it says nothing; may reach beyond the generator's.
    amounts: what the file moves it by, in its own unit. psi: the truncation that its picture went through after the
    edit, which shortened it; 1 where truncation came first.
    """

    name: str
    vector: Tensor
    sigma: float | None = None
    layers: tuple[int, int] | None = None
    amounts: tuple[float, ...] = ()
    psi: float = 1.0
    positive_pole: str = ""
    description: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    model: DirectionModel | None = None


@dataclass(frozen=True)
class Composition:
    """Moves that the file, or a notebook, shows together. amounts: name of a move -> multiples of its own unit."""

    name: str
    amounts: Mapping[str, float]
    description: str = ""


@dataclass(frozen=True, eq=False)
class Contents:
    """Everything that an importer found in a file.

    space: the space of the vectors when the file says so, "" when nothing does; space_from: what said it.
    unit: what the file's amounts are multiples of, for people.
    origin: the file's own fields, JSON-ready, for the pack's record.
    """

    moves: tuple[Move, ...]
    unit: str
    space: Space | Literal[""] = ""
    space_from: str = ""
    compositions: tuple[Composition, ...] = ()
    description: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Importer(NamedTuple):
    """How one format of directions is known by its content, and read."""

    sniff: Callable[[Opened], bool]
    read: Callable[[Opened, Request], Contents]
    describes: str  # "GANSpace components (.npz)", for messages


def is_leaf(value: object) -> bool:
    return isinstance(value, (StoredArray, NumpyArray, StoredTensor))


def shape_of(value: object) -> tuple[int, ...] | None:
    """The shape of an array that was described and not yet read; None for anything else."""
    if isinstance(value, StoredTensor):
        return tuple(value.size)
    return tuple(value.shape) if isinstance(value, (StoredArray, NumpyArray)) else None


def read_numbers(value: object, noun: str, *, max_numbers: int = MAX_NUMBERS) -> Tensor:
    """The array as a float32 or float64 tensor.

    Raises:
        PackFormatError: no array, too large, not numbers, or holding NaN or infinite values.
    """
    shape = shape_of(value)
    if shape is None:
        raise PackFormatError(f"{noun} is {type(value).__name__}; wanted an array of numbers")
    numel = 1
    for size in shape:
        numel *= size
    if not 0 < numel <= max_numbers:
        raise PackFormatError(f"{noun} has shape {shape}, {numel:,} numbers; wanted 1 to {max_numbers:,}")
    found = value.read()  # type: ignore[attr-defined]
    if not isinstance(found, Tensor):
        wide = found.dtype.itemsize > 4 or found.dtype.kind not in "f"
        found = torch.from_numpy(found.astype("float64" if wide else "float32", copy=False))
    if not found.is_floating_point():
        found = found.double()
    if not bool(found.isfinite().all()):
        raise PackFormatError(f"{noun} holds NaN or infinite values; the file is damaged")
    return found


def check_cost(values: Iterable[object], file_bytes: int) -> None:
    """Raise PackFormatError when arrays that share their numbers in the file would unfold to far more than it has."""
    cost = sum(value.cost for value in values if isinstance(value, (NumpyArray, StoredTensor)))
    if cost > SHARING * file_bytes:
        raise PackFormatError(
            f"its arrays unfold to {cost:,} bytes; the file has {file_bytes:,}; no genuine file of directions does that"
        )


def read_rows(value: object, noun: str) -> Tensor:
    """Directions (K, D): of an array (K, D), (K, 1, D), (K, D, 1, 1) or (D,). Raises PackFormatError."""
    shape = shape_of(value)
    if shape is None:
        raise PackFormatError(f"{noun} is {type(value).__name__}; wanted an array of directions")
    sizes = [n for n in shape[1:] if n != 1] or [1]
    if not shape or len(sizes) > 1:
        raise PackFormatError(f"{noun} has shape {shape}; wanted directions of one dimension, (K, D) or (K, 1, D)")
    count, dim = (1, shape[0]) if len(shape) == 1 else (shape[0], sizes[0])
    if not (1 <= count <= MAX_DIRECTIONS and 2 <= dim <= MAX_DIM):
        raise PackFormatError(
            f"{noun} has shape {shape}: {count} directions of {dim} numbers; wanted 1 to {MAX_DIRECTIONS} directions "
            f"of 2 to {MAX_DIM} numbers"
        )
    return read_numbers(value, noun).reshape(count, dim)


def clean_text(text: object, limit: int = MAX_NAME) -> str:
    """A stranger's text as a name: printable, one line, trimmed; "" when nothing is left."""
    if not isinstance(text, str):
        return ""
    shown = "".join(" " if unicodedata.category(ch)[0] in "CZ" else ch for ch in text[: 8 * limit])
    return re.sub(r" +", " ", shown).strip()[:limit].strip()


def numbered(prefix: str, count: int) -> list[str]:
    """'pc-00', 'pc-01', ...: at least two digits, as many as `count` needs."""
    digits = max(2, len(str(count - 1)))
    return [f"{prefix}-{i:0{digits}d}" for i in range(count)]


def taken(count: int, request: Request) -> int:
    """How many of `count` directions the caller wants. Raises PackFormatError when there are fewer."""
    wanted = request.num_directions
    if wanted is None:
        return count
    if not 1 <= wanted <= count:
        raise PackFormatError(f"num_directions is {wanted}; the file holds {count}")
    return wanted


def unique(names: list[str]) -> list[str]:
    """Names made different where they repeat: 'Smile', 'Smile (2)'."""
    seen: set[str] = set()
    copies: dict[str, int] = {}  # the number that was last tried for a name, so that many equal ones take no longer
    found = []
    for name in names:
        candidate, copy = name, copies.get(name, 1)
        while candidate in seen:
            copy += 1
            tail = f" ({copy})"
            candidate = name[: MAX_NAME - len(tail)] + tail
        copies[name] = copy
        seen.add(candidate)
        found.append(candidate)
    return found
