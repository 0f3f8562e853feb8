"""StyleGAN2 as rosinality/stylegan2-pytorch keeps it: flat lists of layers, weights with a leading axis of 1.

Checked against rosinality/stylegan2-pytorch bef283a. Its kernels have NVIDIA's orientation; its filters are four times
NVIDIA's. What training leaves out is made up for: the average w, and noise maps that old files lack (0: no noise).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from eigan.dialects.average import COUNT, average_w
from eigan.dialects.base import Dialect
from eigan.dialects.rules import Rule, first, plane, rename, scalar
from eigan.errors import CheckpointError
from eigan.generators.config import MAX_BLOCKS, MAX_MAPPING_LAYERS, count_indices, resolutions_to
from eigan.generators.layers import fir_filter
from eigan.readers.base import RawCheckpoint

DESCRIBES = "a StyleGAN2 of rosinality/stylegan2-pytorch"


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """`raw` in NVIDIA's names; None when it is no StyleGAN2 of this code base.

    Raises:
        CheckpointError: weights are missing, left over or misshapen.
    """
    if "input.input" not in raw.weights and "conv1.conv.modulation.weight" not in raw.weights:
        return None
    resolutions = resolutions_of(raw.weights)
    weights = rename(raw.weights, dict(rules_for(raw.weights, resolutions)), DESCRIBES)
    source = dict(raw.source)
    if len(resolutions) == 1:  # nothing is resampled, and no filter stored
        weights |= {f"synthesis.b4.{part}resample_filter": fir_filter() for part in ("", "conv1.")}
    if not has_noise_maps(raw.weights):
        weights |= {name: torch.zeros(r, r) for name, r in noise_maps(resolutions)}
        source["noise"] = "none in the file; maps of 0 in its place"
    if "mapping.w_avg" not in weights:
        weights["mapping.w_avg"] = average_w(weights)
        source["w_avg"] = f"not in the file; the mean of {COUNT:,} w, of seeds 0 to {COUNT - 1:,}"
    return replace(raw, weights=weights, hints={}, source=source)


def resolutions_of(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """4, 8, ...: two convolutions to each after the first."""
    count = count_indices(weights, r"convs\.(\d+)\.", 2 * (MAX_BLOCKS - 1), "a convolution")
    if count % 2:
        raise CheckpointError(f"weights do not fit {DESCRIBES}: missing convs.{count}; the checkpoint is incomplete")
    return resolutions_to(4 << count // 2)


def has_noise_maps(weights: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("noises.") for name in weights)


def noise_maps(resolutions: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """Our names of the noise maps, in the order of the layers, and their sizes."""
    for r in resolutions:
        for conv in ("conv0", "conv1") if r > 4 else ("conv1",):
            yield f"synthesis.b{r}.{conv}.noise_const", r


def rules_for(weights: Mapping[str, Tensor], resolutions: tuple[int, ...]) -> Iterator[tuple[str, Rule]]:
    """Our name -> rule, for a network of these resolutions."""
    if "latent_avg" in weights:
        yield "mapping.w_avg", Rule("latent_avg", 1)
    depth = count_indices(weights, r"style\.(\d+)\.", MAX_MAPPING_LAYERS + 1, "a mapping layer") - 1  # style.0 is empty
    for i in range(max(depth, 1)):
        yield f"mapping.fc{i}.weight", Rule(f"style.{i + 1}.weight", 2)
        yield f"mapping.fc{i}.bias", Rule(f"style.{i + 1}.bias", 1)
    yield "synthesis.b4.const", Rule("input.input", 4, first)
    yield from conv_rules("synthesis.b4.conv1.", "conv1.")
    yield from torgb_rules("synthesis.b4.torgb.", "to_rgb1.")
    for i, r in enumerate(resolutions[1:]):
        block = f"synthesis.b{r}."
        yield from conv_rules(f"{block}conv0.", f"convs.{2 * i}.")
        yield from conv_rules(f"{block}conv1.", f"convs.{2 * i + 1}.")
        yield from torgb_rules(f"{block}torgb.", f"to_rgbs.{i}.")
        yield f"{block}resample_filter", Rule(f"to_rgbs.{i}.upsample.kernel", 2, quarter)
        for conv in ("conv0", "conv1"):  # the second does not resample; NVIDIA's networks have its filter all the same
            yield f"{block}{conv}.resample_filter", Rule(f"convs.{2 * i}.conv.blur.kernel", 2, quarter)
    if len(resolutions) > 1:
        for part in ("", "conv1."):
            yield f"synthesis.b4.{part}resample_filter", Rule("convs.0.conv.blur.kernel", 2, quarter)
    if has_noise_maps(weights):
        for layer, (name, _) in enumerate(noise_maps(resolutions)):
            yield name, Rule(f"noises.noise_{layer}", 4, plane)


def conv_rules(ours: str, theirs: str) -> Iterator[tuple[str, Rule]]:
    yield from modulated_rules(ours, theirs)
    yield f"{ours}bias", Rule(f"{theirs}activate.bias", 1)
    yield f"{ours}noise_strength", Rule(f"{theirs}noise.weight", 1, scalar)


def torgb_rules(ours: str, theirs: str) -> Iterator[tuple[str, Rule]]:
    yield from modulated_rules(ours, theirs)
    yield f"{ours}bias", Rule(f"{theirs}bias", 4, lambda x: x.flatten().clone())


def modulated_rules(ours: str, theirs: str) -> Iterator[tuple[str, Rule]]:
    yield f"{ours}weight", Rule(f"{theirs}conv.weight", 5, first)
    yield f"{ours}affine.weight", Rule(f"{theirs}conv.modulation.weight", 2)
    yield f"{ours}affine.bias", Rule(f"{theirs}conv.modulation.bias", 1)


def quarter(kernel: Tensor) -> Tensor:
    """The filter without the gain of upsampling by 2 in both directions."""
    return kernel / 4


DIALECT = Dialect("stylegan2", translate, "rosinality/stylegan2-pytorch")
