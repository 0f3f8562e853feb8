"""Attribute regressor: reads a head's factors off its picture. It scores directions, and its features measure likeness.

`python -m examples.demo_generator.attributes --data DATA --out OUT` trains it and prints how well each factor is read.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from examples.demo_generator.data import LabelledImages, load_split, replace_file, to_tensor
from examples.demo_generator.factors import INTERNAL, MIRRORED

WIDTHS_AND_STRIDES = ((1, 2), (2, 2), (2, 1), (4, 2), (4, 1), (6, 2))  # width in multiples of `width`


class AttributeRegressor(nn.Module):
    """Six convolutions and two linear layers: pictures (N, 3, 64, 64) in [-1, 1] -> standardised factors (N, K)."""

    def __init__(self, num_attributes: int, width: int = 48, num_features: int = 192):
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        channels = 3
        for multiple, stride in WIDTHS_AND_STRIDES:
            self.convs.append(nn.Conv2d(channels, multiple * width, 3, stride, 1))
            channels = multiple * width
            self.norms.append(nn.BatchNorm2d(channels))
        self.fc = nn.Linear(channels * 4 * 4, num_features)
        self.out = nn.Linear(num_features, num_attributes)
        self.register_buffer("r2", torch.ones(num_attributes), persistent=False)  # how well each is read; `load` knows

    def feature_maps(self, images: Tensor, count: int = len(WIDTHS_AND_STRIDES)) -> list[Tensor]:
        """Feature maps after each of the first `count` convolutions."""
        maps = [images]
        for conv, norm in zip(self.convs[:count], self.norms[:count], strict=True):
            maps.append(F.relu(norm(conv(maps[-1]))))
        return maps[1:]

    def features(self, images: Tensor) -> Tensor:
        """(N, num_features), float32: the space of the Frechet distance."""
        return F.relu(self.fc(self.feature_maps(images)[-1].float().flatten(1)))

    def read(self, last_map: Tensor) -> Tensor:
        """Standardised factors (N, K), float32, from the last feature map."""
        return self.out(F.relu(self.fc(last_map.float().flatten(1))))

    def forward(self, images: Tensor) -> Tensor:
        return self.read(self.feature_maps(images)[-1])

    def folded(self) -> dict[str, Tensor]:
        """Weights for inference with batch norm folded in: conv0..conv5 (3x3, ReLU after each), fc (ReLU), out."""
        weights = {}
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weights[f"conv{i}.weight"] = conv.weight * scale[:, None, None, None]
            weights[f"conv{i}.bias"] = (conv.bias - norm.running_mean) * scale + norm.bias
        for name in ("fc", "out"):
            layer = self.get_submodule(name)
            weights |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
        return {name: value.detach().float().contiguous() for name, value in weights.items()}


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
def predict(model: AttributeRegressor, images: np.ndarray, *, features: bool = False) -> np.ndarray:
    """Standardised factors (N, K), or features, of uint8 pictures (N, 64, 64, 3)."""
    read = model.features if features else model
    batches = (to_tensor(images[i : i + 200]) for i in range(0, len(images), 200))
    return torch.cat([read(b.contiguous(memory_format=torch.channels_last)) for b in batches]).numpy()


def explained_variance(model: AttributeRegressor, held_out: LabelledImages, trained_on: Targets) -> dict[str, float]:
    """R2 of each factor on held-out pictures: 1 is read exactly, 0 no better than the mean."""
    known = targets(held_out)
    truth = (known.values * known.std + known.mean - trained_on.mean) / trained_on.std
    error = np.square(predict(model, held_out.images) - truth).mean(0) / truth.var(0)
    return {name: float(1 - e) for name, e in zip(known.names, error, strict=True)}


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^1/2) of two feature sets (N, D). Not FID: the features are our own."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.linalg.eigvals(cov_a @ cov_b).real.clip(min=0) ** 0.5  # of a product of two covariances: real, >= 0
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b) - 2 * roots.sum())


def save(model: AttributeRegressor, wanted: Targets, r2: dict[str, float], folder: Path) -> None:
    """attributes.safetensors (folded) with attributes.json, and regressor.safetensors (with batch norm, for `load`)."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "attributes.safetensors", safetensors.torch.save(model.folded()))
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    replace_file(folder / "regressor.safetensors", safetensors.torch.save(state))
    described = {
        "input": "(N, 3, 64, 64) in [-1, 1]",
        "layers": "conv0..conv5: 3x3, padding 1, ReLU after each; flatten; fc, ReLU (these are the features); out",
        "strides": [stride for _, stride in WIDTHS_AND_STRIDES],
        "output": "(value - mean) / std per name",
        "names": wanted.names,
        "mean": [float(x) for x in wanted.mean],
        "std": [float(x) for x in wanted.std],
        "r2": [round(r2[name], 4) for name in wanted.names],
    }
    replace_file(folder / "attributes.json", (json.dumps(described, indent=1) + "\n").encode())


def load(folder: Path) -> AttributeRegressor:
    """The regressor that `save` wrote, frozen and in evaluation mode."""
    weights = safetensors.torch.load_file(folder / "regressor.safetensors")
    model = AttributeRegressor(len(weights["out.bias"]), width=len(weights["convs.0.bias"]))
    model.load_state_dict(weights)
    model.r2.copy_(torch.tensor(json.loads((folder / "attributes.json").read_text())["r2"]))
    return model.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, wanted = train(load_split(args.data, "train"), args.minutes, args.seed)
    r2 = explained_variance(model, load_split(args.data, "held_out"), wanted)
    save(model, wanted, r2, args.out)
    for name, value in sorted(r2.items(), key=lambda item: -item[1]):
        print(f"{name:14s} R2 {value:5.2f}")


if __name__ == "__main__":
    main()
