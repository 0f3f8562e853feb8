"""FastGAN, official and projected, against the official code."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor

from eigan.generators.base import Generator
from eigan.generators.fastgan import FastGAN, NoiseInjection
from tests.parity.check import Expected, output_of

SEED = 1234


def check(case: Expected) -> None:
    generator = case.load()
    assert isinstance(generator, FastGAN)
    codes = generator.mapping(case["z"], case.get("c"))
    for name in case.names("image"):
        if "trainmode" in name:  # batch statistics and a power iteration: training, which the product does not do
            case.used |= {name, "z4"}
            continue
        noise_mode = set_noise(case, generator, name)
        case.compare(name, generator.synthesis(codes, noise_mode=noise_mode), "image")
    for name in case.names("image128"):
        case.compare(name, generator.side_picture(codes, noise_mode="none"), "image")
    layer = case.meta["feature_layer"].removeprefix("synthesis.")
    for name in case.names("feature"):
        with ExitStack() as stack:
            found = stack.enter_context(output_of(generator.get_submodule(layer)))
            generator.synthesis(codes, noise_mode="none")
        case.compare(name, found[0], "feature")


def set_noise(case: Expected, generator: Generator, name: str) -> str:
    """Set the noise maps that the official code had for this picture; the noise mode to draw it in."""
    if "nonoise" in name:
        return "none"
    assert "fixednoise" in name or f"seed{SEED}" in name, name
    random = torch.Generator().manual_seed(SEED)
    for stated in case.meta["noise_order"]:
        module, _, call = stated.removeprefix("noise.").removeprefix("synthesis.").partition("#")
        given: Tensor = case[stated]
        noise = given if "fixednoise" in name else torch.randn(given.shape, generator=random)
        injection = generator.get_submodule(module)
        assert isinstance(injection, NoiseInjection)
        injection.maps[int(call or 0)] = noise
    return "const"
