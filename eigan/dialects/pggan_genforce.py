"""genforce's PGGAN where it differs from ours: fused upsampling layers, and classes. Checked against genforce 197feee.

fused_scale keeps upsampling layers as transposed convolutions, [in, out, 3, 3]: by 2, with the kernel summed over its
four one-pixel shifts, they are nearest upsampling followed by the plain convolution with the kernel flipped on both
axes. Classes join z after its norm, and how the first layer's inputs divide is only said by the discriminator beside
it, which has one output more than there are classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.errors import CheckpointError
from eigan.generators.config import MAX_BLOCKS
from eigan.readers.base import Hint, RawCheckpoint


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """`raw` with plain convolutions and a class part; None when it is no PGGAN, or has nothing to be turned.

    Widths tell: a layer of as many channels in as out looks the same either way and follows the others. Where no
    width changes, fused layers leave no trace; such files are taken as not fused, which is genforce's default.
    """
    weights = raw.weights
    if "layer0.weight" not in weights or not any(name.startswith("output") for name in weights):
        return None
    turned = split_classes(weights, raw.hints)
    hints = {**raw.hints, "norm_z_alone": True} if turned else raw.hints
    if any(is_fused(weights, name) for name in upsampling_layers(weights)):
        turned |= {name: weights[name].transpose(0, 1).flip(2, 3).contiguous() for name in upsampling_layers(weights)}
    return replace(raw, weights={**weights, **turned}, hints=hints) if turned else None


def split_classes(weights: Mapping[str, Tensor], hints: Mapping[str, Hint]) -> dict[str, Tensor]:
    """The first layer's weight as its two parts, z's and the class's, where a discriminator tells; else nothing."""
    first, outputs = weights["layer0.weight"], hints.get("discriminator.num_outputs")
    if type(outputs) is not int or outputs < 2 or first.ndim != 4 or "layer0.label_weight" in weights:
        return {}
    z_dim = first.shape[1] - (outputs - 1)
    if z_dim < 1:
        raise CheckpointError(
            f"the discriminator judges {outputs - 1} classes; the generator has {first.shape[1]} inputs in all"
        )
    parts = first.split([z_dim, outputs - 1], dim=1)  # type: ignore[no-untyped-call]
    return {"layer0.weight": parts[0].contiguous(), "layer0.label_weight": parts[1].contiguous()}


def upsampling_layers(weights: Mapping[str, Tensor]) -> Iterator[str]:
    """layer2, layer4, ...: the first convolution of every resolution after the first."""
    names = (f"layer{i}.weight" for i in range(2, 2 * MAX_BLOCKS, 2))
    return (name for name in names if name in weights and weights[name].ndim == 4)


def is_fused(weights: Mapping[str, Tensor], name: str) -> bool:
    """Whether the layer's stored shape is [in, out] and cannot be [out, in]; its bias says how many go out."""
    bias = weights.get(name.replace(".weight", ".bias"))
    rows, columns = weights[name].shape[:2]
    return rows != columns and bias is not None and bias.shape == (columns,)


DIALECT = Dialect("pggan", translate, "genforce PGGAN with fused_scale or classes")
