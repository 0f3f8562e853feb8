"""Weight names of other code bases. DIALECTS is the only place that lists them; a dialect is known by its names."""

from __future__ import annotations

from eigan.dialects.base import Dialect
from eigan.readers.base import RawCheckpoint

DIALECTS: dict[str, Dialect] = {}

__all__ = ["DIALECTS", "Dialect", "translate"]


def translate(raw: RawCheckpoint) -> RawCheckpoint:
    """`raw` in eigan's names, by the first dialect that knows it; `raw` itself when none does.

    Raises:
        CheckpointError: a dialect knows the weights, but they are incomplete or absurd.
    """
    translations = (dialect.translate(raw) for dialect in DIALECTS.values())
    return next((found for found in translations if found is not None), raw)
