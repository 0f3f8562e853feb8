"""The nodes in the real core: what they give is eigan's own, and what they refuse they refuse in a sentence."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eigan import (
    Latent,
    LayerRange,
    PictureRecipe,
    Renderer,
    draw,
    generator_for,
    load_pack,
    read_png,
    recipe_codes,
    write_png,
)
from eigan.ui.session import Studios
from tests.fakehub.server import FakeHub
from tests.plugin.comfyui import Prompt, Worker, node
from tests.plugin.conftest import LOCAL_GENERATOR, LOCAL_PACK, Toys
from tests.toys import toy_generator

RECIPE = PictureRecipe("models/gan_directions/toy", 7, 0.7, amounts={"smile": 2.0})


def prompt(**changes: Any) -> Prompt:
    """Generator, pack, latent, edit, picture, saved; `e_amount=1.0` changes an input."""
    found = {
        "g": node("EiganLoadGenerator", generator_name=LOCAL_GENERATOR),
        "p": node("EiganLoadDirectionPack", generator=("g", 0), pack_name=LOCAL_PACK),
        "l": node("EiganLatentFromSeed", generator=("g", 0), seed=7, truncation=0.7),
        "e": node("EiganEditDirection", pack=("p", 0), direction="smile", amount=2.0),
        "r": node("EiganRender", generator=("g", 0), latent=("l", 0), edit=("e", 0)),
        "s": node("EiganSaveRecipe", recipe=("r", 1), images=("r", 0)),
    }
    for change, value in changes.items():
        name, _, key = change.partition("_")
        found[name]["inputs"][key] = list(value) if isinstance(value, tuple) else value
    return found


def test_the_picture_is_eigans_own(worker: Worker, toys: Toys) -> None:
    given = prompt(l_batch=3)
    given["core"] = node("SaveImage", images=("r", 0), filename_prefix="core")
    run = worker.run(given)
    recipes = [PictureRecipe("toy", seed, 0.7, amounts={"smile": 2.0}) for seed in (7, 8, 9)]
    wanted = np.concatenate([draw(recipe, toys.pack, toys.renderer) for recipe in recipes])
    assert np.array_equal(run.pictures("s"), wanted)
    assert np.array_equal(run.pictures("core"), wanted)  # as ComfyUI's own node saves it
    assert len({picture.tobytes() for picture in wanted}) == 3


def test_the_bundled_generator_and_pack(worker: Worker) -> None:
    run = worker.run(prompt(g_generator_name="heads-64", p_pack_name="heads", e_amount=1.5))
    pack = load_pack("heads")
    wanted = draw(PictureRecipe("heads", 7, 0.7, amounts={"smile": 1.5}), pack, Renderer(generator_for(pack)))
    assert np.array_equal(run.pictures("s"), wanted)


def test_a_generator_and_a_pack_of_the_hub_are_pinned_in_the_recipe(worker: Worker, toys: Toys, hub: FakeHub) -> None:
    """Downloaded once; what a recipe says of them is the same for ever."""
    for repo, folder in (("org/generator", "gan_generators/toy"), ("org/pack", "gan_directions/toy")):
        files = {path.name: path.read_bytes() for path in (worker.base / "models" / folder).iterdir()}
        commit = hub.store.push(repo, files, tag="v1.0.0")
    given = prompt(g_hub_id="org/generator@v1.0.0", p_hub_id=" org/pack ")
    run = worker.run(given)
    recipe = read_png(run.files("s")[0])
    assert recipe.pack == f"org/pack@{commit}"
    assert np.array_equal(run.pictures("s"), draw(recipe, toys.pack, toys.renderer))
    asked = len(hub.log)
    assert worker.run(prompt(g_hub_id="org/generator@v1.0.0", p_hub_id=" org/pack ", e_amount=1.0)).executed[0] == "e"
    assert len(hub.log) == asked  # a slider asks the Hub for nothing
    generator = {"g": node("EiganLoadGenerator", generator_name="gone", hub_id="org/generator")}
    assert "no file 'gone'" in worker.run(generator | reopened(recipe=recipe.to_json(), generator=("g", 0))).message
    generator["g"]["inputs"]["generator_name"] = "heads-64"
    again = worker.run(generator | reopened(recipe=recipe.to_json(), generator=("g", 0)))
    assert np.array_equal(again.pictures("s"), run.pictures("s"))


def test_directions_that_the_app_fitted_on_the_spot_are_fitted_again(worker: Worker) -> None:
    studio = Studios().open("sefa:heads-64")
    recipe = studio.complete(
        PictureRecipe("", 5, 0.7, amounts={studio.pack.names[0]: 2.0, studio.pack.names[-1]: -1.0})
    )
    run = worker.run(reopened(recipe=recipe.to_json()))
    assert np.array_equal(run.pictures("s")[0], np.asarray(studio.render(recipe)))
    assert read_png(run.files("s")[0]).to_json() == recipe.to_json()


@pytest.mark.parametrize("third, keep", [("heads-ica", ("glasses",)), ("heads-latentclr", ())])
def test_packs_with_names_in_common_come_from_the_app_and_go_back(
    worker: Worker, third: str, keep: tuple[str, ...]
) -> None:
    studio = Studios().open("heads", ["heads-pca", third])
    shared = next(name for name in studio.pack.names if name.endswith("(heads-pca)"))
    amounts = {"smile": -1.0, shared: 1.5, studio.pack.names[-1]: 2.0}
    recipe = studio.complete(PictureRecipe("", 5, 0.7, amounts=amounts, keep=keep))
    run = worker.run(reopened(recipe=recipe.to_json()))
    assert np.array_equal(run.pictures("s")[0], np.asarray(studio.render(recipe)))
    assert read_png(run.files("s")[0]).to_json() == recipe.to_json()


def test_the_saved_png_holds_the_apps_recipe_and_the_workflow(worker: Worker, toys: Toys) -> None:
    workflow = {"nodes": [], "eigan": "not ours"}
    given = prompt(e_layers="2-3", r_noise_mode="none")
    run = worker.run(given, extra_pnginfo={"workflow": workflow, "eigan": {"would": "be two"}})
    path = run.files("s")[0]
    recipe = read_png(path)
    assert recipe == PictureRecipe(
        "models/gan_directions/toy",
        7,
        0.7,
        amounts={"smile": 2.0},
        layers={"smile": LayerRange(2, 4)},
        noise_mode="none",
        generator=toys.pack.made_for.source,
        fingerprint=toys.generator.fingerprint,
    )
    picture = Image.open(path)
    assert np.array_equal(np.asarray(picture), draw(recipe, toys.pack, toys.renderer)[0])
    assert json.loads(picture.text["prompt"])["e"]["inputs"]["direction"] == "smile"
    assert json.loads(picture.text["workflow"]) == workflow
    assert path.parent.name == "eigan"


@pytest.mark.parametrize(
    "recipe",
    [
        PictureRecipe("toy", 3, 0.5, amounts={"age": -1.5, "smile": 2.25, "light": 4.0}),
        PictureRecipe("toy", 3, 0.5, amounts={"light": 4.0, "age": -1.5}, keep=("smile",)),
        PictureRecipe("toy", 4, 1.0, amounts={"smile": 3.0}, layers={"smile": LayerRange(6, 8)}, noise_mode="none"),
        PictureRecipe("toy", 0, latent=Latent.of(recipe_codes(PictureRecipe("", 11, 0.3), toy_generator())[0])),
    ],
    ids=["sliders", "keep", "layers", "latent"],
)
def test_an_edit_of_the_app_opens_from_its_png_and_goes_back(worker: Worker, toys: Toys, recipe: PictureRecipe) -> None:
    """App -> PNG -> ComfyUI -> PNG -> app: the same pixels at each end, and the same recipe."""
    sent = replace(recipe, pack="models/gan_directions/toy", fingerprint=toys.generator.fingerprint)
    sent = replace(sent, generator="models/gan_generators/toy")
    picture = draw(sent, toys.pack, toys.renderer)[0]
    write_png(Image.fromarray(picture), sent, worker.base / "input" / "from-app.png")
    run = worker.run(reopened(recipe_file="from-app.png"))
    assert np.array_equal(run.pictures("s")[0], picture)
    back = read_png(run.files("s")[0])
    assert back.to_json() == replace(sent, generator=toys.pack.made_for.source).to_json()


def reopened(**inputs: Any) -> Prompt:
    return {
        "o": node("EiganLoadRecipe", **inputs),
        "r": node("EiganRender", generator=("o", 0), latent=("o", 1), edit=("o", 2)),
        "s": node("EiganSaveRecipe", recipe=("r", 1), images=("r", 0)),
    }


def test_a_recipe_is_also_text_and_json(worker: Worker, toys: Toys) -> None:
    alone = prompt()
    del alone["s"]["inputs"]["images"]
    run = worker.run(alone)
    name = run.ui("s")["text"][0].removeprefix("saved ")
    text = (worker.base / "output" / "eigan" / name).read_text()
    assert PictureRecipe.from_json(text).amounts == {"smile": 2.0}
    wanted = draw(RECIPE, toys.pack, toys.renderer)
    generator = {"g": node("EiganLoadGenerator", generator_name=LOCAL_GENERATOR)}
    for inputs in ({"recipe": text}, {"recipe_file": "one.json"}):
        (worker.base / "input" / "one.json").write_text(text)
        assert np.array_equal(worker.run(generator | reopened(**inputs, generator=("g", 0))).pictures("s"), wanted)


def test_only_what_follows_a_slider_runs_again(worker: Worker) -> None:
    worker.run(prompt(e_amount=0.3))
    run = worker.run(prompt(e_amount=0.4))
    assert run.executed == ["e", "r", "s"] and set(run.cached) == {"g", "p", "l"}
    assert worker.run(prompt(e_amount=0.4)).executed == []
    assert worker.run(prompt(e_amount=0.4, r_noise_mode="none")).executed == ["r", "s"]


def test_a_file_that_was_changed_is_opened_again(worker: Worker, toys: Toys) -> None:
    folder = worker.base / "models/gan_directions/toy"
    worker.run(prompt())
    replace(toys.pack, presets=()).save(folder)
    try:
        run = worker.run(prompt())
        assert run.executed == ["p", "e", "r", "s"] and set(run.cached) == {"g", "l"}
    finally:
        toys.pack.save(folder)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a pack of another generator": ({"g_generator_name": "other/model.safetensors"}, "was fitted on"),
    "no such file": ({"g_generator_name": "gone.pkl"}, "no file 'gone.pkl' in models/gan_generators, where there is:"),
    "outside": ({"g_generator_name": "../gan_generators/toy/model.safetensors"}, "no file '../gan_generators"),
    "absolute": ({"p_pack_name": "/etc/passwd"}, "no file '/etc/passwd' in models/gan_directions"),
    "a path for a Hub id": ({"g_hub_id": "../../etc/passwd"}, "is no Hub id like org/name@v1.0.0"),
    "a folder for a Hub id": ({"p_hub_id": "custom_nodes/eigan"}, "is no Hub id"),
    "a pack for a generator": ({"g_hub_id": "heads"}, "'heads' is no Hub id"),
    "the Hub away": ({"p_hub_id": "org/no-such-pack@v1.0.0"}, "org/no-such-pack"),
    "a direction that is not there": ({"e_direction": "smlie"}, "unknown direction 'smlie'; pack 'toy' has smile, age"),
    "no direction": ({"e_direction": " "}, "unknown direction ''"),
    "NaN": ({"e_amount": float("nan")}, "amount of 'smile' is nan; wanted a finite number"),
    "infinite": ({"l_truncation": float("nan")}, "truncation psi is nan; wanted a finite number"),
    "too far": ({"e_amount": 21.0}, "amount"),
    "layers": ({"e_layers": "3-9"}, "layers 3-9 do not exist; this generator has layers 0-7"),
    "layers in words": ({"e_layers": "the late ones"}, "cannot read layers 'the late ones'"),
    "a class": ({"l_class_name": "husky"}, "has no classes; leave the class out"),
    "batch": ({"l_batch": 0}, "batch"),
    "seeds beyond the last": ({"l_seed": 2**32 - 1, "l_batch": 2}, "seed is 4294967296; wanted a whole number"),
    "noise mode": ({"r_noise_mode": "random"}, "unknown noise mode 'random'; known: as the edit, const, none"),
    "file name outside": ({"s_filename_prefix": "../../x"}, "leads out of ComfyUI's output folder"),
    "no file name": ({"s_filename_prefix": ""}, "no file name given"),
}


@pytest.mark.parametrize("changes, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_a_sentence(worker: Worker, changes: dict[str, Any], words: str) -> None:
    run = worker.run(prompt(**changes))
    assert words in run.message
    assert "Traceback" not in run.message and len(run.message) < 1300


REFUSED_RECIPES: dict[str, tuple[dict[str, Any], str]] = {
    "no file": ({"recipe_file": "gone.png"}, "no file 'gone.png' in ComfyUI's input folder"),
    "outside": ({"recipe_file": "../output/x.png"}, "no file '../output/x.png'"),
    "nothing": ({}, "no file '' in ComfyUI's input folder"),
    "no recipe": ({"recipe": "{}"}, "the recipe"),
    "a path": ({"recipe": PictureRecipe("/home/me/pack", 1).to_json()}, "'/home/me/pack', which is not bundled"),
    "no pack": ({"recipe": PictureRecipe("", 1).to_json()}, "names no pack"),
    "another's": (
        {"recipe": PictureRecipe("models/gan_directions/toy", 1, fingerprint="0" * 64).to_json()},
        "connect Load Generator to this node's generator",
    ),
    "no such direction": ({"recipe": PictureRecipe("heads", 1, amounts={"hat": 1.0}).to_json()}, "unknown direction"),
}


@pytest.mark.parametrize("inputs, words", REFUSED_RECIPES.values(), ids=REFUSED_RECIPES)
def test_a_recipe_that_cannot_be_opened_is_a_sentence(worker: Worker, inputs: dict[str, Any], words: str) -> None:
    run = worker.run(reopened(**inputs))
    assert words in run.message
    assert not run.executed or run.executed == ["o"]


def test_a_recipe_of_other_weights_is_refused_with_the_generator_at_hand(worker: Worker) -> None:
    sent = PictureRecipe("models/gan_directions/toy", 1, generator="org/heads", fingerprint="0" * 64)
    given = {"g": node("EiganLoadGenerator", generator_name=LOCAL_GENERATOR)}
    run = worker.run(given | reopened(recipe=sent.to_json(), generator=("g", 0)))
    assert "the recipe was made with org/heads; this generator is models/gan_generators/toy (stylegan2" in run.message


def test_a_pack_of_a_sibling_may_be_taken_and_its_picture_goes_back_to_the_app(worker: Worker, toys: Toys) -> None:
    """The recipe cannot name such an edit: it carries the edited codes."""
    given = prompt(g_generator_name="other/model.safetensors", p_allow_other_generator=True)
    run = worker.run(given)
    other = toy_generator(seed=1)
    codes = recipe_codes(PictureRecipe("", 7, 0.7), other)
    wanted = Renderer(other).render(codes, 2.0 * toys.pack["smile"])
    assert np.array_equal(run.pictures("s"), wanted)
    recipe = read_png(run.files("s")[0])
    assert recipe.pack == "sefa:models/gan_generators/other" and not recipe.amounts and recipe.latent is not None
    again = worker.run(reopened(recipe=recipe.to_json()))
    assert np.array_equal(again.pictures("s"), wanted)


def test_pictures_and_recipes_come_in_pairs(worker: Worker) -> None:
    given = prompt(l_batch=2, s_recipe=("r1", 1))
    given |= {"l1": prompt()["l"], "r1": prompt(r_latent=("l1", 0))["r"]}
    assert "2 pictures and 1 recipes; wire both from the same Render" in worker.run(given).message


def test_the_order_of_a_chain_does_not_matter(worker: Worker, toys: Toys) -> None:
    moves = {"smile": 2.0, "age": -1.3, "light": 0.7}
    found = []
    for order in (list(moves), list(moves)[::-1]):
        given = prompt()
        before: tuple[str, int] | None = None
        for name in order:
            given[name] = node("EiganEditDirection", pack=("p", 0), direction=name, amount=moves[name])
            if before:
                given[name]["inputs"]["edit"] = list(before)
            before = (name, 0)
        assert before
        given["r"]["inputs"]["edit"] = list(before)
        del given["e"]
        run = worker.run(given)
        found.append((run.pictures("s").tobytes(), read_png(run.files("s")[0]).to_json()))
    assert found[0] == found[1]
    assert found[0][0] == draw(PictureRecipe("toy", 7, 0.7, amounts=moves), toys.pack, toys.renderer).tobytes()


def test_a_hostile_generator_runs_nothing(worker: Worker, tmp_path: Path) -> None:
    """A pickle that asks for more than weights is refused by the core's door, as everywhere in eigan."""

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    path = worker.base / "models/gan_generators/bomb.pkl"
    path.write_bytes(pickle.dumps({"G_ema": Bomb()}))
    try:
        run = worker.run(prompt(g_generator_name="bomb.pkl"))
        assert "nothing in the file was run" in run.message or "refused" in run.message
        assert not (tmp_path / "ran").exists()
    finally:
        path.unlink()
