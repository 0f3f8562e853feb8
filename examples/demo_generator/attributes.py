"""Attribute regressor: reads a head's factors off its picture. It scores directions, and its features measure likeness.

`python -m examples.demo_generator.attributes --data DATA --out OUT` trains it and prints how well each factor is read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from examples.demo_generator.data import LabelledImages, load_split, to_tensor
from examples.demo_generator.factors import FACE_SHAPES, HEAD_OUTLINES, INTERNAL, MIRRORED
from hub_export.evaluation.attributes import (
    MIN_R2,
    Attribute,
    AttributeNetwork,
    load_attributes,
    only,
    save_attributes,
    shaped_like,
)

WIDTHS_AND_STRIDES = ((1, 2), (2, 2), (2, 1), (4, 2), (4, 1), (6, 2))  # width in multiples of `width`
IDENTITY = ("gender", "skin", "eye_tone", *FACE_SHAPES, *HEAD_OUTLINES)  # who somebody is
NAME = "heads-attributes"
DESCRIPTION = (
    "Reads the factors of examples/demo_generator/factors.py off 64 px pictures of its heads (hues as sine, cosine). "
    "R2 is that on 4,000 renders it never saw. Its last features are those of the feature network heads-attributes."
)


class AttributeRegressor(AttributeNetwork):
    """The shipped network as it is trained: six convolutions with batch normalisation between each and its ReLU."""

    def __init__(self, num_attributes: int, width: int = 48, num_features: int = 192):
        widths = [multiple * width for multiple, _ in WIDTHS_AND_STRIDES]
        super().__init__(num_attributes, widths, [stride for _, stride in WIDTHS_AND_STRIDES], num_features)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)

    def convolve(self, i: int, x: Tensor) -> Tensor:
        return F.relu(self.norms[i](self.get_submodule(f"conv{i}")(x)))

    def folded(self) -> AttributeNetwork:
        """The same network for inference, batch normalisation folded into the convolutions."""
        weights = {name: value for name, value in self.state_dict().items() if not name.startswith("norms.")}
        for i, norm in enumerate(self.norms):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weights[f"conv{i}.weight"] = weights[f"conv{i}.weight"] * scale[:, None, None, None]
            weights[f"conv{i}.bias"] = (weights[f"conv{i}.bias"] - norm.running_mean) * scale + norm.bias
        plain = shaped_like(weights, self.strides, self.size)
        plain.load_state_dict(weights)
        return plain.eval().requires_grad_(False)


@dataclass(frozen=True)
class Targets:
    """Standardised factors (N, K) and how to undo it; hues become sine and cosine, internal factors are left out."""

    names: list[str]
    values: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @property
    def mirror_signs(self) -> np.ndarray:
        return np.array([-1.0 if name in MIRRORED else 1.0 for name in self.names], np.float32)

    def mirrored(self) -> np.ndarray:
        """The same factors for mirrored pictures."""
        return (self.mirror_signs * (self.values * self.std + self.mean) - self.mean) / self.std


def targets(data: LabelledImages) -> Targets:
    columns: dict[str, np.ndarray] = {}
    for name, column in zip(data.names, data.values.T, strict=True):
        if name in INTERNAL:
            continue
        if name.endswith("_hue"):
            columns[f"{name}_sin"], columns[f"{name}_cos"] = np.sin(2 * np.pi * column), np.cos(2 * np.pi * column)
        else:
            columns[name] = column
    values = np.stack(list(columns.values()), axis=1).astype(np.float32)
    mean, std = values.mean(0), values.std(0) + 1e-6
    return Targets(list(columns), (values - mean) / std, mean, std)


def train(data: LabelledImages, minutes: float, seed: int, batch: int = 96) -> tuple[AttributeRegressor, Targets]:
    """A regressor fitted for `minutes` of wall clock on one device, pictures mirrored at random."""
    wanted = targets(data)
    straight, mirrored = torch.from_numpy(wanted.values), torch.from_numpy(wanted.mirrored())
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = AttributeRegressor(len(wanted.names)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    start, step = time.monotonic(), 0
    while (done := (time.monotonic() - start) / (minutes * 60)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (1 - done) + 1e-6
        index = np.sort(rng.integers(0, len(data.images), batch))
        flip = torch.rand(batch) < 0.5
        images = to_tensor(data.images[index])
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
        wish = torch.where(flip[:, None], mirrored[index], straight[index])
        with torch.autocast("cpu", torch.bfloat16):
            features = model.features(images.contiguous(memory_format=torch.channels_last))
        loss = F.smooth_l1_loss(model.out(features.float()), wish, beta=0.5)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 100 == 0:
            print(f"{done:4.0%} step {step} loss {loss.item():.3f}", flush=True)
    return model.eval(), wanted


@torch.no_grad()
def predict(model: AttributeNetwork, images: np.ndarray, *, features: bool = False) -> np.ndarray:
    """Standardised factors (N, K), or features, of uint8 pictures (N, 64, 64, 3)."""
    read = model.features if features else model
    batches = (to_tensor(images[i : i + 200]) for i in range(0, len(images), 200))
    return torch.cat([read(b.contiguous(memory_format=torch.channels_last)) for b in batches]).numpy()


def explained_variance(model: AttributeNetwork, held_out: LabelledImages, trained_on: Targets) -> dict[str, float]:
    """R2 of each factor on held-out pictures: 1 is read exactly, 0 no better than the mean."""
    known = targets(held_out)
    truth = (known.values * known.std + known.mean - trained_on.mean) / trained_on.std
    error = np.square(predict(model, held_out.images) - truth).mean(0) / truth.var(0)
    return {name: float(1 - e) for name, e in zip(known.names, error, strict=True)}


def save(model: AttributeRegressor, wanted: Targets, r2: dict[str, float], folder: Path) -> None:
    """The folder that `load` reads: the folded network with all its attributes."""
    described = [
        Attribute(name=name, mean=float(mean), std=float(std), r2=round(r2[name], 4), identity=name in IDENTITY)
        for name, mean, std in zip(wanted.names, wanted.mean, wanted.std, strict=True)
    ]
    save_attributes(model.folded(), described, folder, name=NAME, license="cc0-1.0", description=DESCRIPTION)


def ship(saved: Path, folder: Path, generators: Sequence[str]) -> None:
    """What `save` wrote with the attributes alone that it reads well enough to score with, as hub_export bundles it."""
    trained = load_attributes(saved)
    chosen = [i for i, attribute in enumerate(trained.config.attributes) if attribute.r2 > MIN_R2]
    save_attributes(
        only(trained.network, chosen),
        [trained.config.attributes[i] for i in chosen],
        folder,
        name=NAME,
        license="cc0-1.0",
        description=DESCRIPTION,
        generators=generators,
    )


def load(folder: Path) -> AttributeNetwork:
    """The network that `save` wrote, frozen and in evaluation mode."""
    return load_attributes(folder).network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that examples.demo_generator.data wrote; trains a network")
    parser.add_argument("--ship", type=Path, help="a network that was trained: write what eigan bundles of it instead")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--generator", action="append", default=[], help="with --ship: fingerprint it scores by default"
    )
    args = parser.parse_args()
    if (args.data is None) == (args.ship is None):
        parser.error("give --data to train a network, or --ship to bundle one")
    if args.ship:
        ship(args.ship, args.out, args.generator)
        return
    torch.set_num_threads(1)
    model, wanted = train(load_split(args.data, "train"), args.minutes, args.seed)
    r2 = explained_variance(model, load_split(args.data, "held_out"), wanted)
    save(model, wanted, r2, args.out)
    for name, value in sorted(r2.items(), key=lambda item: -item[1]):
        print(f"{name:14s} R2 {value:5.2f}")


if __name__ == "__main__":
    main()
