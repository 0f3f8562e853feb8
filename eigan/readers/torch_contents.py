"""What lies in a file of torch.save: which of its entries is the generator, and what is said beside it.

Known: rosinality (`g_ema`), genforce (`generator_smooth`, training runs keep it under `models`), pytorch_GAN_zoo
(`avgG`), FastGAN (`g`; full states keep the average as a list in `g_ema`), Hugging Face and netdissect (bare).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from eigan.errors import CheckpointError, list_names
from eigan.readers.base import Hint, note_hint
from eigan.readers.source import DAMAGED
from eigan.readers.stored import Record, StoredTensor
from eigan.readers.unpickler import kind_of, printable

ENTRIES = ("g_ema", "generator_smooth", "avgG", "G_ema", "g", "generator", "netG", "state_dict")  # the first found wins
AROUND = ("models",)  # entries that may hold one of ENTRIES
BESIDE = ("latent_avg",)  # tensors that belong to the generator and lie beside it
BUFFERS = ("weight_u", "weight_v", "running_mean", "running_var", "num_batches_tracked")
NAME = re.compile(r"[A-Za-z0-9_:-]+(\.[A-Za-z0-9_:-]+)*")
LAYER = re.compile(r"layer(\d{1,3})\.weight")
MAX_NAME = 200
MAX_TENSORS = 16384
MAX_ENTRIES = 200_000
SHARING = 2  # times the file's size that weights may take: some files keep tied weights once
MAX_DEPTH = 3
IMPORT = "`hub-export import` takes it"


@dataclass
class Found:
    """A generator's state dict, unread, and what the file says beside it."""

    stored: dict[str, StoredTensor]
    hints: dict[str, Hint]


def find_generator(tree: object) -> Found:
    """The generator in an object tree. Raises CheckpointError: there is none, or it is not made of tensors."""
    if type(tree) is not dict:
        shape = f" of shape {tree.size}; if it is a direction, {IMPORT}" if type(tree) is StoredTensor else ""
        raise CheckpointError(f"it holds a {kind_of(tree)}{shape}; wanted a dict with a generator's weights")
    refuse_directions(tree)
    entry, state, beside = choose(tree)
    stored = tensors_of(state, entry)
    if type(beside.get("g_ema")) is list and entry == "g":
        stored, entry = averaged(stored, beside["g_ema"]), "g_ema"
    for name in BESIDE:
        if entry and type(beside.get(name)) is StoredTensor:
            stored.setdefault(name, beside[name])
    notes = Notes()
    notes.visit({key: value for key, value in tree.items() if value is not state}, "", 0)
    outputs = discriminator_outputs(beside.get("discriminator")) if entry else None
    judged = {} if outputs is None else {"discriminator.num_outputs": outputs}
    return Found(stored, {**notes.hints, **judged, "entry": entry})


def discriminator_outputs(state: object) -> int | None:
    """How many numbers genforce's PGGAN discriminator ends in: 1, and 1 more for each class, which the generator beside
    it does not tell from its latents. None when there is no such discriminator.
    """
    named = {str(name).removeprefix("module."): tensor for name, tensor in state.items()} if type(state) is dict else {}
    layers = {int(match[1]): tensor for name, tensor in named.items() if (match := LAYER.fullmatch(name))}
    last = layers.get(max(layers, default=0))
    return last.size[0] if type(last) is StoredTensor and len(last.size) == 2 else None


def refuse_directions(tree: Mapping[str | int, Any]) -> None:
    """Files of directions have their own door."""
    if "eigvec" in tree:
        raise CheckpointError(f"it holds directions (a SeFa factorisation, `eigvec`), not a generator; {IMPORT}")
    if {"model", "projector"} <= set(tree):
        raise CheckpointError(f"it holds directions (a LatentCLR training state), not a generator; {IMPORT}")


