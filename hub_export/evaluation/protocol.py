"""Fréchet distances of pictures to their edited selves, as Palaev et al. (ICLR 2023 Tiny Papers, arXiv:2305.14551).

Each picture is moved along one direction picked at random, by a random amount, and the edited set is compared with its
own originals. Here amounts are uniform within ±3 and ±6 sigmas, on each direction's own layers, seeded, and pictures
keep their full range of colours. `published` repeats their notebooks: 6 N(0, 1) units along the unit vector (sigmas
play no part), half a unit at least, and of PCA the first 20 components only; their noise and clipping are not repeated.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eigan.edit import Edit
from eigan.generators.base import Codes, Generator
from eigan.latents import block_generator
from eigan.pack import MAX_AMOUNT, Direction, DirectionPack
from hub_export.evaluation.frechet import frechet_distance
from hub_export.evaluation.profile import rounded
from hub_export.evaluation.samples import CHOICE_STREAM, Reader, Readings, read_codes
from hub_export.methods.base import Progress, silent
from hub_export.metrics import Frechet

AMOUNTS = (3.0, 6.0)  # greatest, in sigmas
SPREAD, LEAST = 6.0, 0.5  # units of the code space
PUBLISHED_PCA = 20


def measure_frechet(
    pack: DirectionPack,
    codes: Codes,
    unedited: Readings,
    generator: Generator,
    reader: Reader,
    *,
    seed: int,
    progress: Progress = silent,
) -> Frechet:
    """Distances between the pictures of codes (N, L, D) before and after random edits.

    unedited: 2 N readings, of `codes` and of N others; the floor is the distance between these halves.
    """
    count = len(codes)
    originals, others = unedited.features[:count], unedited.features[count : 2 * count]
    edits = {f"{greatest:g}": uniform_edits(pack, count, greatest, seed) for greatest in AMOUNTS}
    edits["published"] = published_edits(pack, count, seed)
    found = {}
    for number, (name, chosen) in enumerate(edits.items(), 1):
        moved = read_codes(
            generator,
            reader,
            codes,
            chosen.__getitem__,
            progress=progress,
            what=f"edited pictures {number}/{len(edits)}",
        )
        found[name] = rounded(frechet_distance(moved.features, originals))
    return Frechet(
        features=reader.features.name,
        num_images=count,
        edited={name: value for name, value in found.items() if name != "published"},
        floor=rounded(frechet_distance(others, originals)),
        published=found["published"],
    )


def uniform_edits(pack: DirectionPack, count: int, greatest: float, seed: int) -> list[Edit]:
    """`count` edits: any direction, an amount uniform within ±greatest sigmas. The same draws for every `greatest`."""
    random = block_generator(seed, 0, CHOICE_STREAM)
    picked = _pick(pack, len(pack), count, random)
    parts = torch.rand(count, generator=random, dtype=torch.float64) * 2 - 1
    return [d * (greatest * part) for d, part in zip(picked, parts.tolist(), strict=True)]


def published_edits(pack: DirectionPack, count: int, seed: int) -> list[Edit]:
    """`count` edits as the notebooks draw them; see the module's text."""
    random = block_generator(seed, 1, CHOICE_STREAM)
    among = min(len(pack), PUBLISHED_PCA) if pack.method.get("name") == "pca" else len(pack)
    picked = _pick(pack, among, count, random)
    shifts = SPREAD * torch.randn(count, generator=random, dtype=torch.float64)
    return [d * _amount(shift / d.sigma) for d, shift in zip(picked, at_least(shifts).tolist(), strict=True)]


def at_least(shifts: Tensor) -> Tensor:
    """Shifts with those nearer than half a unit moved out to it, on their side."""
    return torch.where(shifts < 0, shifts.clamp(max=-LEAST), shifts.clamp(min=LEAST))


def _pick(pack: DirectionPack, among: int, count: int, random: torch.Generator) -> list[Direction]:
    return [pack.directions[i] for i in torch.randint(among, (count,), generator=random).tolist()]


def _amount(sigmas: float) -> float:
    """Within what an edit may be."""
    return math.copysign(min(abs(sigmas), MAX_AMOUNT), sigmas)
