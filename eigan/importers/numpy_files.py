"""NumPy's .npy and .npz read by their description: header, sizes and zip members are checked before anything is made.

The format is NumPy's own (numpy.lib.format): a magic string, a dict literal with descr, fortran_order and shape, then
the numbers. Object arrays, which hold pickles, are never read.
"""

from __future__ import annotations

import ast
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from eigan.errors import PackFormatError
from eigan.readers.archive import Archive

MAGIC = b"\x93NUMPY"
KINDS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})
MIN_HEADER, MAX_HEADER = 16, 1024
MAX_DIMS = 8
MAX_ARRAY_BYTES = 2**28
MAX_MEMBERS = 64
CHUNK = 2**20
DAMAGED = "the file is damaged; download it again"


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array whose header was read and whose numbers were not. `read` gives them, C order, the caller's own."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    load: Callable[[], bytearray] = field(repr=False)

    def read(self) -> npt.NDArray[Any]:
        wanted = math.prod(self.shape) * self.dtype.itemsize
        if wanted > MAX_ARRAY_BYTES:
            raise PackFormatError(f"an array of shape {self.shape} has {wanted:,} bytes; at most {MAX_ARRAY_BYTES:,}")
        data = self.load()
        if len(data) != wanted:
            raise PackFormatError(f"an array of shape {self.shape} wants {wanted:,} bytes; {len(data):,} are there")
        flat = np.frombuffer(data, self.dtype)
        return np.asarray(flat.reshape(self.shape, order="F" if self.fortran else "C"), order="C")


def open_npy(path: Path) -> StoredArray:
    """The array in a .npy file. Raises PackFormatError: not plain numbers, or not the file that its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        shape, dtype, fortran, start = read_header(file)
    check_length(shape, dtype, size - start)

    def load() -> bytearray:
        data = bytearray(size - start)
        with path.open("rb") as file:
            file.seek(start)
            del data[file.readinto(data) :]
        return data

    return StoredArray(shape, dtype, fortran, load)


def open_npz(path: Path) -> dict[str, StoredArray]:
    """Name -> array of an .npz file; members that are no arrays of numbers are refused.

    Raises:
        PackFormatError: damaged, too many members, or members that are not the arrays that their headers say.
        CheckpointError: the zip archive itself is damaged.
    """
    with path.open("rb") as file:
        names = Archive(file).infos  # checks the directory's size and the members' names
    if not 1 <= len(names) <= MAX_MEMBERS:
        raise PackFormatError(f"the archive holds {len(names):,} members; wanted 1 to {MAX_MEMBERS} arrays")
    found = {}
    with open_zip(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in found or not name.isidentifier():
                raise PackFormatError(f"the archive holds {member.filename[:60]!r}; wanted arrays of different names")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise PackFormatError(f"{name} is compressed in a way that NumPy does not use")
            with read_member(archive, member) as file:
                shape, dtype, fortran, start = read_header(file)
            check_length(shape, dtype, member.file_size - start, name)
            found[name] = StoredArray(shape, dtype, fortran, _loader(path, member.filename, start))
    return found


def _loader(path: Path, name: str, start: int) -> Callable[[], bytearray]:
    def load() -> bytearray:
        data = bytearray()
        with open_zip(path) as archive, read_member(archive, archive.getinfo(name)) as file:
            file.read(start)
            while chunk := file.read(CHUNK):  # zipfile stops at the size that the directory states
                data += chunk
        return data

    return load


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at `path`; whatever zipfile raises within becomes a PackFormatError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except PackFormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError, ValueError) as error:
        raise PackFormatError(f"the archive cannot be read ({str(error)[:80]}); {DAMAGED}") from None


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    if member.file_size > MAX_ARRAY_BYTES + MAX_HEADER:
        raise PackFormatError(f"{member.filename[:60]!r} has {member.file_size:,} bytes; at most {MAX_ARRAY_BYTES:,}")
    return archive.open(member)


def read_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any], bool, int]:
    """Shape, dtype, whether in Fortran order, and where the numbers start. Raises PackFormatError."""
    head = file.read(12)
    version = head[6:8]
    if head[:6] != MAGIC or len(head) < 12 or version not in (b"\1\0", b"\2\0", b"\3\0"):
        raise PackFormatError(f"an array has no NumPy header; {DAMAGED}")
    width = 2 if version == b"\1\0" else 4
    length = int.from_bytes(head[8 : 8 + width], "little")
    if not MIN_HEADER <= length <= MAX_HEADER:
        raise PackFormatError(f"an array's header has {length:,} bytes; wanted {MIN_HEADER} to {MAX_HEADER}")
    text = head[8 + width :] + file.read(length + width - 4)
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise PackFormatError(f"an array's header is no plain dict; {DAMAGED}") from None
    match header:
        case {"descr": str(descr), "fortran_order": bool(fortran), "shape": tuple(shape)} if len(header) == 3:
            return check_shape(shape), check_dtype(descr), fortran, 8 + width + length
    raise PackFormatError("an array's header does not describe plain numbers; object arrays are never read")


def check_dtype(descr: str) -> np.dtype[Any]:
    if descr.lstrip("<>=|") not in KINDS or len(descr) > 3:
        raise PackFormatError(f"an array has dtype {descr[:20]!r}; only plain numbers are read")
    return np.dtype(descr)


def check_shape(shape: tuple[object, ...]) -> tuple[int, ...]:
    if len(shape) > MAX_DIMS or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise PackFormatError(f"an array has {len(shape)} sizes; wanted at most {MAX_DIMS}, each below {2**31:,}")
    return shape  # type: ignore[return-value]


def check_length(shape: tuple[int, ...], dtype: np.dtype[Any], have: int, name: str = "an array") -> None:
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != have:
        raise PackFormatError(f"{name} of shape {shape} wants {wanted:,} bytes; the file holds {have:,}")
