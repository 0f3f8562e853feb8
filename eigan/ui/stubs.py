"""Gradio imported in half the time: without the type stubs that it writes whenever it is imported."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WRITER = "gradio.component_meta"
DEPTH = 4  # callers that are looked at: torch wraps inspect.getfile, too


@contextmanager
def no_stubs() -> Iterator[None]:
    """Within it Gradio's components are defined without a .pyi file beside their source.

    For each of its eighty components Gradio reads and parses its source and its stub, and writes the stub if it has
    changed, over a second of work that only an editor has any use for. It leaves out those that have no file; within
    this context it is told that none has.
    """
    find = inspect.getfile

    def find_unless_for_stubs(thing: Any) -> str:
        if isinstance(thing, type) and _is_asked_by(WRITER):
            raise OSError(f"no type stub is wanted for {thing.__name__}")
        return find(thing)

    inspect.getfile = find_unless_for_stubs  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = find


def _is_asked_by(module: str) -> bool:
    """Whether one of the nearest callers, this file left out, is of `module`."""
    frame = sys._getframe(2)
    for _ in range(DEPTH):
        if frame.f_globals.get("__name__") == module:
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False
