"""StyleGAN2 and StyleGAN2-ADA as TensorFlow kept them: kernels (height, width, in, out), styles without their 1.

Checked against NVlabs' stylegan2 and stylegan2-ada (`training/networks*.py`) and the conversion in
stylegan2-ada-pytorch d72cc7d (`legacy.py`). Configs B to D (grown progressively) are read once they are fully grown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.dialects.rules import Rule, as_embedding, first, flipped, no_bias, plane, plus_one, rename, transposed
from eigan.dialects.tensorflow import RESOLUTION, check_arguments, filter_of, kernels, static_arguments
from eigan.errors import CheckpointError
from eigan.generators.config import MAX_MAPPING_LAYERS, count_indices, largest_resolution, resolutions_to
from eigan.readers.base import RawCheckpoint

DESCRIBES = "a TensorFlow StyleGAN2"
LABELS = "mapping/LabelConcat/weight"
GROWN = re.compile(r"synthesis/ToRGB_lod\d+/")
FIRST_TORGB, FIRST_SHORTCUT, LAST_GROWN = "synthesis/4x4/ToRGB/", "synthesis/8x8/Skip/", "synthesis/ToRGB_lod0/"
FIXED = {"nonlinearity": "lrelu", "mapping_nonlinearity": "lrelu", "normalize_latents": True}
SIZES = {  # static argument -> what `stylegan2_config.check_hints` calls it
    "resolution": "img_resolution",
    "num_channels": "img_channels",
    "latent_size": "z_dim",
    "dlatent_size": "w_dim",
    "label_size": "c_dim",
    "mapping_layers": "mapping.num_layers",
}


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """`raw` in NVIDIA's PyTorch names; None when it is no TensorFlow StyleGAN2.

    Raises:
        CheckpointError: weights are missing or left over, or the network is of a kind that eigan cannot draw.
    """
    if not any(name.startswith("synthesis/") and name.endswith("/mod_weight") for name in raw.weights):
        return None
    arguments = static_arguments(raw.hints)
    check_arguments(arguments, FIXED, "StyleGAN2")
    check_kind(raw.weights)
    resolutions = resolutions_to(largest_resolution(raw.weights, RESOLUTION))
    rules = dict(rules_for(raw.weights, resolutions))
    ignored = [name for name in raw.weights if name in ("lod", "synthesis/lod") or GROWN.match(name)]
    weights = rename(raw.weights, rules, DESCRIBES, ignored=ignored)
    kernel = resample_filter(arguments)
    for r in resolutions:
        for part in ("", "conv1.", *(("conv0.",) if r > 4 else ())):
            weights[f"synthesis.b{r}.{part}resample_filter"] = kernel.clone()
        if f"synthesis.b{r}.skip.weight" in weights:
            weights[f"synthesis.b{r}.skip.resample_filter"] = kernel.clone()
    return replace(raw, weights=weights, hints=hints_of(arguments) | {"mapping.joint_labels": LABELS in raw.weights})


def check_kind(weights: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError when the network computes something that eigan's StyleGAN2 does not."""
    lod = weights.get("lod", weights["synthesis/lod"]) if "synthesis/lod" in weights else None  # Gs hands its own on
    if lod is not None and torch.count_nonzero(lod):
        raise CheckpointError(
            f"it was saved while still growing (level of detail {float(lod.flatten()[0]):g}); use a later snapshot"
        )


