"""TensorFlow-era pickles of NVIDIA's StyleGAN, StyleGAN2 and StyleGAN2-ADA: networks (G, D, Gs), Gs is the generator.

Read without TensorFlow. A network is an inert record: its variables are collected by name, its components' under theirs
("mapping/Dense0/weight"), its static arguments become hints ("mapping.static_kwargs.mapping_lrmul"). The Python source
that such files carry is never looked at. Names and versions were checked against NVlabs' stylegan, stylegan2 and
stylegan2-ada (`dnnlib/tflib/network.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.readers import nvidia
from eigan.readers.allowed_tensorflow import MODULE, TENSORFLOW
from eigan.readers.base import Hint, RawCheckpoint, note_hint
from eigan.readers.source import DAMAGED
from eigan.readers.stored import NumpyArray, Record
from eigan.readers.unpickler import kind_of, printable

CONTAINER = "tensorflow"
OLDEST_VERSION = 3  # of Network's state: before it (ProGAN) networks had no components
MAX_DEPTH = 4
MAX_NETWORKS = 64
MAX_VARIABLES = 16384
MAX_ENTRIES = 200_000
NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}(?:/[A-Za-z0-9_.\-]{1,100}){0,7}")
NOTED = ("version", "name", "build_func_name")


def sniff(head: bytes, path: Path) -> bool:
    """Whether the file is a pickle that begins with a TensorFlow-era network, as every (G, D, Gs) does."""
    return MODULE.encode() in head and nvidia.sniff(head, path)


def read(path: Path) -> RawCheckpoint:
    """The variables of Gs and its static arguments.

    Raises:
        UnsafeCheckpoint: the pickle names or calls anything that weights do not need; nothing in it was run.
        CheckpointError: truncated, malformed, a bomb, or without a generator.
    """
    with path.open("rb") as file:
        root, size = nvidia.load_whole(file, TENSORFLOW)
        walk = Walk(size)
        walk.visit(find_generator(root), "", 0)
        if any("FromRGB" in name for name in walk.found):
            raise CheckpointError("Gs is a discriminator; there is no generator to load")
        return RawCheckpoint(walk.weights(), walk.hints, CONTAINER, source={"file": path.name})


def find_generator(root: object) -> Record:
    """Gs of (G, D, Gs), or the pickled network itself."""
    if type(root) is Record:
        return root
    if type(root) is tuple and len(root) == 3 and all(type(network) is Record for network in root):
        return cast(Record, root[2])
    kinds = f"({', '.join(map(kind_of, root[:8]))})" if isinstance(root, (tuple, list)) else kind_of(root)
    raise CheckpointError(f"the pickle holds a {kinds}; a TensorFlow snapshot is three networks (G, D, Gs)")


@dataclass
class Walk:
    """Collects variables and static arguments of a network and its components, within limits."""

    file_bytes: int
    found: dict[str, NumpyArray | float] = field(default_factory=dict)
    hints: dict[str, Hint] = field(default_factory=dict)
    networks: int = 0
    entries: int = 0
    cost: int = 0

    def visit(self, network: Record, prefix: str, depth: int) -> None:
        self.networks += 1
        if depth > MAX_DEPTH or self.networks > MAX_NETWORKS:
            raise CheckpointError(f"networks are nested deeper than {MAX_DEPTH} or number over {MAX_NETWORKS}")
        owner = prefix.rstrip("/") or "Gs"
        self.check_version(network, owner)
        for entry in self.entries_of(network, "variables", list, owner):
            if type(entry) is not tuple or len(entry) != 2:
                raise CheckpointError(f"{owner} has a variable that is no (name, value) pair; {DAMAGED}")
            self.add(f"{prefix}{self.name_of(entry[0], owner)}", entry[1])
        dotted = prefix.replace("/", ".")
        for key in NOTED:
            self.note(f"{dotted}{key}", network.state.get(key))
        for key, value in self.entries_of(network, "static_kwargs", dict, owner):
            self.note(f"{dotted}static_kwargs.{key}", value)
        for key, component in self.entries_of(network, "components", dict, owner):
            name = self.name_of(key, owner)
            if type(component) is not Record:
                raise CheckpointError(f"{owner}/{name} is a {kind_of(component)}; wanted a network; {DAMAGED}")
            self.visit(component, f"{prefix}{name}/", depth + 1)

    def check_version(self, network: Record, owner: str) -> None:
        version = network.state.get("version")
        if type(version) is not int:
            raise CheckpointError(f"{owner} states no version; {DAMAGED}")
        if version < OLDEST_VERSION:
            raise CheckpointError(
                f"{owner} is of network version {version}, as before StyleGAN; eigan reads {OLDEST_VERSION} and later"
            )

    def entries_of(self, network: Record, part: str, kind: type, owner: str) -> list[Any]:
        """Items of a list or dict of the network's state, counted."""
        held = network.state.get(part)
        if type(held) is not kind:
            raise CheckpointError(f"{owner} has no {part}; {DAMAGED}")
        self.count(len(cast(list[Any], held)))
        return list(held.items()) if isinstance(held, dict) else cast(list[Any], held)

    def name_of(self, name: object, owner: str) -> str:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            shown = printable(name) if isinstance(name, str) else kind_of(name)
            raise CheckpointError(f"{owner} has an entry named {shown!r}; that is no variable's name")
        return name

    def add(self, name: str, value: object) -> None:
        if name in self.found:
            raise CheckpointError(f"{name} is in the file twice; {DAMAGED}")
        if type(value) is NumpyArray:
            self.cost += value.cost
            self.found[name] = value
        elif type(value) in (int, float):
            self.found[name] = cast(float, value)
        else:
            raise CheckpointError(f"{name} is a {kind_of(value)}; wanted an array of numbers; {DAMAGED}")
        if self.cost > self.file_bytes or len(self.found) > MAX_VARIABLES:
            raise CheckpointError(
                f"its arrays unfold to more than the file's {self.file_bytes:,} bytes; no genuine snapshot does that"
            )

    def count(self, entries: int) -> None:
        self.entries += entries
        if self.entries > MAX_ENTRIES:
            raise CheckpointError(f"its networks have more than {MAX_ENTRIES:,} entries; no genuine snapshot does")

    def note(self, name: str, value: object) -> None:
        """A hint; of what cannot be one, its type ("<dict>"), so that nobody takes it for absent."""
        if not note_hint(self.hints, name, value):
            note_hint(self.hints, name, f"<{kind_of(value)}>")

    def weights(self) -> dict[str, Tensor]:
        return {name: as_tensor(value) for name, value in self.found.items()}


def as_tensor(value: NumpyArray | float) -> Tensor:
    """The value as a tensor, this process's own; floating point becomes float32. Variables without axes are numbers."""
    if not isinstance(value, NumpyArray):
        return torch.tensor(float(value), dtype=torch.float32)
    array = value.read()
    tensor = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    return tensor.float() if tensor.is_floating_point() else tensor
