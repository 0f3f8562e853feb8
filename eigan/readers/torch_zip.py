"""The zip format of torch.save (since PyTorch 1.6): a pickle of the object tree, and one stored member per storage.

Tensors stay in the file until they are read. Checked against torch.load of PyTorch 2.13.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, BinaryIO, cast

from eigan.errors import CheckpointError, UnsafeCheckpoint
from eigan.readers.allowed import TORCH
from eigan.readers.archive import Archive
from eigan.readers.source import DAMAGED, Source
from eigan.readers.stored import Storage
from eigan.readers.torch_stream import KINDS
from eigan.readers.unpickler import Audited, Machine, kind_of

PICKLE = "data.pkl"
SCRIPT_MEMBERS = ("constants.pkl", "code/")  # of a TorchScript archive
MAX_PICKLE = 64 * 2**20  # genuine ones take less than one MiB
MAX_KEY = 64


def root_of(names: list[str]) -> str | None:
    """The folder ("archive/") that holds data.pkl; None when there is none. Its name is arbitrary."""
    found = [name for name in names if name.count("/") == 1 and name.endswith(f"/{PICKLE}")]
    return found[0].removesuffix(PICKLE) if len(found) == 1 else None


def read_object(file: BinaryIO) -> Any:
    """The object that was saved: plain values, Records, and StoredTensors that `file` is read for later.

    Raises:
        UnsafeCheckpoint: its pickle names or calls something that weights do not need.
        CheckpointError: no torch.save file, damaged, from a big-endian machine, or a TorchScript program.
    """
    archive = Archive(file)
    root = root_of(list(archive.infos))
    if root is None:
        raise CheckpointError(f"the zip archive has not one folder with a {PICKLE}; torch.save writes one; {DAMAGED}")
    if any(name.startswith(tuple(root + script for script in SCRIPT_MEMBERS)) for name in archive.infos):
        raise CheckpointError(
            "it is a TorchScript archive: a program, not weights alone; eigan runs no code from files. "
            "Save the model's state_dict() with torch.save instead."
        )
    order = f"{root}byteorder"
    if order in archive.infos and archive.read(order, 16) != b"little":
        raise CheckpointError("it was saved on a big-endian machine; load and save it again on a common one")
    data = archive.read(root + PICKLE, MAX_PICKLE)
    source = Source(cast(BinaryIO, BytesIO(data)), 0, len(data))
    storages: dict[str, Storage] = {}
    tree = Machine(source, TORCH, lambda name: described_storage(name, archive, root, storages)).load()
    if source.remaining:
        raise CheckpointError(f"{source.remaining:,} bytes follow the end of {PICKLE}; torch.save writes none")
    return tree


def described_storage(name: object, archive: Archive, root: str, known: dict[str, Storage]) -> Storage:
    """The Storage of a persistent id ('storage', type, key, device, numel), one for every key."""
    match name:
        case ("storage", Audited(name=kind), str(key), str(), int(numel)) if kind in KINDS and type(numel) is int:
            pass
        case _:
            raise UnsafeCheckpoint(f"refused a persistent id of type {kind_of(name)} that describes no tensor storage")
    storage = known.get(key)
    if storage is None:
        storage = known[key] = find_storage(archive, f"{root}data/{key[:MAX_KEY]}", numel, kind)
    if storage.numel != numel or storage.dtype is not KINDS[kind]:
        raise CheckpointError(f"a storage is described twice, differently; {DAMAGED}")
    return storage


def find_storage(archive: Archive, name: str, numel: int, kind: str) -> Storage:
    member = archive.member(name)
    wanted = numel * KINDS[kind].itemsize
    if member is None or numel < 0 or member.length != wanted:
        have = "no such member" if member is None else f"{member.length:,} bytes"
        raise CheckpointError(f"a storage of {numel:,} elements wants {wanted:,} bytes; the file has {have}; {DAMAGED}")
    return Storage(member, 0, numel, KINDS[kind])
