"""SeFa on all layers of StyleGAN2-1024 (6,080 x 512 affine weights): the authors' numpy.linalg.eig, and eigan's.

    python -m benchmarks.sefa

Reference: columns divided by their norms, numpy.linalg.eig of W Wᵀ in float32, as genforce/sefa (0d16060) writes it;
it comes unsorted, and is sorted here, untimed. "reference-eigh" is the same with numpy.linalg.eigh. Ours:
`hub_export.methods.sefa.factorize`. All in one process, in turn, the order flipped every round, once with the threads
that every library takes by itself and once with one thread each. Directions are compared with those of float64
throughout: `worst_angle` is in radians, over directions whose eigenvalue is at least `gap` away from the next
(relatively), and over all of them. The weights are random, of the sizes of config F.
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
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.machine import MIB, machine, peak_memory, reset_peak
from hub_export.methods.sefa import factorize

Array = npt.NDArray[Any]
RESULTS = Path(__file__).parent / "results"
DIM, COLUMNS = 512, 6080
KEPT = 80
GAP = 1e-3


def reference(weights: Array, eigen: Callable[[Array], Any] = np.linalg.eig) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors (as columns), in whatever order they come."""
    scaled = weights / np.linalg.norm(weights, axis=0, keepdims=True)
    values, vectors = eigen(scaled.dot(scaled.T))
    return values, vectors


def ours(weights: Array) -> tuple[Array, Array]:
    vectors, values = factorize(torch.from_numpy(weights), KEPT)
    return values.numpy(), vectors.numpy().T


SIDES: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "ours": ours,
    "reference": reference,
    "reference-eigh": lambda weights: reference(weights, np.linalg.eigh),
}


def measure(rounds: int) -> dict[str, Any]:
    """Seconds of every side, and how far its directions are from float64's."""
    weights = np.random.RandomState(0).randn(DIM, COLUMNS).astype(np.float32)
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    found = {side: work(weights) for side, work in SIDES.items()}  # warm
    for turn in range(rounds):
        for side in list(SIDES) if turn % 2 else reversed(SIDES):
            reset_peak()
            base, wall, processor = peak_memory(), time.perf_counter(), time.process_time()
            SIDES[side](weights)
            runs[side].append(
                {
                    "seconds": time.perf_counter() - wall,
                    "cpu_seconds": time.process_time() - processor,
                    "peak_mib_above_base": (peak_memory() - base) / MIB,
                }
            )
    values, vectors = reference(weights.astype(np.float64), np.linalg.eigh)
    exact = values[::-1][: KEPT + 1], vectors[:, ::-1][:, :KEPT]
    summary: dict[str, Any] = {
        side: {name: statistics.median(run[name] for run in mine) for name in mine[0]} | compare(found[side], exact)
        for side, mine in runs.items()
    }
    for side in ("reference", "reference-eigh"):
        for name in ("seconds", "cpu_seconds"):
            summary[side][f"ratio_{name}"] = summary[side][name] / summary["ours"][name]
    return {"summary": summary, "runs": runs}


def compare(found: tuple[Array, Array], exact: tuple[Array, Array]) -> dict[str, float]:
    """Angles to the exact directions, and errors of eigenvalues; the strongest first."""
    order = np.argsort(-found[0].real)[:KEPT]
    values, vectors = found[0].real[order], found[1].real[:, order].astype(np.float64)
    vectors = vectors / np.linalg.norm(vectors, axis=0)
    signs = np.sign((vectors * exact[1]).sum(axis=0))
    angles = 2 * np.arcsin(np.linalg.norm(vectors * signs - exact[1], axis=0) / 2)
    gaps = -np.diff(exact[0]) / exact[0][:-1]
    apart = np.minimum(gaps, np.r_[np.inf, gaps[:-1]]) >= GAP
    return {
        "worst_angle": float(angles[apart].max()),
        "worst_angle_of_all": float(angles.max()),
        "num_apart": int(apart.sum()),
        "worst_value_error": float(np.abs(values / exact[0][:-1] - 1).max()),
    }


def run_alone(threads: int, rounds: int) -> dict[str, Any]:
    """`measure` in a process of its own, whose libraries take this many threads."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.sefa", "--measure", "--result", str(file)]
        command += ["--threads", str(threads), "--rounds", str(rounds)]
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, str(threads))
        subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parent.parent)
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, default=RESULTS / f"sefa-{date.today()}.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        options.result.write_text(json.dumps(measure(options.rounds)))
        return
    record: dict[str, Any] = {"benchmark": "sefa", "date": str(date.today()), "weights": [DIM, COLUMNS], "kept": KEPT}
    record |= {"gap": GAP, "machine": machine(options.threads), "threads": {}}
    for threads in sorted({options.threads, 1}, reverse=True):
        found = record["threads"][threads] = run_alone(threads, options.rounds)
        for side, each in found["summary"].items():
            print(f"{threads} threads, {side:15s} {1e3 * each['seconds']:7.1f} ms, {1e3 * each['cpu_seconds']:7.1f} ms "
                  f"of processor, {each.get('ratio_seconds', 1):5.1f} x ours, worst angle {each['worst_angle']:.1e}, "
                  f"of all {each['worst_angle_of_all']:.1e}", flush=True)  # fmt: skip
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.result}")


if __name__ == "__main__":
    main()
