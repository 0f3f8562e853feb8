"""Toy StyleGAN2s of many shapes, and their weights as other code bases would keep them (the dialects' inverses)."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from eigan.generators.layers import fir_filter
from eigan.generators.stylegan2 import StyleGAN2, StyleGAN2Config

Weights = dict[str, Tensor]


def toy(
    resolution: int = 16,
    *,
    seed: int = 0,
    taps: tuple[int, ...] = (1, 3, 3, 1),
    z_dim: int = 12,
    w_dim: int = 12,
    **options: Any,
) -> StyleGAN2:
    """Every weight random, in steps of 1/64 so that adding or taking 1 from it is exact."""
    resolutions = [2**i for i in range(2, resolution.bit_length())]
    options.setdefault("num_mapping_layers", 2)
    if options.get("joint_labels"):
        options["embed_features"] = z_dim
    config = StyleGAN2Config(
        z_dim=z_dim,
        w_dim=w_dim,
        resolution=resolution,
        channels={r: 6 + i for i, r in enumerate(reversed(resolutions))},
        filter_taps=len(taps),
        unused_filter_taps=len(taps),
        **{"c_dim": 0, **options},
    )
    generator, random = StyleGAN2(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in generator.weights().items():
            if name.endswith("resample_filter"):
                tensor.copy_(fir_filter(taps))
            elif name == "mapping.embed.bias" and config.joint_labels:
                tensor.zero_()
            else:
                scale = 100.0 if name.startswith("mapping.fc") else 1.0
                tensor.copy_(torch.round(scale * torch.randn(tensor.shape, generator=random) * 64) / 64 + 0.0)  # no -0
    return generator.eval().requires_grad_(False)


def to_tensorflow(generator: StyleGAN2) -> Weights:
    """Variables of Gs, by component."""
    out: Weights = {"lod": torch.zeros(())}
    noise_of = {"conv0": -5, "conv1": -4}
    for name, x in generator.weights().items():
        if name.endswith("resample_filter"):
            continue
        if name == "mapping.w_avg":
            out["dlatent_avg"] = x
        elif name.startswith("mapping.embed.") and generator.settings.joint_labels:
            if name.endswith("weight"):
                out["mapping/LabelConcat/weight"] = x.t() / math.sqrt(generator.c_dim)
        elif match := re.fullmatch(r"mapping\.(fc\d+|embed)\.(weight|bias)", name):
            layer = "LabelEmbed" if match[1] == "embed" else f"Dense{match[1].removeprefix('fc')}"
            out[f"mapping/{layer}/{match[2]}"] = x.t() if match[2] == "weight" else x
        elif name == "synthesis.b4.const":
            out["synthesis/4x4/Const/const"] = x[None]
        else:
            match = re.fullmatch(r"synthesis\.b(\d+)\.(conv0|conv1|torgb|skip)\.(.+)", name)
            assert match is not None, name
            r, layer, part = int(match[1]), match[2], match[3]
            if part == "noise_const":
                out[f"synthesis/noise{2 * (r.bit_length() - 1) + noise_of[layer] if r > 4 else 0}"] = x[None, None]
                continue
            names = {"conv0": "Conv0_up", "conv1": "Conv1" if r > 4 else "Conv", "torgb": "ToRGB", "skip": "Skip"}
            place = f"synthesis/{r}x{r}/{names[layer]}/"
            if part == "weight":
                out[f"{place}weight"] = (x.flip(2, 3) if layer in ("conv0", "skip") else x).permute(2, 3, 1, 0)
            elif part == "affine.weight":
                out[f"{place}mod_weight"] = x.t()
            elif part == "affine.bias":
                out[f"{place}mod_bias"] = x - 1
            else:
                out[f"{place}{part}"] = x
    return {name: x.contiguous().clone() for name, x in out.items()}


def to_rosinality(generator: StyleGAN2) -> Weights:
    """The state dict of g_ema, and latent_avg."""
    out: Weights = {}
    for name, x in generator.weights().items():
        if name == "mapping.w_avg":
            out["latent_avg"] = x
        elif match := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", name):
            out[f"style.{int(match[1]) + 1}.{match[2]}"] = x
        elif name == "synthesis.b4.const":
            out["input.input"] = x[None]
        else:
            match = re.fullmatch(r"synthesis\.b(\d+)\.(?:(conv0|conv1|torgb)\.)?(.+)", name)
            assert match is not None, name
            r, layer, part = int(match[1]), match[2], match[3]
            i = r.bit_length() - 4  # of the pair of convolutions
            if part == "resample_filter":
                if r > 4 and layer != "conv1":
                    out[f"convs.{2 * i}.conv.blur.kernel" if layer else f"to_rgbs.{i}.upsample.kernel"] = x * 4
                continue
            if part == "noise_const":
                out[f"noises.noise_{2 * i + (1 if layer == 'conv0' else 2)}"] = x[None, None]
                continue
            conv = "conv1" if r == 4 else f"convs.{2 * i + (layer == 'conv1')}"
            place = (f"to_rgbs.{i}" if r > 4 else "to_rgb1") if layer == "torgb" else conv
            if part == "weight":
                out[f"{place}.conv.weight"] = x[None]
            elif part.startswith("affine."):
                out[f"{place}.conv.modulation.{part.removeprefix('affine.')}"] = x
            elif part == "noise_strength":
                out[f"{place}.noise.weight"] = x.reshape(1)
            elif layer == "torgb":
                out[f"{place}.bias"] = x[None, :, None, None]
            else:
                out[f"{place}.activate.bias"] = x
    return {name: x.contiguous().clone() for name, x in out.items()}


def to_genforce(generator: StyleGAN2) -> Weights:
    """The state dict of generator_smooth."""
    out: Weights = {}
    for name, x in generator.weights().items():
        if name == "mapping.w_avg":
            out["truncation.w_avg"] = x
        elif name == "mapping.embed.weight":
            out["mapping.label_weight"] = x.t() / math.sqrt(generator.c_dim)
        elif name == "mapping.embed.bias":
            assert not x.any()  # genforce's has none
        elif match := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", name):
            out[f"mapping.dense{match[1]}.{match[2]}"] = x
        elif name == "synthesis.b4.const":
            out["synthesis.early_layer.const"] = x[None]
        else:
            match = re.fullmatch(r"synthesis\.b(\d+)\.(?:(conv0|conv1|torgb)\.)?(.+)", name)
            assert match is not None, name
            r, layer, part = int(match[1]), match[2], match[3]
            block = r.bit_length() - 3
            place = (
                f"synthesis.output{block}" if layer == "torgb" else f"synthesis.layer{2 * block - (layer == 'conv0')}"
            )
            if part == "resample_filter":
                kernel = (x * 4).flip(0, 1)[None, None]
                if layer == "conv0":
                    out[f"{place}.filter.kernel"] = kernel
                elif layer is None and generator.settings.architecture == "skip":
                    out["synthesis.upsample.kernel"] = kernel
            elif part == "noise_const":
                out[f"{place}.noise"] = x[None, None]
            elif part == "weight":
                out[f"{place}.weight"] = x.flip(2, 3) if layer == "conv0" else x
            elif part == "affine.bias":
                out[f"{place}.style.bias"] = x - 1
            else:
                out[f"{place}.{part.replace('affine', 'style')}"] = x
    return {name: x.contiguous().clone() for name, x in out.items()}
