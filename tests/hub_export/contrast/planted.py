"""A generator whose features are known functions of w: planted directions that contrast should find."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from eigan.generators.base import Codes, Stage, State
from eigan.generators.stylegan2 import StyleGAN2
from eigan.layers import LayerRange
from hub_export.contrast.crew import Crew
from hub_export.contrast.features import FeaturePass
from hub_export.contrast.loss import Contrast
from hub_export.contrast.networks import Networks
from hub_export.contrast.training import Settings, Trainer
from tests.hub_export.test_methods import LinearMapping
from tests.toys import toy_generator

SIZE = 16
WAVES = 0.2  # their height: beside the planted effects neither nothing nor all


class Respond(Stage):
    """Features of coordinates c of w in the basis `basis`, at one pixel.

    Of the first `count`: tanh(c), which moves one way whatever the code. Of the others: 40 waves of mixtures of them,
    so that what a move does differs from code to code.
    """

    name, layers = "respond", LayerRange(0, 1)

    def __init__(self, basis: Tensor, count: int):
        self.basis, self.count = basis, count

    def __call__(self, state: State, codes: Codes) -> State:
        c = codes[:, 0] @ self.basis.t()
        mixing = torch.randn(SIZE - self.count, 40, generator=torch.Generator().manual_seed(6))
        waves = WAVES * torch.sin(c[:, self.count :] @ mixing)
        found = torch.cat([c[:, : self.count].tanh(), waves], dim=1)
        return State(found[:, :, None, None], None, state.noise_mode)


class Planted(StyleGAN2):
    basis: Tensor
    count: int

    @property
    def stages(self) -> Sequence[Stage]:
        return (Respond(self.basis, self.count),)


def planted_generator(count: int) -> StyleGAN2:
    """w is standard normal, 16-d; the first `count` rows of `basis` (16, 16) are the planted directions."""
    generator = toy_generator()
    generator.mapper.__class__ = LinearMapping
    generator.mapper.matrix = torch.eye(SIZE)
    generator.__class__ = Planted
    generator.basis = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(5)))[0]
    generator.count = count
    return generator


def trainer_of(
    generator: StyleGAN2,
    kind: str = "global",
    *,
    count: int = 4,
    loss: str = "code",
    stage: int = 1,
    memory: int = 4096,
    crew: Crew | None = None,
    batch: int = 4,
) -> Trainer:
    settings = Settings(
        contrast=Contrast(loss, 0.5),  # type: ignore[arg-type]
        alpha=1.0,
        batch=batch,
        iterations=10,
        learning_rate=1e-2,
        weight_decay=1e-3,
        milestones=(5,),
        gamma=0.2,
        memory=memory,
        seed=0,
    )
    networks = Networks(kind, count, generator.code_dim, 3, torch.device("cpu"))  # type: ignore[arg-type]
    networks.initialize(torch.Generator().manual_seed(1))
    stages = generator.stages[: stage + 1]
    features = FeaturePass(generator, stages, LayerRange(0, generator.num_layers))
    return Trainer(features, settings, networks, crew or Crew())
