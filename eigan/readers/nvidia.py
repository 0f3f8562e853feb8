"""NVIDIA's PyTorch snapshots (stylegan2-ada-pytorch, stylegan3): a pickled dict whose G_ema is the generator.

Modules are inert records here: their weights are collected by walking `_modules`, `_parameters` and `_buffers`, their
plain attributes become hints. The Python source that such files carry is never looked at. projected-gan writes the same
dict, of modules that are named by their class.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from eigan.errors import CheckpointError, list_names
from eigan.readers.allowed_modules import SNAPSHOT
from eigan.readers.base import Hint, RawCheckpoint, note_hint
from eigan.readers.source import DAMAGED, Source
from eigan.readers.stored import Record, StoredTensor
from eigan.readers.unpickler import Allowed, Machine, kind_of, printable

CONTAINER = "nvidia"
GENERATOR = "G_ema"
TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the first pickle of a torch.save file, after its PROTO
PROTOCOL_0 = re.compile(rb"[(\]})dl]*(?:[ci][\w.]+\n[\w.]+\n|S['\"]|[ILF]-?\d)")
MAX_DEPTH = 16
MAX_MODULES = 4096
MAX_TENSORS = 16384
MAX_ENTRIES = 200_000
MODULE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}|[0-9]{1,4}")


def sniff(head: bytes, path: Path) -> bool:
    """Whether the file is a pickle (any protocol), and not one that torch.save wrote."""
    if head[:1] == b"\x80" and head[1:2] < b"\x80":
        return head[2 : 2 + len(TORCH_MAGIC)] != TORCH_MAGIC
    if not PROTOCOL_0.match(head):
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"."


def read(path: Path) -> RawCheckpoint:
    """The weights of G_ema and every plain attribute of its modules.

    Raises:
        UnsafeCheckpoint: the pickle names or calls anything that weights do not need; nothing in it was run.
        CheckpointError: truncated, malformed, a bomb, or without a generator.
    """
    with path.open("rb") as file:
        root, size = load_whole(file, SNAPSHOT)
        walk = Walk(size)
        walk.visit(find_generator(root), "", 0)
        if "b4.out.weight" in walk.stored or walk.hints.get("class_name") == "Discriminator":
            raise CheckpointError(f"{GENERATOR} holds a discriminator; there is no generator to load")
        return RawCheckpoint(walk.weights(), walk.hints, CONTAINER, source={"file": path.name})


def load_whole(file: BinaryIO, allowed: Allowed) -> tuple[Any, int]:
    """The one pickle that `file` is, and the file's size in bytes. Raises CheckpointError when anything follows it."""
    size = os.fstat(file.fileno()).st_size
    source = Source(file, 0, size)
    root = Machine(source, allowed).load()
    if source.remaining:
        raise CheckpointError(
            f"{source.remaining:,} bytes follow the end of the pickle; a snapshot has none. "
            "Download it again from the generator's authors."
        )
    return root, size


def find_generator(root: object) -> Record:
    """G_ema of a snapshot's dict, or the pickled module itself."""
    if type(root) is Record:
        return root
    if type(root) is not dict:
        raise CheckpointError(f"the pickle holds a {kind_of(root)}; a snapshot is a dict with a {GENERATOR}")
    if GENERATOR not in root:
        names = list_names((printable(str(key), 40) for key in root), 8)
        raise CheckpointError(f"the snapshot has no {GENERATOR}; it has {names or 'nothing'}")
    generator = root[GENERATOR]
    if type(generator) is not Record:
        raise CheckpointError(f"{GENERATOR} is a {kind_of(generator)}; wanted a module; {DAMAGED}")
    return generator


@dataclass
class Walk:
    """Collects tensors and attributes of nested module records, within limits."""

    file_bytes: int
    stored: dict[str, StoredTensor] = field(default_factory=dict)
    hints: dict[str, Hint] = field(default_factory=dict)
    modules: int = 0
    entries: int = 0
    cost: int = 0

    def visit(self, module: Record, prefix: str, depth: int) -> None:
        self.modules += 1
        if depth > MAX_DEPTH or self.modules > MAX_MODULES:
            raise CheckpointError(f"modules are nested deeper than {MAX_DEPTH} or number over {MAX_MODULES:,}")
        transient = module.state.get("_non_persistent_buffers_set")
        for part in ("_parameters", "_buffers"):
            for name, tensor in self.children(module, part, prefix):
                if not (part == "_buffers" and isinstance(transient, set) and name in transient):
                    self.add(f"{prefix}{name}", tensor)
        self.note(f"{prefix}class_name", module.class_name)
        for attribute, value in module.state.items():
            self.note_nested(f"{prefix}{attribute}", value, 2)
        for name, child in self.children(module, "_modules", prefix):
            if type(child) is not Record:
                raise CheckpointError(f"{prefix}{name} is a {kind_of(child)}; wanted a module; {DAMAGED}")
            self.visit(child, f"{prefix}{name}.", depth + 1)

    def children(self, module: Record, part: str, prefix: str) -> list[tuple[str, Any]]:
        found = module.state.get(part)
        if type(found) is not dict:
            raise CheckpointError(f"{prefix or 'the generator '}has no {part}; {DAMAGED}")
        self.count(len(found))
        for name in found:
            if not isinstance(name, str) or not MODULE_NAME.fullmatch(name):
                raise CheckpointError(
                    f"{prefix}{part} has the entry {printable(str(name))!r}; that is no module's name"
                )
        return [(str(name), child) for name, child in found.items() if child is not None]

    def add(self, name: str, tensor: object) -> None:
        if type(tensor) is not StoredTensor:
            raise CheckpointError(f"{name} is a {kind_of(tensor)}; wanted a tensor; {DAMAGED}")
        self.stored[name] = tensor
        self.cost += tensor.cost
        if self.cost > self.file_bytes or len(self.stored) > MAX_TENSORS:
            raise CheckpointError(
                f"its tensors unfold to more than the file's {self.file_bytes:,} bytes; no genuine snapshot does that"
            )

    def note_nested(self, name: str, value: object, depth: int) -> None:
        """Hints from an attribute; `_init_kwargs` and the dicts in it are followed, module internals are not."""
        if type(value) is dict and depth and ("_kwargs" in name):
            for key, inner in value.items():
                self.note_nested(f"{name}.{key}", inner, depth - 1)
        else:
            self.note(name, value)

    def count(self, entries: int) -> None:
        self.entries += entries
        if self.entries > MAX_ENTRIES:
            raise CheckpointError(f"the snapshot's modules have more than {MAX_ENTRIES:,} entries; no genuine one does")

    def note(self, name: str, value: object) -> None:
        self.count(1)
        note_hint(self.hints, name, value)

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.read() for name, tensor in self.stored.items()}
