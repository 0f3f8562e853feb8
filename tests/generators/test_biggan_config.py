"""BigGAN's settings: read off weights, taken from config.json, refused when they cannot be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.biggan import BigGAN
from eigan.generators.biggan_config import OFFICIAL_WIDTHS, BigGANConfig, BlockLayout, infer_config
from tests.toys_biggan import toy_config

HOSTILE = Path(os.environ.get("EIGAN_HOSTILE", Path(__file__).parents[3] / "shared/hostile")) / "json"


def official(which: int, **changes: Any) -> BigGANConfig:
    layers = tuple(BlockLayout(j % 2 == 1, *pair) for j, pair in enumerate(OFFICIAL_WIDTHS[which]))
    values: dict[str, Any] = {
        "output_dim": 128 << which,
        "z_dim": 128,
        "class_embed_dim": 128,
        "channel_width": 128,
        "num_classes": 1000,
        "layers": layers,
        "attention_layer_position": 8,
    }
    return BigGANConfig(**(values | changes))


def weights_of(config: BigGANConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        return BigGAN(config).weights()


@pytest.mark.parametrize(("which", "millions"), [(0, 50.4), (1, 55.9), (2, 56.2)])
def test_official_sizes(which: int, millions: float) -> None:
    with torch.device("meta"):
        generator = BigGAN(official(which))
    assert round(sum(p.numel() for p in generator.parameters()) / 1e6, 1) == millions
    assert (generator.num_layers, generator.code_dim) == (11 + 2 * which, 257)
    assert generator.resolution == 128 << which
    assert generator.describe() == f"biggan {128 << which}px ({11 + 2 * which} layers of 257)"


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("changes", [{}, {"channel_width": 4, "z_dim": 5, "class_embed_dim": 7, "num_classes": 3}])
def test_weights_alone_tell_an_official_layout(which: int, changes: dict[str, Any]) -> None:
    config = official(which, **changes)
    assert infer_config(weights_of(config), {}) == config.to_json()
    bare = official(which, attention_layer_position=len(config.layers), **changes)
    assert infer_config(weights_of(bare), {}) == bare.to_json()


def test_other_layouts_are_told_by_their_config_alone() -> None:
    layers = (BlockLayout(True, 16, 8), BlockLayout(True, 8, 4), BlockLayout(False, 4, 2), BlockLayout(False, 2, 1))
    config = official(0, output_dim=16, layers=layers, attention_layer_position=2)
    with pytest.raises(CheckpointError, match=r"4 blocks in a layout of its own.*config\.json"):
        infer_config(weights_of(config), {})
    stated = config.to_json()
    blocks = {f"layers.{j}": tuple(block) for j, block in enumerate(stated.pop("layers"))}
    assert infer_config(weights_of(config), {**stated, **blocks, "entry": ""}) == config.to_json()


def test_weights_of_another_family_are_nobodys() -> None:
    assert infer_config({"synthesis.b4.const": torch.zeros(1)}, {"layers.0": (True, 1, 1)}) is None


@pytest.mark.parametrize(
    ("removed", "added", "message"),
    [
        ("embeddings.weight", {}, r"missing embeddings\.weight"),
        ("generator.conv_to_rgb.weight", {}, r"missing generator\.conv_to_rgb\.weight"),
        ("generator.layers.0.conv_0.weight", {}, "9 blocks in a layout of its own"),
        ("generator.layers.3.conv_3.weight", {}, r"missing generator\.layers\.3\.conv_3\.weight"),
        ("", {"generator.layers.999.conv_0.weight": (4, 4, 1, 1)}, r"missing generator\.layers\.999\.conv_3"),
        ("", {"generator.layers.2.gamma": (1,)}, "layout of its own"),
        ("", {"generator.conv_to_rgb.weight": (0, 4, 3, 3)}, "layout of its own"),
        ("", {"generator.gen_z.weight": (1024, 12)}, "z_dim is 0"),
        ("", {"generator.gen_z.weight": (1024,)}, "dimensions"),
        ("", {"generator.bn.running_means": (1, 4)}, "n_stats is 1"),
    ],
)
def test_incomplete_and_absurd_weights_are_named(removed: str, added: dict[str, Any], message: str) -> None:
    weights = {name: t for name, t in weights_of(toy_config()).items() if name != removed}
    weights |= {name: torch.empty(shape, device="meta") for name, shape in added.items()}
    with pytest.raises(CheckpointError, match=message):
        infer_config(weights, {})


WIDE = [[False, 16, 16], [True, 16, 8], [True, 8, 4], [True, 4, 2], [True, 2, 1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_stats": 1}, "n_stats is 1"),
        ({"n_stats": 10**9}, "n_stats"),
        ({"z_dim": -1}, "z_dim is -1"),
        ({"z_dim": 12.0}, r"z_dim is 12\.0; in a BigGAN-deep it should be a valid integer"),
        ({"z_dim": True}, "z_dim is True"),
        ({"class_embed_dim": 0}, "class_embed_dim"),
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": 10**7}, "num_classes"),
        ({"channel_width": 2}, "channel_width"),
        ({"channel_width": 10**6}, "channel_width"),
        ({"attention_layer_position": -1}, "attention_layer_position"),
        ({"attention_layer_position": "8"}, "attention_layer_position is '8'"),
        ({"eps": 0.0}, "eps"),
        ({"eps": float("nan")}, "eps"),
        ({"eps": 10**400}, "eps is 1000"),
        ({"eps": None}, "eps is None"),
        ({"output_dim": 256}, "output_dim is 256, layers make 128px"),
        ({"layers": []}, "at least 1 item"),
        ({"layers": WIDE * 100}, "at most 64 items"),
        ({"layers": "wide"}, "layers is 'wide'"),
        ({"layers": [[False, 16, 16]]}, "layers end at 16"),
        ({"layers": [[False, 8, 8]]}, r"layers\[0\] takes 8"),
        ({"layers": [[0, 16, 16]]}, r"layers\.0\.0 is 0"),
        ({"layers": [[True, 16]]}, r"layers\.0\.2 is missing"),
        ({"layers": [[True, 16.0, 16]]}, r"layers\.0\.1 is 16\.0"),
        ({"layers": [{}]}, r"layers\.0\.up is missing"),
        ({"layers": [[True, 16, 4]]}, "keeps its width or halves it"),
        ({"layers": [[True, 16, 0]]}, r"layers\.0\.2 is 0"),
        ({"layers": [[True, 16, 10**400]]}, r"layers\.0\.2 is 1000"),
        ({"layers": WIDE[:3] + WIDE[4:]}, r"layers\[3\] takes 2 channel widths; 4"),
        ({"layers": [*([[True, 16, 16]] * 12), *WIDE]}, "at most 4096"),
        ({"channel_width": 3, "attention_layer_position": 9}, "attention has 6 channels"),
        ({"layers": [*WIDE, [True, 1, 1], [False, 1, 1]], "channel_width": 3}, "a block has 3 channels"),
        ({"unknown": 1}, "unknown"),
        ({"__class__": 1}, "__class__"),
    ],
    ids=str,
)
def test_malformed_configs_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        BigGAN.from_config(toy_config().to_json() | changes)


def test_configs_that_lack_a_setting_are_refused() -> None:
    for name in ("layers", "z_dim", "attention_layer_position"):
        with pytest.raises(CheckpointError, match=name):
            BigGAN.from_config({k: v for k, v in toy_config().to_json().items() if k != name})


@pytest.mark.parametrize("path", sorted(HOSTILE.glob("biggan-config-*.json")), ids=lambda p: p.stem)
def test_the_shared_hostile_configs_are_refused(path: Path) -> None:
    with pytest.raises(CheckpointError):
        BigGAN.from_config(json.loads(path.read_text()))


def test_settings_survive_json() -> None:
    config = official(2)
    assert BigGANConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
