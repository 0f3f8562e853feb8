"""What the server keeps: bounded, made once, shared by sessions; and what a hosted app refuses to open."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch

from eigan.direction_model import DirectionModel
from eigan.errors import EiganError, InvalidCodes, PackMismatch, UnknownName
from eigan.format import MANIFEST, PRESETS, VECTORS
from eigan.latents import seeded_z
from eigan.pack import MadeFor
from eigan.readers.safetensors import save_generator
from eigan.recipe import PictureRecipe, read_png
from eigan.render import Renderer
from eigan.ui.session import GAP, Recent, Studio, Studios, pack_key, pin
from tests.fakehub.server import FakeHub
from tests.toys import toy_generator
from tests.toys_models import varying_pack
from tests.ui.bundles import words_pack
from tests.ui.visitor import render_directly


def test_recent_keeps_the_last_and_makes_each_once() -> None:
    recent: Recent[int, str] = Recent(2)
    made: list[int] = []

    def make(key: int) -> str:
        return recent.get(key, lambda: made.append(key) or str(key))

    assert [make(k) for k in (1, 2, 1, 3, 1, 2)] == ["1", "2", "1", "3", "1", "2"]
    assert made == [1, 2, 3, 2], "2 was the least recent when 3 came"
    assert recent.peek(3) is None
    assert recent.peek(1) == "1"


def test_recent_forgets_failures() -> None:
    recent: Recent[int, str] = Recent(2)

    def fail() -> str:
        raise InvalidCodes("no")

    for _ in range(2):
        with pytest.raises(InvalidCodes):
            recent.get(1, fail)
    assert recent.get(1, lambda: "yes") == "yes"


def test_a_value_in_the_making_is_waited_for_and_holds_up_nothing_else() -> None:
    recent: Recent[str, int] = Recent(4)
    started, go_on = threading.Event(), threading.Event()
    made: list[int] = []

    def slow() -> int:
        started.set()
        assert go_on.wait(10)
        made.append(1)
        return len(made)

    threads = [threading.Thread(target=recent.get, args=("slow", slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    assert recent.get("quick", lambda: 0) == 0
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert made == [1]


def test_a_studio_renders_exactly_what_the_library_does(toy_bundles: Path) -> None:
    studio = Studios().open("toy-words")
    recipe = studio.complete(PictureRecipe("toy-words", 7, 0.6, 3, {"smile": 1.5, "age": 0.0}))
    assert (recipe.pack, recipe.class_index, recipe.amounts) == ("toy-words", None, {"smile": 1.5})
    picture = np.asarray(studio.render(recipe))
    assert (picture == render_directly(studio.pack, 7, 0.6, {"smile": 1.5})).all()
    assert studio.png(recipe) is studio.png(recipe), "the last pictures are kept"


def test_packs_share_their_generator(toy_bundles: Path) -> None:
    studios = Studios()
    first, second = studios.open("toy-words"), studios.open("toy-sefa")
    assert first.generator is second.generator
    assert first.renderer is second.renderer
    assert studios.open("toy-words") is first


def test_a_dropped_pack_is_opened_again_and_a_changed_one_is_told(toy_bundles: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    pack = words_pack(toy_generator())
    pack.save(folder)
    studio = Studios().open(str(folder))
    assert Studios().reopen(studio.key, studio.source).key == studio.key
    replace(pack, version="2.0.0").save(folder)
    with pytest.raises(PackMismatch, match="press Load"):
        Studios().reopen(studio.key, studio.source)
    assert Studios().open(str(folder)).pack.version == "2.0.0"


@pytest.mark.parametrize("path", ["mine", "./mine", "{tmp}/mine", "~/mine", "..", "/etc", "org/name:file"])
def test_a_hosted_app_opens_no_path(
    toy_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    words_pack(toy_generator()).save(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName, match="not a bundled pack"):
        Studios(hosted=True).open(path.format(tmp=tmp_path))
    assert Studios(hosted=True).open("toy-words").pack.name == "Toy words"
    assert Studios().open("mine").pack.name == "Toy words"


def test_a_folder_that_looks_like_a_hub_id_is_not_opened_when_hosted(
    toy_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words_pack(toy_generator()).save(tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    assert Studios().open("org/name").pack.name == "Toy words"
    with pytest.raises(UnknownName):
        Studios(hosted=True).open("org/name")


def test_a_hosted_app_follows_no_path_inside_a_pack(toy_bundles: Path, tmp_path: Path, hub: FakeHub) -> None:
    """A stranger's pack on the Hub names a file of this machine as its generator."""
    other = toy_generator(9)
    save_generator(other, tmp_path / "secret", dtype="fp32")
    pack = words_pack(other)
    pack = replace(pack, made_for=replace(MadeFor.describe(other), source=str(tmp_path / "secret")))
    pack.save(tmp_path / "pack")
    files = {name: (tmp_path / "pack" / name).read_bytes() for name in (MANIFEST, VECTORS, PRESETS)}
    hub.store.push("stranger/pack", files, tag="v1.0.0")
    with pytest.raises(PackMismatch, match="cannot be fetched"):
        Studios(hosted=True).open("stranger/pack@v1.0.0")
    assert Studios().open("stranger/pack@v1.0.0").pack.name == "Toy words"


