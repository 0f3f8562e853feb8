"""FastICA on w, the same samples two ways: scikit-learn, as GANSpace and Palaev et al. call it, and eigan's.

    python -m benchmarks.fast_ica                       # 100,000 x 512, 20 and 100 sources; a fit of 1,000,000; minutes
    python -m benchmarks.fast_ica --num-samples 20000 --num-large 0

Both are given the same w in memory, the same tolerance (1e-4, the same criterion) and the same initial rotation, and
whiten it themselves. scikit-learn whitens by an SVD, which is its default; "reference-eigh" is its other way. Near the
end eigan leaves FastICA's own path for a quicker one where that has slowed down, so that with many nearly Gaussian
sources both may stop in different places: `contrast`, the sum over sources of |E[log cosh y] - that of a Gaussian|,
says which found more. `agreement` is |cos| between whitened sources after matching them one to one, and
`starts_agreement` the same between eigan's results from two starts.

Every run is a process of its own, so that peak memory is its own, in the order A B B A. Memory is above the samples
themselves, which a generator's fit never holds: "fit" is the whole `hub_export.fit` of --num-large samples (drawn and
mapped twice), with the most sources. The network is that of benchmarks/pca_w.py; its w is nearly Gaussian.
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
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.pca_w import DIM, RESULTS, Clock, synthetic_generator
from eigan.generators.base import iterate_batches
from eigan.latents import BLOCK_ROWS, block_generator
from hub_export.fast_ica import GAUSSIAN_LOG_COSH, Rows, Search, product
from hub_export.fit import fit
from hub_export.methods.base import Problem, top_eigenvectors
from hub_export.methods.ica import START_STREAM, ICAOptions, separate
from hub_export.moments import Moments
from hub_export.recipe import Recipe
from hub_export.sampling import stream_w
from hub_export.workers import parallel_map, single_threaded_workers

Matrix = npt.NDArray[np.float64]
TOLERANCE, MAX_ITERATIONS = 1e-4, 1000
ORDER = ("ours", "reference", "reference", "ours")


def run_reference(rows: Tensor, sources: int, seed: int, solver: str = "svd", most: int = MAX_ITERATIONS) -> Any:
    """scikit-learn's FastICA: seconds, iterations and the unmixing matrix (C, D)."""
    from sklearn.decomposition import FastICA

    start = reference_start(rows, sources, seed)
    clock = Clock()
    ica = FastICA(
        sources, whiten="arbitrary-variance", whiten_solver=solver, tol=TOLERANCE, max_iter=most, w_init=start
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clock.time("fit", ica.fit, rows.numpy())
    return clock.report() | {"iterations": int(ica.n_iter_), "unmixing": ica.components_.astype(np.float64)}


def reference_start(rows: Tensor, sources: int, seed: int) -> npt.NDArray[np.float32]:
    """eigan's initial rotation in scikit-learn's whitened coordinates: the same axes, signed by their first entry."""
    components = top_eigenvectors(covariance_of(rows), sources)[0]
    start = Search.start(block_generator(seed, 0, START_STREAM), sources).rotation
    signed: npt.NDArray[np.float32] = (start * components[:, 0].sign()).float().numpy()
    return signed


def run_ours(rows: Tensor, sources: int, seed: int) -> Any:
    """eigan's, from the same rows: moments, whitening, rotation. As `hub_export.methods.ica.solve`, rows in hand."""
    generator = synthetic_generator()
    recipe = Recipe("ica", sources, num_samples=len(rows), seed=seed, options={"tolerance": TOLERANCE})
    clock = Clock()
    moments, whitening = clock.time("whiten", find_whitening, rows, sources)
    whitened = clock.time("project", project, rows, moments.mean.float(), whitening.float())
    with single_threaded_workers(torch.get_num_threads()) as pool:
        problem = Problem(generator, recipe, recipe.layer_range(generator), moments)
        held = Rows(whitened, len(whitened), pool)
        search = clock.time("rotate", separate, problem, held, problem.options(ICAOptions))
    return clock.report() | {
        "iterations": len(search.limits),
        "left_own_path": search.quick,
        "unmixing": (search.best @ whitening).numpy(),
    }


def find_whitening(rows: Tensor, sources: int) -> tuple[Moments, Tensor]:
    """Moments of the rows, and their whitening matrix (C, D), float64."""
    moments = Moments(rows.shape[1])
    moments.start_at(rows[:BLOCK_ROWS])
    blocks = [rows[part] for part in iterate_batches(len(rows), BLOCK_ROWS)]
    for sums in parallel_map(moments.sum, blocks, torch.get_num_threads()):
        moments.add(sums)
    components, variances = top_eigenvectors(moments.covariance, sources)
    return moments, components / variances.sqrt()[:, None]


def project(rows: Tensor, mean: Tensor, whitening: Tensor) -> Tensor:
    """Whitened rows (N, C), float32."""
    whitened = torch.empty(len(rows), len(whitening))
    parts = list(iterate_batches(len(rows), BLOCK_ROWS))
    pieces = parallel_map(lambda part: product(rows[part] - mean, whitening), parts, torch.get_num_threads())
    for part, piece in zip(parts, pieces, strict=True):
        whitened[part] = piece
    return whitened


def run_fit(num_samples: int, sources: int) -> Any:
    """The whole fit from the generator, `num_samples` codes."""
    generator, clock = synthetic_generator(), Clock()
    marks: dict[str, float] = {}

    def mark(done: int, total: int, what: str) -> None:
        marks[what] = time.perf_counter()

    began = time.perf_counter()
    recipe = Recipe("ica", sources, num_samples=num_samples, options={"allow_unconverged": True})
    pack = clock.time("fit", lambda: fit(generator, recipe, progress=mark))
    ends = [began, *marks.values()]
    told = {name: pack.method[name] for name in ("iterations", "limit", "converged")}
    parts = {name: end - start for name, start, end in zip(marks, ends, ends[1:], strict=False)}
    return clock.report() | told | {"parts": parts}


def draw(num_samples: int, file: Path) -> None:
    """w of the synthetic generator, (N, 512) float32, into `file`."""
    generator = synthetic_generator()
    recipe = Recipe("ica", num_samples=num_samples).resolve(generator)
    np.save(file, torch.cat(list(stream_w(generator, recipe))).numpy())


def covariance_of(rows: Tensor) -> Tensor:
    """(D, D), float64."""
    centred = rows.double() - rows.double().mean(dim=0)
    return centred.t() @ centred / (len(rows) - 1)


TASKS: dict[str, Callable[[Tensor, int, int], Any]] = {
    "ours": run_ours,
    "reference": run_reference,
    "reference-eigh": lambda rows, sources, seed: run_reference(rows, sources, seed, "eigh"),
    "reference-whitening": lambda rows, sources, seed: run_reference(rows, sources, seed, most=1),
}


def run_task(task: str, options: argparse.Namespace, data: Path, sources: int, seed: int = 0) -> dict[str, Any]:
    """The task's result, from a process of its own."""
    file = data.with_suffix(".json")
    command = [sys.executable, "-m", "benchmarks.fast_ica", "--task", task, "--result", str(file), "--data", str(data)]
    command += ["--sources", str(sources), "--seed", str(seed), "--threads", str(options.threads)]
    command += ["--num-samples", str(options.num_samples), "--num-large", str(options.num_large)]
    threads = str(options.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parent.parent)
    found: dict[str, Any] = json.loads(file.read_text())
    if "seconds" in found:
        parts = ", ".join(f"{part} {seconds:.2f}" for part, seconds in found["seconds"].items())
        print(f"{task:20s} C={sources:3d} {found['total_seconds']:7.2f} s ({parts}), {found['cpu_seconds']:.2f} s of "
              f"processor, {found['iterations']} iterations, {found['peak_mib_above_base']:.0f} MiB above base",
              flush=True)  # fmt: skip
    return found


def matched(mine: Matrix, theirs: Matrix, covariance: Matrix) -> Matrix:
    """|cos| between sources (rows of unmixing matrices, under the covariance) matched one to one, the worst first."""
    from scipy.optimize import linear_sum_assignment

    norms = [np.sqrt(np.einsum("kd,de,ke->k", b, covariance, b)) for b in (mine, theirs)]
    cosines = np.abs(mine @ covariance @ theirs.T / np.outer(*norms))
    found: Matrix = np.sort(cosines[linear_sum_assignment(-cosines)])
    return found


def contrast(unmixing: Matrix, rows: Tensor, covariance: Matrix) -> float:
    """Sum over sources y, of variance 1, of |E[log cosh y] - E[log cosh of a standard normal]|."""
    norms = np.sqrt(np.einsum("kd,de,ke->k", unmixing, covariance, unmixing))
    factor = torch.from_numpy(unmixing / norms[:, None]).float().t()
    total = torch.zeros(len(unmixing), dtype=torch.float64)
    mean = rows.mean(dim=0)
    for part in iterate_batches(len(rows), 10 * BLOCK_ROWS):
        y = (rows[part] - mean) @ factor
        total += (y.abs() + torch.log1p(torch.exp(-2 * y.abs())) - np.log(2)).double().sum(dim=0)
    return float((total / len(rows) - GAUSSIAN_LOG_COSH).abs().sum())


def compare(sources: int, options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """All runs of one number of sources, and what they say."""
    runs = [(side, run_task(side, options, data, sources)) for side in ORDER * options.rounds]
    again = run_task("ours", options, data, sources, seed=1)
    eigh, whitening = (run_task(f"reference-{name}", options, data, sources) for name in ("eigh", "whitening"))
    rows = torch.from_numpy(np.load(data))
    covariance = covariance_of(rows).numpy()
    summary: dict[str, Any] = {}
    for side in ("ours", "reference"):
        mine = [run for name, run in runs if name == side]
        middle = {key: statistics.median(run[key] for run in mine) for key in ("total_seconds", "cpu_seconds")}
        summary[side] = middle | {
            "seconds": {part: statistics.median(run["seconds"][part] for run in mine) for part in mine[0]["seconds"]},
            "iterations": mine[0]["iterations"],
            "peak_mib_above_base": max(run["peak_mib_above_base"] for run in mine),
            "contrast": contrast(np.array(mine[0]["unmixing"]), rows, covariance),
        }
    summary["ours"]["left_own_path"] = runs[0][1]["left_own_path"]
    summary["reference"]["whitening_seconds"] = whitening["total_seconds"]
    summary["reference_eigh"] = {key: eigh[key] for key in ("total_seconds", "cpu_seconds", "iterations")}
    unmixing = {side: np.array(run["unmixing"]) for side, run in reversed(runs)}
    cosines = matched(unmixing["ours"], unmixing["reference"], covariance)
    starts = matched(unmixing["ours"], np.array(again["unmixing"]), covariance)
    summary["agreement"] = {"min": float(cosines[0]), "median": float(np.median(cosines))}
    summary["starts_agreement"] = {"min": float(starts[0]), "median": float(np.median(starts))}
    for key in ("total_seconds", "cpu_seconds"):
        summary[f"ratio_{key}"] = summary["reference"][key] / summary["ours"][key]
        summary[f"ratio_eigh_{key}"] = eigh[key] / summary["ours"][key]
    spent = summary["reference"]["total_seconds"] - whitening["total_seconds"]
    summary["milliseconds_an_iteration"] = {
        "ours": 1e3 * summary["ours"]["seconds"]["rotate"] / summary["ours"]["iterations"],
        "reference": 1e3 * spent / max(summary["reference"]["iterations"] - 1, 1) if spent > 0 else None,  # noise
    }
    return {"summary": summary, "runs": [{"side": side, **without(run, "unmixing")} for side, run in runs]}


def without(run: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in run.items() if key != name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-samples", type=int, default=100_000)
    parser.add_argument("--num-large", type=int, default=1_000_000, help="samples of the whole fit; 0: leave it out")
    parser.add_argument("--sources", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=1, help="times the order A B B A is run")
    parser.add_argument("--task", choices=[*TASKS, "draw", "fit"], help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, default=RESULTS / f"fast_ica-{date.today()}.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.task:
        if options.task == "draw":
            draw(options.num_samples, options.data)
            result: Any = {}
        elif options.task == "fit":
            result = run_fit(options.num_large, options.sources[0])
        else:
            rows = torch.from_numpy(np.load(options.data))
            result = TASKS[options.task](rows, options.sources[0], options.seed)
        options.result.write_text(json.dumps(result, default=np.ndarray.tolist))
        return

    import sklearn

    record = {"benchmark": "fast_ica", "date": str(date.today()), "num_samples": options.num_samples, "dim": DIM}
    record |= {"tolerance": TOLERANCE, "machine": machine(options.threads, sklearn), "sources": {}}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "w.npy"
        run_task("draw", options, data, options.sources[0])
        for sources in options.sources:
            record["sources"][sources] = found = compare(sources, options, data)
            summary = found["summary"]
            print(f"C={sources}: {summary['ratio_total_seconds']:.1f} x in wall time, "
                  f"{summary['ratio_cpu_seconds']:.1f} x in processor time, |cos| {summary['agreement']}, contrast "
                  f"{summary['ours']['contrast']:.4f} and {summary['reference']['contrast']:.4f}")  # fmt: skip
        if options.num_large:
            record["fit"] = {"num_samples": options.num_large, "sources": max(options.sources)}
            record["fit"] |= run_task("fit", options, data, max(options.sources))
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.result}")


if __name__ == "__main__":
    main()