def choose(tree: dict[str | int, Any]) -> tuple[str, dict[str | int, Any], dict[str | int, Any]]:
    """(name of the entry, its state dict, the dict it lies in); ("", tree, tree) for a bare state dict."""
    holders = [tree, *(tree[name] for name in AROUND if type(tree.get(name)) is dict)]
    for entry in ENTRIES:
        for holder in holders:
            if type(holder.get(entry)) is dict:
                return entry, holder[entry], holder
    if tree and all(type(value) is StoredTensor for value in tree.values()):
        return "", tree, tree
    names = list_names((printable(str(key), 40) for key in tree), 8)
    raise CheckpointError(
        f"it has no generator that eigan knows how to find; it has {names or 'nothing'}; wanted one of "
        f"{', '.join(ENTRIES)}, or the weights alone"
    )


def tensors_of(state: dict[str | int, Any], entry: str) -> dict[str, StoredTensor]:
    """Checked names -> tensors, without DataParallel's prefix and BatchNorm's counters."""
    where = f"{entry}: " if entry else ""
    if not state or len(state) > MAX_TENSORS:
        raise CheckpointError(f"{where}{len(state):,} tensors; wanted 1 to {MAX_TENSORS:,}")
    stored: dict[str, StoredTensor] = {}
    for key, tensor in state.items():
        name = checked_name(key).removeprefix("module.")
        if type(tensor) is not StoredTensor:
            raise CheckpointError(f"{where}{name} is a {kind_of(tensor)}; wanted a tensor; {DAMAGED}")
        if name in stored:
            raise CheckpointError(f"{where}{name} is there with and without the prefix `module.`; {DAMAGED}")
        if not (name.split(".")[-1] == "num_batches_tracked" and not tensor.storage.dtype.is_floating_point):
            stored[name] = tensor
    return stored


def checked_name(key: object) -> str:
    """`key`, if it is a weight's name: dotted words of letters, digits, `_`, `-` and `:`."""
    if not isinstance(key, str) or len(key) > MAX_NAME or not NAME.fullmatch(key) or re.search(r"(^|\.)__", key):
        raise CheckpointError(f"{printable(str(key), 40)!r} is no weight's name; {DAMAGED}")
    return key


def averaged(stored: dict[str, StoredTensor], average: list[Any]) -> dict[str, StoredTensor]:
    """FastGAN's full state: the parameters of `stored` replaced by the list, which is in their order."""
    names = [name for name in stored if name.split(".")[-1] not in BUFFERS]
    if len(names) != len(average):
        raise CheckpointError(f"g_ema lists {len(average):,} tensors; g has {len(names):,} parameters; {DAMAGED}")
    for name, tensor in zip(names, average, strict=True):
        if type(tensor) is not StoredTensor or tensor.size != stored[name].size:
            given = tensor.size if type(tensor) is StoredTensor else kind_of(tensor)
            raise CheckpointError(f"g_ema has {given} where g has {name} of shape {stored[name].size}; {DAMAGED}")
    return stored | dict(zip(names, average, strict=True))


def read_weights(stored: Mapping[str, StoredTensor], file_bytes: int) -> dict[str, Tensor]:
    """The tensors themselves, each in memory of its own, also where the file lets several share theirs.

    Raises:
        CheckpointError: together they unfold to more than sharing explains.
    """
    cost = sum(tensor.cost for tensor in stored.values())
    if cost > SHARING * file_bytes:
        raise CheckpointError(
            f"its tensors unfold to {cost:,} bytes; the file has {file_bytes:,}; no genuine checkpoint does that"
        )
    return {name: tensor.read() for name, tensor in stored.items()}


@dataclass
class Notes:
    """Collects the plain values of nested dicts and Records by dotted path, within limits."""

    hints: dict[str, Hint] = field(default_factory=dict)
    entries: int = 0

    def visit(self, holder: Mapping[str | int, Any], prefix: str, depth: int) -> None:
        self.entries += len(holder)
        if self.entries > MAX_ENTRIES:
            raise CheckpointError(f"it has more than {MAX_ENTRIES:,} settings; no genuine checkpoint does")
        for key, value in holder.items():
            path = f"{prefix}{key}"
            if len(path) > MAX_NAME or not path.isprintable() or type(value) is StoredTensor:
                continue
            inner = value.state if type(value) is Record else value
            if type(inner) is dict and depth < MAX_DEPTH:
                self.visit(inner, f"{path}.", depth + 1)
            else:
                note_hint(self.hints, path, value)
