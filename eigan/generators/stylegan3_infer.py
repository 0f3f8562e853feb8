"""Reads a StyleGAN3's settings off its weights and off what its file says of itself.

Names and shapes decide; the file fills in only what they cannot tell (NVIDIA's class defaults where it is silent), and
must not contradict them. Karras et al., NeurIPS 2021 (arXiv:2106.12423); names as in stylegan3 c233a91.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eigan.errors import CheckpointError, list_names
from eigan.generators.config import MAX_NUMBER, Sizes, agreed, check_number, check_stated, shown
from eigan.generators.stylegan2_config import conv_clamp, mapping_settings
from eigan.generators.stylegan3_config import MAX_LAYERS, LayerPlan, StyleGAN3Config, band_limits, check_critical

LAYER = re.compile(r"synthesis\.(L(\d{1,5})_(\d{1,7})_(\d{1,7}))\.weight")
CLAMP = re.compile(r"synthesis\.L\d+_\d+_\d+\.conv_clamp")
ACTIVATION = re.compile(r"mapping\.fc\d+\.activation")
DEFAULTS = {name: setting.default for name, setting in StyleGAN3Config.model_fields.items()}  # NVIDIA's classes' too
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
    sizes = Sizes(weights, StyleGAN3Config.family)
    names = layer_names(weights)
    shapes = [sizes.of(f"synthesis.{name}.weight", 4) for name, _ in names]
    said = {name: value for name in STATED if (value := stated(hints, name)) is not None}
    measured = {
        "margin_size": margin_size(names[0][1], names[-1][1], len(names) - 1, said),
        "filter_size": filter_size(sizes, names[0][0], said),
    }
    settings = StyleGAN3Config(
        **mapping_settings(sizes, hints),
        **(said | measured),
        w_dim=sizes.of("synthesis.input.affine.weight", 2)[1],
        resolution=names[-1][1],
        channels=tuple(shape[0] for shape in shapes),
        conv_kernel=shapes[0][2],
        use_radial_filters=has_radial_filters(weights, names[0][0], hints),
        conv_clamp=conv_clamp(hints, CLAMP, DEFAULTS["conv_clamp"]),
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


def stated(hints: Mapping[str, Any], name: str) -> Any:
    """What the file says a setting of synthesis is, a number; None when it is silent. Raises CheckpointError."""
    paths = [f"synthesis.{name}", f"synthesis._init_kwargs.{name}", f"_init_kwargs.{name}"]
    paths += ["synthesis.input.bandwidth"] * (name == "first_cutoff")
    value = agreed(hints, paths, None, name)
    if value is None or (name in WHOLE and type(value) is int and 0 <= value <= MAX_NUMBER):
        return value
    if name in WHOLE:
        raise CheckpointError(f"the file says {name} is {shown(value)}; wanted a whole number")
    return check_number(value, name, 1 / MAX_NUMBER, MAX_NUMBER)


def margin_size(size: int, resolution: int, num_layers: int, said: Mapping[str, Any]) -> int:
    """Rows kept around the picture: what the first layer's size has beyond its sampling rate."""
    critical = said.get("num_critical", DEFAULTS["num_critical"])
    check_critical(critical, num_layers)
    if not 4 <= resolution <= 2**20:
        raise CheckpointError(f"the last layer is {resolution}px; wanted a power of two")
    given = {name: said[name] for name in BANDS if name in said}
    if num_layers < 2:  # every layer has the picture's size
        return int(said.get("margin_size", DEFAULTS["margin_size"]))
    margin = (size - band_limits(resolution, num_layers, critical, **given).rates[0]) / 2
    if margin != int(margin) or said.get("margin_size", margin) != margin:
        raise CheckpointError(
            f"the first layer is {size}px, a margin of {margin:g}; the file says {said.get('margin_size')}"
        )
    return int(margin)


def filter_size(sizes: Sizes, layer: str, said: Mapping[str, Any]) -> int:
    """Taps for each sample that the filters are enlarged by; the first layer's is enlarged by lrelu_upsampling."""
    up = said.get("lrelu_upsampling", DEFAULTS["lrelu_upsampling"])
    if f"synthesis.{layer}.up_filter" not in sizes.weights or up < 1:
        return int(said.get("filter_size", DEFAULTS["filter_size"]))
    taps = sizes.of(f"synthesis.{layer}.up_filter", 1)[0]
    if taps % up or said.get("filter_size", taps // up) != taps // up:
        raise CheckpointError(
            f"{layer}.up_filter has {taps} taps; the file says {said.get('filter_size')} for each of {up}"
        )
    return int(taps // up)


def has_radial_filters(weights: Mapping[str, Tensor], layer: str, hints: Mapping[str, Any]) -> bool:
    """Whether the first layer (never critically sampled) has a two-dimensional filter."""
    tensor = weights.get(f"synthesis.{layer}.down_filter")
    return bool(hints.get("synthesis._init_kwargs.use_radial_filters")) if tensor is None else tensor.ndim == 2


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
        check_stated(hints, path, actual)
        check_stated(hints, f"{prefix}_init_kwargs.{name}", actual)
    check_stated(hints, "_init_kwargs.use_radial_filters", settings.use_radial_filters)
    for plan in settings.layers:
        for name, value in layer_facts(plan).items():
            check_stated(hints, f"synthesis.{plan.name}.{name}", value)
    for path, value in hints.items():
        if ACTIVATION.fullmatch(path) and value != "lrelu":
            raise CheckpointError(f"the file says {path} is {shown(value)}; eigan's StyleGAN3 knows lrelu")


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
