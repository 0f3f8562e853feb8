"""Pictures and previews of a 1024 px StyleGAN2 (30,370,060 parameters, random) while one slider moves.

    python -m benchmarks.preview_1024

One side is the app as it starts (`eigan.ui.memory.keep_pages`), the other the same without, each in a process of its
own, in an order that alternates; both draw in a thread, as the app's handlers do, with idle threads asleep as in
app.py. For a direction on each group of layers: the full picture of unmoved codes, then previews of amounts that grow,
as in a drag, then the full picture of the last amount, as on release.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as app.py; read when torch is imported

import torch

from benchmarks.machine import MIB, machine, peak_memory
from benchmarks.open_checkpoint import PARAMETERS, RESULTS, official_size
from eigan.checkpoint import Checkpoint
from eigan.latents import seeded_z
from eigan.layers import LayerRange
from eigan.pack import Direction
from eigan.readers.safetensors import save_generator
from eigan.render import PREVIEW_SECONDS, Pictures, Renderer
from eigan.ui.memory import keep_pages

SIDES = ("keeps pages", "gives pages back")
LAYERS = {"all": (0, 18), "early": (0, 4), "middle": (6, 10), "late": (12, 14), "last": (16, 18)}
DRAG = 4  # previews of one drag
LIMIT = 0.4  # seconds that a preview may take


def timed(draw: Callable[[], Pictures | None]) -> tuple[float, int]:
    """Seconds, and the pixels along one side of what was drawn (0: nothing)."""
    start = time.perf_counter()
    pictures = draw()
    return time.perf_counter() - start, 0 if pictures is None else pictures.shape[1]


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds of everything, in this process and a thread of it."""
    generator = Checkpoint.open(folder).build()
    renderer = Renderer(generator)
    codes = generator.mapping(seeded_z([1], generator.z_dim), truncation_psi=0.7)
    vector = torch.randn(generator.code_dim, generator=torch.Generator().manual_seed(0))
    found: dict[str, Any] = {name: {"preview": [], "pixels": [], "release": []} for name in LAYERS} | {"full": []}
    renderer.render(codes)
    for turn in range(rounds):
        other = generator.mapping(seeded_z([turn + 2], generator.z_dim))
        for name, layers in LAYERS.items():
            direction = Direction(name, vector / vector.norm(), 1.0, LayerRange(*layers))
            found["full"].append(timed(lambda other=other: renderer.render(other))[0])
            renderer.render(codes)
            for step in range(1, DRAG + 1):
                edit = direction * (step + turn / rounds)
                seconds, pixels = timed(lambda edit=edit: renderer.preview(codes, edit))
                if pixels:
                    found[name]["preview"].append(seconds)
                found[name]["pixels"].append(pixels)
            found[name]["release"].append(timed(lambda edit=edit: renderer.render(codes, edit))[0])
    found["trail_mib"] = renderer.trail_bytes / MIB
    found["peak_mib"] = peak_memory() / MIB
    return found


def run(side: str, folder: Path, rounds: int) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.preview_1024", "--side", side, "--folder", str(folder)]
    command += ["--rounds", str(rounds)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parent.parent)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def answer(side: str, folder: Path, rounds: int) -> None:
    """What `run` reads."""
    if side == SIDES[0]:
        keep_pages()
    thread = threading.Thread(target=lambda: print(json.dumps(measure(folder, rounds))))
    thread.start()
    thread.join()


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over all runs of a side."""
    summary: dict[str, Any] = {key: statistics.median(run[key] for run in runs) for key in ("trail_mib", "peak_mib")}
    summary["full_seconds"] = statistics.median(t for run in runs for t in run["full"])
    for name in LAYERS:
        previews = [t for run in runs for t in run[name]["preview"]]
        summary[name] = {
            "preview_seconds": statistics.median(previews) if previews else None,
            "slowest_preview_seconds": max(previews, default=None),
            "pixels": statistics.median_low(p for run in runs for p in run[name]["pixels"]),
            "release_seconds": statistics.median(t for run in runs for t in run[name]["release"]),
        }
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=3, help="of each side")
    parser.add_argument("--rounds", type=int, default=3, help="in each process")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, default=RESULTS / f"preview_1024-{date.today()}.json")
    options = parser.parse_args()
    if options.side:
        answer(options.side, options.folder, options.rounds)
        return
    described = machine(torch.get_num_threads())
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        save_generator(official_size(), Path(folder) / "generator", dtype="fp32")
        for turn in range(options.processes):
            for side in SIDES[:: -1 if turn % 2 else 1]:
                runs[side].append(run(side, Path(folder) / "generator", options.rounds))
    summary = {side: summarize(found) for side, found in runs.items()}
    record: dict[str, Any] = {"benchmark": "preview_1024", "date": str(date.today()), "parameters": PARAMETERS}
    record |= {"machine": described, "asked_seconds": PREVIEW_SECONDS, "limit_seconds": LIMIT}
    record |= {"layers": LAYERS, "summary": summary, "runs": runs}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    for side, found in summary.items():
        print(f"{side}: full {found['full_seconds']:.2f} s, peak {found['peak_mib']:.0f} MiB")
        for name in LAYERS:
            seconds = found[name]["preview_seconds"]
            shown = f"{seconds * 1e3:.0f} ms, {found[name]['pixels']} px" if seconds else "none"
            print(f"  {name}: preview {shown}; on release {found[name]['release_seconds']:.2f} s")
    print(f"written to {options.result}; a preview may take {LIMIT} s")


if __name__ == "__main__":
    main()
