"""The picture is a function of the recipe: each of its fields does what it says, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from eigan import (
    InvalidCodes,
    Latent,
    LayerRange,
    PackFormatError,
    PackMismatch,
    PictureRecipe,
    Renderer,
    UnknownName,
    combine,
    draw,
    recipe_codes,
    recipe_edit,
    seed_codes,
    seeded_z,
)
from eigan.edit import Edit
from tests.toys import toy_direction, toy_generator, toy_pack

GENERATOR = toy_generator()
PACK = toy_pack(GENERATOR)
RENDERER = Renderer(GENERATOR)
RECIPE = PictureRecipe("toy", 7, 0.7, amounts={"smile": 2.0, "age": -1.0})


def moved(recipe: PictureRecipe) -> torch.Tensor:
    """What the recipe's edit adds to the codes (8, 16)."""
    codes = torch.zeros(1, 8, 16)
    return recipe_edit(recipe, PACK).apply(codes)[0]


def test_a_recipe_of_a_seed_is_what_it_always_was() -> None:
    codes = GENERATOR.mapping(seeded_z([7], 16), truncation_psi=0.7)
    assert torch.equal(recipe_codes(RECIPE, GENERATOR), codes)
    wanted = Renderer(GENERATOR).render(codes, PACK.edit({"smile": 2.0, "age": -1.0}))
    assert np.array_equal(draw(RECIPE, PACK, RENDERER), wanted)
    assert wanted.shape == (1, 32, 32, 3)


def test_several_seeds_are_the_pictures_of_each() -> None:
    codes = seed_codes(RECIPE, GENERATOR, [3, 7, 3])
    torch.testing.assert_close(codes[1:2], recipe_codes(RECIPE, GENERATOR))
    assert torch.equal(codes[0], codes[2]) and codes.shape == (3, 8, 16)
    assert not codes.is_inference() and not codes.requires_grad


def test_the_class_is_the_recipes() -> None:
    generator = toy_generator(c_dim=3)
    recipe = PictureRecipe("toy", 7, class_index=2)
    assert torch.equal(recipe_codes(recipe, generator), generator.mapping(seeded_z([7], 16), 2))
    with pytest.raises(InvalidCodes, match="class 3 is out of range"):
        recipe_codes(replace(recipe, class_index=3), generator)


def test_a_latent_is_started_from_whatever_the_seed_and_psi() -> None:
    latent = Latent.of(torch.randn(8, 16))
    recipe = replace(RECIPE, latent=latent)
    assert torch.equal(recipe_codes(recipe, GENERATOR)[0], latent.codes)
    again = draw(replace(recipe, seed=8, truncation_psi=0.1), PACK, RENDERER)
    assert np.array_equal(draw(recipe, PACK, RENDERER), again)
    assert not np.array_equal(draw(RECIPE, PACK, RENDERER), again)
    assert torch.equal(seed_codes(recipe, GENERATOR, [7]), recipe_codes(RECIPE, GENERATOR))


def test_layers_are_the_recipes_where_it_has_them() -> None:
    recipe = replace(RECIPE, layers={"smile": LayerRange(6, 7)})
    change = moved(recipe) - moved(replace(RECIPE, amounts={"age": -1.0}))
    torch.testing.assert_close(change[6], 2.0 * 0.5 * PACK["smile"].vector)
    assert not change[[0, 1, 2, 3, 4, 5, 7]].any()
    with pytest.raises(InvalidCodes, match="'smile' on layers 6-8; the generator has layers 0-7"):
        recipe_edit(replace(RECIPE, layers={"smile": LayerRange(6, 9)}), PACK)


def test_what_is_kept_stays_where_it_was() -> None:
    change = moved(replace(RECIPE, keep=("light",)))
    assert not (moved(RECIPE)[6:8] @ PACK["light"].vector).abs().max() < 0.01
    assert (change[6:8] @ PACK["light"].vector).abs().max() < 1e-5
    torch.testing.assert_close(change[:6], moved(RECIPE)[:6])  # light moves layers 6-7 alone


def test_what_is_moved_and_kept_moves_as_far_and_nothing_else_moves_it() -> None:
    recipe = replace(RECIPE, keep=("smile",), layers={"smile": LayerRange(0, 8)})
    along = moved(recipe) @ PACK["smile"].vector
    torch.testing.assert_close(along, torch.full((8,), 2.0 * 0.5), atol=1e-5, rtol=1e-5)
    assert recipe_edit(recipe, PACK).amounts == RECIPE.amounts


def test_names_are_those_of_the_combined_pack() -> None:
    other = replace(PACK, name="other", directions=(toy_direction("smile", seed=9),), presets=())
    both = combine([PACK, other])
    recipe = PictureRecipe("toy", 7, further=("other",), amounts={"smile (other)": 1.0})
    torch.testing.assert_close(
        recipe_edit(recipe, both).apply(torch.zeros(1, 8, 16))[0, 2], 0.5 * other["smile"].vector
    )
    with pytest.raises(UnknownName, match=r"smile \(other\)"):
        recipe_edit(recipe, PACK)
    with pytest.raises(UnknownName, match="hat"):
        recipe_edit(replace(RECIPE, keep=("hat",)), PACK)


def test_noise_and_a_recipe_of_nothing() -> None:
    still = draw(PictureRecipe("toy", 7, noise_mode="none"), PACK, RENDERER)
    codes = recipe_codes(PictureRecipe("toy", 7), GENERATOR)
    assert np.array_equal(still, Renderer(GENERATOR).render(codes, noise_mode="none"))
    assert not np.array_equal(still, draw(PictureRecipe("toy", 7), PACK, RENDERER))
    assert recipe_edit(PictureRecipe("toy", 7), PACK) == Edit()


def test_other_weights_are_refused() -> None:
    with pytest.raises(PackMismatch, match="was fitted on"):
        draw(RECIPE, PACK, Renderer(toy_generator(seed=1)))
    with pytest.raises(PackMismatch, match="the recipe was made with org/heads"):
        draw(replace(RECIPE, generator="org/heads", fingerprint="0" * 64), PACK, RENDERER)
    assert draw(replace(RECIPE, fingerprint=GENERATOR.fingerprint), PACK, RENDERER).shape == (1, 32, 32, 3)


def test_nothing_left_is_a_sentence() -> None:
    twin = replace(PACK, directions=(*PACK, replace(PACK["smile"], name="grin")))
    with pytest.raises(PackFormatError, match="nothing is left of 'smile' when grin must stay"):
        recipe_edit(replace(RECIPE, keep=("grin",)), twin)
