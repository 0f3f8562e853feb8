"""netdissect's ProGAN (Bau et al., GAN Dissection, ICLR 2019, arXiv:1811.10597), as GANSpace uses it, in our names.

Written from the state dicts of CSAILVision/gandissect 027d033 (GANSpace holds the same file). Layers count from 1 and
only the last toRGB layer is kept; orientations, gains (√2, toRGB 1) and the pixel norm before each layer are ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.dialects.rules import rename_each
from eigan.errors import CheckpointError
from eigan.readers.base import RawCheckpoint

DESCRIBES = "a netdissect ProGAN"
NEW_LAYER = re.compile(r"layer(\d{1,4})\.(conv\.weight|wscale\.b|wscale\.scale)")
OLD_LAYER = re.compile(r"features\.(\d{1,4})\.(conv\.weight|wscale\.b|wscale\.scale)")
OUTPUT = re.compile(r"output(?:_\d{1,5}x\d{1,5})?\.(conv\.weight|wscale\.b|wscale\.scale)")
FIELDS = {"conv.weight": "weight", "wscale.b": "bias", "wscale.scale": "scale"}


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """`raw` in genforce's names, under either of netdissect's spellings; None when it has neither."""
    weights = raw.weights
    if {"layer1.conv.weight", "layer1.wscale.b"} <= weights.keys():
        pattern, first = NEW_LAYER, 1
    elif {"features.0.conv.weight", "features.0.wscale.b"} <= weights.keys():
        pattern, first = OLD_LAYER, 0
    else:
        return None
    numbers = [int(match[1]) - first for name in weights if (match := pattern.fullmatch(name))]
    last = f"output{max(numbers) // 2}"

    def ours(name: str) -> str:
        if match := pattern.fullmatch(name):
            return f"layer{int(match[1]) - first}.{FIELDS[match[2]]}"
        match = OUTPUT.fullmatch(name)
        return f"{last}.{FIELDS[match[1]]}" if match else name

    return replace(raw, weights=fold_scales(rename_each(weights, ours, DESCRIBES) | {"lod": torch.zeros(())}))


def fold_scales(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Files from before the scale became a constant store it as a parameter: it is folded into the weight.

    y = scale conv(x) there, y = gain/√fan_in conv(x) here.
    """
    folded = dict(weights)
    for name in [name for name in weights if name.endswith(".scale")]:
        target, scale = name.replace(".scale", ".weight"), folded.pop(name)
        weight = folded.get(target)
        if weight is None or weight.ndim != 4 or not weight[0].numel() or scale.numel() != 1:
            raise CheckpointError(f"{name} has shape {tuple(scale.shape)} and no weight that it scales; wanted (1,)")
        gain = 1.0 if name.startswith("output") else math.sqrt(2.0)
        folded[target] = weight * (float(scale) * math.sqrt(weight[0].numel()) / gain)
    return folded


DIALECT = Dialect("pggan", translate, "netdissect ProGAN")
