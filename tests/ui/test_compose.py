"""Below the sliders: packs beside the open one, presets, recipes and latents as files. Without a browser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eigan import sources
from eigan.combine import combine
from eigan.errors import CheckpointError, EiganError, PackFormatError, PackMismatch, UnknownName
from eigan.latent_files import read_latent
from eigan.layers import LayerRange
from eigan.pack import DirectionPack, Preset
from eigan.readers.safetensors import save_generator
from eigan.recipe import MAX_FURTHER, MAX_RECIPE_BYTES, PictureRecipe, write_png
from eigan.reproduce import recipe_edit
from eigan.ui.compose import (
    codes_file,
    new_names,
    packs_beside,
    packs_shown,
    presets_shown,
    read_file,
    renamed,
    save_preset,
    with_packs,
)
from eigan.ui.desk import Desk
from eigan.ui.editor import Editor, Now, Prepared, View
from eigan.ui.own import add_preset, write_presets
from eigan.ui.page import lay_out
from eigan.ui.session import Studios
from tests.toys import toy_generator
from tests.ui.bundles import direction, words_pack
from tests.ui.visitor import Pixels, draw_directly

START = PictureRecipe("toy-words", 7, 0.6, amounts={"smile": 1.5, "light": -1.0}, keep=("age",))


@pytest.fixture
def desk(toy_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A page over the toy bundles and two more packs, "other" and "third", that use names of the first."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    generator = toy_generator()
    generator.source = "toy"
    for index, name in enumerate(("other", "third")):
        named_pack(name, ["smile", "hat", f"{name} alone"], index).save(toy_bundles / name)
    with gr.Blocks():
        return Desk(Editor(lay_out(["toy-words"], hosted=False)[0], Studios(), "toy-words", {}))


def named_pack(name: str, names: Sequence[str], seed: int) -> DirectionPack:
    pack = words_pack(toy_generator())
    directions = [direction(toy_generator(), n, 50 + 10 * seed + i) for i, n in enumerate(names)]
    made_for = replace(pack.made_for, source="toy")
    return replace(pack, name=name, directions=tuple(directions), presets=(), made_for=made_for)


def values(desk: Desk, recipe: PictureRecipe) -> list[Any]:
    """What the page sends of where it stands when `recipe` was just opened."""
    return shown(desk, desk.editor.prepare_recipe(recipe))


def shown(desk: Desk, prepared: Prepared) -> list[Any]:
    page, recipe = desk.page, PictureRecipe.from_json(prepared["recipe"])
    updates = desk.editor.show(prepared, None, View(), {})
    noise = recipe.noise_mode == "const"
    return [updates[page.opened], updates[page.panel], recipe.seed, recipe.truncation_psi, recipe.class_index, noise]


def now_at(desk: Desk, recipe: PictureRecipe) -> Now:
    return desk.read(*values(desk, recipe))


def add(desk: Desk, now: Now, wanted: Sequence[str]) -> Now:
    return desk.read(*shown(desk, with_packs(desk, now, wanted)))


def seed_picture(now: Now, seed: int) -> Pixels:
    """What is on the page, from `seed` and not from a latent."""
    return draw_directly(replace(now.recipe, seed=seed, latent=None), now.studio.pack)


# ---- packs


def test_packs_of_the_same_generator_are_offered(desk: Desk, toy_bundles: Path) -> None:
    stranger = toy_generator(9)
    save_generator(stranger, toy_bundles / "stranger", dtype="fp32")
    words_pack(stranger).save(toy_bundles / "stranger-words")
    (toy_bundles / "other" / "config.json").write_text("{")
    now = now_at(desk, START)
    assert packs_beside(now.studio) == ["third", "toy-sefa"], "neither a damaged pack nor one of another generator"
    opened = values(desk, replace(START, further=("toy-sefa",)))[0]
    assert packs_shown(desk.studios, opened) == {"choices": ["third", "toy-sefa"], "value": ["toy-sefa"]}
    assert packs_shown(desk.studios, None) == {"choices": [], "value": None}


def test_a_pack_is_added_and_everything_stays_where_it_was(desk: Desk) -> None:
    now = now_at(desk, START)
    more = add(desk, now, ["other", "toy-sefa"])
    assert more.recipe == replace(now.recipe, further=("other", "toy-sefa"))
    assert more.studio.pack.names[5:8] == ["smile (other)", "hat", "other alone"]
    assert (np.asarray(more.studio.render(more.recipe)) == np.asarray(now.studio.render(now.recipe))).all()
    packs = [sources.load_pack(name) for name in ("toy-words", "other", "toy-sefa")]
    recipe = replace(more.recipe, amounts={"smile": 1.0, "smile (other)": -2.0, "component 3": 1.0})
    assert (np.asarray(more.studio.render(recipe)) == draw_directly(recipe, combine(packs))).all()


def test_a_pack_takes_its_own_moves_with_it_and_no_others(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = replace(
        START,
        further=("other", "third"),
        amounts={"smile": 1.0, "smile (other)": 2.0, "smile (third)": -1.0, "hat": 1.0, "hat (third)": 0.5},
        layers={"hat": LayerRange(0, 2), "hat (third)": LayerRange(1, 3), "smile": LayerRange(3, 4)},
        keep=("age", "other alone", "third alone"),
    )
    left = add(desk, now_at(desk, recipe), ["third"])
    assert left.recipe.further == ("third",)
    assert left.recipe.amounts == {"smile": 1.0, "smile (third)": -1.0, "hat": 0.5}, "'hat' is the third pack's now"
    assert left.recipe.layers == {"smile": LayerRange(3, 4), "hat": LayerRange(1, 3)}
    assert left.recipe.keep == ("age", "third alone")
    assert "Gone with the pack: smile (other), hat, other alone." in capsys.readouterr().out
    bare = add(desk, left, [])
    assert (bare.recipe.further, bare.recipe.amounts, bare.recipe.keep) == ((), {"smile": 1.0}, ("age",))


@pytest.mark.parametrize("stay", [c for n in range(4) for c in combinations(("other", "third", "toy-sefa"), n)])
def test_what_stays_moves_the_codes_as_before(desk: Desk, stay: tuple[str, ...]) -> None:
    """Whichever packs go: the edit is what their going leaves of it."""
    all_of_them = ("other", "third", "toy-sefa")
    studio = desk.studios.open("toy-words", all_of_them)
    names = studio.pack.names
    recipe = PictureRecipe("toy-words", 1, amounts={n: 0.1 * (i % 7 - 3) for i, n in enumerate(names)})
    mapped = new_names(desk.studios, studio, stay)
    after, lost = renamed(recipe, mapped)
    rest = replace(recipe, amounts={n: a for n, a in recipe.amounts.items() if n in mapped})
    codes = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    moved = recipe_edit(after, desk.studios.open("toy-words", stay).pack).apply(codes)
    assert moved.equal(recipe_edit(rest, studio.pack).apply(codes))
    assert set(lost) == set(recipe.amounts) - set(mapped)


def test_what_cannot_be_added_is_one_sentence(desk: Desk, toy_bundles: Path) -> None:
    stranger = toy_generator(9)
    save_generator(stranger, toy_bundles / "stranger", dtype="fp32")
    words_pack(stranger).save(toy_bundles / "stranger-words")
    now = now_at(desk, START)
    with pytest.raises(PackMismatch, match="only packs of one generator can be combined"):
        with_packs(desk, now, ["stranger-words"])
    with pytest.raises(UnknownName, match="no pack 'nowhere'"):
        with_packs(desk, now, ["nowhere"])
    with pytest.raises(PackFormatError, match=f"at most {MAX_FURTHER}"):
        with_packs(desk, now, [f"pack {i}" for i in range(MAX_FURTHER + 1)])
    assert with_packs(desk, now, ["  ", ""])["further"] == [], "an empty name is none"
    assert with_packs(desk, now, ["toy-words"])["further"] == [], "it is open already"


def test_a_hosted_app_adds_no_folder(toy_bundles: Path, tmp_path: Path) -> None:
    words_pack(toy_generator()).save(tmp_path / "mine")
    with gr.Blocks():
        desk = Desk(Editor(lay_out(["toy-words"], hosted=True)[0], Studios(hosted=True), "toy-words", {}))
    with pytest.raises(UnknownName, match="Folders can be opened only"):
        with_packs(desk, now_at(desk, START), [str(tmp_path / "mine")])


# ---- presets


def test_what_the_sliders_do_is_saved_and_its_chip_is_on(desk: Desk) -> None:
    standing = values(desk, START)
    now = desk.read(*standing)
    own = save_preset(now, [], "  sunny  ")
    assert own == [{"name": "sunny", "amounts": {"smile": 1.5, "light": -1.0}, "description": "", "own": True}]
    opened, panel = standing[:2]
    value = presets_shown(desk, now, opened, panel, own, {"sunny": 1.0})
    assert value["turn"] == opened["turn"], "the panel keeps its sliders where they are by now"
    assert value["presets"][-1] == own[0] and value["pressed"] == {"sunny": 1.0}
    assert value["amounts"] == dict(now.recipe.amounts)
    assert desk.read(opened, value, *standing[2:]).recipe == now.recipe


@pytest.mark.parametrize("name", ["", "   ", "evening", "x" * 81, "a\nb\x07", "\u202egnp"])
def test_a_bad_name_is_refused(desk: Desk, name: str) -> None:
    with pytest.raises(PackFormatError):
        save_preset(now_at(desk, START), [], name)


def test_nothing_moved_is_nothing_to_save(desk: Desk) -> None:
    with pytest.raises(PackFormatError, match="move one first"):
        save_preset(now_at(desk, replace(START, amounts={})), [], "still")


def test_own_presets_are_shown_with_every_pack_that_has_their_directions(desk: Desk) -> None:
    own = add_preset([], Preset("sunny", {"smile": 1.0}), [])
    view = View(own=own)
    for pack, is_there in (("toy-words", True), ("other", True), ("toy-sefa", False)):
        updates = desk.editor.show(desk.editor.prepare_recipe(PictureRecipe(pack, 1)), None, view, {})
        assert ("sunny" in [preset["name"] for preset in updates[desk.page.panel]["presets"]]) is is_there


# ---- files


def test_recipes_presets_and_pictures_are_told_apart(tmp_path: Path) -> None:
    presets = [Preset("sunny", {"smile": 1.0})]
    (tmp_path / "a").write_text(START.to_json())
    (tmp_path / "b").write_bytes(write_presets(add_preset([], presets[0], [])))
    write_png(Image.new("RGB", (4, 4)), START, tmp_path / "c")
    assert [read_file(tmp_path / name) for name in "abc"] == [START, presets, START]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not valid JSON"),
        (b"{}", "neither a recipe nor presets"),
        (b"[]", "neither a recipe nor presets"),
        (b'"presets"', "neither a recipe nor presets"),
        (b"\x93NUMPY", "not UTF-8"),
        (b'{"eigan_recipe": 99}', "recipe"),
        (b'{"presets": 1}', "presets"),
        (b'{"presets": [], "presets": []}', "there twice"),
        (b'{"eigan_recipe": NaN}', "NaN"),
        (b"[" * 100_000, "nested deeper"),
        (b" " * (MAX_RECIPE_BYTES + 1), "are read"),
        (b"\x89PNG\r\n\x1a\n", "carries no recipe"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(PackFormatError, match=sentence):
        read_file(tmp_path / "file")


@given(st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps)))
def test_no_file_does_more_than_be_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes | str) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(EiganError):
        read_file(path)


# ---- latents


@pytest.mark.parametrize("form", [".npy", ".safetensors", ".pt"])
def test_a_latent_goes_out_and_comes_in_as_the_same_picture(desk: Desk, tmp_path: Path, form: str) -> None:
    now = now_at(desk, START)
    wanted = draw_directly(now.recipe, now.studio.pack)
    path = tmp_path / f"codes{form}"
    path.write_bytes(codes_file(now, form, is_edited=False))
    start = replace(now.recipe, seed=1, latent=read_latent(path))
    again = desk.editor.prepare_recipe(start)
    assert (np.asarray(now.studio.render(PictureRecipe.from_json(again["recipe"]))) == wanted).all()
    path.write_bytes(codes_file(now, form, is_edited=True))
    bare = replace(start, latent=read_latent(path), amounts={}, keep=())
    assert (draw_directly(bare, now.studio.pack) == wanted).all(), "the edit is in the codes"


def test_codes_of_an_edit_of_nothing_are_those_of_the_seed(desk: Desk) -> None:
    now = now_at(desk, replace(START, amounts={}))
    assert codes_file(now, ".npy", is_edited=True) == codes_file(now, ".npy", is_edited=False)
    with pytest.raises(PackFormatError, match="not written as"):
        codes_file(now, ".exe", is_edited=True)


def test_a_latent_of_another_generator_is_one_sentence(desk: Desk, tmp_path: Path) -> None:
    now = now_at(desk, START)
    for shape in ((512,), (18, 512), (3, 16)):
        np.save(tmp_path / "codes.npy", np.zeros(shape, np.float32))
        with pytest.raises(EiganError, match="wants \\(8, 16\\)"):
            desk.editor.prepare_recipe(replace(now.recipe, latent=read_latent(tmp_path / "codes.npy")))
    (tmp_path / "evil.pt").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    with pytest.raises((PackFormatError, CheckpointError)):
        read_latent(tmp_path / "evil.pt")


def test_a_latent_gives_way_to_another_seed_and_the_page_says_where_it_starts(desk: Desk, tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", np.ones(16, np.float32))
    recipe = replace(START, latent=read_latent(tmp_path / "codes.npy"))
    prepared = desk.editor.prepare_recipe(recipe)
    assert desk.editor.show(prepared, None, View(), {})[desk.page.start]["visible"] is True
    standing = shown(desk, prepared)
    assert desk.read(*standing).recipe.latent == recipe.latent
    elsewhere = desk.read(*standing[:2], 8, *standing[3:])
    assert elsewhere.recipe.latent is None
    assert (np.asarray(elsewhere.studio.render(elsewhere.recipe)) == seed_picture(elsewhere, 8)).all()
    back = desk.editor.prepare_recipe(replace(desk.read(*standing).recipe, latent=None))
    assert desk.editor.show(back, None, View(), {})[desk.page.start]["visible"] is False