def test_versions_of_a_hub_pack(toy_bundles: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    folder = toy_bundles / "toy-words"
    files = {name: (folder / name).read_bytes() for name in (MANIFEST, VECTORS, PRESETS)}
    commit = hub.store.push("user/name", files, tag="v1.0.0")
    studios = Studios(hosted=True)
    assert studios.open("user/name@v1.0.0").source == "user/name@v1.0.0"
    assert studios.open("user/name").source == f"user/name@{commit}", "a link must not drift with main"
    assert {request.token for request in hub.log} == {""}, "visitors do not read with the token of the machine"


def test_what_cannot_be_opened_is_one_sentence(toy_bundles: Path) -> None:
    for source in ("", "   ", "no such pack", "toy", "nobody/nothing\n", "../..", "\0"):
        for hosted in (True, False):
            with pytest.raises(EiganError):
                Studios(hosted=hosted).open(source)


def test_unknown_directions_and_values_out_of_range_are_refused(toy_bundles: Path) -> None:
    studio = Studios().open("toy-words")
    for seed, psi, amounts in ((-1, 0.7, {}), (1, 99.0, {}), (1, 0.7, {"nobody": 1.0}), (1, 0.7, {"smile": 1e9})):
        with pytest.raises(EiganError):
            studio.complete(PictureRecipe("toy-words", seed, psi, None, amounts))
    with pytest.raises(UnknownName, match="nobody"):
        studio.complete(PictureRecipe("toy-words", 1, keep=("nobody",)))


def test_packs_of_one_generator_open_together(toy_bundles: Path) -> None:
    studios = Studios()
    both = studios.open("toy-words", ["toy-sefa"])
    assert (both.source, both.further) == ("toy-words", ("toy-sefa",))
    first, second = studios.open("toy-words").pack, studios.open("toy-sefa").pack
    assert both.pack.names[: len(first)] == first.names
    assert len(both.pack) == len(first) + len(second)
    name = second.names[3]
    recipe = both.complete(PictureRecipe("toy-words", 7, 0.7, amounts={"smile": 1.0, name: 2.0}))
    assert recipe.further == ("toy-sefa",)
    generator = both.generator
    codes = generator.mapping(seeded_z([7], generator.z_dim), truncation_psi=0.7)
    wanted = Renderer(generator).render(codes, first["smile"] * 1.0 + second[name] * 2.0)[0]
    assert (np.asarray(both.render(recipe)) == wanted).all()
    assert studios.reopen(both.key, both.source, both.further) is both
    assert studios.open("toy-words", ["toy-words"]).key == studios.open("toy-words").key


def test_packs_of_two_generators_do_not_open_together(toy_bundles: Path, tmp_path: Path) -> None:
    words_pack(toy_generator(9)).save(tmp_path / "other")
    with pytest.raises(PackMismatch):
        Studios().open("toy-words", [str(tmp_path / "other")])


def test_several_seeds_are_one_sheet(toy_bundles: Path) -> None:
    studio = Studios().open("toy-words")
    recipe = studio.complete(PictureRecipe("toy-words", 7, 0.7, amounts={"smile": 1.0}))
    sheet, size = np.asarray(studio.render(recipe, [7, 8, 9, 10])), studio.generator.resolution
    assert sheet.shape == (2 * size + GAP, 2 * size + GAP, 3)
    for index, seed in enumerate((7, 8, 9, 10)):
        y, x = (size + GAP) * (index // 2), (size + GAP) * (index % 2)
        assert (sheet[y : y + size, x : x + size] == render_directly(studio.pack, seed, 0.7, {"smile": 1.0})).all()
    assert studio.png(recipe, [7, 8]) != studio.png(recipe)


def test_classes_and_truncation_only_where_the_generator_has_them(
    toy_bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Studios().open("toy-words")
    assert plain.has_truncation
    assert plain.complete(PictureRecipe("", 1, 0.7, 3)).class_index is None
    generator = toy_generator(c_dim=4)
    classes = Studio("k", "s", (), words_pack(generator), generator, plain.renderer)
    recipe = classes.complete(PictureRecipe("", 1, 0.7))
    assert (recipe.class_index, recipe.truncation_psi) == (0, 0.7)
    monkeypatch.setattr(type(generator), "truncation", "threshold")
    assert classes.complete(PictureRecipe("", 1, 1.2)).truncation_psi == 1.0
    monkeypatch.setattr(type(generator), "truncation", "none")
    assert not classes.has_truncation and classes.complete(PictureRecipe("", 1, 0.7)).truncation_psi == 1.0


def test_pinning() -> None:
    assert pin("o/n", "c" * 40) == "o/n@" + "c" * 40
    assert pin("o/n@v1.0.0", "c" * 40) == "o/n@v1.0.0"
    assert pin("heads", "") == "heads"


def test_directions_that_depend_on_the_picture_are_drawn_as_the_library_does(toy_bundles: Path) -> None:
    """Through links and PNGs too; and what was drawn before never shows through."""
    pack = varying_pack(toy_generator())
    pack.save(toy_bundles / "varying")
    studio = Studios(hosted=True).open("varying")
    for seed, amounts in ((7, {"turn": 1.5}), (8, {"turn": 1.5}), (8, {"turn": 1.5, "smile": -1.0, "tilt": 2.0})):
        recipe = studio.complete(PictureRecipe("varying", seed, 0.7, None, amounts))
        picture = np.asarray(studio.render(recipe))
        assert (picture == render_directly(studio.pack, seed, 0.7, amounts)).all()
        assert (picture != render_directly(studio.pack, seed, 0.7, {})).any()
        (toy_bundles / "picture.png").write_bytes(studio.png(recipe))
        assert read_png(toy_bundles / "picture.png") == recipe
        assert PictureRecipe.from_query(dict(parse_qsl(recipe.to_query()))).amounts == amounts


def test_another_weight_is_another_pack(toy_bundles: Path) -> None:
    pack = replace(varying_pack(toy_generator()), source="varying")
    turn = pack["turn"]
    assert turn.model is not None
    key = pack_key(pack)
    assert key == pack_key(replace(pack, revision="f" * 40)) == pack_key(pack)
    weights = turn.model.each(torch.clone)
    weights.steps[0].weight[0, 3, 4] += 1e-3
    straight = DirectionModel(1, 16, None, tuple(replace(step, bends=False) for step in turn.model.steps))
    models = (weights, straight, turn.model.negated(), None)
    keys = {pack_key(replace(pack, directions=(replace(turn, model=m), *pack.directions[1:]))) for m in models}
    assert len(keys | {key}) == 5


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_a_generator_without_a_pack_is_fitted_once(
    toy_bundles: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    studios = Studios(hosted=True)
    studio = studios.open(f"{method}:toy")
    assert studio.source == f"{method}:toy" and len(studio.pack) >= 8
    monkeypatch.setattr("eigan.ui.session.fit_pack", lambda *_: pytest.fail("fitted twice"))
    assert studios.open(f"{method}:toy") is studio
    name = studio.pack.names[0]
    recipe = studio.complete(PictureRecipe(f"{method}:toy", 3, 0.7, amounts={name: 2.0}))
    assert (np.asarray(studio.render(recipe)) == render_directly(studio.pack, 3, 0.7, {name: 2.0})).all()
    assert studios.open("toy-words", [f"{method}:toy"]).pack.names[-1] == studio.pack.names[-1]


def test_a_hosted_app_fits_no_path(toy_bundles: Path, tmp_path: Path) -> None:
    save_generator(toy_generator(), tmp_path / "mine", dtype="fp32")
    assert len(Studios().open(f"sefa:{tmp_path / 'mine'}").pack) >= 8
    with pytest.raises(UnknownName, match="neither a bundled generator"):
        Studios(hosted=True).open(f"sefa:{tmp_path / 'mine'}")
