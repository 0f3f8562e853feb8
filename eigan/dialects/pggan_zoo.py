"""pytorch_GAN_zoo's ProgressiveGAN (facebookresearch, b75dee4) in genforce's names, orientations and scales.

A layer there is (conv(x) + bias) √(2/fan_in), toRGB included: the factors are folded into weights and biases. The dense
first layer becomes a 4x4 convolution of one padded pixel: its matrix is flipped, and every pixel keeps its own bias.
The pixel norm stands after each activation there and before each convolution here, which is the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.dialects.rules import rename_each
from eigan.errors import CheckpointError
from eigan.generators.config import MAX_WIDTH
from eigan.readers.base import Hint, RawCheckpoint

NAME = re.compile(
    r"(?:(formatLayer)|groupScale0\.(0)|scaleLayers\.(\d{1,4})\.([01])|toRGBLayers\.(\d{1,4}))(?:\.module)?\.(weight|bias)"
)
TANH_LOSSES = ("DCGAN", "MSE")  # lossCriterion whose generators end in tanh


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """`raw` in our names; None when it is no PGAN of pytorch_GAN_zoo. The file's `config` is read from the hints.

    config.alpha, the share of the last but one toRGB while a scale fades in, is the level of detail here. The class is
    the category vector: of several attributes it holds one 1 each, one after the other.
    """
    if not any(re.fullmatch(r"formatLayer(?:\.module)?\.weight", name) for name in raw.weights):
        return None
    settings = Settings.read(raw.hints)
    weights = rename_each(raw.weights, ours, "a PGAN of pytorch_GAN_zoo")
    for name in raw.weights:
        if (match := NAME.fullmatch(name)) and match[6] == "weight":
            weights |= fold(ours(name).removesuffix(".weight"), weights, equalized=settings.equalized)
    weights |= split_classes(weights["layer0.weight"], settings)
    fades = any(name.startswith("output1.") for name in weights)
    weights["lod"] = torch.tensor(settings.alpha if fades else 0.0)
    hints: dict[str, Hint] = {"final_tanh": settings.tanh, "lrelu_slope": settings.slope}
    return replace(raw, weights=weights, hints=hints)


@dataclass(frozen=True)
class Settings:
    """What the file's `config` says of the generator. Raises CheckpointError on values that no PGAN has."""

    noise_dim: int | None  # None: not said
    c_dim: int | None
    alpha: float
    slope: float
    tanh: bool
    equalized: bool

    @classmethod
    def read(cls, hints: Mapping[str, Hint]) -> Settings:
        def stated(name: str, default: Any, *kinds: type, most: int = MAX_WIDTH) -> Any:
            value = hints.get(f"config.{name}", default)
            if value is default:
                return default
            if type(value) not in kinds or (isinstance(value, (int, float)) and not 0 <= value <= most):
                raise CheckpointError(f"the file's config has a {name} that no PGAN has; wanted {kinds[0].__name__}")
            return value

        if not stated("perChannelNormalization", True, bool, int):
            raise CheckpointError("the file says perChannelNormalization is off; a PGAN cannot draw without it")
        return cls(
            noise_dim=stated("noiseVectorDim", None, int),
            c_dim=stated("categoryVectorDim", None, int),
            alpha=float(stated("alpha", 0.0, float, int, most=1)),
            slope=float(stated("leakyReluLeak", 0.2, float, int, most=1)),
            tanh=stated("lossCriterion", "", str) in TANH_LOSSES,
            equalized=bool(stated("equalizedlR", True, bool, int)),
        )


def ours(name: str) -> str:
    """genforce's name; names that no PGAN has stay, and are refused as unexpected later."""
    match = NAME.fullmatch(name)
    if match is None:
        return name
    first, _, scale, half, output, kind = match.groups()
    if output is not None:
        return f"output{int(output)}.{kind}"
    if scale is not None:
        return f"layer{2 * int(scale) + 2 + int(half)}.{kind}"
    return f"layer{0 if first else 1}.{kind}"


def fold(layer: str, weights: Mapping[str, Tensor], *, equalized: bool) -> dict[str, Tensor]:
    """The layer's weight and bias, so that conv(x) gain/√fan_in + bias draws what (conv(x) + bias) scale drew."""
    weight, bias = weights[f"{layer}.weight"], weights.get(f"{layer}.bias")
    dense = layer == "layer0"
    if weight.ndim != (2 if dense else 4) or not weight.numel() or (dense and weight.shape[0] % 16):
        raise CheckpointError(f"{layer} of this PGAN has shape {tuple(weight.shape)}; wanted a convolution's")
    if bias is None or bias.shape != weight.shape[:1]:
        raise CheckpointError(f"{layer} of this PGAN has {len(weight)} channels and no bias for each; it is incomplete")
    if dense:
        weight = weight.view(-1, 4, 4, weight.shape[1]).permute(0, 3, 1, 2).flip(2, 3)  # (C, D, 4, 4)
        bias = bias.view(-1, 4, 4)
    fan_in = weight[0].numel()
    scale = math.sqrt(2.0 * (16 if dense else 1) / fan_in) if equalized else 1.0  # their fan_in knows no pixels
    gain = 1.0 if layer.startswith("output") else math.sqrt(2.0)
    factor = scale * math.sqrt(fan_in) / gain
    return {f"{layer}.weight": (weight * factor).contiguous(), f"{layer}.bias": bias * scale}


def split_classes(weight: Tensor, settings: Settings) -> dict[str, Tensor]:
    """The first layer's weight (C, z_dim + c_dim, 4, 4) as its two parts; the class comes after the noise."""
    width, z_dim, c_dim = weight.shape[1], settings.noise_dim, settings.c_dim
    if c_dim is None:
        c_dim = 0 if z_dim is None else width - z_dim
    if z_dim is None:
        z_dim = width - c_dim
    if z_dim < 1 or c_dim < 0 or z_dim + c_dim != width:
        raise CheckpointError(f"the file says {z_dim} noise and {c_dim} class inputs; its weights say {width} in all")
    if not c_dim:
        return {}
    return {
        "layer0.weight": weight[:, :z_dim].contiguous(),
        "layer0.label_weight": weight[:, z_dim:].contiguous(),
    }


DIALECT = Dialect("pggan", translate, "pytorch_GAN_zoo PGAN")
