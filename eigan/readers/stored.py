"""Tensors and arrays as a file describes them: checked when described, read only when wanted.

Nothing here trusts a size: a view must lie inside its storage and touch every element once, so that reading all views
of a file never costs more than reading the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from eigan.errors import CheckpointError, UnsafeCheckpoint
from eigan.readers.source import CUT_SHORT, DAMAGED

ALIGNMENT = 64  # as torch's own
MAX_DIMS = 8
MAX_SIZE = 2**31
NUMPY_CODES = frozenset({"f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"})


def fill(target: memoryview, file: BinaryIO, place: int) -> None:
    """Fill `target` from byte `place` of `file` on. Raises CheckpointError when the file has become shorter."""
    file.seek(place)
    count = file.readinto(target)  # type: ignore[attr-defined]
    if count != len(target):
        raise CheckpointError(f"the file ends inside a tensor at byte {place + count:,}; {CUT_SHORT}")


def fresh(count: int, dtype: torch.dtype) -> Tensor:
    """A flat tensor, uninitialised, on a boundary of ALIGNMENT bytes.

    NumPy's memory: for large arrays it asks the system for huge pages, and filling new memory is then several times
    quicker, as most of that time goes into the system's handing out pages.
    """
    memory = np.empty(count * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return torch.from_numpy(memory[start : start + count * dtype.itemsize]).view(dtype)


@dataclass(frozen=True, eq=False)
class LongText:
    """A run of UTF-8 in the file that is too long to be a name; only its beginning was read."""

    file: BinaryIO = field(repr=False)
    offset: int
    length: int
    head: bytes = field(repr=False)


@dataclass(frozen=True, eq=False)
class LongBytes:
    """A run of bytes in the file, left there until it is wanted. Protocols 0-2 keep bytes as text (`as_text`)."""

    file: BinaryIO = field(repr=False)
    offset: int
    length: int
    head: bytes = field(repr=False)
    as_text: bool = False

    def read_into(self, target: memoryview, start: int) -> None:
        """Fill `target` from byte `start` on. Raises CheckpointError when the file has become shorter."""
        if self.as_text:
            data = self._decoded()[start : start + len(target)]
            if len(data) != len(target):
                raise CheckpointError(f"the bytes kept as text at byte {self.offset:,} are too few; {DAMAGED}")
            target[:] = data
            return
        fill(target, self.file, self.offset + start)

    def _decoded(self) -> bytes:
        kept = bytearray(self.length)
        fill(memoryview(kept), self.file, self.offset)
        try:
            return kept.decode("utf-8").encode("latin-1")
        except UnicodeError:
            raise CheckpointError(f"the text at byte {self.offset:,} holds no bytes; {DAMAGED}") from None


@dataclass(frozen=True, eq=False)
class Storage:
    """A flat run of numbers inside `data`, starting at byte `start`."""

    data: bytes | LongBytes = field(repr=False)
    start: int
    numel: int
    dtype: torch.dtype

    def read(self, first: int, count: int) -> Tensor:
        """Elements [first, first + count) as a fresh flat tensor."""
        flat = fresh(count, self.dtype)
        if not count:
            return flat
        target = flat.view(torch.uint8).numpy().data
        start = self.start + first * self.dtype.itemsize
        if isinstance(self.data, LongBytes):
            self.data.read_into(target, start)
        else:
            target[:] = self.data[start : start + len(target)]
        return flat


class StoredTensor:
    """A view of a storage: inside it, and every element once (contiguous or with its axes permuted).

    Raises:
        CheckpointError: sizes, strides or offset that no saved weight has.
    """

    def __init__(self, storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride
        if len(size) > MAX_DIMS or len(size) != len(stride):
            raise CheckpointError(
                f"a tensor has {len(size)} dimensions and {len(stride)} strides; wanted at most {MAX_DIMS}; {DAMAGED}"
            )
        if not all(0 <= n < MAX_SIZE for n in size):
            raise CheckpointError(f"a tensor has shape {size}; wanted sizes from 0 to {MAX_SIZE - 1}; {DAMAGED}")
        self.numel = math.prod(size)
        if not 0 <= offset <= storage.numel - self.numel:
            raise CheckpointError(
                f"a tensor of shape {size} at offset {offset} lies outside its storage of {storage.numel}; {DAMAGED}"
            )
        if self.numel and not self._is_dense():
            raise CheckpointError(
                f"a tensor of shape {size} with strides {stride} repeats or skips elements; {DAMAGED}"
            )

    def _is_dense(self) -> bool:
        step = 1
        for stride, size in sorted((t, n) for t, n in zip(self.stride, self.size, strict=True) if n > 1):
            if stride != step:
                return False
            step *= size
        return True

    @property
    def cost(self) -> int:
        """Bytes of the file that reading this touches."""
        data = self.storage.data
        if isinstance(data, LongBytes) and data.as_text:
            return data.length  # it is decoded as a whole, for every read
        return self.numel * self.storage.dtype.itemsize

    def read(self) -> Tensor:
        """The tensor itself, contiguous, this process's own; floating point becomes float32."""
        flat = self.storage.read(self.offset, self.numel)
        tensor = flat.as_strided(self.size, self.stride) if self.numel else flat.view(self.size)
        return (tensor.float() if tensor.is_floating_point() else tensor).contiguous()


