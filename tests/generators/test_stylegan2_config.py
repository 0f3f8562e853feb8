"""Settings read off weights: what decides, what is refused, and that nothing is allocated for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.stylegan2 import StyleGAN2
from eigan.generators.stylegan2 import StyleGAN2Config as ReExported
from eigan.generators.stylegan2_config import StyleGAN2Config, infer_config
from tests.toys import toy_generator

CHANNELS = {4: 12, 8: 12, 16: 8}


def settings(**changes: Any) -> StyleGAN2Config:
    resolution = changes.get("resolution", 16)
    values = {
        "z_dim": 10,
        "c_dim": 0,
        "w_dim": 14,
        "resolution": resolution,
        "channels": {r: n for r, n in CHANNELS.items() if r <= resolution},
        "num_mapping_layers": 3,
    }
    return StyleGAN2Config(**(values | changes))


def weights_of(config: StyleGAN2Config) -> dict[str, Tensor]:
    with torch.device("meta"):
        return StyleGAN2(config).weights()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"c_dim": 7},
        {"c_dim": 7, "embed_features": 5, "layer_features": 9},
        {"num_mapping_layers": 1},
        {"use_noise": False},
        {"img_channels": 4},
        {"img_channels": 1, "architecture": "orig"},
        {"architecture": "resnet"},
        {"resolution": 8, "architecture": "orig"},
        {"resolution": 8, "architecture": "resnet"},
        {"resolution": 4},
        {"filter_taps": 3},
        {"filter_taps": 1},
        {"filter_taps": 5, "unused_filter_taps": 3},
    ],
    ids=str,
)
def test_shapes_tell_the_settings(changes: dict[str, Any]) -> None:
    config = settings(**changes)
    assert infer_config(weights_of(config), {}) == config.to_json()
    assert StyleGAN2Config.from_json(config.to_json()) == config


@pytest.mark.parametrize("stated", ["skip", "orig", "resnet"])
def test_a_4px_generator_takes_the_skeleton_that_is_stated(stated: str) -> None:
    weights = weights_of(settings(resolution=4, architecture=stated))
    found = infer_config(weights, {"synthesis.b4.architecture": stated})
    assert found is not None and found["architecture"] == stated
    weights_of(StyleGAN2Config.from_json(found))


def test_the_file_tells_whether_labels_are_joined_to_z() -> None:
    config = settings(c_dim=7, embed_features=10, joint_labels=True)
    assert infer_config(weights_of(config), {"mapping.joint_labels": True}) == config.to_json()
    assert StyleGAN2Config.from_json(config.to_json()) == config
    assert "joint_labels" not in (infer_config(weights_of(config), {}) or {})


def test_hints_give_what_shapes_cannot() -> None:
    hints = {
        "synthesis.b4.conv1.conv_clamp": 2.5,
        "synthesis.b8.torgb.conv_clamp": 2.5,
        "mapping.fc0.bias_gain": 0.02,
        "mapping.fc1.bias_gain": 0.02,
        "img_resolution": 16,
        "num_ws": 6,
    }
    found = infer_config(weights_of(settings()), hints)
    assert found == settings(conv_clamp=2.5, mapping_lr_multiplier=0.02).to_json()


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"img_resolution": 2**30}, "img_resolution is 1073741824; its weights say 16"),
        ({"img_resolution": 48}, "img_resolution is 48"),
        ({"mapping.num_layers": 10**9}, "num_layers"),
        ({"mapping.num_ws": 18}, "num_ws"),
        ({"synthesis._init_kwargs.channel_base": 2**40}, "channel_base"),
        ({"_init_kwargs.synthesis_kwargs.channel_max": -1}, "channel_max"),
        ({"synthesis.b4.conv1.conv_clamp": 256, "synthesis.b8.conv0.conv_clamp": None}, "one clamp of layers for all"),
        ({"synthesis.b4.conv1.conv_clamp": -1.0}, "conv_clamp"),
        ({"mapping.fc0.bias_gain": 0.01, "mapping.fc1.bias_gain": 1.0}, "one gain of mapping layers for all"),
        ({"mapping.fc0.bias_gain": True}, "lr_multiplier"),
        ({"synthesis.b8.conv0.activation": "relu"}, "lrelu"),
    ],
)
def test_a_file_that_contradicts_its_weights_is_refused(hints: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        infer_config(weights_of(settings()), hints)


def test_other_weights_are_nobodys() -> None:
    assert infer_config({"mapping.fc0.weight": torch.zeros(4, 4)}, {}) is None


@pytest.mark.parametrize(
    ("removed", "added", "message"),
    [
        ("synthesis.b8.conv1.weight", {}, r"missing synthesis\.b8\.conv1\.weight"),
        ("mapping.fc0.weight", {}, r"missing mapping\.fc0\.weight"),
        ("synthesis.b16.torgb.weight", {}, r"missing synthesis\.b16\.torgb\.weight"),
        ("", {"synthesis.b1048576.conv1.weight": (8, 8, 3, 3)}, "1048576px"),
        ("", {"synthesis.b48.conv1.weight": (8, 8, 3, 3)}, "48px"),
        ("", {"mapping.fc1000000.weight": (8, 8)}, "mapping layer number 1000000"),
        ("", {"synthesis.b4.conv1.weight": (12, 12)}, "dimensions"),
        ("", {"mapping.embed.weight": (10, 3)}, "z_dim is 0"),
    ],
)
def test_incomplete_and_absurd_weights_are_named(removed: str, added: dict[str, Any], message: str) -> None:
    weights = {name: t for name, t in weights_of(settings()).items() if name != removed}
    weights |= {name: torch.empty(shape, device="meta") for name, shape in added.items()}
    with pytest.raises(CheckpointError, match=message):
        infer_config(weights, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"resolution": 2**20},
        {"resolution": "16"},
        {"resolution": 16.0},
        {"num_mapping_layers": 10**9},
        {"channels": {"4": 2**40, "8": 8, "16": 8}},
        {"channels": {"4": 8}},
        {"channels": "wide"},
        {"channels": {"x": 1}},
        {"w_dim": -1},
        {"c_dim": -1},
        {"conv_clamp": 0},
        {"architecture": "unet"},
        {"unknown": 1},
        {"unknown": "1"},
        {"c_dim": 2.0},
        {"w_dim": True},
        {"filter_taps": 4.0},
        {"use_noise": "no"},
        {"conv_clamp": True},
        {"channels": {"4": 16.0, "8": 16, "16": 8, "32": 8}},
        {"channels": {"4": [[]], "8": 16, "16": 8, "32": 8}},
        {"resolutions": [4]},
        {"mapping_lr_multiplier": float("nan")},
        {"unused_filter_taps": 0},
    ],
    ids=str,
)
def test_malformed_configs_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        StyleGAN2.from_config(toy_generator().config() | changes)


def test_the_settings_are_still_found_beside_the_network() -> None:
    assert ReExported is StyleGAN2Config
