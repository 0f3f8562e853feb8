"""How like the held-out pictures a generator's samples are, as a regressor that took no part in training sees them.

`python -m examples.demo_generator.evaluate --data DATA --regressor REG --model EXPORT --out OUT` prints, and writes to
quality.json and quality.png: Fréchet distances in the regressor's features (not FID; they compare only with each
other), mean and spread of every factor that it reads well, and how often each kind of head is drawn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file

from eigan.generators.stylegan2 import StyleGAN2
from examples.demo_generator import attributes
from examples.demo_generator.data import load_split, replace_file
from hub_export.evaluation.attributes import MIN_R2, AttributeNetwork, load_attributes
from hub_export.evaluation.frechet import frechet_distance

Readings = npt.NDArray[np.float32]
MAIN = (
    *("yaw", "pitch", "roll", "skin", "age", "gender", "smile", "open", "hair_len", "hair_tone", "grey", "fat"),
    *("glasses", "beard", "lipstick", "light_az", "light_el", "light_key", "bg_val", "bg_sat"),
)
TOLERANCE = 0.1  # of a standard deviation of the data
KINDS: Mapping[str, tuple[str, float]] = {  # kind of head -> what it reads above, in the factor's own unit
    "hair": ("hair_on", 0.5),
    "long hair": ("hair_len", 0.5),
    "grey hair": ("grey", 0.5),
    "red hair": ("red", 0.4),
    "glasses": ("glasses", 0.5),
    "sunglasses": ("tint", 0.4),
    "beard": ("beard", 0.35),
    "lipstick": ("lipstick", 0.35),
    "open mouth": ("open", 0.2),
    "dark skin": ("skin", 0.6),
}


def load_export(folder: Path) -> StyleGAN2:
    """The generator that `export` wrote."""
    generator = StyleGAN2.from_config(json.loads((folder / "config.json").read_text()))
    generator.load_weights(load_file(folder / "model_fp32.safetensors"))
    return generator.eval()


@torch.no_grad()
def draw(generator: StyleGAN2, count: int, *, truncation_psi: float = 1.0, seed: int = 1) -> npt.NDArray[np.uint8]:
    """`count` fresh samples, uint8 (count, R, R, 3)."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    pictures = []
    for part in z.split(50):
        images = generator.synthesis(generator.mapping(part, truncation_psi=truncation_psi))
        pictures.append(((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(pictures)


def blurred(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Halved and enlarged again: what a Fréchet distance should notice."""
    size = pictures.shape[2] // 2, pictures.shape[1] // 2
    return np.stack(
        [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BOX).resize(p.shape[:2])) for p in pictures]
    )


def statistics(real: Readings, drawn: Readings, names: list[str]) -> dict[str, dict[str, float]]:
    """Factor -> how far the drawn mean is off, and drawn spread over real spread, in real standard deviations."""
    off = (drawn.mean(0) - real.mean(0)) / real.std(0)
    spread = drawn.std(0) / real.std(0)
    return {
        name: {"mean_off": round(float(off[i]), 3), "spread": round(float(spread[i]), 3)}
        for i, name in enumerate(names)
    }


def rates(readings: Readings, names: list[str], mean: Readings, std: Readings) -> dict[str, float]:
    """Kind of head -> share of the pictures that show it."""
    found = {}
    for kind, (name, above) in KINDS.items():
        if name in names:
            i = names.index(name)
            found[kind] = round(float((readings[:, i] * std[i] + mean[i] > above).mean()), 4)
    return found


def measure(regressor_folder: Path, data: Path, generator: StyleGAN2) -> tuple[dict[str, Any], dict[str, Any]]:
    """What quality.json holds; and the readings (N, K) of held-out and drawn pictures, which quality.png shows."""
    trained = load_attributes(regressor_folder)
    network: AttributeNetwork = trained.network
    kept = [i for i, attribute in enumerate(trained.config.attributes) if attribute.r2 > MIN_R2]
    names = [trained.names[i] for i in kept]
    mean = np.array([trained.config.attributes[i].mean for i in kept], np.float32)
    std = np.array([trained.config.attributes[i].std for i in kept], np.float32)
    held_out = load_split(data, "held_out").images
    half = len(held_out) // 2
    real = attributes.predict(network, held_out, features=True)
    pictures = {psi: draw(generator, half, truncation_psi=psi) for psi in (1.0, 0.7)}
    distances = {
        "held-out against held-out": frechet_distance(real[half:], real[:half]),
        "held-out, halved and enlarged": frechet_distance(
            attributes.predict(network, blurred(held_out[half:]), features=True), real[:half]
        ),
    }
    for psi, drawn in pictures.items():
        features = attributes.predict(network, drawn, features=True)
        distances[f"drawn at psi {psi:g}"] = frechet_distance(features, real[:half])
    readings = {
        "held-out": attributes.predict(network, held_out)[:, kept],
        "drawn": attributes.predict(network, pictures[1.0])[:, kept],
    }
    factors = statistics(readings["held-out"], readings["drawn"], names)
    within = [
        n for n in MAIN if n in factors
        and abs(factors[n]["mean_off"]) <= TOLERANCE
        and abs(factors[n]["spread"] - 1) <= TOLERANCE
    ]  # fmt: skip
    report = {
        "pictures_a_side": half,
        "frechet": {name: round(float(value), 2) for name, value in distances.items()},
        "main_factors_within_10_percent": within,
        "main_factors_beyond": [n for n in MAIN if n in factors and n not in within],
        "rates": {side: rates(values, names, mean, std) for side, values in readings.items()},
        "factors": factors,
    }
    return report, {"names": names, **readings}


def plot(readings: dict[str, Any]) -> bytes:
    """Histograms of the main factors, held-out against drawn, as PNG. Wants matplotlib."""
    from matplotlib.figure import Figure

    shown = [name for name in MAIN if name in readings["names"]]
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    for axes, name in zip(figure.subplots(4, 5).flat, shown, strict=False):
        i = readings["names"].index(name)
        bins = np.linspace(-3, 3, 31)
        axes.hist(readings["held-out"][:, i], bins, density=True, color="#b7c4d6", label="renders nobody trained on")
        axes.hist(readings["drawn"][:, i], bins, density=True, histtype="step", color="#c2410c", label="drawn, psi 1")
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--regressor", type=Path, required=True, help="not the one that training used")
    parser.add_argument("--model", type=Path, required=True, help="folder that export wrote")
    parser.add_argument("--out", type=Path, help="folder for quality.json and quality.png")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    report, readings = measure(args.regressor, args.data, load_export(args.model))
    print(json.dumps({name: value for name, value in report.items() if name != "factors"}, indent=1))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        replace_file(args.out / "quality.json", (json.dumps(report, indent=1) + "\n").encode())
        replace_file(args.out / "quality.png", plot(readings))


if __name__ == "__main__":
    main()
