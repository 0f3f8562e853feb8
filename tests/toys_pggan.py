"""A small random PGGAN, with and without classes."""

from __future__ import annotations

import torch

from eigan.generators.pggan import PGGAN
from eigan.generators.pggan_config import PGGANConfig


def toy_pggan(seed: int = 0, *, c_dim: int = 0, lod: float = 0.0, **changes: object) -> PGGAN:
    """16 px, codes of 12 (and c_dim), biases as training would leave them."""
    values = {"z_dim": 12, "c_dim": c_dim, "resolution": 16, "channels": {4: 16, 8: 16, 16: 8}}
    generator = PGGAN(PGGANConfig(**(values | changes)))  # type: ignore[arg-type]
    random = torch.Generator().manual_seed(seed)
    generator.initialize(random)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0.0, 0.3, generator=random)
        generator.lod.fill_(lod)
    return generator.eval().requires_grad_(False)
