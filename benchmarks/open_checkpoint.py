"""Opening a 1024 px StyleGAN2 (30,370,060 parameters) safely, beside torch.load reading the same numbers.

    python -m benchmarks.open_checkpoint

Sides, every run in a process of its own with all imports done before the clock starts, in an order that alternates:
- torch.load: `torch.load(weights_only=True)` of a torch.save'd state dict of G_ema: the bytes, unchecked, no network;
- pkl: `Checkpoint.open(...).build()` of an NVIDIA-layout snapshot that also holds G and D: a network ready to draw;
- pt: the same of a torch.save'd {"g_ema": ...} file in the zip format;
- safetensors fp32 and fp16: the same of a generator folder, "cold" and "warm" alike (the files are in the page cache).
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

import safetensors
import torch

from benchmarks.machine import MIB, machine, peak_memory, reset_peak
from eigan.checkpoint import Checkpoint
from eigan.generators.stylegan2 import StyleGAN2
from eigan.generators.stylegan2_config import StyleGAN2Config
from eigan.readers.safetensors import save_generator
from tests.readers.makers import dumps, nest

RESULTS = Path(__file__).parent / "results"
PARAMETERS = 30_370_060
FILES = {
    "torch.load": "state.pt",
    "pkl": "network.pkl",
    "pt": "checkpoint.pt",
    "safetensors-fp32": "fp32",
    "safetensors-fp16": "fp16",
}


def official_size() -> StyleGAN2:
    """StyleGAN2 config F at 1024 px, random. Raises RuntimeError unless its parameters number the published ones."""
    channels = {2**i: min(32768 // 2**i, 512) for i in range(2, 11)}
    generator = StyleGAN2(StyleGAN2Config(z_dim=512, c_dim=0, w_dim=512, resolution=1024, channels=channels))
    generator.initialize(torch.Generator().manual_seed(0))
    count = sum(p.numel() for p in generator.parameters())
    if count != PARAMETERS:
        raise RuntimeError(f"the network has {count:,} parameters; wanted {PARAMETERS:,}")
    return generator.eval().requires_grad_(False)


def write_files(folder: Path) -> None:
    generator = official_size()
    weights = dict(generator.weights())
    torch.save(weights, folder / FILES["torch.load"])
    torch.save({"g_ema": weights}, folder / FILES["pt"])
    parts = {name: nest({n: t.clone() for n, t in weights.items()}) for name in ("G", "D", "G_ema")}
    (folder / FILES["pkl"]).write_bytes(dumps(parts, 4))
    for dtype in ("fp32", "fp16"):
        save_generator(generator, folder / dtype, dtype=dtype)  # type: ignore[arg-type]


def load_bytes(path: Path) -> int:
    weights = torch.load(path, weights_only=True, map_location="cpu")
    return sum(t.numel() for t in weights.values())


def open_generator(path: Path) -> int:
    return sum(p.numel() for p in Checkpoint.open(path).build().parameters())


SIDES: dict[str, Callable[[Path], int]] = {
    name: load_bytes if name == "torch.load" else open_generator for name in FILES
}


def measure(side: str, folder: Path) -> dict[str, float]:
    """Seconds and peak memory of one opening, in this process."""
    path = folder / FILES[side]
    for file in path.rglob("*") if path.is_dir() else [path]:
        file.read_bytes()  # into the page cache
    reset_peak()
    base, start = peak_memory(), time.perf_counter()
    count = SIDES[side](path)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "mib": (peak_memory() - base) / MIB, "numbers": count}


def run(side: str, folder: Path, threads: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.open_checkpoint", "--side", side, "--folder", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, check=True, capture_output=True, env=environment, cwd=Path(__file__).parent.parent)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, default=RESULTS / f"open_checkpoint-{date.today()}.json")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.folder)))
        return
    described = machine(options.threads, safetensors)
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        for turn in range(options.rounds):
            for side in list(SIDES)[:: -1 if turn % 2 else 1]:
                runs[side].append(run(side, Path(folder), options.threads))
    summary = summarize(runs)
    for side, numbers in summary.items():
        print(f"{side:17s} {numbers['seconds']:.3f} s ({numbers['ratio_seconds']:.2f}), "
              f"{numbers['mib']:.0f} MiB ({numbers['ratio_mib']:.2f})")  # fmt: skip
    record: dict[str, Any] = {"benchmark": "open_checkpoint", "date": str(date.today()), "parameters": PARAMETERS}
    record |= {"machine": described, "summary": summary, "runs": runs}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.result}; ratios are to torch.load")


def summarize(runs: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians, and their ratios to torch.load's."""
    medians = {
        side: {key: statistics.median(run[key] for run in mine) for key in ("seconds", "mib")}
        for side, mine in runs.items()
    }
    base = medians["torch.load"]
    return {
        side: numbers | {f"ratio_{key}": value / base[key] for key, value in numbers.items()}
        for side, numbers in medians.items()
    }


if __name__ == "__main__":
    main()
