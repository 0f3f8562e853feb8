"""A small randomly initialised StyleGAN to test on."""

from __future__ import annotations

from typing import Any

import torch

from eigan.generators.stylegan import StyleGAN, StyleGANConfig


def toy_stylegan(seed: int = 0, *, lod: float = 0.0, **changes: Any) -> StyleGAN:
    """16 px, 6 layers of 10, with constant, noise, biases and w_avg set as training would leave them: none is zero."""
    settings = {
        "z_dim": 8,
        "c_dim": 0,
        "w_dim": 10,
        "resolution": 16,
        "channels": {4: 12, 8: 12, 16: 8},
        "num_mapping_layers": 3,
        "layer_features": 9,
    }
    generator = StyleGAN(StyleGANConfig(**(settings | changes)))
    random = torch.Generator().manual_seed(seed)
    generator.initialize(random)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith(("bias", "const", "apply_noise.weight")):
                parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.3)
        z = torch.randn(256, generator.z_dim, generator=random)
        generator.average.copy_(generator.map_to_w(z, 0 if generator.c_dim else None).mean(dim=0))
        generator.blocks.lod.fill_(lod)
    return generator.eval().requires_grad_(False)
