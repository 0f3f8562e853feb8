"""Latent: codes that a picture starts from in place of a seed, and the files that projectors and encoders keep them in.

Read: .npy, .npz (NVIDIA's projector.py writes projected_w.npz, "w" of shape (1, L, D)), .safetensors and .pt. Files are
known by content; no pickle is ever run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from eigan.errors import CheckpointError, InvalidCodes, PackFormatError, list_names
from eigan.generators.base import Codes, Generator
from eigan.importers.base import clean_text
from eigan.importers.numpy_files import MAGIC, StoredArray, open_npy, open_npz
from eigan.layers import MAX_LAYERS
from eigan.plain_files import expanded, plain_size
from eigan.readers import read_head, safetensors, torch_file, unknown
from eigan.readers.archive import SIGNATURE
from eigan.readers.stored import StoredTensor
from eigan.whole_files import write_whole

MAX_ROW = 8192  # numbers of a row of codes
MAX_NUMBERS = 2**16  # in all; 18 rows of 512 have 9,216. So that a recipe that holds them stays below its limit
MAX_VALUE = 1e6
MAX_FILE_BYTES = 16 * 2**20  # latents are far smaller, but a picture or noise maps may lie beside one
NESTING = 2  # dicts in dicts of a .pt
NAMES = ("w", "codes", "latent", "w_plus")  # what a latent is called where a file holds more than one array
READS = ".npy, .npz, .safetensors and .pt files of codes (D,), (1, D), (L, D) or (1, L, D)"


@dataclass(frozen=True)
class Latent:
    """Codes of one picture, (rows, D): a row for each layer, or one row for all of them.

    data: the numbers row by row, float32, little-endian. `Latent.of` makes one of a tensor.

    Raises:
        PackFormatError: another number of bytes than `shape` says, sizes beyond the limits, values that are not finite
            or beyond a million.
    """

    shape: tuple[int, int]
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_sizes(self.shape)
        if len(self.data) != 4 * math.prod(self.shape):
            raise PackFormatError(
                f"a latent of shape {self.shape} wants {4 * math.prod(self.shape):,} bytes; it has {len(self.data):,}"
            )
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "data", bytes(self.data))
        values = np.frombuffer(self.data, "<f4")
        if not np.isfinite(values).all():
            raise PackFormatError("the latent holds NaN or infinite values; the file is damaged")
        if np.abs(values).max() > MAX_VALUE:
            raise PackFormatError(f"the latent holds {np.abs(values).max():g}; wanted {-MAX_VALUE:g} to {MAX_VALUE:g}")

    @classmethod
    def of(cls, codes: Tensor) -> Latent:
        """The latent of codes (D,), (1, D), (L, D) or (1, L, D), floating point, kept as float32.

        Raises:
            PackFormatError: another shape or dtype, or numbers that no codes have.
        """
        if not codes.is_floating_point():
            raise PackFormatError(f"a latent is {codes.dtype}; wanted floating point numbers")
        shape = rows_of(tuple(codes.shape))
        values = codes.detach().to("cpu", torch.float32).contiguous().numpy()
        return cls(shape, values.astype("<f4").tobytes())

    @property
    def codes(self) -> Tensor:
        """(rows, D), float32, CPU; the caller's own."""
        return torch.from_numpy(np.frombuffer(self.data, "<f4").astype(np.float32).reshape(self.shape))

    def for_generator(self, generator: Generator) -> Codes:
        """Codes (1, L, D) on the generator's device; a single row goes to all layers.

        Raises:
            InvalidCodes: they are not this generator's: rows of another size, or another number of rows.
        """
        rows, dim = self.shape
        if dim != generator.code_dim or rows not in (1, generator.num_layers):
            raise InvalidCodes(
                f"the latent has shape {self.shape}; {generator.describe()} wants ({generator.num_layers}, "
                f"{generator.code_dim}), or one row of {generator.code_dim} for all layers"
            )
        return self.codes.to(generator.device).expand(generator.num_layers, -1)[None].clone()


def rows_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """(rows, D) of codes of `shape`: (D,), (1, D), (L, D) or (1, L, D). Raises PackFormatError on any other."""
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) not in (1, 2):
        raise PackFormatError(f"a latent has shape {shape}; wanted (D,), (1, D), (L, D) or (1, L, D): one picture's")
    rows, dim = (1, *shape) if len(shape) == 1 else shape
    check_sizes((rows, dim))
    return rows, dim


def check_sizes(shape: tuple[int, int]) -> None:
    """Raise PackFormatError unless (rows, D) are sizes that codes of one picture have."""
    rows, dim = shape
    if not (1 <= rows <= MAX_LAYERS and 1 <= dim <= MAX_ROW and rows * dim <= MAX_NUMBERS):
        raise PackFormatError(
            f"a latent has {rows:,} rows of {dim:,} numbers; wanted at most {MAX_LAYERS} rows of {MAX_ROW:,}, and "
            f"{MAX_NUMBERS:,} numbers in all"
        )


