"""What came of a training: how alike each direction's effects are, and how far its directions are from their mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.direction_model import DirectionModel
from hub_export.contrast.training import Trainer

DRAWS = 16
STREAMS = 16  # added to training's, so that nothing is measured on what was trained on
MAX_POINTS = 200
NO_MEAN = 1e-6


@torch.no_grad()
def measure_contrast(trainer: Trainer, model: DirectionModel) -> tuple[Tensor, Tensor]:
    """Mean similarity of each direction's divergences across samples, and its contrastive accuracy: (K,), (K,),
    float64, CPU; over DRAWS batches that training did not see.
    """
    scores = []
    for i in range(DRAWS):
        drawn = trainer.draw(i, STREAMS)
        scores.append(trainer.score(drawn, model.directions(trainer.origins(drawn))))
    positive, accuracy = (
        torch.stack([getattr(score, name).cpu().double() for score in scores]).mean(dim=0)
        for name in ("positive", "accuracy")
    )
    return positive, accuracy


@torch.no_grad()
def distil(models: Sequence[DirectionModel], rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The models' unit directions at rows (N, D), averaged: (K, D), unit, float32; and of the cosines with it, for
    each code, mean and standard deviation: (K,), (K,), float64. All CPU.

    A model that points to all sides alike has no mean; its direction at the first row stands for it.
    """
    vectors, means, spreads = [], [], []
    for model in models:
        units = model.directions(rows)[0].cpu().double()  # (N, D)
        mean = units.mean(dim=0)
        vector = F.normalize(mean if float(mean.norm()) > NO_MEAN else units[0], dim=0)
        cosines = units @ vector
        vectors.append(vector.float())
        means.append(cosines.mean())
        spreads.append(cosines.std(correction=0))
    return F.normalize(torch.stack(vectors), dim=1), torch.stack(means), torch.stack(spreads)


def curve_of(losses: Tensor, accuracies: Tensor) -> dict[str, list[float]]:
    """The learning curve (iterations,) each, in at most MAX_POINTS points: means over as many equal spans."""
    count = min(len(losses), MAX_POINTS)
    edges = [len(losses) * i // count for i in range(count + 1)]
    spans = [slice(start, stop) for start, stop in pairwise(edges)]
    return {
        "iteration": [float(span.stop) for span in spans],
        "loss": [float(losses[span].double().mean()) for span in spans],
        "accuracy": [float(accuracies[span].double().mean()) for span in spans],
    }
