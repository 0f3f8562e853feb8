"""Reads a StyleGAN3's settings off its weights and off what its file says of itself.

Names and shapes decide; the file fills in only what they cannot tell (NVIDIA's class defaults where it is silent), and
must not contradict them. Karras et al., NeurIPS 2021 (arXiv:2106.12423); names as in stylegan3 c233a91.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eigan.errors import CheckpointError, list_names
from eigan.generators.stylegan2_config import lr_multiplier, number
from eigan.generators.stylegan3_config import MAX_LAYERS, MAX_MAPPING_LAYERS, LayerPlan, StyleGAN3Config, band_limits

LAYER = re.compile(r"synthesis\.(L(\d{1,5})_(\d{1,7})_(\d{1,7}))\.weight")
MAPPING_LAYER = re.compile(r"mapping\.fc(\d{1,7})\.weight")
CLAMP = re.compile(r"synthesis\.L\d+_\d+_\d+\.conv_clamp")
TOLERANCE = 1e-6  # of cutoffs that a file states, relative
WHOLE = ("num_critical", "lrelu_upsampling", "filter_size", "margin_size")
BANDS = ("first_cutoff", "first_stopband", "last_stopband_rel")
STATED = (*WHOLE, *BANDS, "output_scale")  # settings that a file may say of its synthesis; others follow from weights


def infer_config(weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
    """`StyleGAN3.config()` of NVIDIA-named weights, None when they are no StyleGAN3's.

    Raises:
        CheckpointError: a StyleGAN3 that is incomplete, absurd, or says of itself what its weights do not.
    """
    if "synthesis.input.freqs" not in weights:
        return None
    names = layer_names(weights)
    shapes = [shape_of(weights, f"synthesis.{name}.weight", 4) for name, _ in names]
    resolution, num_layers = names[-1][1], len(names) - 1
    embed_features, c_dim = (0, 0)
    if "mapping.embed.weight" in weights:
        embed_features, c_dim = shape_of(weights, "mapping.embed.weight", 2)
    first, depth = shape_of(weights, "mapping.fc0.weight", 2), mapping_depth(weights)
    said: dict[str, Any] = {name: value for name in STATED if (value := stated(hints, name)) is not None}
    critical = int(said.get("num_critical", StyleGAN3Config.num_critical))
    settings = StyleGAN3Config(
        z_dim=first[1] - embed_features,
        c_dim=c_dim,
        w_dim=shape_of(weights, "synthesis.input.affine.weight", 2)[1],
        resolution=resolution,
        channels=tuple(shape[0] for shape in shapes),
        margin_size=margin_size(names[0][1], resolution, num_layers, critical, said),
        conv_kernel=shapes[0][2],
        filter_size=filter_size(weights, names[0][0], said),
        use_radial_filters=has_radial_filters(weights, names[0][0], hints),
        conv_clamp=conv_clamp(hints),
        num_mapping_layers=depth,
        layer_features=first[0] if depth > 1 else 0,
        embed_features=embed_features,
        mapping_lr_multiplier=lr_multiplier(hints, depth),
        **{name: value for name, value in said.items() if name not in ("filter_size", "margin_size")},
    )
    check_names(settings, [name for name, _ in names])
    check_hints(settings, hints)
    return settings.to_json()


def layer_names(weights: Mapping[str, Tensor]) -> list[tuple[str, int]]:
    """(name, size) of layers 0, 1, ... in order. Raises CheckpointError unless there is one of each, and toRGB."""
    found = sorted((int(match[2]), match[1], int(match[3])) for name in weights if (match := LAYER.fullmatch(name)))
    indices = [index for index, _, _ in found]
    if not 2 <= len(found) <= MAX_LAYERS + 1:
        raise CheckpointError(f"the weights have {len(found)} StyleGAN3 layers; wanted 2 to {MAX_LAYERS + 1}")
    if indices != list(range(len(found))):
        raise CheckpointError(
            f"the weights have the layers {list_names([n for _, n, _ in found], 4)}; one of each wanted"
        )
    return [(name, size) for _, name, size in found]


def shape_of(weights: Mapping[str, Tensor], name: str, dims: int) -> tuple[int, ...]:
    tensor = weights.get(name)
    if tensor is None:
        raise CheckpointError(f"weights do not fit a StyleGAN3: missing {name}; the checkpoint is incomplete")
    if tensor.ndim != dims:
        raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}; a StyleGAN3 has {dims} dimensions there")
    return tuple(tensor.shape)


def mapping_depth(weights: Mapping[str, Tensor]) -> int:
    depth = 1 + max(int(match[1]) for name in weights if (match := MAPPING_LAYER.fullmatch(name)))
    if depth > MAX_MAPPING_LAYERS:
        raise CheckpointError(f"num_mapping_layers is {depth}; wanted 1 to {MAX_MAPPING_LAYERS}")
    return depth


def stated(hints: Mapping[str, Any], name: str) -> float | int | None:
    """What the file says a setting of synthesis is; None when it is silent. Raises CheckpointError on two answers."""
    paths = [f"synthesis.{name}", f"synthesis._init_kwargs.{name}", f"_init_kwargs.{name}"]
    paths += ["synthesis.input.bandwidth"] * (name == "first_cutoff")
    found = {path: hints[path] for path in paths if path in hints}
    if not found:
        return None
    if len(set(found.values())) > 1:
        raise CheckpointError(f"the file says {' and '.join(f'{p} is {v!r}' for p, v in list(found.items())[:2])}")
    path, value = next(iter(found.items()))
    if name not in WHOLE:
        return number(value, path)
    if type(value) is not int:
        raise CheckpointError(f"the file says {path} is {str(value)[:40]!r}; wanted a whole number")
    return value


def margin_size(size: int, resolution: int, num_layers: int, critical: int, said: Mapping[str, Any]) -> int:
    """Rows kept around the picture: what the first layer's size has beyond its sampling rate."""
    if not 0 <= critical < num_layers:
        raise CheckpointError(f"num_critical is {critical} of {num_layers} layers; wanted fewer")
    if not 4 <= resolution <= 2**20:
        raise CheckpointError(f"the last layer is {resolution}px; wanted a power of two")
    given = {name: said[name] for name in BANDS if name in said}
    if num_layers < 2:  # every layer has the picture's size
        return int(said.get("margin_size", StyleGAN3Config.margin_size))
    margin = (size - band_limits(resolution, num_layers, critical, **given).rates[0]) / 2
    if margin != int(margin) or said.get("margin_size", margin) != margin:
        raise CheckpointError(
            f"the first layer is {size}px, a margin of {margin:g}; the file says {said.get('margin_size')}"
        )
    return int(margin)


