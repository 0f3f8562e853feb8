"""Whether a direction does the same in every class: mean cosine between what it does to pictures of different ones."""

from __future__ import annotations

import numpy as np
import torch

from eigan.latents import block_generator
from hub_export.evaluation.samples import CHOICE_STREAM
from hub_export.evaluation.scorers import Numbers
from hub_export.metrics import MAX_CLASSES

CLASS_CHOICE = CHOICE_STREAM + 2


def choose_classes(c_dim: int, count: int, seed: int) -> list[int]:
    """`count` different classes of c_dim, or all of them where there are fewer; ascending."""
    count = min(count, c_dim, MAX_CLASSES)
    order = torch.randperm(c_dim, generator=block_generator(seed, 0, CLASS_CHOICE))
    return sorted(order[:count].tolist())


def independence(changes: Numbers) -> float:
    """Mean cosine over all pairs of classes, of mean changes (C, F) of the features; a class without change counts 0.

    1: the same change everywhere. 0: nothing in common.
    """
    lengths = np.linalg.norm(changes, axis=1, keepdims=True)
    units = np.divide(changes, lengths, out=np.zeros_like(changes), where=lengths > 0)
    cosines = units @ units.T
    return float(cosines[np.triu_indices(len(units), 1)].mean())
