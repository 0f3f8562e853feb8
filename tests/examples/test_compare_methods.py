"""The comparison of methods, small: every method is in it, and the page it writes is one that it may write anew."""

from __future__ import annotations

import pytest

from eigan.sources import load_generator
from examples.compare_methods import ATTRIBUTES, GENERATOR, NOTES, NUM_DIRECTIONS, RECIPES, make_contender, make_page
from hub_export.compare_page import MARK, PAGE
from hub_export.evaluation import find_scorer
from hub_export.methods import METHODS
from hub_export.recipe import Recipe


def test_every_method_is_compared() -> None:
    assert set(RECIPES) >= set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_recipe_fits_the_generator(method: str) -> None:
    recipe = Recipe.parse({"method": method, "num_directions": NUM_DIRECTIONS, **RECIPES[method]})
    assert recipe.resolve(load_generator(GENERATOR)).num_directions == NUM_DIRECTIONS


def test_attributes_shown_are_ones_that_the_scorer_reads() -> None:
    assert set(ATTRIBUTES) <= set(find_scorer("heads-attributes").names)


def test_a_small_page() -> None:
    generator = load_generator(GENERATOR)
    small = {"num_samples": 500, "num_directions": 2}
    drawn = {"scorer": "heads-attributes", "num_seeds": 2, "num_pictures": 40, "num_codes": 200, "steps": (2.0,)}
    contenders = [make_contender(generator, name, small, **drawn) for name in ("pca", "sefa")]
    files = make_page(generator, contenders, attributes=("yaw",), notes=NOTES.read_text("utf-8"))
    text = files[PAGE].decode()
    assert MARK in text
    assert "## Which directions are good" in text
    assert "its first training phase was supervised" in text
    assert {"edit-yaw.webp", "control.webp", "frechet.webp", "sheet-pca.webp"} <= files.keys()
    assert all(contender.seconds for contender in contenders)