class Candidate(NamedTuple):
    """An array of a file that may be the latent; its numbers were not read yet."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def read_latent(path: str | Path) -> Latent:
    """The latent in a .npy, .npz, .safetensors or .pt file, known by its content; nothing in the file is run.

    Of several arrays it is the only one that has a latent's shape and is floating point, or the only such one that is
    called "w", "codes", "latent" or "w_plus".

    Raises:
        PackFormatError: no such file, too large, damaged, or it holds no latent, or several.
        CheckpointError: a torch or safetensors file is damaged, or (UnsafeCheckpoint) asks for more than tensors need.
    """
    if not str(path).strip() or "\0" in str(path):
        raise PackFormatError(f"no file given; give one of the {READS}")
    path = expanded(path)
    shown = clean_text(path.name, 200)
    try:
        plain_size(path, MAX_FILE_BYTES)
        return Latent.of(_chosen(_candidates(path)).read())
    except (CheckpointError, PackFormatError) as error:
        reason = str(error).removeprefix(f"{path.name}: ")  # torch files say their name themselves
        raise type(error)(f"{shown}: {reason}") from error.__cause__
    except (OSError, UnicodeEncodeError) as error:  # the latter: a name that no file can have
        raise PackFormatError(f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def write_latent(codes: Latent | Tensor, path: str | Path) -> None:
    """Keep codes in a file of their own, (L, D), float32: .npy, .safetensors (as "w") or .pt (a tensor), by the suffix.

    codes: a Latent, or a tensor as `Latent.of` takes. A file that is there is replaced, by all of the new one or not
    at all.

    Raises:
        PackFormatError: another suffix, no codes of one picture, or a place that cannot be written.
    """
    path = expanded(path)
    data = latent_bytes(codes, path.suffix)
    try:
        write_whole(path, data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PackFormatError(f"{clean_text(path.name, 200)} cannot be written: {reason}") from None


def latent_bytes(codes: Latent | Tensor, suffix: str) -> bytes:
    """What `write_latent` writes into a file with that suffix (".npy"). Raises PackFormatError."""
    rows = (codes if isinstance(codes, Latent) else Latent.of(codes)).codes
    buffer = BytesIO()
    match suffix.lower():
        case ".npy":
            np.save(buffer, rows.numpy(), allow_pickle=False)
        case ".safetensors":
            buffer.write(save({"w": rows}, metadata={"format": "pt"}))
        case ".pt":
            torch.save(rows, buffer)
        case _:
            raise PackFormatError(f"latents are not written as {suffix[:20]!r}; use .npy, .safetensors or .pt")
    return buffer.getvalue()


def _candidates(path: Path) -> dict[str, Candidate]:
    """Every floating point array of the file by its name, unread; "" for the only one of a file without names."""
    head = read_head(path)
    if torch_file.sniff(head, path):
        return _stored_tensors(torch_file.read_tree(path), "", NESTING)
    if head.startswith(MAGIC):
        return _arrays({"": open_npy(path)})
    if head.startswith(SIGNATURE):
        return _arrays(open_npz(path))
    if safetensors.sniff(head, path):
        safetensors.check_header(path)
        tensors = safetensors.read_weights(path)  # all of them: the file is not larger than MAX_FILE_BYTES
        return {name: Candidate(tuple(tensor.shape), tensor.clone) for name, tensor in tensors.items()}
    raise PackFormatError(f"it is {unknown.describe(head, path)}. Latents are read from {READS}")


def _arrays(stored: Mapping[str, StoredArray]) -> dict[str, Candidate]:
    return {name: Candidate(a.shape, partial(_read_array, a)) for name, a in stored.items() if a.dtype.kind == "f"}


def _read_array(array: StoredArray) -> Tensor:
    return torch.from_numpy(array.read().astype(array.dtype.newbyteorder("=")))


def _stored_tensors(tree: torch_file.Tree, name: str, depth: int) -> dict[str, Candidate]:
    """The tensors of a torch file by dotted name: the one that it is, or those in its dicts (rosinality's projector
    keeps {picture: {"latent": tensor}}).
    """
    if type(tree) is StoredTensor and tree.storage.dtype.is_floating_point:
        return {name: Candidate(tuple(tree.size), tree.read)}
    found: dict[str, Candidate] = {}
    if type(tree) is dict and depth:
        for key, value in tree.items():
            found |= _stored_tensors(value, f"{name}.{key}" if name else str(key), depth - 1)
    return found


def _chosen(found: Mapping[str, Candidate]) -> Candidate:
    """The latent among the arrays of a file. Raises PackFormatError when none or several can be it."""
    fitting = {name: candidate for name, candidate in found.items() if _fits(candidate.shape)}
    if len(found) == 1 and not fitting:
        rows_of(next(iter(found.values())).shape)  # says what is wrong
    named = [candidate for name, candidate in fitting.items() if name.rpartition(".")[2] in NAMES]
    chosen = list(fitting.values()) if len(fitting) == 1 else named
    if len(chosen) == 1:
        return chosen[0]
    if not fitting:
        raise PackFormatError(f"it holds no array that could be codes of one picture. Latents are read from {READS}")
    listed = list_names((clean_text(name, 40) or "one without a name" for name in fitting), 8)
    raise PackFormatError(f"it holds several arrays that could be the latent: {listed}; keep the one in a file alone")


def _fits(shape: tuple[int, ...]) -> bool:
    try:
        rows_of(shape)
    except PackFormatError:
        return False
    return True
