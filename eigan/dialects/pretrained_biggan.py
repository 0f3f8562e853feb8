"""pytorch-pretrained-BigGAN (huggingface, 1e18aed): the names are eigan's own, spectral normalisation is not folded."""

from __future__ import annotations

from dataclasses import replace

from eigan.dialects.base import Dialect
from eigan.dialects.spectral import fold_spectral_norm
from eigan.readers.base import RawCheckpoint


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """`raw` with plain weights; None when it is no BigGAN-deep under spectral normalisation."""
    if "generator.gen_z.weight_orig" not in raw.weights:
        return None
    return replace(raw, weights=fold_spectral_norm(raw.weights))


DIALECT = Dialect("biggan", translate, "huggingface/pytorch-pretrained-BigGAN")
