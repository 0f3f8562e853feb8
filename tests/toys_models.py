"""Directions that depend on the code: small random networks, and a pack that has two beside a fixed direction."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from eigan.direction_model import DirectionModel, Step
from eigan.generators.base import Generator
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor, Preset
from tests.toys import toy_direction, toy_generator


def toy_model(depth: int = 3, *, count: int = 1, size: int = 16, width: int = 0, seed: int = 0) -> DirectionModel:
    """Depth layers, ReLUs and normalisations between them; hidden layers of `width` numbers (default: size)."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(count, *shape, generator=random)

    sizes = [size, *[width or size] * (depth - 1), size]
    steps = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = i == depth - 1
        weight, bias = draw(outputs, inputs, scale=inputs**-0.5), draw(outputs, scale=0.5)
        scale, shift = (None, None) if last else (draw(outputs) + 2, draw(outputs, scale=0.3))
        steps.append(Step(weight, bias, scale, shift, bends=not last))
    return DirectionModel(count, size, None, tuple(steps))


def varying_direction(
    name: str = "turn", layers: tuple[int, int] = (0, 8), *, depth: int = 3, dim: int = 16, size: int = 0, seed: int = 1
) -> Direction:
    """A direction of `dim` numbers whose model moves the first `size` of them (default: all)."""
    model = toy_model(depth, size=size or dim, seed=seed)
    codes = torch.randn(500, dim, generator=torch.Generator().manual_seed(seed))
    mean = model.directions(codes)[0].mean(dim=0)
    return Direction(name, mean / mean.norm(), 0.5, LayerRange(*layers), model=model)


def varying_pack(generator: Generator | None = None, method: Mapping[str, object] | None = None) -> DirectionPack:
    """ "turn" and "tilt" depend on the code, "smile" between them does not; made for `generator`."""
    directions = (
        varying_direction("turn", (0, 8), depth=3, seed=1),
        toy_direction("smile", (2, 5), seed=2),
        varying_direction("tilt", (4, 6), depth=1, seed=3),
    )
    presets = (Preset("both", {"turn": 1.5, "tilt": -1.0}),)
    made_for = MadeFor.describe(generator or toy_generator())
    return DirectionPack("varying", made_for, directions, method or {"name": "latentclr"}, presets, "", "cc0-1.0")
