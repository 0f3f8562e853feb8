"""FastGAN's settings: limits, JSON, and reading them off the weights alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigan.errors import CheckpointError
from eigan.generators.fastgan import FastGAN
from eigan.generators.fastgan_config import RESOLUTIONS, FastGANConfig, infer_config
from tests.toys_fastgan import toy_config

CONFIGS = st.builds(
    toy_config,
    resolution=st.sampled_from(RESOLUTIONS),
    variant=st.just("official"),
    blocks=st.sampled_from(["alternate", "big", "small"]),
) | st.builds(
    toy_config,
    resolution=st.sampled_from(RESOLUTIONS[1:]),
    variant=st.just("projected"),
    blocks=st.sampled_from(["alternate", "big", "small"]),
    c_dim=st.integers(0, 5),
)


def changed(config: FastGANConfig, **changes: Any) -> FastGANConfig:
    return FastGANConfig.from_json(config.to_json() | changes)


@settings(deadline=None, max_examples=40)
@given(CONFIGS)
def test_json_and_the_weights_give_the_settings_back(config: FastGANConfig) -> None:
    config = changed(config, channels={**config.channels, 64: 9, 128: 5})
    assert FastGANConfig.from_json(config.to_json()) == config
    with torch.device("meta"):
        weights = FastGAN(config).weights()
    assert infer_config(weights, {}) == config.to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 32}, "resolution 32"),
        ({"resolution": 2048}, "resolution 2048"),
        ({"resolution": 512}, "channels given"),
        ({"channels": {4: 8}}, "channels given"),
        ({"z_dim": 0}, "z_dim is 0"),
        ({"z_dim": 10**9}, "z_dim is 1000000000"),
        ({"img_channels": -1}, "img_channels"),
        ({"c_dim": 2}, "no classes"),
        ({"c_dim": 10**9, "variant": "projected"}, "c_dim is 1000000000"),
        ({"variant": "lite"}, "variant is 'lite'; in a FastGAN it should be 'official' or 'projected'"),
        ({"blocks": "huge"}, "blocks is 'huge'"),
    ],
)
def test_settings_no_fastgan_has_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        changed(toy_config(256), **changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("z_dim", 16.0),
        ("z_dim", True),
        ("resolution", "256"),
        ("channels", [1]),
        ("channels", {"x": 1}),
        ("channels", {"4": "16"}),
        ("variant", 1),
        ("unheard_of", 1),
    ],
)
def test_malformed_json_is_refused(name: str, value: Any) -> None:
    with pytest.raises(CheckpointError):
        FastGANConfig.from_json({**toy_config().to_json(), name: value})
    with pytest.raises(CheckpointError):
        FastGANConfig.from_json({k: v for k, v in toy_config().to_json().items() if k != "channels"})


@pytest.mark.parametrize("missing", ["to_big.weight", "feat_8.1.weight", "feat_128.1.weight"])
def test_missing_weights_are_told_by_name(missing: str) -> None:
    with torch.device("meta"):
        weights = FastGAN(toy_config()).weights()
    with pytest.raises(CheckpointError, match=f"missing {missing}"):
        infer_config({name: tensor for name, tensor in weights.items() if name != missing}, {})


def test_misshapen_weights_are_told_by_name() -> None:
    with torch.device("meta"):
        weights = FastGAN(toy_config()).weights()
    with pytest.raises(CheckpointError, match=r"to_big\.weight has shape \(3,\)"):
        infer_config({**weights, "to_big.weight": torch.zeros(3)}, {})


def test_blocks_of_odd_sizes_are_refused() -> None:
    with torch.device("meta"):
        weights = FastGAN(toy_config()).weights()
    with pytest.raises(CheckpointError, match=r"resolution|channels given"):
        infer_config({**weights, "feat_9000.1.weight": torch.zeros(2, 2, 3, 3)}, {})


def test_a_contradicting_file_is_refused() -> None:
    weights = FastGAN(toy_config()).weights()
    assert infer_config(weights, {"z_dim": 16, "img_resolution": 256}) is not None
    with pytest.raises(CheckpointError, match="z_dim is 17; its weights say 16"):
        infer_config(weights, {"z_dim": 17})


def test_weights_of_others_are_not_claimed() -> None:
    assert infer_config({}, {}) is None and infer_config({"synthesis.b4.const": torch.zeros(1)}, {}) is None
