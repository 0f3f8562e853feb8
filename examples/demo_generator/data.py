"""Labelled pictures on disk: render them over several processes, read them back.

`python -m examples.demo_generator.data --out DATA` writes <split>.npy (uint8) and <split>_labels.npz (names, values).
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from examples.demo_generator.factors import sample

SPLITS = {"train": 1, "held_out": 2}  # split -> first number of every picture's seed: no picture is in both


@dataclass(frozen=True)
class LabelledImages:
    """images (N, H, W, 3) uint8; values (N, K) float32, one column per name."""

    images: np.ndarray
    names: list[str]
    values: np.ndarray


def render_share(path: Path, split: str, share: int, num_shares: int, size: int, supersampling: int) -> np.ndarray:
    """Fill every `num_shares`-th picture of the array at `path`; their factors (N, K). Runs in a process of its own."""
    from examples.demo_generator.heads import HeadRenderer

    renderer = HeadRenderer()
    images = np.lib.format.open_memmap(path, "r+")
    values = []
    for i in range(share, len(images), num_shares):
        factors = sample(np.random.default_rng([SPLITS[split], i]))
        images[i] = renderer.render(factors, size, supersampling)
        values.append(list(factors.values()))
    images.flush()
    return np.array(values, np.float32)


def render_split(folder: Path, split: str, count: int, *, size: int = 64, supersampling: int = 3, workers: int) -> None:
    """Render `count` pictures of `split`: picture i depends on (split, i) alone, whatever the number of workers."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (count, size, size, 3)).flush()
    if workers == 1:
        shares = [render_share(path, split, 0, 1, size, supersampling)]
    else:
        with ProcessPoolExecutor(workers) as pool:
            jobs = [pool.submit(render_share, path, split, k, workers, size, supersampling) for k in range(workers)]
            shares = [job.result() for job in jobs]
    names = list(sample(np.random.default_rng(0)))
    values = np.zeros((count, len(names)), np.float32)
    for k, share in enumerate(shares):
        values[k::workers] = share
    np.savez(folder / f"{split}_labels.npz", names=np.array(names), values=values)


def load_split(folder: Path, split: str) -> LabelledImages:
    labels = np.load(folder / f"{split}_labels.npz")
    return LabelledImages(np.load(folder / f"{split}.npy"), [str(name) for name in labels["names"]], labels["values"])


def replace_file(path: Path, content: bytes) -> None:
    """Write aside, then rename: a reader never sees half a file."""
    aside = path.with_name(path.name + ".tmp")
    aside.write_bytes(content)
    aside.replace(path)


def to_tensor(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=48_000, help="number of training pictures")
    parser.add_argument("--held-out", type=int, default=4_000, help="number of held-out pictures")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    for split, count in (("train", args.train), ("held_out", args.held_out)):
        start = time.monotonic()
        render_split(args.out, split, count, size=args.size, workers=args.workers)
        seconds = time.monotonic() - start
        print(f"{split}: {count} pictures in {seconds:.0f} s, {count / seconds:.0f} a second")


if __name__ == "__main__":
    main()
