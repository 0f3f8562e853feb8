"""What the wires carry becomes eigan's recipe, edit and picture, and comes back, to the last bit. No ComfyUI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

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
    Pose,
    Renderer,
    UnknownName,
    combine,
    draw,
    recipe_codes,
    recipe_edit,
)
from eigan.generators.base import Generator
from eigan.ui.session import Studios
from hub_export.fit import fit
from hub_export.recipe import Recipe
from plugin.values import MAX_BATCH, Aim, GanEdit, GanGenerator, GanLatent, Origin, edit_of, latent_of, recipes
from tests.generators.test_contract import TOYS
from tests.toys import toy_direction, toy_generator, toy_pack


@dataclass
class Here:
    """A generator that nobody moves."""

    renderer: Renderer
    loads: int = 0

    def load(self) -> None:
        self.loads += 1


def on_wire(generator: Generator) -> GanGenerator:
    return GanGenerator(generator, Here(Renderer(generator)))


GENERATOR = toy_generator()
PACK = replace(toy_pack(GENERATOR), source="toy")
OTHER = replace(PACK, name="other", source="org/other", revision="a" * 40, presets=())
OTHER = replace(OTHER, directions=(toy_direction("smile", seed=9), toy_direction("hat", (1, 3), seed=8)))
GAN = on_wire(GENERATOR)
RECIPE = PictureRecipe("toy", 7, 0.7, amounts={"smile": 2.0, "age": -1.0}, fingerprint=GENERATOR.fingerprint)
OTHERS_NAME = f"org/other@{'a' * 40}"


def pixels(latent: GanLatent, edit: GanEdit) -> np.ndarray:
    """As the node draws them."""
    rows = [
        GAN.ready().render(row[None], edit.edit(), noise_mode=edit.noise_mode, pose=edit.pose) for row in latent.codes
    ]
    return np.concatenate(rows)


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, amounts={}),
        replace(RECIPE, amounts={"light": 0.1, "age": 0.2, "smile": 0.3}, noise_mode="none"),
        replace(RECIPE, keep=("light",), layers={"smile": LayerRange(0, 8), "light": LayerRange(3, 7)}),
        replace(RECIPE, keep=("smile", "age")),
        replace(RECIPE, further=(OTHERS_NAME,), amounts={"smile (other)": 1.5, "hat": -2.0, "smile": 0.25}),
        replace(RECIPE, latent=Latent.of(torch.randn(8, 16, generator=torch.Generator().manual_seed(3)))),
        replace(RECIPE, latent=Latent.of(torch.ones(16))),
    ],
    ids=["plain", "nothing", "order", "layers", "moved and kept", "two packs", "latent", "one row"],
)
def test_a_recipe_comes_in_and_goes_out_as_it_was(recipe: PictureRecipe) -> None:
    packs = [PACK, OTHER] if recipe.further else [PACK]
    latent, edit = latent_of(recipe, GAN), edit_of(recipe, packs)
    wanted = recipe_edit(recipe, combine(packs)).apply(recipe_codes(recipe, GENERATOR))
    assert torch.equal(edit.edit().apply(latent.codes), wanted)
    assert np.array_equal(pixels(latent, edit), draw(recipe, combine(packs), Renderer(GENERATOR)))
    (back,) = recipes(GAN, latent, edit)
    assert back.to_json() == replace(recipe, generator=PACK.made_for.source).to_json()


def test_chains_commute_to_the_last_bit() -> None:
    """Floats do not: the sum of three moves depends on their order, unless the order is always the same."""
    steps = [(PACK, "smile", 0.1), (PACK, "age", 0.7), (OTHER, "hat", 0.3), (PACK, "smile", 1e-3)]
    texts, codes = set(), set()
    for order in permutations(steps):
        edit = GanEdit()
        for pack, name, amount in order:
            edit = edit.moved([(Aim.at(pack, name), amount)])
        texts.add(recipes(GAN, latent_of(RECIPE, GAN), edit)[0].to_json())
        codes.add(edit.edit().apply(torch.ones(1, 8, 16)).numpy().tobytes())
    assert len(texts) == len(codes) == 1
    assert PictureRecipe.from_json(texts.pop()).amounts == {"hat": 0.3, "smile (toy)": 0.101, "age": 0.7}


def test_a_direction_twice_moves_by_the_sum_and_a_sum_of_nothing_is_nothing() -> None:
    edit = GanEdit().moved([(Aim.at(PACK, "smile"), 1.5)])
    again = edit.moved([(Aim.at(replace(PACK), "smile"), 0.5)])  # loaded by another node
    assert [(aim.name, amount) for aim, amount in again.moves] == [("smile", 2.0)] and again.packs == (PACK,)
    nothing = edit.moved([(Aim.at(PACK, "smile"), -1.5)])
    assert nothing.moves == () and nothing.packs == (PACK,)
    assert edit.moves[0][1] == 1.5  # the value on the wire is as it was


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), 100.5, True])
def test_amounts_are_numbers_of_sigmas(amount: float) -> None:
    with pytest.raises(PackFormatError, match="amount of 'smile'"):
        GanEdit().moved([(Aim.at(PACK, "smile"), amount)])


def test_sums_are_bounded_too() -> None:
    edit = GanEdit().moved([(Aim.at(PACK, "smile"), 60.0)])
    with pytest.raises(PackFormatError, match="moved in several places, is 120"):
        edit.moved([(Aim.at(PACK, "smile"), 60.0)])


def test_keeping_is_eigans() -> None:
    toy = PACK
    edit = GanEdit().moved([(Aim.at(toy, "smile"), 2.0)]).keeping([Aim.at(toy, "age")])
    wanted = recipe_edit(PictureRecipe("toy", 0, amounts={"smile": 2.0}, keep=("age",)), toy)
    codes = torch.randn(2, 8, 16)
    assert torch.equal(edit.edit().apply(codes), wanted.apply(codes))
    assert edit.keeping([Aim.at(toy, "age")]).kept == edit.kept


@pytest.mark.parametrize(
    "made",
    [
        GanEdit().moved([(Aim.at(replace(PACK, source=""), "smile"), 2.0)]),
        GanEdit().moved([(Aim.at(PACK, "age", "0-3"), 2.0), (Aim.at(PACK, "age", "4-7"), -1.0)]),
    ],
    ids=["a pack that nothing opens", "a direction on two ranges of layers"],
)
def test_an_edit_that_no_recipe_can_say_goes_into_the_codes(made: GanEdit) -> None:
    generator = replace(GAN)
    generator.generator.source = "heads-64"
    try:
        latent = GanLatent.of_origins(generator, [Origin(3, 0.5), Origin(4, 0.5)])
        found = recipes(generator, latent, made)
    finally:
        generator.generator.source = ""
    assert not made.is_nameable
    assert [(one.pack, dict(one.amounts)) for one in found] == [("sefa:heads-64", {})] * 2
    drawn = [draw(one, PACK, Renderer(GENERATOR))[0] for one in found]
    assert np.array_equal(np.stack(drawn), pixels(latent, made))
    assert not np.array_equal(drawn[0], pixels(latent, GanEdit())[0])


def test_packs_of_two_generators_make_no_edit() -> None:
    other = toy_pack(toy_generator(seed=1))
    edit = GanEdit().moved([(Aim.at(PACK, "smile"), 1.0)])
    with pytest.raises(PackMismatch, match="one edit moves directions of one generator"):
        edit.moved([(Aim.at(other, "age"), 1.0)])


def test_latents_and_edits_of_other_weights_are_refused() -> None:
    other = toy_generator(seed=1)
    with pytest.raises(PackMismatch, match="the latent was made for"):
        latent_of(RECIPE, GAN).check_fits(other)
    with pytest.raises(PackMismatch, match="was fitted on"):
        edit_of(RECIPE, [PACK]).check_fits(other)
    with pytest.raises(PackMismatch, match="the recipe was made with"):
        latent_of(RECIPE, on_wire(other))


def test_names_and_layers_are_checked_where_they_are_given() -> None:
    with pytest.raises(UnknownName, match="unknown direction 'hat'"):
        Aim.at(PACK, "hat")
    with pytest.raises(PackFormatError, match="layers 3-8 do not exist"):
        Aim.at(PACK, "smile", "3-8")
    with pytest.raises(InvalidCodes, match="moves 'smile' on layers 6-8"):
        edit_of(replace(RECIPE, layers={"smile": LayerRange(6, 9)}), [PACK])
    assert Aim.at(PACK, "smile", " all ").layers == LayerRange(0, 8)
    assert Aim.at(PACK, "smile", "") == Aim.at(PACK, "smile", "2-4")


def test_batches_are_as_if_made_alone() -> None:
    batch = GanLatent.of_origins(GAN, [Origin(seed, 0.7) for seed in range(20)])
    alone = [GanLatent.of_origins(GAN, [Origin(seed, 0.7)]).codes for seed in range(20)]
    assert torch.equal(batch.codes, torch.cat(alone))
    assert not batch.codes.requires_grad and batch.codes.dtype == torch.float32
    for count in (0, MAX_BATCH + 1):
        with pytest.raises(InvalidCodes, match=str(count)):
            GanLatent.of_origins(GAN, [Origin(1)] * count)


def test_codes_of_no_seed_are_kept_in_recipes() -> None:
    codes = torch.randn(3, 8, 16)
    latent = GanLatent.of_codes(GAN, codes)
    found = recipes(GAN, latent, GanEdit())
    assert [torch.equal(recipe_codes(one, GENERATOR)[0], row) for one, row in zip(found, codes, strict=True)] == [
        True
    ] * 3
    codes.zero_()
    assert latent.codes.any()  # its own
    with pytest.raises(InvalidCodes, match="codes have shape"):
        GanLatent.of_codes(GAN, torch.zeros(1, 8, 15))
    with pytest.raises(PackFormatError, match="NaN"):
        GanLatent.of_codes(GAN, torch.full((1, 8, 16), torch.nan))


@pytest.mark.parametrize("name", TOYS)
def test_every_family_draws_what_the_app_draws(name: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """psi, class and pose are left out where there is none, in both."""
    from pathlib import Path

    generator = TOYS[name]()
    pack = fit(generator, Recipe("sefa", num_directions=2, num_samples=256))
    folder = Path(str(tmp_path)) / "pack"
    pack.save(folder)
    studios = Studios()
    monkeypatch.setattr(studios, "_load_generator", lambda pack: generator)
    studio = studios.open(str(folder))
    sent = studio.complete(
        PictureRecipe(str(folder), 3, 0.4, class_index=1, amounts={pack.names[0]: 2.0}, pose=Pose(0.1, 0.0, 20.0))
    )
    gan = on_wire(generator)
    loaded = [replace(pack, source=str(folder))]
    latent, edit = latent_of(replace(sent, truncation_psi=0.4), gan), edit_of(sent, loaded)
    picture = gan.ready().render(latent.codes, edit.edit(), noise_mode=edit.noise_mode, pose=edit.pose)
    assert np.array_equal(picture, draw(sent, studio.pack, Renderer(generator)))
    assert recipes(gan, latent, edit)[0].to_json() == sent.to_json()


def test_a_generator_is_loaded_before_it_is_run() -> None:
    handle = Here(Renderer(GENERATOR))
    gan = GanGenerator(GENERATOR, handle)
    GanLatent.of_origins(gan, [Origin(1), Origin(2)])
    assert handle.loads == 1


def names_of(found: Sequence[PictureRecipe]) -> list[str]:
    return [one.pack for one in found]


def test_hub_sources_are_pinned_in_recipes() -> None:
    latent = latent_of(RECIPE, GAN)
    edit = GanEdit().moved([(Aim.at(OTHER, "hat"), 1.0)])
    assert names_of(recipes(GAN, latent, edit)) == [OTHERS_NAME]
    tagged = replace(OTHER, source="org/other@v1.0.0")
    edit = GanEdit().moved([(Aim.at(tagged, "hat"), 1.0)])
    assert names_of(recipes(GAN, latent, edit)) == ["org/other@v1.0.0"]
    generator = toy_generator()
    generator.source, generator.revision = "org/heads:net.pkl", "b" * 40
    gan = on_wire(generator)
    assert names_of(recipes(gan, latent_of(RECIPE, gan), GanEdit())) == [f"sefa:org/heads@{'b' * 40}:net.pkl"]
