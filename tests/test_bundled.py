"""What ships in directions/: a generator, its packs, named sliders and presets that do something."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eigan
from eigan.format import read_extras
from eigan.sources import bundle_root, bundled_path
from hub_export import Recipe, fit
from hub_export.metrics import METRICS, read_metrics

GOLDEN = Path(__file__).parent / "data" / "heads-seeds-0-7.png"
PACKS = eigan.bundled_packs()
# fmt: off
FIRST_RELEASE = (
    "glasses", "age", "smile", "turn", "nod", "tilt", "hair length", "hair colour", "red hair", "hair volume",
    "fringe", "eyebrows", "skin tone", "fullness", "light side", "light height", "backdrop", "backdrop colour",
)
# fmt: on


@pytest.fixture(scope="module")
def heads() -> eigan.Generator:
    return eigan.load_generator("heads-64")


def codes_of(generator: eigan.Generator, seeds: range, psi: float = 0.7) -> object:
    return generator.mapping(eigan.seeded_z(seeds, generator.z_dim), truncation_psi=psi)


def test_the_first_pack_is_named_by_people() -> None:
    assert PACKS[0] == "heads"
    assert sorted(PACKS[1:]) == ["heads-ica", "heads-latentclr", "heads-local", "heads-pca", "heads-sefa"]
    pack = eigan.load_pack("heads")
    assert len(pack) >= 12
    assert len(pack.presets) >= 6
    assert all(all(direction.poles) and direction.description for direction in pack)
    assert all(len(preset.amounts) >= 2 for preset in pack.presets)
    assert pack.license == "cc0-1.0"


def test_the_bundle_is_small() -> None:
    assert sum(p.stat().st_size for p in bundle_root().rglob("*") if p.is_file()) < 12 * 2**20


def test_the_pictures_are_the_ones_that_were_looked_at(heads: eigan.Generator) -> None:
    """A change of numerics shows here; two levels are float rounding at another machine's convolution."""
    sheet = np.asarray(eigan.grid(eigan.Renderer(heads).render(codes_of(heads, range(8))), columns=4))
    golden = np.asarray(Image.open(GOLDEN))
    assert np.abs(sheet.astype(int) - golden).max() <= 2


@pytest.mark.parametrize("name", PACKS)
def test_every_pack_fits_and_shows_itself(name: str, heads: eigan.Generator) -> None:
    pack = eigan.load_pack(name)
    pack.check_fits(heads)
    folder = bundled_path(name)
    assert folder is not None
    extras = read_extras(folder)
    assert {"README.md", "CHANGELOG.md"} <= extras.keys()
    assert sum(file.startswith("previews/") for file in extras) >= len(pack)


@pytest.mark.parametrize("direction", list(eigan.load_pack("heads")) if PACKS else [], ids=lambda d: d.name)
def test_every_slider_moves_the_picture_more_the_further_it_goes(
    direction: eigan.Direction, heads: eigan.Generator
) -> None:
    renderer, codes = eigan.Renderer(heads, batch_size=16), codes_of(heads, range(16))
    still = renderer.render(codes).astype(int)
    for end in direction.amount_range:
        if end:
            half, full = (np.abs(renderer.render(codes, direction * a) - still).mean() for a in (end / 2, end))
            assert full > half > 0.5


def test_the_raw_packs_come_from_hub_export(heads: eigan.Generator) -> None:
    """Fitting again with the recipe in the pack gives the bundled vectors, in whatever order they were named."""
    pack = eigan.load_pack("heads-sefa")
    again = fit(heads, Recipe.parse(pack.method["sources"]["heads-64-sefa"]))
    assert len(again) == len(pack)
    for bundled in pack:
        fitted = max(again, key=lambda d: abs(float(bundled.vector @ d.vector)))
        assert abs(float(bundled.vector @ fitted.vector)) > 0.9999
        assert bundled.sigma == pytest.approx(fitted.sigma, rel=1e-4)


@pytest.mark.parametrize("name", FIRST_RELEASE)
def test_recipes_of_the_first_release_still_open(name: str, heads: eigan.Generator) -> None:
    """Its weights were others, so the picture differs (the app says so); the slider is still there under its name."""
    recipe = eigan.PictureRecipe.from_json(
        eigan.PictureRecipe("heads", 7, 0.7, amounts={name: 1.0}, fingerprint="73d6" * 16).to_json()
    )
    pack = eigan.load_pack(recipe.pack)
    codes = codes_of(heads, range(recipe.seed, recipe.seed + 1))
    renderer = eigan.Renderer(heads)
    assert (renderer.render(codes, pack.edit(recipe.amounts)) != renderer.render(codes)).any()


@pytest.mark.parametrize("name", PACKS)
def test_every_pack_is_measured_and_versioned(name: str, heads: eigan.Generator) -> None:
    pack, folder = eigan.load_pack(name), bundled_path(name)
    assert folder is not None
    metrics = read_metrics(read_extras(folder)[METRICS])
    assert metrics.generator == heads.fingerprint
    assert [entry.name for entry in metrics.directions] == pack.names
    assert re.fullmatch(r"[12]\.\d+\.\d+", pack.version)


def test_curated_sliders_do_what_they_say() -> None:
    """What directions/heads promises: at least twelve sliders that are monotone and leave the rest alone."""
    folder = bundled_path("heads")
    assert folder is not None
    metrics = read_metrics(read_extras(folder)[METRICS])
    clean = [m.name for m in metrics.directions if m.monotonicity >= 0.95 and m.leak is not None and m.leak <= 0.25]
    assert len(clean) >= 12
    for direction in eigan.load_pack("heads"):
        entry = metrics[direction.name]
        assert entry is not None
        assert (entry.leak <= 0.25) == ("Moves along" not in direction.description)  # type: ignore[operator]
