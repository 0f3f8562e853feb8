"""PCA of BigGAN's gen_z (32,768 activations) and the regression back to z: GANSpace's way, closed form, sampled.

    python -m benchmarks.pca_biggan                     # takes minutes

Reference: GANSpace's recipe (Härkönen et al., NeurIPS 2020, arXiv:2004.02546): scipy's truncnorm, gen_z, chunks of
2,000 into IncrementalPCA(80).partial_fit, then max(10,000, N) fresh samples, their coordinates in sigmas, and
scipy.linalg.lstsq of z on them. It is kinder to the reference than GANSpace, which draws 20 samples at a time. It is
measured in full for N = 20,000; for other N its seconds are EXTRAPOLATED: the first chunk as measured, every further
one like the mean of the others. Ours: `hub_export.fit`, for 20,000 and for 1,000,000 samples, nothing switched off,
with the closed form (the default); and once without it, 100,000 samples in 2 passes through the activations.

Every side runs in its own process, so that peak memory is its own, ours before and after the reference. The generator
has BigGAN-deep's gen_z at full size (128 + 128 numbers to 4x4x2048); weights are random, and the singular values of
gen_z's z columns are made to decay (s_k = k^-0.5), as trained ones do: random ones are nearly equal, so that no number
of samples could tell the directions apart. The fingerprint of the weights, which a pack needs whatever the method, is
taken before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.machine import machine
from benchmarks.pca_w import RESULTS, Clock
from eigan.generators.biggan import BigGAN
from eigan.generators.biggan_config import BigGANConfig, BlockLayout
from hub_export.fit import fit
from hub_export.recipe import Recipe

Array = npt.NDArray[Any]
Z_DIM, COMPONENTS, CHUNK, HUSKY = 128, 80, 2_000, 248
MEASURED, DEFAULT, SAMPLED, FRESH = 20_000, 1_000_000, 100_000, 10_000
DECAY = -0.5
COMPARED = 10  # directions that the sampled way must find again
ORDER = ("closed", "closed-default", "reference", "closed-default", "closed")
WIDTHS = ((16, 16), (16, 16), (16, 16), (16, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1))  # every other doubles


def synthetic_generator() -> BigGAN:
    """BigGAN-deep of 128 px with random weights, z columns of gen_z of decaying singular values."""
    config = BigGANConfig(
        output_dim=128,
        z_dim=Z_DIM,
        class_embed_dim=128,
        channel_width=128,
        num_classes=1000,
        layers=tuple(BlockLayout(i % 2 == 1, inside, outside) for i, (inside, outside) in enumerate(WIDTHS)),
        attention_layer_position=8,
        n_stats=51,
    )
    generator, random = BigGAN(config).eval().requires_grad_(False), torch.Generator().manual_seed(0)
    for tensor in generator.state_dict().values():
        tensor.normal_(generator=random).mul_(0.02)
    left, right = (torch.linalg.qr(torch.randn(rows, Z_DIM, generator=random))[0] for rows in (16 * 2048, Z_DIM))
    strengths = 100 * torch.arange(1, Z_DIM + 1).float().pow(DECAY)
    generator.gen_z.weight[:, :Z_DIM] = left * strengths @ right.t()
    _ = generator.fingerprint
    return generator


def run_reference() -> dict[str, Any]:
    """Seconds of each part; explained variances (80,) and regressed unit directions (80, 128)."""
    from scipy.linalg import lstsq
    from scipy.stats import truncnorm
    from sklearn.decomposition import IncrementalPCA

    generator, random, clock = synthetic_generator(), np.random.RandomState(1), Clock()
    pca = IncrementalPCA(n_components=COMPONENTS, whiten=False, batch_size=max(100, 2 * COMPONENTS))

    def sample() -> Array:
        z: Array = truncnorm.rvs(-2, 2, size=(CHUNK, Z_DIM), random_state=random).astype(np.float32)
        return z

    def activate(z: Array) -> Array:
        features = generator.features(generator.codes(torch.from_numpy(z), HUSKY, 1.0), "gen_z")
        return features.flatten(1).numpy()

    def project(activations: Array) -> Array:
        coordinates: Array = (activations - pca.mean_) @ pca.components_.T / np.sqrt(pca.explained_variance_)
        return coordinates

    for number in range(MEASURED // CHUNK):
        x = clock.time("activate", activate, clock.time("sample", sample))
        clock.time(f"fit chunk {number}", pca.partial_fit, x)
    coordinates, latents = [], []
    for _ in range(max(FRESH, MEASURED) // CHUNK):
        latents.append(clock.time("regression: sample", sample))
        x = clock.time("regression: activate", activate, latents[-1])
        coordinates.append(clock.time("regression: project", project, x))
    solution = clock.time("regression: solve", lstsq, np.concatenate(coordinates), np.concatenate(latents))
    moves = solution[0] / np.linalg.norm(solution[0], axis=1, keepdims=True)
    return clock.report() | {"variances": pca.explained_variance_, "directions": moves}


def run_ours(num_samples: int, closed_form: bool = True) -> dict[str, Any]:
    """As run_reference, through the public fit."""
    generator, clock = synthetic_generator(), Clock()
    options = {"closed_form": closed_form, "passes": 2}
    class_index = None if closed_form else HUSKY
    recipe = Recipe("pca", COMPONENTS, num_samples, class_index=class_index, options=options)
    pack = clock.time("fit", fit, generator, recipe)
    return clock.report() | {
        "variances": np.array([d.metrics["eigenvalue"] for d in pack]),
        "directions": np.stack([d.vector.numpy()[:Z_DIM] for d in pack]),
    }


TASKS: dict[str, Callable[[], Any]] = {
    "reference": run_reference,
    "closed": lambda: run_ours(MEASURED),
    "closed-default": lambda: run_ours(DEFAULT),
    "sampled": lambda: run_ours(SAMPLED, closed_form=False),
}


def run_task(task: str, threads: int) -> Any:
    """The task's result, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.pca_biggan", "--task", task, "--result", str(file)]
        command += ["--threads", str(threads)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        environment["OPENBLAS_NUM_THREADS"] = str(threads)  # numpy's, which scikit-learn and scipy use
        subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parent.parent)
        return json.loads(file.read_text())