def rules_for(weights: Mapping[str, Tensor], resolutions: tuple[int, ...]) -> Iterator[tuple[str, Rule]]:
    """Our name -> rule, for a network of these resolutions and whatever options its names show."""
    yield "mapping.w_avg", Rule("dlatent_avg", 1)
    if any(name.startswith("mapping/LabelEmbed/") for name in weights):
        yield "mapping.embed.weight", Rule("mapping/LabelEmbed/weight", 2, transposed)
        yield "mapping.embed.bias", Rule("mapping/LabelEmbed/bias", 1)
    if LABELS in weights:  # before StyleGAN2-ADA
        yield "mapping.embed.weight", Rule(LABELS, 2, as_embedding)
        yield "mapping.embed.bias", Rule(LABELS, 2, no_bias)
    depth = count_indices(weights, r"mapping/Dense(\d+)/", MAX_MAPPING_LAYERS, "a mapping layer")
    for i in range(max(depth, 1)):
        yield f"mapping.fc{i}.weight", Rule(f"mapping/Dense{i}/weight", 2, transposed)
        yield f"mapping.fc{i}.bias", Rule(f"mapping/Dense{i}/bias", 1)
    yield "synthesis.b4.const", Rule("synthesis/4x4/Const/const", 4, first)
    has_noise = any(name.startswith("synthesis/noise") or name.endswith("/noise_strength") for name in weights)
    is_skip, is_resnet = (any(name.startswith(scope) for name in weights) for scope in (FIRST_TORGB, FIRST_SHORTCUT))
    for r in resolutions:
        block, place = f"synthesis.b{r}.", f"synthesis/{r}x{r}/"
        layer = 2 * r.bit_length() - 6  # of the block's conv1
        if r > 4:
            yield from conv_rules(f"{block}conv0.", f"{place}Conv0_up/", layer - 1, has_noise=has_noise, up=True)
        yield from conv_rules(
            f"{block}conv1.", f"{place}{'Conv1' if r > 4 else 'Conv'}/", layer, has_noise=has_noise, up=False
        )
        if is_resnet and r > 4:
            yield f"{block}skip.weight", Rule(f"{place}Skip/weight", 4, kernels_flipped)
        if is_skip or r == resolutions[-1]:
            grown = not is_skip and any(name.startswith(LAST_GROWN) for name in weights)
            yield from modulated_rules(f"{block}torgb.", LAST_GROWN if grown else f"{place}ToRGB/", kernels)


def conv_rules(ours: str, theirs: str, layer: int, *, has_noise: bool, up: bool) -> Iterator[tuple[str, Rule]]:
    yield from modulated_rules(ours, theirs, kernels_flipped if up else kernels)
    if has_noise:
        yield f"{ours}noise_const", Rule(f"synthesis/noise{layer}", 4, plane)
        yield f"{ours}noise_strength", Rule(f"{theirs}noise_strength", 0)


def modulated_rules(ours: str, theirs: str, change: Callable[[Tensor], Tensor]) -> Iterator[tuple[str, Rule]]:
    yield f"{ours}weight", Rule(f"{theirs}weight", 4, change)
    yield f"{ours}bias", Rule(f"{theirs}bias", 1)
    yield f"{ours}affine.weight", Rule(f"{theirs}mod_weight", 2, transposed)
    yield f"{ours}affine.bias", Rule(f"{theirs}mod_bias", 1, plus_one)


def kernels_flipped(x: Tensor) -> Tensor:
    """`kernels` turned by 180 degrees: its upsampling convolutions turn them once more than PyTorch's do."""
    return flipped(kernels(x))


def resample_filter(arguments: Mapping[str, Any]) -> Tensor:
    """(k, k), summing to 1: of [1, 3, 3, 1] unless stated; a box when it is None."""
    stated = {"resample_kernel": (1, 1)} if arguments.get("resample_kernel", ()) is None else arguments
    return filter_of(stated, "resample_kernel", (1, 3, 3, 1))


def hints_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What `stylegan2_config.infer_config` wants to hear of the static arguments."""
    hints = {ours: arguments[theirs] for theirs, ours in SIZES.items() if theirs in arguments}
    for theirs, ours in (
        ("conv_clamp", "synthesis._init_kwargs.conv_clamp"),
        ("mapping_lrmul", "mapping._init_kwargs.lr_multiplier"),
        ("architecture", "synthesis.b4.architecture"),
    ):
        if theirs in arguments:
            hints[ours] = arguments[theirs]
    return hints


DIALECT = Dialect("stylegan2", translate, "NVIDIA's TensorFlow StyleGAN2 and StyleGAN2-ADA")
