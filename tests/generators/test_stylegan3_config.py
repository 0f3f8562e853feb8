"""Settings read off weights: what decides, what is refused, and that nothing is allocated for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.stylegan3 import StyleGAN3
from eigan.generators.stylegan3_config import StyleGAN3Config, band_limits, official_channels
from eigan.generators.stylegan3_infer import infer_config, layer_facts
from tests.toys_stylegan3 import toy_config_stylegan3


def settings(**changes: Any) -> StyleGAN3Config:
    resolution = changes.get("resolution", 32)
    num_layers = changes.pop("num_layers", 14)
    bands = {name: changes[name] for name in ("num_critical", "first_cutoff", "first_stopband") if name in changes}
    channels = official_channels(band_limits(resolution, num_layers, **bands).cutoffs, 4 * resolution, 6)
    values = {"z_dim": 9, "c_dim": 0, "w_dim": 10, "resolution": resolution, "channels": channels}
    return StyleGAN3Config(**(values | changes))


def weights_of(config: StyleGAN3Config) -> dict[str, Tensor]:
    with torch.device("meta"):
        return StyleGAN3(config).weights()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resolution": 16},
        {"resolution": 256},
        {"c_dim": 7},
        {"c_dim": 7, "embed_features": 5, "layer_features": 9},
        {"num_mapping_layers": 1},
        {"num_mapping_layers": 8},
        {"conv_kernel": 1, "use_radial_filters": True},
        {"conv_kernel": 1},
        {"filter_size": 4},
        {"margin_size": 4},
        {"margin_size": 0},
        {"num_layers": 9},
    ],
    ids=str,
)
def test_names_and_shapes_tell_the_settings(changes: dict[str, Any]) -> None:
    config = settings(**changes)
    assert infer_config(weights_of(config), {}) == config.to_json()
    assert StyleGAN3Config.from_json(config.to_json()) == config


def test_the_last_stopband_may_lie_on_its_cutoff() -> None:
    bands = band_limits(32, 7, last_stopband_rel=1.0)
    assert bands.half_widths[-1] == 0 and min(bands.half_widths[:-3]) > 0
    config = settings(num_layers=7, last_stopband_rel=1.0)
    found = infer_config(weights_of(config), {"synthesis._init_kwargs.last_stopband_rel": 1.0})
    assert found == config.to_json()


@pytest.mark.parametrize(
    "changes",
    [
        {"num_critical": 4},
        {"num_critical": 1},
        {"first_cutoff": 3.0},
        {"first_stopband": 7.0},
        {"last_stopband_rel": 1.5},
        {"output_scale": 0.5},
        {"lrelu_upsampling": 4},
        {"lrelu_upsampling": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("owner", ["synthesis._init_kwargs", "_init_kwargs"])
def test_the_file_says_what_shapes_cannot(changes: dict[str, Any], owner: str) -> None:
    config = settings(**changes)
    hints = {f"{owner}.{name}": value for name, value in changes.items()}
    assert infer_config(weights_of(config), hints) == config.to_json()


def facts(config: StyleGAN3Config) -> dict[str, Any]:
    """The hints that a genuine pickle gives."""
    hints: dict[str, Any] = {
        f"synthesis.{plan.name}.{name}": value for plan in config.layers for name, value in layer_facts(plan).items()
    }
    hints |= {f"synthesis.{plan.name}.conv_clamp": config.conv_clamp for plan in config.layers}
    hints |= {"synthesis.num_layers": len(config.layers) - 1, "mapping.num_layers": config.num_mapping_layers}
    return hints | {"synthesis.input.bandwidth": config.first_cutoff, "synthesis.margin_size": config.margin_size}


@pytest.mark.parametrize("clamp", [256, 2.5, None])
def test_the_clamp_is_that_of_the_layers(clamp: float | None) -> None:
    config = settings(conv_clamp=clamp)
    assert infer_config(weights_of(config), facts(config)) == config.to_json()


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"img_resolution": 2**30}, "img_resolution is 1073741824; its weights say 32"),
        ({"mapping.num_layers": 10**9}, "num_layers is 1000000000; its weights say 2"),
        ({"synthesis.num_layers": 15}, "num_layers is 15; its weights say 14"),
        ({"_init_kwargs.w_dim": 512}, "w_dim is 512; its weights say 10"),
        ({"mapping.num_ws": 18}, "num_ws"),
        ({"synthesis.margin_size": 11}, "a margin of 10; the file says 11"),
        ({"synthesis._init_kwargs.filter_size": 8}, "12 taps; the file says 8"),
        ({"synthesis._init_kwargs.lrelu_upsampling": 7}, "12 taps"),
        ({"synthesis._init_kwargs.use_radial_filters": True}, "use_radial_filters"),
        ({"synthesis.num_critical": 14}, "num_critical is 14 of 14"),
        ({"synthesis.num_critical": 2.0}, "whole number"),
        ({"synthesis.num_critical": True}, "whole number"),
        (
            {"synthesis.num_critical": 2, "_init_kwargs.num_critical": 3},
            "is 3; eigan knows one num_critical",
        ),
        ({"synthesis.num_critical": 7}, "where a StyleGAN3 of these settings has"),
        ({"synthesis._init_kwargs.first_cutoff": -1.0}, "first_cutoff"),
        ({"synthesis._init_kwargs.first_cutoff": 2.0, "synthesis.input.bandwidth": 3.0}, "first_cutoff"),
        ({"synthesis._init_kwargs.first_stopband": 0.01}, "stopbands"),
        ({"synthesis._init_kwargs.output_scale": "big"}, "output_scale"),
        ({"synthesis.input.sampling_rate": 8.0}, "sampling_rate"),
        ({"synthesis.L0_36_6.padding": (1, 2, 1, 2)}, r"padding is \(1, 2, 1, 2\)"),
        ({"synthesis.L0_36_6.up_factor": 4}, "up_factor"),
        ({"synthesis.L5_52_6.in_cutoff": 7.5}, "in_cutoff"),
        ({"synthesis.L0_36_6.conv_clamp": 256, "synthesis.L1_36_6.conv_clamp": None}, "one clamp of layers for all"),
        ({"synthesis.L0_36_6.conv_clamp": -1.0}, "conv_clamp"),
        ({"mapping.fc0.bias_gain": 0.01, "mapping.fc1.bias_gain": 1.0}, "one gain of mapping layers for all"),
        ({"mapping.fc1.activation": "relu"}, "lrelu"),
    ],
)
def test_a_file_that_contradicts_its_weights_is_refused(hints: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        infer_config(weights_of(settings()), hints)


def test_other_weights_are_nobodys() -> None:
    assert infer_config({"synthesis.b4.const": torch.zeros(4, 4, 4)}, {}) is None


@pytest.mark.parametrize(
    ("removed", "added", "message"),
    [
        ("synthesis.L3_36_6.weight", {}, "one of each wanted"),
        ("synthesis.L14_32_3.weight", {}, "where a StyleGAN3 of these settings has"),
        ("mapping.fc0.weight", {}, r"missing mapping\.fc0\.weight"),
        ("synthesis.input.affine.weight", {}, r"missing synthesis\.input\.affine\.weight"),
        ("", {"synthesis.L3_36_7.weight": (6, 6, 3, 3)}, "one of each wanted"),
        ("", {"synthesis.L15_48_3.weight": (3, 3, 1, 1)}, "where a StyleGAN3|power of two|margin"),
        ("", {"synthesis.L15_1048577_3.weight": (3, 3, 1, 1)}, "power of two"),
        ("", {"mapping.fc1000000.weight": (8, 8)}, "mapping layer number 1000000"),
        ("", {"synthesis.L0_36_6.weight": (6, 6)}, "dimensions"),
        ("", {"synthesis.L0_36_6.up_filter": (12, 12)}, "dimensions"),
        ("", {"synthesis.L0_36_6.up_filter": (13,)}, "13 taps"),
        ("", {"mapping.embed.weight": (9, 3)}, "z_dim is 0"),
    ],
)
def test_incomplete_and_absurd_weights_are_named(removed: str, added: dict[str, Any], message: str) -> None:
    weights = {name: t for name, t in weights_of(settings()).items() if name != removed}
    weights |= {name: torch.empty(shape, device="meta") for name, shape in added.items()}
    with pytest.raises(CheckpointError, match=message):
        infer_config(weights, {})


def test_too_many_layers_are_refused_before_anything_is_made() -> None:
    weights = weights_of(settings())
    weights |= {f"synthesis.L{i}_52_4.weight": torch.empty(4, 4, 3, 3, device="meta") for i in range(15, 90)}
    with pytest.raises(CheckpointError, match="90 StyleGAN3 layers"):
        infer_config(weights, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"resolution": 2**20},
        {"resolution": 24},
        {"resolution": "32"},
        {"resolution": 32.0},
        {"num_mapping_layers": 10**9},
        {"channels": [8] * 100},
        {"channels": [8]},
        {"channels": []},
        {"channels": "wide"},
        {"channels": [2**40, 8, 3]},
        {"channels": [8.0, 8, 3]},
        {"channels": [[], 8, 3]},
        {"channels": {"0": 8}},
        {"num_critical": 14},
        {"num_critical": -1},
        {"first_cutoff": 0.0},
        {"first_cutoff": 1e7},
        {"first_cutoff": 30.0},
        {"first_stopband": 1e-3},
        {"last_stopband_rel": float("nan")},
        {"last_stopband_rel": 0.5},
        {"output_scale": float("inf")},
        {"margin_size": -1},
        {"margin_size": 2**20},
        {"conv_kernel": 0},
        {"conv_kernel": 1000},
        {"filter_size": 10**6},
        {"lrelu_upsampling": 0},
        {"lrelu_upsampling": 2.0},
        {"use_radial_filters": 1},
        {"conv_clamp": 0},
        {"conv_clamp": True},
        {"c_dim": -1},
        {"w_dim": True},
        {"unknown": 1},
        {"layers": []},
        {"mapping_lr_multiplier": float("nan")},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_malformed_configs_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        StyleGAN3.from_config(toy_config_stylegan3().to_json() | changes)


def test_torgb_never_changes_the_size() -> None:
    with pytest.raises(CheckpointError, match="toRGB would go from"):
        settings(resolution=256, channels=(8, 8, 3), num_critical=0, last_stopband_rel=1.01)


@pytest.mark.parametrize("changes", [{}, {"resolution": 256}, {"conv_kernel": 1}, {"lrelu_upsampling": 4}], ids=str)
def test_only_rows_that_nothing_reads_are_left_out(changes: dict[str, Any]) -> None:
    for plan in settings(**changes).layers:
        rows, last = plan.in_size + plan.kernel - 1, plan.first + (plan.out_size - 1) * plan.down + plan.down_taps - 1
        read = {row for row in range(rows) if row * plan.up <= last and row * plan.up + plan.up_taps - 1 >= plan.first}
        assert min(read) >= plan.trim and max(read) <= rows - 1 - plan.trim
        assert plan.trim in (min(read), rows - 1 - max(read))
