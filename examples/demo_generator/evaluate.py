"""How like the held-out pictures a generator's samples are, in features of a regressor that took no part in training.

`python -m examples.demo_generator.evaluate --data DATA --regressor REG --model EXPORT` prints Frechet distances. They
are not FID (the features are our own) and compare only with each other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from eigan.generators.stylegan2 import StyleGAN2
from examples.demo_generator import attributes
from examples.demo_generator.data import load_split
from hub_export.evaluation.frechet import frechet_distance


def load_export(folder: Path) -> StyleGAN2:
    """The generator that `export` wrote."""
    generator = StyleGAN2.from_config(json.loads((folder / "config.json").read_text()))
    generator.load_weights(load_file(folder / "model_fp32.safetensors"))
    return generator.eval()


@torch.no_grad()
def draw(generator: StyleGAN2, count: int, *, truncation_psi: float = 1.0, seed: int = 1) -> np.ndarray:
    """`count` fresh samples, uint8 (count, R, R, 3)."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    pictures = []
    for part in z.split(50):
        images = generator.synthesis(generator.mapping(part, truncation_psi=truncation_psi))
        pictures.append(((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--regressor", type=Path, required=True, help="not the one that training used")
    parser.add_argument("--model", type=Path, required=True, help="folder that export wrote")
    args = parser.parse_args()
    torch.set_num_threads(1)
    regressor, generator = attributes.load(args.regressor), load_export(args.model)
    real = attributes.predict(regressor, load_split(args.data, "held_out").images, features=True)
    half = len(real) // 2
    print(f"held-out against held-out: {frechet_distance(real[:half], real[half:]):.2f}")
    for psi in (1.0, 0.7):
        features = attributes.predict(regressor, draw(generator, half, truncation_psi=psi), features=True)
        print(f"generated at psi {psi}:      {frechet_distance(features, real[:half]):.2f}")


if __name__ == "__main__":
    main()
