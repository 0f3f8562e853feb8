"""genforce's PGGAN with fused_scale: upsampling layers kept as transposed convolutions, [in, out, 3, 3].

Its transposed convolution by 2 with the kernel summed over its four one-pixel shifts is nearest upsampling followed by
the plain convolution with the kernel flipped on both axes: the names stay, the orientation is turned. Checked against
genforce 197feee.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.generators.config import MAX_BLOCKS
from eigan.readers.base import RawCheckpoint


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """`raw` with plain convolutions; None when it is no PGGAN, or one without fused layers.

    Widths tell: a layer of as many channels in as out looks the same either way and follows the others. Where no
    width changes, fused layers leave no trace; such files are taken as not fused, which is genforce's default.
    """
    weights = raw.weights
    if "layer0.weight" not in weights or not any(name.startswith("output") for name in weights):
        return None
    if not any(is_fused(weights, name) for name in upsampling_layers(weights)):
        return None
    turned = {name: weights[name].transpose(0, 1).flip(2, 3).contiguous() for name in upsampling_layers(weights)}
    return replace(raw, weights={**weights, **turned})


def upsampling_layers(weights: Mapping[str, Tensor]) -> Iterator[str]:
    """layer2, layer4, ...: the first convolution of every resolution after the first."""
    names = (f"layer{i}.weight" for i in range(2, 2 * MAX_BLOCKS, 2))
    return (name for name in names if name in weights and weights[name].ndim == 4)


def is_fused(weights: Mapping[str, Tensor], name: str) -> bool:
    """Whether the layer's stored shape is [in, out] and cannot be [out, in]; its bias says how many go out."""
    bias = weights.get(name.replace(".weight", ".bias"))
    rows, columns = weights[name].shape[:2]
    return rows != columns and bias is not None and bias.shape == (columns,)


DIALECT = Dialect("pggan", translate, "genforce PGGAN with fused_scale")
