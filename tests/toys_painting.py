"""A generator whose pictures are known exactly: every number of the code is the grey of one block of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eigan.generators.base import Codes, Generator, NoiseMode, Stage, State
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor
from eigan.pose import STILL, Pose
from eigan.render import Pictures

BLOCKS, SIDE, LAYERS = 16, 8, 4
GREYS = 16.0  # levels per unit of the code


class Paint(Stage):
    """Blocks of 2 x 2 pixels, grey 128 + 16 x code: the mean of the rows, mixed by the class's matrix."""

    name, layers = "paint", LayerRange(0, LAYERS)

    def __init__(self, mixes: Tensor):
        self.mixes = mixes

    def __call__(self, state: State, codes: Codes) -> State:
        classes = codes[:, 0, BLOCKS:].argmax(dim=1) if len(self.mixes) > 1 else torch.zeros(len(codes)).long()
        values = torch.einsum("nd,nbd->nb", codes[:, :, :BLOCKS].mean(dim=1), self.mixes[classes])
        image = (values * GREYS / 127.5).view(-1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
        return replace(state, image=image)


class Painting(Generator):
    """z (N, 16) -> codes (N, 4, 16 + c_dim), every row alike; 8 x 8 pictures."""

    architecture = "painting"
    config_class = None  # type: ignore[assignment]
    default_psi = 1.0
    z_dim, num_layers, resolution = BLOCKS, LAYERS, SIDE
    code_space = "z"

    def __init__(self, mixes: Sequence[Tensor] = ()):
        super().__init__()
        self.mixes = torch.nn.Parameter(torch.stack([*mixes] or [torch.eye(BLOCKS)]), requires_grad=False)
        self.c_dim = len(self.mixes) if len(self.mixes) > 1 else 0
        self.code_dim = BLOCKS + self.c_dim

    @property
    def stages(self) -> Sequence[Stage]:
        return [Paint(self.mixes)]

    def initial_state(self, codes: Codes, noise_mode: NoiseMode, pose: Pose = STILL) -> State:
        return State(codes[:, :, None], None, noise_mode)

    def mapping(self, z: Tensor, c: Any = None, *, truncation_psi: float = 1.0, truncation_cutoff: Any = None) -> Codes:
        labels = self.class_codes(c, len(z))
        codes = z * truncation_psi if labels is None else torch.cat([z * truncation_psi, labels], dim=1)
        return codes[:, None].expand(-1, LAYERS, -1)

    def style_weights(self, layers: LayerRange | None = None) -> Tensor:
        return torch.eye(self.code_dim)


class Blocks:
    """A scorer and a feature network at once: the grey of the first `count` blocks; of all of them."""

    name = "blocks"

    def __init__(self, count: int = 4, identity: Sequence[str] = ()):
        self.names = [f"block {i}" for i in range(count)]
        self.identity = identity

    def __call__(self, pictures: Pictures) -> Any:
        return self.features(pictures)[:, : len(self.names)]

    def features(self, pictures: Pictures) -> Any:
        return pictures[:, ::2, ::2, 0].reshape(len(pictures), -1).astype(np.float64)


def painted_direction(name: str, weights: Sequence[float], dim: int = BLOCKS) -> Direction:
    """Moves the first blocks by `weights` (made unit)."""
    vector = torch.zeros(dim)
    vector[: len(weights)] = torch.tensor(weights)
    return Direction(name, vector / vector.norm(), 1.0, LayerRange(0, LAYERS))


def painted_pack(generator: Painting, directions: Sequence[Direction], **method: Any) -> DirectionPack:
    return DirectionPack("painted", MadeFor.describe(generator), tuple(directions), {"name": "import", **method})