class NumpyType:
    """`numpy.dtype`, numeric kinds only."""

    def __init__(self, code: object, *_: object):
        if not isinstance(code, str) or code.lstrip("<>=|") not in NUMPY_CODES:
            shown = repr(code[:20]) if isinstance(code, str) else f"given as {type(code).__name__}"
            raise UnsafeCheckpoint(f"refused the numpy dtype {shown}: only plain numbers are read")
        self.code, self.order = code.lstrip("<>=|"), code[0] if code[0] in "<>" else "<"

    def build(self, state: object) -> None:
        """The pickled state: (version, byte order, subtype, names, fields, ...)."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
            raise UnsafeCheckpoint("refused a structured numpy dtype: only plain numbers are read")
        self.order = ">" if state[1] == ">" else "<"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class NumpyArray:
    """`numpy.ndarray`, numeric; empty until its state is built."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.type, self.data, self.fortran = NumpyType("f4"), b"", False

    def build(self, state: object) -> None:
        """The pickled state: (version, shape, dtype, is_fortran, bytes)."""
        match state:
            case (int(), tuple(shape), NumpyType() as kind, bool(fortran), bytes() | LongBytes() as data):
                pass
            case _:
                raise UnsafeCheckpoint("refused a numpy array that is not plain numbers")
        if len(shape) > MAX_DIMS or not all(type(n) is int and 0 <= n < MAX_SIZE for n in shape):
            raise CheckpointError(
                f"a numpy array has {len(shape)} sizes; wanted at most {MAX_DIMS}, each below {MAX_SIZE:,}"
            )
        in_file = data.length if isinstance(data, LongBytes) else len(data)
        exact = isinstance(data, bytes) or not data.as_text
        wanted = math.prod(shape) * kind.dtype.itemsize
        if wanted > in_file or (exact and wanted != in_file):
            raise CheckpointError(f"a numpy array of shape {shape} wants {wanted:,} bytes; the file holds {in_file:,}")
        self.shape, self.type, self.fortran, self.data = shape, kind, fortran, data  # type: ignore[assignment]

    @property
    def cost(self) -> int:
        """Bytes of the file that reading this touches."""
        return self.data.length if isinstance(self.data, LongBytes) else len(self.data)

    def read(self) -> np.ndarray[Any, Any]:
        """The array itself, a copy, C order."""
        flat = np.empty(math.prod(self.shape), self.type.dtype)
        if flat.size:
            data: bytes | LongBytes = self.data
            if isinstance(data, LongBytes):
                data.read_into(flat.view(np.uint8).data, 0)
            else:
                flat.view(np.uint8)[:] = np.frombuffer(data, np.uint8)
        array = flat.reshape(self.shape, order="F" if self.fortran else "C")
        return np.ascontiguousarray(array).reshape(self.shape)  # the first makes an array without axes one of one


@dataclass(eq=False)
class Record:
    """An object of the file, inert: its class's name and its attributes. The class itself was never looked for."""

    class_name: str
    state: dict[str | int, Any] = field(repr=False)

    def build(self, state: object) -> None:
        """Take the attributes that the file sets: data, never looked up on a class."""
        if type(state) is not dict:
            name = self.class_name[:80]
            raise UnsafeCheckpoint(f"refused to set the state of a {name} with a {type(state).__name__}")
        self.state = state
