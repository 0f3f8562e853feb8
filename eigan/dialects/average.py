"""The average w of a StyleGAN2 whose file does not hold it, estimated from fixed seeds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.base import iterate_batches
from eigan.generators.config import MAX_WIDTH
from eigan.generators.layers import MappingNetwork, normalize_second_moment
from eigan.latents import seeded_z

COUNT = 4096  # what rosinality's own tools draw
BATCH = 256
MAX_NUMBERS = 2**24  # of all weights together: 64 layers of 512, eight times a genuine mapping; seconds of work


def average_w(weights: Mapping[str, Tensor], lr_multiplier: float = 0.01) -> Tensor:
    """Mean of w over z of seeds 0 to COUNT - 1: (w_dim,), float32. weights: NVIDIA's names, no classes.

    Computed in float64, so that every machine gets the same float32 numbers.

    Raises:
        CheckpointError: the mapping's weights do not follow on each other, or are too many to draw thousands of w.
    """
    depth = sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in weights)
    shapes = [tuple(weights[f"mapping.fc{i}.weight"].shape) for i in range(depth)]
    z_dim, hidden, w_dim = shapes[0][1], shapes[0][0], shapes[-1][0]
    if max(z_dim, hidden, w_dim) > MAX_WIDTH:
        raise CheckpointError(f"the mapping has widths {z_dim}, {hidden} and {w_dim}; eigan knows up to {MAX_WIDTH}")
    with torch.device("meta"):
        network = MappingNetwork(
            z_dim, 0, w_dim, num_layers=depth, layer_features=hidden, embed_features=0, lr_multiplier=lr_multiplier
        )
    for name, parameter in network.named_parameters():
        given = weights[f"mapping.{name}"]
        if given.shape != parameter.shape:
            raise CheckpointError(f"mapping.{name} is {tuple(given.shape)}; its mapping wants {tuple(parameter.shape)}")
    numbers = sum(parameter.numel() for parameter in network.parameters() if parameter.ndim == 2)
    if numbers > MAX_NUMBERS:
        raise CheckpointError(
            f"the file has no average w, and its mapping of {numbers:,} weights is too large to estimate it "
            f"(at most {MAX_NUMBERS:,}); add latent_avg to it, as rosinality's convert_weight.py does"
        )
    own = {name: weights[f"mapping.{name}"].double() for name, _ in network.named_parameters()}
    network.load_state_dict({**own, "w_avg": torch.zeros(w_dim)}, assign=True)
    total = torch.zeros(w_dim, dtype=torch.float64)
    with torch.no_grad():
        for batch in iterate_batches(COUNT, BATCH):
            w = normalize_second_moment(seeded_z(range(batch.start, batch.stop), z_dim).double())
            for i in range(depth):  # the network itself would go on in float32
                w = network.get_submodule(f"fc{i}")(w)
            total += w.sum(dim=0)
    return (total / COUNT).float()
