"""Averaged generator -> model_fp32.safetensors with NVIDIA's parameter names, and config.json.

Training uses a larger learning-rate multiplier for the mapping than the usual 0.01. The multiplier only scales the
stored numbers, so it is folded away: the exported file has 0.01 and draws the same pictures.
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from eigan.generators.stylegan2 import StyleGAN2
from examples.demo_generator.data import replace_file

LR_MULTIPLIER = 0.01


@torch.no_grad()
def measure_w_avg(generator: StyleGAN2, count: int = 20_000) -> Tensor:
    """Mean w of `count` latents, (w_dim,): where truncation pulls to."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(0))
    return generator.map_to_w(z).mean(0)


def published_weights(generator: StyleGAN2) -> dict[str, Tensor]:
    """Weights under NVIDIA's names (mapping.fc0.weight, synthesis.b8.conv0.weight, ...), multiplier folded to 0.01."""
    fold = generator.settings.mapping_lr_multiplier / LR_MULTIPLIER
    return {
        name: (value * fold if name.startswith("mapping.fc") else value).detach().cpu().float().contiguous()
        for name, value in generator.weights().items()
    }


def export(generator: StyleGAN2, folder: Path) -> None:
    """Measure w_avg and write both files; a reader never sees half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    generator.mapper.w_avg.copy_(measure_w_avg(generator))
    weights = safetensors.torch.save(published_weights(generator), metadata={"format": "pt"})
    replace_file(folder / "model_fp32.safetensors", weights)
    config = generator.config() | {"mapping_lr_multiplier": LR_MULTIPLIER}
    replace_file(folder / "config.json", (json.dumps(config, indent=1) + "\n").encode())
