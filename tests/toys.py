"""Small things to test on: a randomly initialised StyleGAN2 and a pack that fits it."""

from __future__ import annotations

import torch

from eigan.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor, Preset

NAMES = """
name = "people"
license = "mit"

[[direction]]
from = "toy/age"
name = "youth"
poles = ["old", "young"]
layers = "2-3"
flip = true
range = [-4, 2]

[[direction]]
from = "toy/smile"
name = "joy"

[[preset]]
name = "young and happy"
amounts = { youth = 1, joy = 1.5 }
"""


def toy_generator(seed: int = 0, *, c_dim: int = 0) -> StyleGAN2:
    """32 px, 8 layers of 16, with w_avg and noise set as training would leave them."""
    config = StyleGAN2Config(
        z_dim=16,
        c_dim=c_dim,
        w_dim=16,
        resolution=32,
        channels={4: 16, 8: 16, 16: 8, 32: 8},
        num_mapping_layers=2,
    )
    generator = StyleGAN2(config)
    random = torch.Generator().manual_seed(seed)
    generator.initialize(random)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.1)
        z = torch.randn(256, 16, generator=random)
        generator.mapper.w_avg.copy_(generator.map_to_w(z, 0 if c_dim else None).mean(dim=0))
    return generator.eval().requires_grad_(False)


def toy_direction(name: str = "smile", layers: tuple[int, int] = (2, 5), dim: int = 16, seed: int = 1) -> Direction:
    vector = torch.randn(dim, generator=torch.Generator().manual_seed(seed))
    return Direction(name, vector / vector.norm(), 0.5, LayerRange(*layers), poles=("sad", "happy"))


def toy_pack(generator: StyleGAN2 | None = None) -> DirectionPack:
    """Three directions and one preset, made for `generator`."""
    made_for = MadeFor.describe(generator or toy_generator())
    directions = (
        toy_direction("smile", (2, 5), seed=1),
        toy_direction("age", (0, 8), seed=2),
        toy_direction("light", (6, 8), seed=3),
    )
    presets = (Preset("older and happy", {"smile": 2.0, "age": 1.5}, "two at once"),)
    method = {"name": "pca", "seed": 0, "num_samples": 1000}
    return DirectionPack("toy", made_for, directions, method, presets, "a toy", "cc0-1.0")
