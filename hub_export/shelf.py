"""Shelf: where a method keeps what it has reached, so that an interrupted fit goes on from there to the same result."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from eigan.errors import FitError


@dataclass(frozen=True)
class Shelf:
    """One safetensors file. path: None keeps nothing. notes: all that the result depends on.

    writes: whether this process is the one that writes (the first of its world).
    """

    path: Path | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    writes: bool = True

    def take(self) -> dict[str, Tensor] | None:
        """What `put` left, None when there is nothing.

        Raises:
            FitError: the file is damaged, or was kept by a fit of another recipe or generator.
        """
        if self.path is None or not self.path.is_file():
            return None
        tensors, notes = read_tensors(self.path)
        for key, wanted in self.notes.items():
            if notes.get(key) != wanted:
                raise FitError(
                    f"{self.path} was kept by a fit with {key} {str(notes.get(key))[:80]}; this one has {wanted[:80]}. "
                    "Use the same recipe and generator, or fit without resuming."
                )
        return tensors

    def put(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep `tensors` in place of what was kept: all of them, or nothing changes. Raises OSError."""
        if self.path is not None and self.writes:
            write_tensors(self.path, tensors, self.notes)

    @contextlib.contextmanager
    def keeping(self, snapshot: Callable[[], Mapping[str, Tensor]]) -> Iterator[None]:
        """Ctrl-C within keeps `snapshot()`, which gives the last complete state, and goes on upwards."""
        try:
            yield
        except KeyboardInterrupt:
            with uninterrupted():
                self.put(snapshot())
            raise


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write a safetensors file: complete, or not at all. Raises OSError."""
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, dict(notes))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes that `write_tensors` wrote. Raises FitError when the file is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (OSError, SafetensorError, KeyError, IndexError, ValueError) as error:
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
