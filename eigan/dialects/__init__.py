"""Weight names of other code bases. DIALECTS is the only place that lists them; a dialect is known by its names."""

from __future__ import annotations

from eigan.dialects import (
    fastgan_projected,
    fastgan_terra,
    pggan_genforce,
    pggan_netdissect,
    pggan_zoo,
    pretrained_biggan,
    stylegan2_genforce,
    stylegan2_rosinality,
    stylegan2_tensorflow,
    stylegan_tensorflow,
)
from eigan.dialects.base import Dialect
from eigan.readers.base import RawCheckpoint

DIALECTS: dict[str, Dialect] = {
    "fastgan_projected": fastgan_projected.DIALECT,
    "fastgan_terra": fastgan_terra.DIALECT,
    "pggan_genforce": pggan_genforce.DIALECT,
    "pggan_netdissect": pggan_netdissect.DIALECT,
    "pggan_zoo": pggan_zoo.DIALECT,
    "pretrained_biggan": pretrained_biggan.DIALECT,
    "stylegan_tensorflow": stylegan_tensorflow.DIALECT,
    "stylegan2_genforce": stylegan2_genforce.DIALECT,
    "stylegan2_rosinality": stylegan2_rosinality.DIALECT,
    "stylegan2_tensorflow": stylegan2_tensorflow.DIALECT,
}

__all__ = ["DIALECTS", "Dialect", "translate"]


def translate(raw: RawCheckpoint) -> RawCheckpoint:
    """`raw` in eigan's names, by the first dialect that knows it; `raw` itself when none does.

    Raises:
        CheckpointError: a dialect knows the weights, but they are incomplete or absurd.
    """
    translations = (dialect.translate(raw) for dialect in DIALECTS.values())
    return next((found for found in translations if found is not None), raw)