def extrapolate(seconds: dict[str, float], num_samples: int) -> float:
    """The reference's seconds for `num_samples`, from those of its parts for MEASURED."""
    chunks, fresh = num_samples / CHUNK, max(FRESH, num_samples) / max(FRESH, MEASURED)
    gathering = (seconds["sample"] + seconds["activate"]) * num_samples / MEASURED
    regression = sum(spent for part, spent in seconds.items() if part.startswith("regression"))
    return seconds["fit chunk 0"] + (chunks - 1) * further_chunk(seconds) + gathering + regression * fresh


def further_chunk(seconds: dict[str, float]) -> float:
    """Mean seconds of a chunk after the first."""
    return statistics.fmean(seconds[f"fit chunk {number}"] for number in range(1, MEASURED // CHUNK))


def agreement(found: dict[str, Any], exact: dict[str, Any]) -> dict[str, float]:
    """How the first COMPARED directions, and all variances, of `found` compare with the closed form's."""
    cosines = np.abs((np.array(found["directions"]) * np.array(exact["directions"])).sum(axis=1))
    error = np.abs(np.array(found["variances"]) / np.array(exact["variances"]) - 1)
    return {
        "least_cosine_of_the_first": float(cosines[:COMPARED].min()),
        "median_cosine": float(np.median(cosines)),
        "worst_variance_error": float(error.max()),
    }


def compare(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians, ratios (those of extrapolated seconds are called so) and agreement with the closed form."""
    sides: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        sides.setdefault(run["side"], []).append(run)
    summary: dict[str, Any] = {
        side: {
            "total_seconds": statistics.median(run["total_seconds"] for run in mine),
            "cpu_seconds": statistics.median(run["cpu_seconds"] for run in mine),
            "seconds": {part: statistics.median(run["seconds"][part] for run in mine) for part in mine[0]["seconds"]},
            "peak_mib_above_base": max(run["peak_mib_above_base"] for run in mine),
        }
        for side, mine in sides.items()
    }
    reference, closed = summary["reference"], summary["closed"]
    extrapolated = extrapolate(reference["seconds"], DEFAULT)
    summary["ratio_measured"] = {
        "num_samples": MEASURED,
        "total_seconds": reference["total_seconds"] / closed["total_seconds"],
        "cpu_seconds": reference["cpu_seconds"] / closed["cpu_seconds"],
    }
    summary["ratio_extrapolated"] = {
        "num_samples": DEFAULT,
        "reference_seconds_extrapolated": extrapolated,
        "seconds_of_a_further_chunk_of_2000": further_chunk(reference["seconds"]),
        "total_seconds": extrapolated / summary["closed-default"]["total_seconds"],
    }
    exact = sides["closed-default"][0]
    summary["agreement_with_closed_form"] = {
        side: agreement(sides[side][0], exact) for side in ("reference", "sampled")
    }
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, default=RESULTS / f"pca_biggan-{date.today()}.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.task:
        options.result.write_text(json.dumps(TASKS[options.task](), default=np.ndarray.tolist))
        return

    import scipy
    import sklearn

    described, runs = machine(options.threads, sklearn, scipy), []
    for side in (*ORDER, "sampled"):
        run = run_task(side, options.threads)
        runs.append({"side": side, **run})
        parts = ", ".join(f"{part} {seconds:.2f}" for part, seconds in run["seconds"].items())
        print(f"{side:14s} {run['total_seconds']:7.2f} s ({parts}), {run['cpu_seconds']:.2f} s of processor, "
              f"peak {run['peak_mib_above_base']:.0f} MiB above base", flush=True)  # fmt: skip
    summary = compare(runs)
    for key in ("ratio_measured", "ratio_extrapolated", "agreement_with_closed_form"):
        print(key, json.dumps(summary[key], indent=1))
    for run in runs:
        del run["variances"], run["directions"]
    record = {"benchmark": "pca_biggan", "date": str(date.today()), "components": COMPONENTS}
    record |= {"sampled_num_samples": SAMPLED, "machine": described, "summary": summary, "runs": runs}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.result}")


if __name__ == "__main__":
    main()