def filter_size(weights: Mapping[str, Tensor], layer: str, said: Mapping[str, Any]) -> int:
    """Taps for each sample that the filters are enlarged by; the first layer's is enlarged by lrelu_upsampling."""
    up = int(said.get("lrelu_upsampling", StyleGAN3Config.lrelu_upsampling))
    if f"synthesis.{layer}.up_filter" not in weights or up < 1:
        return int(said.get("filter_size", StyleGAN3Config.filter_size))
    taps = shape_of(weights, f"synthesis.{layer}.up_filter", 1)[0]
    if taps % up or said.get("filter_size", taps // up) != taps // up:
        raise CheckpointError(
            f"{layer}.up_filter has {taps} taps; the file says {said.get('filter_size')} for each of {up}"
        )
    return taps // up


def has_radial_filters(weights: Mapping[str, Tensor], layer: str, hints: Mapping[str, Any]) -> bool:
    """Whether the first layer (never critically sampled) has a two-dimensional filter."""
    tensor = weights.get(f"synthesis.{layer}.down_filter")
    return bool(hints.get("synthesis._init_kwargs.use_radial_filters")) if tensor is None else tensor.ndim == 2


def conv_clamp(hints: Mapping[str, Any]) -> float | None:
    """The clamp that every layer of the file states; 256, the class's default, without a statement."""
    found = {hints[path] for path in hints if CLAMP.fullmatch(path)}
    if len(found) > 1:
        raise CheckpointError(
            f"layers are clamped differently ({sorted(map(str, found))[:4]}); eigan knows one clamp for all"
        )
    clamp = found.pop() if found else hints.get("synthesis._init_kwargs.conv_clamp", StyleGAN3Config.conv_clamp)
    return None if clamp is None else number(clamp, "conv_clamp")


def check_names(settings: StyleGAN3Config, names: list[str]) -> None:
    """Raise CheckpointError when the settings make layers of other sizes than the weights' names say."""
    for plan, name in zip(settings.layers, names, strict=True):
        if plan.name != name:
            raise CheckpointError(
                f"the weights have a layer {name} where a StyleGAN3 of these settings has {plan.name}; "
                "its cutoffs, margin or number of critical layers are unknown to eigan"
            )


def check_hints(settings: StyleGAN3Config, hints: Mapping[str, Any]) -> None:
    """Raise CheckpointError when the file says of itself what its weights are not, or asks for what eigan lacks."""
    whole = {"img_resolution": settings.resolution, "w_dim": settings.w_dim, "img_channels": settings.img_channels}
    everywhere = {f"{owner}{name}": value for owner in ("", "synthesis.", "mapping.") for name, value in whole.items()}
    latents = {"z_dim": settings.z_dim, "c_dim": settings.c_dim, "num_ws": settings.num_layers}
    everywhere |= {f"{owner}{name}": value for owner in ("", "mapping.") for name, value in latents.items()}
    everywhere |= {
        "synthesis.num_ws": settings.num_layers,
        "synthesis.num_layers": len(settings.layers) - 1,
        "mapping.num_layers": settings.num_mapping_layers,
        "synthesis.use_radial_filters": settings.use_radial_filters,
        "synthesis.input.channels": settings.layers[0].in_channels,
        "synthesis.input.sampling_rate": settings.input_rate,
    }
    for path, actual in everywhere.items():
        owner, _, name = path.rpartition(".")
        prefix = f"{owner}." if owner else ""
        _compare(hints, path, actual)
        _compare(hints, f"{prefix}_init_kwargs.{name}", actual)
    _compare(hints, "_init_kwargs.use_radial_filters", settings.use_radial_filters)
    for plan in settings.layers:
        for name, value in layer_facts(plan).items():
            _compare(hints, f"synthesis.{plan.name}.{name}", value)
    for path, value in hints.items():
        if re.fullmatch(r"mapping\.fc\d+\.activation", path) and value != "lrelu":
            raise CheckpointError(f"the file says {path} is {value!r}; eigan's StyleGAN3 knows lrelu")


def layer_facts(plan: LayerPlan) -> dict[str, Any]:
    """What NVIDIA's layer says of itself, as attributes."""
    before, after = plan.padding
    return {
        "is_torgb": plan.is_torgb,
        "in_channels": plan.in_channels,
        "out_channels": plan.out_channels,
        "in_sampling_rate": plan.in_rate,
        "out_sampling_rate": plan.out_rate,
        "tmp_sampling_rate": plan.rate,
        "in_cutoff": plan.in_cutoff,
        "out_cutoff": plan.out_cutoff,
        "in_half_width": plan.in_half_width,
        "out_half_width": plan.out_half_width,
        "conv_kernel": plan.kernel,
        "up_factor": plan.up,
        "up_taps": plan.up_taps,
        "down_factor": plan.down,
        "down_taps": plan.down_taps,
        "padding": (before, after, before, after),
        "_init_kwargs.in_size": plan.in_size,
        "_init_kwargs.out_size": plan.out_size,
    }


def _compare(hints: Mapping[str, Any], path: str, actual: Any) -> None:
    value = hints.get(path)
    if value is None or value == actual:
        return
    is_close = isinstance(actual, float) and isinstance(value, float) and math.isclose(value, actual, rel_tol=TOLERANCE)
    if not is_close:
        raise CheckpointError(f"the file says {path} is {str(value)[:60]}; its weights say {actual}")
