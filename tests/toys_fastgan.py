"""Small FastGANs to test on: the official network, and projected GANs of every kind."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch

from eigan.generators.batch_norm import recalibrate_batch_norm
from eigan.generators.fastgan import FastGAN
from eigan.generators.fastgan_config import FastGANConfig

WIDTHS = {4: 16, 8: 16, 16: 8, 32: 8, 64: 8, 128: 4, 256: 2, 512: 2, 1024: 1}


def toy_config(resolution: int = 256, **settings: Any) -> FastGANConfig:
    last = max(resolution, 128) if settings.get("variant", "official") == "official" else resolution
    return FastGANConfig(
        z_dim=16, resolution=resolution, channels={r: n for r, n in WIDTHS.items() if r <= last}, **settings
    )


def toy_fastgan(seed: int = 0, resolution: int = 256, **settings: Any) -> FastGAN:
    """Random weights, noise that shows, and statistics that fit the weights; the caller's own."""
    return copy.deepcopy(_made(seed, resolution, **settings))


@cache
def _made(seed: int, resolution: int, **settings: Any) -> FastGAN:
    generator = FastGAN(toy_config(resolution, **settings)).eval().requires_grad_(False)
    generator.initialize(torch.Generator().manual_seed(seed))
    for name, parameter in generator.named_parameters():
        if parameter.shape == (1,):
            parameter.fill_(0.1)
        elif name.endswith(("gain.weight", "to_big.weight")):
            parameter.mul_(0.25)
    recalibrate_batch_norm(generator, num_samples=8)
    return generator


def toy_projected(**settings: Any) -> FastGAN:
    """A conditional projected GAN of 128 px with big blocks, unless told otherwise."""
    return toy_fastgan(**{"resolution": 128, "variant": "projected", "blocks": "big", "c_dim": 3, **settings})
