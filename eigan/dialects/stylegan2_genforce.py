"""StyleGAN2 as genforce (and SeFa's model zoo) keeps it: numbered layers, styles without their 1, TensorFlow's kernels.

Checked against genforce 197feee. Skeletons "skip" and "origin"; its "resnet" overwrites layers with shortcuts and
cannot run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.dialects.rules import Rule, as_embedding, first, flipped, no_bias, plane, plus_one, rename
from eigan.errors import CheckpointError
from eigan.generators.config import MAX_BLOCKS, MAX_MAPPING_LAYERS, count_indices, resolutions_to
from eigan.readers.base import RawCheckpoint

DESCRIBES = "a StyleGAN2 of genforce"
LABELS = "mapping.label_weight"
KNOWN_BY = ("synthesis.early_layer.", "synthesis.layer0.noise_strength")


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """`raw` in NVIDIA's names; None when it is no StyleGAN2 of this code base.

    Raises:
        CheckpointError: weights are missing, left over or misshapen, or the network is of a kind eigan cannot draw.
    """
    if not any(name.startswith(KNOWN_BY) for name in raw.weights):
        return None
    resolutions = resolutions_of(raw.weights)
    check_kind(raw.weights, len(resolutions))
    weights = rename(raw.weights, dict(rules_for(raw.weights, resolutions)), DESCRIBES)
    return replace(raw, weights=weights, hints={"mapping.joint_labels": LABELS in raw.weights})


def resolutions_of(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """4, 8, ...: layer 0 at the first, two to each of the others."""
    count = count_indices(weights, r"synthesis\.layer(\d+)\.", 2 * MAX_BLOCKS - 1, "a synthesis layer")
    return resolutions_to(4 << max(count, 2) // 2)


def check_kind(weights: Mapping[str, Tensor], blocks: int) -> None:
    """Raise CheckpointError when the network computes something that eigan's StyleGAN2 does not."""
    if "synthesis.early_layer.weight" in weights:
        raise CheckpointError("it starts from w, not from a learned constant; eigan's StyleGAN2 starts from a constant")
    shortcut = weights.get("synthesis.layer1.weight")
    if shortcut is not None and shortcut.shape[2:] == (1, 1):
        raise CheckpointError(
            "it is a genforce StyleGAN2 of the resnet skeleton, whose shortcuts overwrite its layers: genforce cannot "
            "run it either; skip and origin are read"
        )
    average, style = (
        weights.get(name, torch.empty(0)) for name in ("truncation.w_avg", "synthesis.layer0.style.weight")
    )
    if style.ndim == 2 and average.numel() == 2 * blocks * style.shape[1] > 0:
        raise CheckpointError("its mapping gives every layer a w of its own; eigan knows one w for all layers")


def rules_for(weights: Mapping[str, Tensor], resolutions: tuple[int, ...]) -> Iterator[tuple[str, Rule]]:
    """Our name -> rule, for a network of these resolutions: "skip" when the first has a toRGB, else "orig"."""
    yield "mapping.w_avg", Rule("truncation.w_avg", 1)
    if LABELS in weights:
        yield "mapping.embed.weight", Rule(LABELS, 2, as_embedding)
        yield "mapping.embed.bias", Rule(LABELS, 2, no_bias)
    depth = count_indices(weights, r"mapping\.dense(\d+)\.", MAX_MAPPING_LAYERS, "a mapping layer")
    for i in range(max(depth, 1)):
        for part, dims in (("weight", 2), ("bias", 1)):
            yield f"mapping.fc{i}.{part}", Rule(f"mapping.dense{i}.{part}", dims)
    yield "synthesis.b4.const", Rule("synthesis.early_layer.const", 4, first)
    is_skip = any(name.startswith(("synthesis.output0.", "synthesis.upsample.")) for name in weights)
    for block, r in enumerate(resolutions):
        ours, up = f"synthesis.b{r}.", f"synthesis.layer{max(2 * block - 1, 1)}."
        if r > 4:
            yield from conv_rules(f"{ours}conv0.", up, flipped)
        yield from conv_rules(f"{ours}conv1.", f"synthesis.layer{2 * block}.", torch.Tensor.contiguous)
        if is_skip or r == resolutions[-1]:
            yield from modulated_rules(f"{ours}torgb.", f"synthesis.output{block}.", torch.Tensor.contiguous)
        for conv in ("conv0.", "conv1.") if r > 4 else ("conv1.",):
            yield f"{ours}{conv}resample_filter", Rule(f"{up}filter.kernel", 4, as_filter)
        image = "synthesis.upsample.kernel" if is_skip else f"{up}filter.kernel"
        yield f"{ours}resample_filter", Rule(image, 4, as_filter)


def conv_rules(ours: str, theirs: str, change: Callable[[Tensor], Tensor]) -> Iterator[tuple[str, Rule]]:
    yield from modulated_rules(ours, theirs, change)
    yield f"{ours}noise_const", Rule(f"{theirs}noise", 4, plane)
    yield f"{ours}noise_strength", Rule(f"{theirs}noise_strength", 0)


def modulated_rules(ours: str, theirs: str, change: Callable[[Tensor], Tensor]) -> Iterator[tuple[str, Rule]]:
    yield f"{ours}weight", Rule(f"{theirs}weight", 4, change)
    yield f"{ours}bias", Rule(f"{theirs}bias", 1)
    yield f"{ours}affine.weight", Rule(f"{theirs}style.weight", 2)
    yield f"{ours}affine.bias", Rule(f"{theirs}style.bias", 1, plus_one)


def as_filter(kernel: Tensor) -> Tensor:
    """(1, 1, k, k) with the gain of upsampling, correlated -> (k, k) without it, convolved."""
    return flipped(plane(kernel)) / 4


DIALECT = Dialect("stylegan2", translate, "genforce's StyleGAN2")
