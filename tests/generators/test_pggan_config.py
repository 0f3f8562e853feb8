"""Settings read off weights: what decides, what is refused, and that nothing is allocated for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.pggan import PGGAN
from eigan.generators.pggan_config import PGGANConfig, infer_config
from tests.toys_pggan import toy_pggan

CHANNELS = {4: 12, 8: 10, 16: 8}


def settings(**changes: Any) -> PGGANConfig:
    resolution = changes.get("resolution", 16)
    channels = {r: n for r, n in CHANNELS.items() if r <= resolution}
    return PGGANConfig(**({"z_dim": 9, "c_dim": 0, "resolution": resolution, "channels": channels} | changes))


def weights_of(config: PGGANConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        return PGGAN(config).weights()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"c_dim": 4},
        {"c_dim": 4, "bias_per_pixel": True},
        {"all_outputs": False},
        {"img_channels": 1},
        {"resolution": 4},
        {"resolution": 8, "all_outputs": False, "bias_per_pixel": True},
    ],
    ids=str,
)
def test_shapes_tell_the_settings(changes: dict[str, Any]) -> None:
    config = settings(**changes)
    assert infer_config(weights_of(config), {}) == config.to_json()
    assert PGGANConfig.from_json(config.to_json()) == config


def test_hints_give_what_shapes_cannot() -> None:
    found = infer_config(weights_of(settings()), {"final_tanh": True, "lrelu_slope": 0, "size": 99})
    assert found == settings(final_tanh=True, lrelu_slope=0.0).to_json()


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"final_tanh": 1}, "final_tanh"),
        ({"lrelu_slope": 10**5000}, "lrelu_slope"),
        ({"lrelu_slope": True}, "lrelu_slope"),
        ({"lrelu_slope": "0.2"}, "lrelu_slope"),
        ({"lrelu_slope": float("nan")}, "lrelu_slope"),
    ],
)
def test_absurd_hints_are_refused(hints: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        infer_config(weights_of(settings()), hints)


@pytest.mark.parametrize("names", [["layer0.weight"], ["output0.weight"], ["synthesis.layer0.weight"]])
def test_other_weights_are_nobodys(names: list[str]) -> None:
    assert infer_config(dict.fromkeys(names, torch.zeros(4, 4, 4, 4)), {}) is None


@pytest.mark.parametrize(
    ("removed", "added", "message"),
    [
        ("layer3.weight", {}, r"missing layer3\.weight"),
        ("layer5.weight", {}, r"missing layer5\.weight"),
        ("output2.weight", {}, r"missing output2\.weight"),
        ("", {"layer9999.weight": (8, 8, 3, 3)}, "layer number 9999"),
        ("", {"layer22.weight": (8, 8, 3, 3)}, "layer number 22; eigan knows at most 22"),
        ("", {"layer0.weight": (12, 9)}, "dimensions"),
        ("", {"layer0.weight": (12, 0, 4, 4)}, "z_dim is 0"),
        ("", {"layer1.weight": (2**40, 1, 1, 1)}, r"channels\.4 is 1099511627776"),
        ("", {"layer0.label_weight": (12, 2**30, 4, 4)}, "c_dim"),
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
        {"resolution": 12},
        {"resolution": "16"},
        {"channels": {"4": 2**40, "8": 8, "16": 8}},
        {"channels": {"4": 8}},
        {"channels": "wide"},
        {"channels": {"4": 16.0, "8": 16, "16": 8}},
        {"z_dim": 0},
        {"z_dim": True},
        {"c_dim": -1},
        {"c_dim": 10**9},
        {"img_channels": 0},
        {"all_outputs": 1},
        {"final_tanh": "no"},
        {"bias_per_pixel": None},
        {"lrelu_slope": float("nan")},
        {"lrelu_slope": -0.1},
        {"lrelu_slope": 10**400},
        {"resolutions": [4]},
        {"unknown": 1},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_malformed_configs_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        PGGAN.from_config(toy_pggan().config() | changes)
