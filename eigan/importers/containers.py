"""The containers that directions come in, opened by content: .npz, .npy, plain pickles, torch files, text.

Pickles run on eigan's own machine (`eigan.readers.unpickler`) with an allow-list of NumPy's arrays and numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eigan.errors import PackFormatError, UnsafeCheckpoint
from eigan.format import is_pack
from eigan.importers.base import Opened
from eigan.importers.numpy_files import MAGIC, open_npy, open_npz
from eigan.readers import read_head, torch_file
from eigan.readers.allowed import (
    NUMPY_BUFFERS,
    NUMPY_CORES,
    encode,
    named_only,
    numpy_array,
    numpy_from_buffer,
    numpy_scalar,
    numpy_type,
)
from eigan.readers.source import Source
from eigan.readers.unpickler import Allowed, Audited, Machine

MAX_FILE_BYTES = 2**31
MAX_STEPS = 50_000  # an exported edit takes a few hundred, S-space statistics a few thousand
NO_GENERATOR = "If it is a generator, give it as the generator."
TEXT = frozenset(b"0123456789+-.eE,; \t\r\n")
TEXT_WORDS = (b"nan", b"inf")


DIRECTIONS: Allowed = {
    ("numpy", "dtype"): Audited("numpy.dtype", numpy_type),
    ("numpy", "ndarray"): named_only("numpy.ndarray"),
    ("_codecs", "encode"): Audited("_codecs.encode", encode),
    **{(core, "scalar"): Audited("numpy.scalar", numpy_scalar, cost=4) for core in NUMPY_CORES},
    **{(core, "_reconstruct"): Audited("numpy._reconstruct", numpy_array, cost=4) for core in NUMPY_CORES},
    **{(core, "_frombuffer"): Audited("numpy._frombuffer", numpy_from_buffer, cost=4) for core in NUMPY_BUFFERS},
}
"""The directions allow-list: what a pickled edit may name. Narrower than the weights', for it needs less."""


@contextmanager
def open_file(path: Path) -> Iterator[Opened | None]:
    """The file at `path` with its container read; arrays are read from it within. None: it is of no such container.

    Raises:
        PackFormatError: a folder, too large, or damaged.
        CheckpointError: a pickle or torch file that is damaged, or (UnsafeCheckpoint) asks for more than arrays need.
    """
    if path.is_dir():
        what = "a direction pack already; load it with DirectionPack.load" if is_pack(path) else "a folder"
        raise PackFormatError(f"it is {what}; give one file of directions")
    head = read_head(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise PackFormatError(f"it has {path.stat().st_size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
    if torch_file.sniff(head, path):
        yield Opened(path, "torch", torch_file.read_tree(path))
    elif head.startswith(MAGIC):
        yield Opened(path, "npy", open_npy(path))
    elif head.startswith(b"PK\3\4"):
        yield Opened(path, "npz", open_npz(path))
    elif is_pickle(head):
        with path.open("rb") as file:
            machine = Machine(Source(file, 0, path.stat().st_size), DIRECTIONS, max_steps=MAX_STEPS)
            try:
                value = machine.load()
            except UnsafeCheckpoint as error:
                raise UnsafeCheckpoint(f"{error} Directions are arrays and numbers alone. {NO_GENERATOR}") from None
            yield Opened(path, "pickle", value)
    elif is_number_table(head):
        yield Opened(path, "text", None)
    else:
        yield None


def is_pickle(head: bytes) -> bool:
    """Whether a plain pickle begins so: protocols 2-5 by their mark, 0 and 1 by the dict or list they build."""
    return (head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 5) or head.startswith(
        (b"(dp", b"(lp", b"}q", b"]q")
    )


def is_number_table(head: bytes) -> bool:
    """Whether the first line that is no comment is a row of numbers, as numpy.savetxt writes them."""
    lines = (line.strip().lower() for line in head.split(b"\n"))
    first = next((line for line in lines if line and not line.startswith(b"#")), b"")
    for word in TEXT_WORDS:
        first = first.replace(word, b"0")
    return any(chr(byte).isdigit() for byte in first) and TEXT.issuperset(first)
