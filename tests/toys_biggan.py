"""A small random BigGAN-deep: the official 128 px layout, 4 channels wide; its weights as the field stores them."""

from __future__ import annotations

import torch
from torch import Tensor

from eigan.generators.biggan import BigGAN
from eigan.generators.biggan_config import BigGANConfig, BlockLayout

LAYERS = ((0, 16, 16), (1, 16, 16), (0, 16, 16), (1, 16, 8), (0, 8, 8))
LAYERS += ((1, 8, 4), (0, 4, 4), (1, 4, 2), (0, 2, 2), (1, 2, 1))


def toy_config(num_classes: int = 5) -> BigGANConfig:
    return BigGANConfig(
        output_dim=128,
        z_dim=12,
        class_embed_dim=12,
        channel_width=4,
        num_classes=num_classes,
        layers=tuple(BlockLayout(bool(up), inside, outside) for up, inside, outside in LAYERS),
        attention_layer_position=8,
        n_stats=11,
    )


def toy_biggan(seed: int = 0, *, num_classes: int = 5) -> BigGAN:
    """128 px, 11 layers of 25, 5 classes, 11 rows of statistics that differ."""
    generator = BigGAN(toy_config(num_classes))
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in generator.state_dict().items():
            if "running_vars" in name:
                tensor.uniform_(0.5, 2.0, generator=random)
            elif "running_means" in name or tensor.ndim == 1:
                tensor.normal_(0.0, 0.3, generator=random)
            else:
                tensor.normal_(0.0, 0.5 * tensor[0].numel() ** -0.5, generator=random)
        generator.output.bn.weight.fill_(1.0)
        generator.embeddings.weight.normal_(generator=random)
    return generator.eval().requires_grad_(False)


def official_weights(generator: BigGAN, seed: int = 1) -> dict[str, Tensor]:
    """The weights as pytorch-pretrained-BigGAN stores them: under spectral normalisation, u and v not converged."""
    random = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for name, tensor in generator.weights().items():
        if tensor.ndim < 2 or "running" in name or name.startswith("embeddings"):
            found[name] = tensor
            continue
        u, v = (torch.randn(n, generator=random) for n in (len(tensor), tensor[0].numel()))
        sigma = 1.0 + torch.rand((), generator=random)
        u = u / (u @ tensor.flatten(1) @ v)  # uᵀ W v = 1, so uᵀ (σ W) v = σ
        found |= {f"{name}_orig": tensor * sigma, f"{name}_u": u, f"{name}_v": v}
    return {name: tensor.contiguous() for name, tensor in found.items()}
