"""From a recipe to its picture: the codes that it starts from, the edit that it makes, and both drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from eigan.edit import Edit, Slider
from eigan.errors import InvalidCodes, PackMismatch
from eigan.generators.base import Codes, Generator
from eigan.latents import seeded_z
from eigan.pack import Direction, DirectionPack
from eigan.recipe import PictureRecipe
from eigan.render import Pictures, Renderer
from eigan.targets import keep


def recipe_codes(recipe: PictureRecipe, generator: Generator) -> Codes:
    """Codes (1, L, D) that the recipe starts from, on the generator's device: its latent, else those of its seed.

    Raises:
        InvalidCodes: the generator refuses the class or psi, or the latent is of another generator.
    """
    if recipe.latent is not None:
        return recipe.latent.for_generator(generator)
    return seed_codes(recipe, generator, [recipe.seed])


def seed_codes(recipe: PictureRecipe, generator: Generator, seeds: Sequence[int]) -> Codes:
    """Codes (N, L, D) of `seeds` with the recipe's psi and class; its own seed and latent play no part.

    Raises:
        InvalidCodes: a seed out of range, or the generator refuses the class or psi.
    """
    with torch.no_grad():
        z = seeded_z(seeds, generator.z_dim)
        c = generator.class_codes(recipe.class_index, len(z))
        return generator.mapping(z, c, truncation_psi=recipe.truncation_psi)


def recipe_edit(recipe: PictureRecipe, pack: DirectionPack) -> Edit:
    """The recipe's edit: its amounts on its layers, with what it keeps left alone.

    pack: where the names are found; that of `eigan.combine` for a recipe with further packs.

    Raises:
        UnknownName: a direction that the pack does not have.
        InvalidCodes: layers that the generator does not have.
        PackFormatError: layers for which a direction has no vector, or `eigan.keep` refuses.
    """
    named = {name: _direction(recipe, pack, name) for name in (*recipe.amounts, *recipe.keep)}  # moved and kept: one
    edit = Edit(tuple(Slider(named[name], amount) for name, amount in recipe.amounts.items()))
    return keep(edit, [named[name] for name in recipe.keep])


def draw(recipe: PictureRecipe, pack: DirectionPack, renderer: Renderer) -> Pictures:
    """The recipe's picture, (1, H, W, 3), uint8: a function of the recipe, the pack and the weights alone.

    pack: as for `recipe_edit`.

    Raises:
        PackMismatch: the pack, or the recipe, was made for another generator than the renderer's.
        InvalidCodes, UnknownName, PackFormatError: as `recipe_codes` and `recipe_edit`.
    """
    generator = renderer.generator
    pack.check_fits(generator)
    if recipe.fingerprint not in ("", generator.fingerprint):
        raise PackMismatch(
            f"the recipe was made with {recipe.generator or recipe.fingerprint[:12]}; the generator at hand is "
            f"{generator.source or generator.describe()}, with other weights. Open the recipe's own."
        )
    codes = recipe_codes(recipe, generator)
    return renderer.render(codes, recipe_edit(recipe, pack), noise_mode=recipe.noise_mode, pose=recipe.pose)


def _direction(recipe: PictureRecipe, pack: DirectionPack, name: str) -> Direction:
    """The direction called `name` on the layers that the recipe gives it."""
    direction = pack[name]
    layers = recipe.layers.get(name, direction.layers)
    if layers.stop > pack.made_for.num_layers:
        raise InvalidCodes(
            f"the recipe moves {name!r} on layers {layers}; the generator has layers 0-{pack.made_for.num_layers - 1}"
        )
    return direction.on(layers)
