"""What a person does with a generator of any family: save, fit, open in the app, share a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eigan import load_generator
from eigan.pack import DirectionPack
from eigan.readers.safetensors import save_generator
from eigan.recipe import PictureRecipe
from eigan.ui.session import Studios
from hub_export.fit import fit
from hub_export.previews import CONTACT_SHEET, render_previews
from hub_export.recipe import Recipe
from tests.generators.test_contract import TOYS


@pytest.mark.parametrize("name", TOYS)
def test_from_checkpoint_to_shared_picture(name: str, tmp_path: Path) -> None:
    save_generator(TOYS[name](), tmp_path / "generator", dtype="fp16", license="cc0-1.0")
    generator = load_generator(tmp_path / "generator")
    pack = fit(generator, Recipe("sefa", num_directions=4, num_samples=2048))
    pack.save(tmp_path / "pack")
    assert CONTACT_SHEET in render_previews(generator, pack, seeds=[0], max_tile=32)

    studio = Studios().open(str(tmp_path / "pack"))
    plain = studio.complete(PictureRecipe("", 3, 0.7))
    moved = studio.complete(PictureRecipe("", 3, 0.7, amounts={pack.names[0]: 3.0}))
    pictures = [np.asarray(studio.render(recipe)) for recipe in (plain, moved)]
    assert pictures[0].shape == (generator.resolution, generator.resolution, 3)
    assert (pictures[0] != pictures[1]).any()
    assert (plain.class_index is None) == (generator.c_dim == 0)
    assert (np.asarray(studio.render(PictureRecipe.from_json(moved.to_json()))) == pictures[1]).all()
    assert DirectionPack.load(tmp_path / "pack").made_for.architecture == generator.architecture
