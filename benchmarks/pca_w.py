"""PCA in W, the same work three ways: GANSpace's loop (scikit-learn's IncrementalPCA), and eigan's fit, fp32 and bf16.

    python -m benchmarks.pca_w                          # 1,000,000 samples, takes minutes
    python -m benchmarks.pca_w --num-samples 100000

Reference: latents from numpy's RandomState in chunks of 10,000, mapped by the network's plain forward, each chunk given
to IncrementalPCA(80).partial_fit (GANSpace, Härkönen et al., NeurIPS 2020, arXiv:2004.02546, README settings). It is
kinder to the reference than GANSpace, which also stores all N latents. Ours: `hub_export.fit`, nothing switched off;
ours-bf16: the same with precision="bf16", which maps in bf16 and sums as ever.

Every side runs in its own process, so that peak memory is its own, in the order A B C C B A so that the machine's other
work hits all. Errors are against a float64 covariance of the samples that each side saw, gathered in a further, untimed
process, and mapped in float32: those of ours-bf16 include what bf16 changes of the mapping. The network is StyleGAN2's
mapping (8 layers of 512), random, with column scales that make the spectrum of w decay as in trained networks.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.machine import MIB, machine, peak_memory, reset_peak
from eigan.generators.stylegan2 import StyleGAN2
from eigan.generators.stylegan2_config import StyleGAN2Config
from eigan.latents import BLOCK_ROWS
from hub_export.fit import fit
from hub_export.recipe import Recipe
from hub_export.sampling import sample_z

Variances = npt.NDArray[np.float64]
RESULTS = Path(__file__).parent / "results"
DIM, NUM_LAYERS, COMPONENTS, CHUNK = 512, 8, 80, 10_000
ORDER = ("ours", "ours-bf16", "reference", "reference", "ours-bf16", "ours")
SAMPLES = {"reference": "reference", "ours": "ours", "ours-bf16": "ours"}  # side -> whose samples it saw


def synthetic_generator() -> StyleGAN2:
    """A 4 px StyleGAN2 whose mapping network is full size: 8 layers of 512, anisotropic w."""
    config = StyleGAN2Config(
        z_dim=DIM, c_dim=0, w_dim=DIM, resolution=4, channels={4: 8}, num_mapping_layers=NUM_LAYERS
    )
    generator = StyleGAN2(config)
    random = torch.Generator().manual_seed(0)
    generator.initialize(random)
    scales = torch.arange(1, DIM + 1).float().pow(-0.35)
    with torch.no_grad():
        for i in range(NUM_LAYERS):
            weights = generator.mapper.get_submodule(f"fc{i}").get_parameter("weight")
            mixed = torch.linalg.qr(torch.randn(DIM, DIM, generator=random))[0]
            weights.copy_(weights @ (mixed * (scales / scales.square().mean().sqrt())))
            generator.mapper.get_submodule(f"fc{i}").get_parameter("bias").normal_(generator=random)
    return generator.eval().requires_grad_(False)


def reference_z(num_samples: int) -> Iterator[Tensor]:
    """GANSpace's latents: for each chunk a seed drawn from one stream, then RandomState(seed).standard_normal."""
    seeds = np.random.RandomState(1)
    for _ in range(num_samples // CHUNK):
        random = np.random.RandomState(seeds.randint(np.iinfo(np.int32).max))
        yield torch.from_numpy(random.standard_normal(DIM * CHUNK).astype(np.float32).reshape(CHUNK, DIM))


def run_reference(num_samples: int) -> dict[str, Any]:
    """Seconds of each part, explained variances (80,) and components (80, 512)."""
    from sklearn.decomposition import IncrementalPCA

    generator, clock = synthetic_generator(), Clock()
    pca = IncrementalPCA(n_components=COMPONENTS, whiten=False, batch_size=max(100, 2 * COMPONENTS))
    chunks = reference_z(num_samples)
    while (z := clock.time("sample", next, chunks, None)) is not None:
        w = clock.time("map", generator.map_to_w, z)
        clock.time("fit", pca.partial_fit, w.numpy())
    return clock.report() | {"variances": pca.explained_variance_, "components": pca.components_}


def run_ours(num_samples: int, precision: str = "fp32") -> dict[str, Any]:
    """As run_reference, through the public fit."""
    generator, clock = synthetic_generator(), Clock()
    recipe = Recipe("pca", num_directions=COMPONENTS, num_samples=num_samples, precision=precision)
    pack = clock.time("fit", fit, generator, recipe)
    return clock.report() | {
        "variances": np.array([d.sigma**2 for d in pack]),
        "components": np.stack([d.vector.numpy() for d in pack]),
    }


def exact_ours(num_samples: int) -> Variances:
    """Eigenvalues (80,) of the float64 covariance of the samples that run_ours saw, mapped by the plain forward."""
    starts = range(0, num_samples, BLOCK_ROWS)
    return _exact(sample_z(0, start, min(start + BLOCK_ROWS, num_samples), DIM) for start in starts)


def exact_reference(num_samples: int) -> Variances:
    """Eigenvalues (80,) of the float64 covariance of the samples that run_reference saw."""
    return _exact(reference_z(num_samples))


def _exact(latents: Iterator[Tensor]) -> Variances:
    generator = synthetic_generator()
    count, total, outer = 0, torch.zeros(DIM).double(), torch.zeros(DIM, DIM).double()
    for z in latents:
        w = generator.map_to_w(z).double()
        count, total, outer = count + len(w), total + w.sum(dim=0), outer + w.t() @ w
    mean = total / count
    covariance = (outer - count * torch.outer(mean, mean)) / (count - 1)
    variances: Variances = torch.linalg.eigvalsh(covariance).flip(0)[:COMPONENTS].numpy()
    return variances


class Clock:
    """Wall seconds by part, processor seconds and peak memory of this process above its start."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        reset_peak()
        self.base = peak_memory()
        self.cpu = time.process_time()

    def time(self, part: str, work: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        result = work(*arguments)
        self.parts[part] = self.parts.get(part, 0.0) + time.perf_counter() - start
        return result

    def report(self) -> dict[str, Any]:
        return {
            "seconds": self.parts,
            "total_seconds": sum(self.parts.values()),
            "cpu_seconds": time.process_time() - self.cpu,
            "peak_mib_above_base": (peak_memory() - self.base) / MIB,
        }


TASKS: dict[str, Callable[[int], Any]] = {
    "ours": run_ours,
    "ours-bf16": partial(run_ours, precision="bf16"),
    "reference": run_reference,
    "exact-ours": exact_ours,
    "exact-reference": exact_reference,
}


def run_task(task: str, num_samples: int, threads: int) -> Any:
    """The task's result, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.pca_w", "--task", task, "--result", str(file)]
        command += ["--num-samples", str(num_samples), "--threads", str(threads)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        environment["OPENBLAS_NUM_THREADS"] = str(threads)  # numpy's, which scikit-learn uses
        subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parent.parent)
        return json.loads(file.read_text())


def compare(runs: list[dict[str, Any]], exact: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, ratios, and errors of each side's variances."""
    summary: dict[str, Any] = {}
    for side, samples in SAMPLES.items():
        mine = [run for run in runs if run["side"] == side]
        error = np.abs(np.array(mine[0]["variances"]) / np.array(exact[samples]) - 1)
        summary[side] = {
            "total_seconds": statistics.median(run["total_seconds"] for run in mine),
            "cpu_seconds": statistics.median(run["cpu_seconds"] for run in mine),
            "seconds": {p: statistics.median(run["seconds"][p] for run in mine) for p in mine[0]["seconds"]},
            "peak_mib_above_base": max(run["peak_mib_above_base"] for run in mine),
            "worst_variance_error": float(error.max()),
            "median_variance_error": float(np.median(error)),
        }
    for key in ("total_seconds", "cpu_seconds"):
        summary[f"ratio_{key}"] = summary["reference"][key] / summary["ours"][key]
        summary[f"ratio_bf16_{key}"] = summary["reference"][key] / summary["ours-bf16"][key]
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-samples", type=int, default=1_000_000, help=f"a multiple of {CHUNK:,}")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=1, help="times the order A B C C B A is run")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, default=RESULTS / f"pca_w-{date.today()}.json")
    options = parser.parse_args()
    if options.num_samples % CHUNK:
        parser.error(f"--num-samples is {options.num_samples}; wanted a multiple of {CHUNK}")
    torch.set_num_threads(options.threads)
    if options.task:
        result = TASKS[options.task](options.num_samples)
        options.result.write_text(json.dumps(result, default=np.ndarray.tolist))
        return

    import sklearn

    described, runs = machine(options.threads, sklearn), []
    for side in ORDER * options.rounds:
        run = run_task(side, options.num_samples, options.threads)
        runs.append({"side": side, **run})
        parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in run["seconds"].items())
        print(f"{side:9s} {run['total_seconds']:7.1f} s ({parts}), {run['cpu_seconds']:.1f} s of processor, "
              f"peak {run['peak_mib_above_base']:.0f} MiB above base", flush=True)  # fmt: skip
    exact = {side: run_task(f"exact-{side}", options.num_samples, options.threads) for side in ("ours", "reference")}
    summary = compare(runs, exact)
    for side in SAMPLES:
        print(f"{side:9s} worst variance error {summary[side]['worst_variance_error']:.1e}")
    for side, ratio in (("ours", "ratio"), ("ours-bf16", "ratio_bf16")):
        wall, processor = summary[f"{ratio}_total_seconds"], summary[f"{ratio}_cpu_seconds"]
        print(f"{side:9s} ratio: {wall:.2f} in wall time, {processor:.2f} in processor time")
    for run in runs:
        del run["variances"], run["components"]
    record = {"benchmark": "pca_w", "date": str(date.today()), "num_samples": options.num_samples}
    record |= {"components": COMPONENTS, "machine": described, "summary": summary, "runs": runs}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.result}")


if __name__ == "__main__":
    main()
