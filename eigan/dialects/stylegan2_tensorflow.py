"""StyleGAN2 and StyleGAN2-ADA as TensorFlow kept them: kernels (height, width, in, out), styles without their 1.

Checked against NVlabs' stylegan2 and stylegan2-ada (`training/networks*.py`) and the conversion in
stylegan2-ada-pytorch d72cc7d (`legacy.py`). Configs B to D (grown progressively) are read once they are fully grown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.dialects.rules import Rule, count_indices, first, flipped, plane, plus_one, rename, transposed
from eigan.errors import CheckpointError
from eigan.generators.stylegan2_config import MAX_MAPPING_LAYERS, MAX_RESOLUTION
from eigan.readers.base import RawCheckpoint

DESCRIBES = "a TensorFlow StyleGAN2"
MAX_TAPS = 64
BLOCK = re.compile(r"synthesis/(\d{1,7})x(\d{1,7})/")
GROWN = re.compile(r"synthesis/ToRGB_lod\d+/")
FIRST_TORGB, FIRST_SHORTCUT, LAST_GROWN = "synthesis/4x4/ToRGB/", "synthesis/8x8/Skip/", "synthesis/ToRGB_lod0/"
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
    check_arguments(raw.weights, arguments)
    resolutions = resolutions_of(raw.weights)
    rules = dict(rules_for(raw.weights, resolutions))
    ignored = [name for name in raw.weights if name in ("lod", "synthesis/lod") or GROWN.match(name)]
    weights = rename(raw.weights, rules, DESCRIBES, ignored=ignored)
    kernel = resample_filter(arguments)
    for r in resolutions:
        for part in ("", "conv1.", *(("conv0.",) if r > 4 else ())):
            weights[f"synthesis.b{r}.{part}resample_filter"] = kernel.clone()
        if f"synthesis.b{r}.skip.weight" in weights:
            weights[f"synthesis.b{r}.skip.resample_filter"] = kernel.clone()
    return replace(raw, weights=weights, hints=hints_of(arguments))


def static_arguments(hints: Mapping[str, Any]) -> dict[str, Any]:
    """The networks' static arguments by name. Gs hands its own on to its components, over theirs."""
    found = {}
    for owner in ("mapping.", "synthesis.", ""):
        start = f"{owner}static_kwargs."
        found.update({name.removeprefix(start): value for name, value in hints.items() if name.startswith(start)})
    return found


def check_arguments(weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> None:
    """Raise CheckpointError when the network computes something that eigan's StyleGAN2 does not."""
    if "mapping/LabelConcat/weight" in weights:
        raise CheckpointError(
            "its class labels are joined to z before both are normalised (the first TensorFlow StyleGAN2); "
            "eigan draws unconditional ones and the conditional ones of StyleGAN2-ADA"
        )
    for name in ("nonlinearity", "mapping_nonlinearity"):
        if arguments.get(name, "lrelu") != "lrelu":
            raise CheckpointError(f"the file says {name} is {arguments[name]!r}; eigan's StyleGAN2 knows lrelu")
    if not arguments.get("normalize_latents", True):
        raise CheckpointError("the file says that z is not normalised; eigan's StyleGAN2 normalises it")
    lod = weights.get("lod", weights["synthesis/lod"]) if "synthesis/lod" in weights else None  # Gs hands its own on
    if lod is not None and torch.count_nonzero(lod):
        raise CheckpointError(
            f"it was saved while still growing (level of detail {float(lod.flatten()[0]):g}); use a later snapshot"
        )


def resolutions_of(weights: Mapping[str, Tensor]) -> list[int]:
    """4, 8, ... up to the largest that a name spells."""
    last = max((int(match[1]) for name in weights if (match := BLOCK.match(name))), default=4)
    if not 4 <= last <= MAX_RESOLUTION or last & (last - 1):
        raise CheckpointError(f"the weights go up to {last}px; wanted a power of two between 4 and {MAX_RESOLUTION}")
    return [2**i for i in range(2, last.bit_length())]


def rules_for(weights: Mapping[str, Tensor], resolutions: list[int]) -> Iterator[tuple[str, Rule]]:
    """Our name -> rule, for a network of these resolutions and whatever options its names show."""
    yield "mapping.w_avg", Rule("dlatent_avg", 1)
    if any(name.startswith("mapping/LabelEmbed/") for name in weights):
        yield "mapping.embed.weight", Rule("mapping/LabelEmbed/weight", 2, transposed)
        yield "mapping.embed.bias", Rule("mapping/LabelEmbed/bias", 1)
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


def modulated_rules(ours: str, theirs: str, change: Any) -> Iterator[tuple[str, Rule]]:
    yield f"{ours}weight", Rule(f"{theirs}weight", 4, change)
    yield f"{ours}bias", Rule(f"{theirs}bias", 1)
    yield f"{ours}affine.weight", Rule(f"{theirs}mod_weight", 2, transposed)
    yield f"{ours}affine.bias", Rule(f"{theirs}mod_bias", 1, plus_one)


def kernels(x: Tensor) -> Tensor:
    """(H, W, I, O) -> (O, I, H, W)."""
    return x.permute(3, 2, 0, 1).contiguous()


def kernels_flipped(x: Tensor) -> Tensor:
    """The same, turned by 180 degrees: its upsampling convolutions turn them once more than PyTorch's do."""
    return flipped(kernels(x))


def resample_filter(arguments: Mapping[str, Any]) -> Tensor:
    """(k, k), summing to 1: the outer product of the stated taps; [1, 3, 3, 1] unless stated, a box when it is None."""
    taps = arguments.get("resample_kernel", (1, 3, 3, 1))
    taps = (1, 1) if taps is None else taps
    if not isinstance(taps, tuple) or not 1 <= len(taps) <= MAX_TAPS or not 0 < abs(sum(taps)) < 1e6:
        raise CheckpointError(f"the file says resample_kernel is {str(taps)[:40]}; wanted a short list of numbers")
    row = torch.tensor([float(tap) for tap in taps])
    kernel = torch.outer(row, row)
    return kernel / kernel.sum()


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
