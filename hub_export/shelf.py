"""Shelf: where a method keeps what it has reached, so that an interrupted fit goes on from there to the same result."""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from eigan.errors import EiganError, FitError
from eigan.plain_files import read_plain
from eigan.strict_json import parse_json
from hub_export.world import ALONE, World

MAX_STATE_BYTES = 2**33  # every direction's weights of a nonlinear method, with the optimiser's two moments
MAX_HEADER_BYTES = 2**24


class NotKept(KeyboardInterrupt):
    """Raised in place of Ctrl-C when what had been reached could not be kept; the text says why."""


@dataclass(frozen=True)
class Shelf:
    """One safetensors file. path: None keeps nothing. notes: all that the result depends on.

    world: its first process reads and writes for all.
    """

    path: Path | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    world: World = ALONE

    def take(self) -> dict[str, Tensor] | None:
        """What `put` left, None when there is nothing; every process of the world asks, and gets the same.

        Raises:
            FitError: the file is damaged, or was kept by a fit of another recipe or generator.
        """
        data = None
        if self.path is not None and self.world.is_first and self.path.is_file():
            data = read_state(self.path)
        data = self.world.spread(data)
        if data is None:
            return None
        tensors, notes = parse_tensors(data, self.path)
        for key, wanted in self.notes.items():
            if notes.get(key) != wanted:
                raise FitError(
                    f"{self.path} was kept by a fit with {key} {str(notes.get(key))[:80]}; this one has {wanted[:80]}. "
                    "Use the same recipe and generator, or fit without resuming."
                )
        return tensors

    def put(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep `tensors` in place of what was kept: all of them, or nothing changes. Raises OSError."""
        if self.path is not None and self.world.is_first:
            write_tensors(self.path, tensors, self.notes)

    @contextlib.contextmanager
    def keeping(self, snapshot: Callable[[], Mapping[str, Tensor]]) -> Iterator[None]:
        """Ctrl-C within keeps `snapshot()`, which gives the last complete state, and goes on upwards.

        Raises:
            NotKept: in place of KeyboardInterrupt, when the disk does not take it; what was kept before stays.
        """
        try:
            yield
        except KeyboardInterrupt:
            with uninterrupted():
                try:
                    self.put(snapshot())
                except OSError as error:
                    raise NotKept(f"could not be kept in {self.path}: {error.strerror or error}") from None
            raise


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write a safetensors file: complete, or not at all, whenever the process or the machine stops. Raises OSError."""
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, dict(notes))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def forget(path: Path | None) -> None:
    """Remove what `write_tensors` left at `path`, also the halves of writers that were killed."""
    if path is not None:
        path.unlink(missing_ok=True)
        for half in path.parent.glob(f".{glob.escape(path.name)}-????????"):
            half.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes that `write_tensors` wrote. Raises FitError when the file is missing or damaged."""
    return parse_tensors(read_state(path), path)


def read_state(path: Path) -> bytes:
    """The bytes of a state file. Raises FitError when it is missing, too large or no regular file."""
    try:
        return read_plain(path, MAX_STATE_BYTES)
    except EiganError as error:
        raise FitError(f"{path} holds nothing to resume from ({error}); fit again without resuming") from None


def parse_tensors(data: bytes, path: Path | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes of a safetensors file's bytes; `path` is for the message. Raises FitError when damaged."""
    try:
        tensors = load(data)  # checks the header and every offset
        length = int.from_bytes(data[:8], "little")
        header: dict[str, Any] = parse_json(data[8 : 8 + length], "its header", MAX_HEADER_BYTES)
        return tensors, dict(header.get("__metadata__") or {})
    except (SafetensorError, EiganError, KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise FitError(f"{path} holds nothing to resume from ({error}); fit again without resuming") from None


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C is not heard within: the file is small, and half of it is worth nothing."""
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread alone
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
