"""What a TensorFlow StyleGAN2 says of itself, and the kinds that eigan cannot draw."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eigan.checkpoint import recognize
from eigan.errors import CheckpointError
from eigan.generators.stylegan2 import StyleGAN2
from eigan.readers.base import RawCheckpoint
from tests.dialects.stylegan2_exports import Weights, to_tensorflow, toy


def opened(weights: Weights, **arguments: Any) -> StyleGAN2:
    """arguments: static ones of Gs; a name with a dot is a component's ("mapping.mapping_lrmul")."""
    hints = {}
    for name, value in arguments.items():
        owner, _, last = name.rpartition(".")
        hints[f"{owner}{'.' if owner else ''}static_kwargs.{last}"] = value
    built = recognize(RawCheckpoint(weights, hints, "tensorflow"), "x").build()
    assert isinstance(built, StyleGAN2)
    return built


def test_static_arguments_become_settings() -> None:
    generator = toy(resolution=8)
    sizes = {"resolution": 8, "num_channels": 3, "latent_size": 12, "dlatent_size": 12, "label_size": 0}
    settings = opened(
        to_tensorflow(generator), conv_clamp=256, mapping_lrmul=0.02, mapping_layers=2, fmap_base=16384, **sizes
    ).settings
    assert settings.conv_clamp == 256.0 and settings.mapping_lr_multiplier == 0.02
    assert opened(to_tensorflow(generator), conv_clamp=None).settings == generator.settings
    assert opened(to_tensorflow(toy(resolution=4)), architecture="orig").settings.architecture == "orig"


def test_gs_hands_its_arguments_on_over_its_components_own() -> None:
    weights = to_tensorflow(toy(resolution=8))
    assert opened(weights, **{"mapping.mapping_lrmul": 0.5}).settings.mapping_lr_multiplier == 0.5
    both = opened(weights, **{"mapping.mapping_lrmul": 0.5}, mapping_lrmul=0.25)
    assert both.settings.mapping_lr_multiplier == 0.25


def test_filters() -> None:
    weights = to_tensorflow(toy(resolution=8))
    usual = opened(weights).weights()["synthesis.b8.conv0.resample_filter"]
    assert torch.equal(usual, torch.outer(row := torch.tensor([1.0, 3.0, 3.0, 1.0]), row) / 64)
    box = opened(weights, resample_kernel=None).weights()["synthesis.b8.resample_filter"]
    assert torch.equal(box, torch.full((2, 2), 0.25))
    assert opened(weights, resample_kernel=(0.5, 1.0, 0.5)).settings.filter_taps == 3
    for bad in (
        (),
        (1, -1),
        "<list>",
        5,
        (1e30,),
        (0.5, 10**400),
        (10**400, -(10**400), 1.0),
        (float("nan"),),
        tuple([1] * 65),
    ):
        with pytest.raises(CheckpointError, match="resample_kernel"):
            opened(weights, resample_kernel=bad)


@pytest.mark.parametrize("lod", [True, False], ids=["of Gs", "of the synthesis alone"])
def test_networks_that_grew_are_read_once_they_have_grown(lod: bool) -> None:
    """Configs B to D: a toRGB for every level of detail, of which the last draws."""
    generator = toy(architecture="orig")
    weights = to_tensorflow(generator)
    for part in ("weight", "bias", "mod_weight", "mod_bias"):
        last = weights.pop(f"synthesis/16x16/ToRGB/{part}")
        weights |= {f"synthesis/ToRGB_lod{level}/{part}": last + level for level in range(3)}
    weights["synthesis/lod"] = torch.tensor(0.0)
    assert opened(weights).fingerprint == generator.fingerprint
    if not lod:
        del weights["lod"]
    weights["lod" if lod else "synthesis/lod"] = torch.tensor(1.5)
    with pytest.raises(CheckpointError, match=r"still growing \(level of detail 1.5\)"):
        opened(weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nonlinearity": "relu"}, "nonlinearity is 'relu'; eigan's StyleGAN2 knows 'lrelu'"),
        ({"mapping.mapping_nonlinearity": "relu"}, "mapping_nonlinearity is 'relu'"),
        ({"normalize_latents": False}, "normalize_latents is False"),
        ({"resolution": 64}, "img_resolution is 64; its weights say 8"),
        ({"latent_size": 13}, "z_dim is 13; its weights say 12"),
        ({"label_size": 10}, "c_dim is 10; its weights say 0"),
        ({"conv_clamp": -1.0}, "conv_clamp"),
        ({"mapping_lrmul": "<dict>"}, "lr_multiplier"),
    ],
)
def test_arguments_that_eigan_cannot_follow(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        opened(to_tensorflow(toy(resolution=8)), **arguments)
