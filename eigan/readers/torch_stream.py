"""One storage as torch.save wrote it before the zip format: five small pickles, a count, then the numbers.

NVIDIA's pickles hold one such stream for every tensor. The pickles run on the same machine as the file around them, so
a hostile one is refused there too; the numbers stay in the file until a tensor is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO, cast

import torch

from eigan.errors import CheckpointError, UnsafeCheckpoint
from eigan.readers.source import DAMAGED, Source
from eigan.readers.stored import LongBytes, Storage
from eigan.readers.unpickler import Allowed, Audited, Machine, kind_of

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
PREAMBLE = (  # the first three pickles as every PyTorch writes them on common machines: magic, protocol, system
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    b"\x80\x02M\xe9\x03."
    b"\x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionq\x01M\xe9\x03X\r\x00\x00\x00little_endianq\x02\x88"
    b"X\n\x00\x00\x00type_sizesq\x03}q\x04(X\x05\x00\x00\x00shortq\x05K\x02X\x03\x00\x00\x00intq\x06K\x04"
    b"X\x04\x00\x00\x00longq\x07K\x04uu."
)
MAX_NUMEL = 2**40
MAX_STEPS = 100  # of each of the five; genuine ones take 35 at most
NOTHING: Allowed = {}
NO_VIEW: tuple[list[None], ...] = ([], [None])
KINDS: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def _refuse_call(args: tuple[Any, ...]) -> Any:
    raise UnsafeCheckpoint("refused to call a storage type: weights only name it")


STORAGE_TYPES = {("torch", name): Audited(name, _refuse_call) for name in KINDS}


def read_storage(data: bytes | LongBytes) -> Storage:
    """The storage that a legacy torch stream holds; its numbers are not read yet.

    Raises:
        UnsafeCheckpoint: one of its pickles names something else than a storage type.
        CheckpointError: not such a stream, or of another length than it says.
    """
    head = data if isinstance(data, bytes) else readable_head(data)
    if head.startswith(b"PK"):
        raise CheckpointError("a tensor is stored as a zip archive inside the pickle; no NVIDIA snapshot does that")
    usual = head.startswith(PREAMBLE)
    source = Source(cast(BinaryIO, BytesIO(head)), len(PREAMBLE) if usual else 0, len(head))

    def load(allowed: Allowed = NOTHING, persistent: Callable[[object], object] | None = None) -> Any:
        return Machine(source, allowed, persistent, MAX_STEPS).load()

    if not usual:
        if load() != MAGIC or load() != PROTOCOL:
            raise CheckpointError(f"a tensor's bytes are not a torch stream; {DAMAGED}")
        system = load()
        if type(system) is not dict or system.get("little_endian") is not True:
            raise CheckpointError("a tensor was saved on a big-endian machine; convert it there")
    keys: list[object] = []
    storage = load(STORAGE_TYPES, lambda name: described_storage(name, keys))
    listed = load()
    if type(storage) is not Storage or type(listed) is not list or listed != keys:
        raise CheckpointError(f"a tensor's stream holds something else than one storage; {DAMAGED}")
    numel = source.number(8)
    wanted = source.position + numel * storage.dtype.itemsize
    have = len(data) if isinstance(data, bytes) else data.length
    as_text = isinstance(data, LongBytes) and data.as_text  # then `have` counts UTF-8, at least a byte a byte
    if numel != storage.numel or wanted > have or (wanted < have and not as_text):
        raise CheckpointError(
            f"a tensor's stream says {storage.numel:,} and {numel:,} elements, {wanted:,} bytes; it has {have:,} bytes"
        )
    return Storage(data, source.position, numel, storage.dtype)


def readable_head(data: LongBytes) -> bytes:
    """The first bytes of `data`, decoded when the pickle keeps bytes as text."""
    if not data.as_text:
        return data.head
    return data.head.decode("utf-8", "ignore").encode("latin-1")  # "ignore": a character cut in two at the end


def described_storage(name: object, keys: list[object]) -> Storage:
    """The empty Storage that a persistent id ('storage', type, key, device, numel, None) describes; notes its key."""
    match name:
        case ("storage", Audited(name=kind), str(key), str(), int(numel), *view) if kind in KINDS and view in NO_VIEW:
            if keys or not 0 <= numel < MAX_NUMEL:
                raise CheckpointError(
                    f"a tensor's stream holds storage {len(keys) + 1} of {numel:,} elements; wanted one"
                )
            keys.append(key)
            return Storage(b"", 0, numel, KINDS[kind])
    raise UnsafeCheckpoint(f"refused a persistent id of type {kind_of(name)} that describes no tensor storage")
