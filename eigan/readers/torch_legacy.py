"""The format of torch.save before PyTorch 1.6: magic number, version, system, the object's pickle, a list of storage
keys, then a count and the numbers of each storage.

Tensors stay in the file until they are read. Checked against torch.load of PyTorch 2.13.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from eigan.errors import CheckpointError, UnsafeCheckpoint
from eigan.readers.allowed import TORCH
from eigan.readers.source import DAMAGED, Source
from eigan.readers.stored import LongBytes, Storage, fill
from eigan.readers.torch_stream import KINDS, MAGIC, MAX_NUMEL, MAX_STEPS, NOTHING, PROTOCOL
from eigan.readers.unpickler import Audited, Machine, kind_of

MAX_KEY = 64
MAX_STORAGES = 20_000


@dataclass(frozen=True, eq=False)
class Numbers(LongBytes):
    """A storage's bytes; where they lie is known when the whole file has been looked through."""

    key: str = field(kw_only=True)
    places: dict[str, int] = field(kw_only=True, repr=False)

    def read_into(self, target: memoryview, start: int) -> None:
        fill(target, self.file, self.places[self.key] + start)


class Storages:
    """The storages that the object's pickle describes, and then where each lies."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.known: dict[str, Storage] = {}
        self.places: dict[str, int] = {}

    def describe(self, name: object) -> Storage:
        """The Storage of a persistent id ('storage', type, key, device, numel, view); view: (key, offset, numel)."""
        match name:
            case ("storage", Audited(name=kind), str(key), str(), int(numel), view) if kind in KINDS:
                pass
            case _:
                raise UnsafeCheckpoint(
                    f"refused a persistent id of type {kind_of(name)} that describes no tensor storage"
                )
        if type(numel) is not int or not 0 <= numel < MAX_NUMEL or len(key) > MAX_KEY:
            raise CheckpointError(f"a storage of {numel:,} elements is described; {DAMAGED}")
        dtype = KINDS[kind]
        if key not in self.known:
            data = Numbers(self.file, 0, numel * dtype.itemsize, b"", key=key, places=self.places)
            self.known[key] = Storage(data, 0, numel, dtype)
        whole = self.known[key]
        if whole.numel != numel or whole.dtype is not dtype or len(self.known) > MAX_STORAGES:
            raise CheckpointError(f"a storage is described twice, differently, or there are too many; {DAMAGED}")
        return whole if view is None else part_of(whole, view)

    def locate(self, keys: Any, source: Source) -> None:
        """Note where each storage lies: in the order of `keys`, a count and the numbers."""
        named = type(keys) is list and all(type(key) is str for key in keys)
        if not named or len(keys) != len(self.known) or set(keys) != set(self.known):
            raise CheckpointError(f"the list of storages is not that of the tensors; {DAMAGED}")
        for key in keys:
            storage, numel = self.known[key], source.number(8)
            if numel != storage.numel:
                raise CheckpointError(
                    f"a storage has {numel:,} elements at byte {source.position:,}; the tensors want {storage.numel:,}"
                )
            self.places[key] = source.position
            source.skip(numel * storage.dtype.itemsize)


def part_of(whole: Storage, view: object) -> Storage:
    """A part of a storage that has its own number (files before PyTorch 0.4)."""
    match view:
        case (str(), int(offset), int(numel)) if 0 <= offset <= offset + numel <= whole.numel:
            return Storage(whole.data, whole.start + offset * whole.dtype.itemsize, numel, whole.dtype)
    raise CheckpointError(f"a storage's view lies outside it; {DAMAGED}")


def read_object(file: BinaryIO) -> Any:
    """The object that was saved: plain values, Records, and StoredTensors that `file` is read for later.

    Raises:
        UnsafeCheckpoint: one of its pickles names or calls something that weights do not need.
        CheckpointError: damaged, cut short, or from a big-endian machine.
    """
    source = Source(file, 0, os.fstat(file.fileno()).st_size)

    def load(max_steps: int = MAX_STEPS) -> Any:
        return Machine(source, NOTHING, None, max_steps).load()

    if load() != MAGIC or load() != PROTOCOL:
        raise CheckpointError(f"it begins like a torch.save file and goes on otherwise; {DAMAGED}")
    system = load()
    if type(system) is not dict or system.get("little_endian") is not True:
        raise CheckpointError("it was saved on a big-endian machine; load and save it again on a common one")
    storages = Storages(file)
    tree = Machine(source, TORCH, storages.describe).load()
    storages.locate(load(2 * MAX_STORAGES + MAX_STEPS), source)
    if source.remaining:
        raise CheckpointError(f"{source.remaining:,} bytes follow the last tensor; torch.save writes none; {DAMAGED}")
    return tree
