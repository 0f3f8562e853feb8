"""The toy generator as nodes open it: out of its file. Weights that a test has made lie elsewhere in memory, and their
products are rounded otherwise: one level of one pixel now and then."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from eigan import Renderer, load_generator


@lru_cache(maxsize=4)
def opened(base: Path, name: str = "toy") -> Renderer:
    """A renderer of the generator in models/gan_generators/`name`, one picture at a time, as the nodes draw."""
    return Renderer(load_generator(base / "models/gan_generators" / name), batch_size=1)
