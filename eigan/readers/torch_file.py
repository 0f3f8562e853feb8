"""Files of torch.save, in both of its formats: the generator in them, or their whole object tree."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, cast

from eigan.errors import CheckpointError
from eigan.readers import torch_contents, torch_legacy, torch_zip
from eigan.readers.archive import LOCAL_BYTES, SIGNATURE, Archive
from eigan.readers.base import RawCheckpoint
from eigan.readers.source import LastingFile

CONTAINER = "torch"
LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number as a pickle, after its PROTO and perhaps FRAME
LEGACY_HEAD = 32

Tree = Any  # dict, list, tuple, str, numbers, None, Record, NumpyArray, StoredTensor (`.read()` gives the tensor)


def sniff(head: bytes, path: Path) -> bool:
    """Whether torch.save wrote the file: the old format's magic number, or a zip archive with a data.pkl."""
    if head[:1] == b"\x80":
        return LEGACY_MAGIC in head[:LEGACY_HEAD]
    if not head.startswith(SIGNATURE):
        return False
    if first_name(head).endswith(b"/data.pkl"):
        return True
    try:
        with path.open("rb") as file:
            return torch_zip.root_of(list(Archive(file).infos)) is not None
    except CheckpointError:
        return False


def first_name(head: bytes) -> bytes:
    """The name of a zip archive's first member."""
    return head[LOCAL_BYTES:][: struct.unpack_from("<H", head, 26)[0]] if len(head) >= LOCAL_BYTES else b""


def read(path: Path) -> RawCheckpoint:
    """The weights of the generator (its moving average where there is one), and every plain value beside them.

    Raises:
        UnsafeCheckpoint: the pickle names or calls anything that weights do not need; nothing in it was run.
        CheckpointError: truncated, malformed, a bomb, or without a generator.
    """
    with path.open("rb") as file:
        found = torch_contents.find_generator(read_object(file))
        weights = torch_contents.read_weights(found.stored, os.fstat(file.fileno()).st_size)
    return RawCheckpoint(weights, found.hints, CONTAINER, source={"file": path.name})


def read_tree(path: Path) -> Tree:
    """Everything that a file of torch.save holds, its tensors still unread: they are read from `path` when asked for.

    Raises:
        UnsafeCheckpoint: the pickle names or calls anything that weights do not need; nothing in it was run.
        CheckpointError: no file of torch.save, truncated, malformed, or a bomb. Reading a tensor may raise it later.
    """
    try:
        with LastingFile(path) as file:
            return read_object(cast(BinaryIO, file))
    except CheckpointError as error:
        raise type(error)(f"{path.name}: {error}") from error.__cause__
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def read_object(file: BinaryIO) -> Tree:
    head = file.read(LEGACY_HEAD)
    if head.startswith(SIGNATURE):
        return torch_zip.read_object(file)
    if LEGACY_MAGIC in head:
        return torch_legacy.read_object(file)
    raise CheckpointError("it is no file of torch.save: neither a zip archive nor the format before PyTorch 1.6")
