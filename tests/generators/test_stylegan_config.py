"""Settings read off weights: what decides, what is refused, and that nothing is allocated for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.stylegan import StyleGAN
from eigan.generators.stylegan_config import StyleGANConfig, infer_config
from tests.toys_stylegan import toy_stylegan

CHANNELS = {4: 12, 8: 12, 16: 8}


def settings(**changes: Any) -> StyleGANConfig:
    resolution = changes.get("resolution", 16)
    values = {
        "z_dim": 10,
        "c_dim": 0,
        "w_dim": 14,
        "resolution": resolution,
        "channels": {r: n for r, n in CHANNELS.items() if r <= resolution},
        "num_mapping_layers": 3,
    }
    return StyleGANConfig(**(values | changes))


def weights_of(config: StyleGANConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        return StyleGAN(config).weights()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"c_dim": 7},
        {"c_dim": 7, "layer_features": 9},
        {"num_mapping_layers": 1},
        {"num_mapping_layers": 8, "layer_features": 3},
        {"use_noise": False},
        {"img_channels": 4},
        {"progressive": False},
        {"resolution": 8},
        {"resolution": 4},
        {"channels": {4: 3, 8: 17, 16: 5}},
    ],
    ids=str,
)
def test_shapes_tell_the_settings(changes: dict[str, Any]) -> None:
    config = settings(**changes)
    assert infer_config(weights_of(config), {}) == config.to_json()
    assert StyleGANConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("fused_scale", [True, False, "auto"])
def test_hints_give_what_shapes_cannot(fused_scale: Any) -> None:
    config = settings(fused_scale=fused_scale, mapping_lr_multiplier=0.1)
    hints = {"fused_scale": fused_scale, "mapping_lr_multiplier": 0.1, "entry": "generator_smooth"}
    assert infer_config(weights_of(config), hints) == config.to_json()
    assert StyleGANConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"fused_scale": "always"}, "fused_scale is 'always'"),
        ({"fused_scale": 1}, "fused_scale is 1; in a StyleGAN it should be true, false or 'auto'"),
        ({"fused_scale": None}, "fused_scale is None"),
        ({"mapping_lr_multiplier": True}, "lr_multiplier"),
        ({"mapping_lr_multiplier": 0}, "lr_multiplier"),
        ({"mapping_lr_multiplier": float("nan")}, "lr_multiplier"),
        ({"mapping_lr_multiplier": "0.01"}, "lr_multiplier"),
    ],
)
def test_absurd_hints_are_refused(hints: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        infer_config(weights_of(settings()), hints)


@pytest.mark.parametrize(
    "name", ["mapping.dense0.weight", "synthesis.early_layer.const", "synthesis.b4.const", "synthesis.layer0.weight"]
)
def test_other_weights_are_nobodys(name: str) -> None:
    assert infer_config({name: torch.zeros(4, 4)}, {}) is None


@pytest.mark.parametrize(
    ("removed", "added", "message"),
    [
        ("synthesis.layer3.weight", {}, r"missing synthesis\.layer3\.weight"),
        ("synthesis.layer0.style.weight", {}, r"missing synthesis\.layer0\.style\.weight"),
        ("mapping.dense0.weight", {}, r"missing mapping\.dense0\.weight"),
        ("synthesis.output2.weight", {}, r"missing synthesis\.output2\.weight"),
        ("", {"synthesis.layer1000000.weight": (8, 8, 3, 3)}, "synthesis layer number 1000000"),
        ("", {"synthesis.layer22.weight": (8, 8, 3, 3)}, "layer number 22; eigan knows at most 22"),
        ("", {"mapping.dense1000000.weight": (8, 8)}, "mapping layer number 1000000"),
        ("", {"mapping.dense2.weight": (84, 14)}, "one w for all layers"),
        ("", {"synthesis.layer1.weight": (12, 12)}, "dimensions"),
        ("", {"mapping.label_weight": (3, 0)}, "z_dim is 0"),
        ("", {"mapping.label_weight": (3,)}, "dimensions"),
        ("", {"synthesis.layer5.weight": (0, 8, 3, 3)}, r"channels\.16 is 0"),
        ("", {"synthesis.output2.weight": (2**20, 8, 1, 1)}, "img_channels"),
    ],
)
def test_incomplete_and_absurd_weights_are_named(removed: str, added: dict[str, Any], message: str) -> None:
    weights = {name: t for name, t in weights_of(settings()).items() if name != removed}
    weights |= {name: torch.empty(shape, device="meta") for name, shape in added.items()}
    with pytest.raises(CheckpointError, match=message):
        infer_config(weights, {})


@pytest.mark.parametrize("lod", [-1.0, 2.5, float("nan"), float("inf")])
def test_levels_of_detail_that_no_output_draws_are_refused(lod: float) -> None:
    with pytest.raises(CheckpointError, match="this StyleGAN draws at 0 to 2"):
        infer_config(weights_of(settings()) | {"synthesis.lod": torch.tensor(lod)}, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"resolution": 2**20},
        {"resolution": 2},
        {"resolution": "16"},
        {"resolution": 16.0},
        {"num_mapping_layers": 10**9},
        {"num_mapping_layers": 0},
        {"channels": {"4": 2**40, "8": 8, "16": 8}},
        {"channels": {"4": 8}},
        {"channels": "wide"},
        {"channels": {"x": 1}},
        {"channels": {"4": 16.0, "8": 16, "16": 8}},
        {"channels": {"4": [[]], "8": 16, "16": 8}},
        {"w_dim": -1},
        {"w_dim": True},
        {"c_dim": -1},
        {"c_dim": 2.0},
        {"layer_features": -1},
        {"img_channels": 0},
        {"unknown": 1},
        {"unknown": "1"},
        {"fused_scale": "sometimes"},
        {"fused_scale": 1},
        {"fused_scale": None},
        {"use_noise": "no"},
        {"progressive": 0},
        {"resolutions": [4]},
        {"mapping_lr_multiplier": float("nan")},
        {"mapping_lr_multiplier": 0.0},
        {"mapping_lr_multiplier": True},
        pytest.param({"mapping_lr_multiplier": 10**400}, id="huge"),
    ],
    ids=str,
)
def test_malformed_configs_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        StyleGAN.from_config(toy_stylegan().config() | changes)
