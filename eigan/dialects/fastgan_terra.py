"""FastGAN as its official code saves it: eigan's names, with the spectral norm not yet folded.

Liu et al., ICLR 2021 (arXiv:2101.04775); checked against terra-FastGAN-pytorch af8400d.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.dialects.spectral import fold_spectral_norm
from eigan.readers.base import RawCheckpoint

TRANSPOSED = ("init.init.0",)  # the one transposed convolution
COUNTER = ".num_batches_tracked"  # of training, by torch's BatchNorm2d


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """The weights with `weight_orig`, `weight_u` and `weight_v` folded into `weight`; None when it is no such FastGAN.

    Raises:
        CheckpointError: a weight cannot be folded.
    """
    if "init.init.0.weight_orig" not in raw.weights:
        return None
    return replace(raw, weights=fold_spectral_norm(without_counters(raw.weights), TRANSPOSED), hints={})


def without_counters(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.endswith(COUNTER)}


DIALECT = Dialect("fastgan", translate, "the official FastGAN")
