"""Sweep and Fit Directions in the real core: eigan's own pictures and packs, stopped when Cancel is pressed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eigan import PictureRecipe, draw, read_png
from eigan.readers.safetensors import save_generator
from eigan.ui.fitting import FIT_METHODS, FitSource, fit_pack
from eigan.ui.sheets import Row, strip_image, sweep_amounts
from hub_export.fit import fit
from hub_export.recipe import Recipe
from tests.plugin.comfyui import REPOSITORY, Prompt, Worker, node
from tests.plugin.conftest import Toys
from tests.plugin.opened import opened
from tests.plugin.test_nodes import prompt
from tests.toys import toy_generator

GENERATOR = "models/gan_generators/toy"


def sweeping(batch: int = 1, **inputs: Any) -> Prompt:
    """age at 1 and smile at 2, smile swept; pictures saved with their recipes, the strip by itself."""
    found = prompt(l_batch=batch)
    found["f"] = node("EiganEditDirection", pack=("p", 0), direction="age", amount=1.0, edit=("e", 0))
    given = {"generator": ("g", 0), "latent": ("l", 0), "pack": ("p", 0), "edit": ("f", 0)}
    given |= {"direction": "smile", "low": -3.0, "high": 3.0, "steps": 5}
    found["r"] = node("EiganSweep", **given | inputs)
    found["s"] = node("EiganSaveRecipe", recipe=("r", 2), images=("r", 0))
    found["strip"] = node("SaveImage", images=("r", 1), filename_prefix="strip")
    return found


def wanted(worker: Worker, toys: Toys, amounts: list[float], seeds: list[int]) -> Any:
    """The app's pictures: the swept direction at each amount in place of its own, all else as it is."""
    recipes = [PictureRecipe("toy", s, 0.7, amounts={"smile": a, "age": 1.0}) for s in seeds for a in amounts]
    return np.concatenate([draw(recipe, toys.pack, opened(worker.base)) for recipe in recipes])


def test_frames_are_the_apps_pictures_with_their_recipes(worker: Worker, toys: Toys) -> None:
    run = worker.run(sweeping())
    amounts = [-3.0, -1.5, 0.0, 1.5, 3.0]
    pictures = run.pictures("s")
    assert np.array_equal(pictures, wanted(worker, toys, amounts, [7]))
    assert len({picture.tobytes() for picture in pictures}) == 5
    assert [read_png(path).amounts.get("smile", 0.0) for path in run.files("s")] == amounts


def test_a_row_for_each_picture_of_the_latent(worker: Worker, toys: Toys) -> None:
    run = worker.run(sweeping(3, steps=2))
    pictures = run.pictures("s")
    assert np.array_equal(pictures, wanted(worker, toys, [-3.0, 3.0], [7, 8, 9]))
    assert [read_png(path).seed for path in run.files("s")] == [7, 7, 8, 8, 9, 9]
    rows = [Row(f"seed {7 + i}", (-3.0, 3.0), tuple(pictures[2 * i : 2 * i + 2])) for i in range(3)]
    assert np.array_equal(run.pictures("strip")[0], np.asarray(strip_image(rows)))


def test_the_strip_is_the_apps(worker: Worker, toys: Toys) -> None:
    run = worker.run(sweeping(low=2.0, high=-1.0, steps=4))
    amounts = sweep_amounts(2.0, -1.0, 4)
    pictures = wanted(worker, toys, amounts, [7])
    whole = strip_image([Row("seed 7", tuple(amounts), tuple(pictures))])
    assert np.array_equal(run.pictures("strip")[0], np.asarray(whole))


def test_many_steps_are_even_and_the_strip_shows_fifteen(worker: Worker, toys: Toys) -> None:
    run = worker.run(sweeping(steps=31))
    amounts = [float(a) for a in np.linspace(-3, 3, 31)]
    assert np.array_equal(run.pictures("s"), wanted(worker, toys, amounts, [7]))
    strip = Image.open(run.files("strip")[0])
    assert strip.width == 15 * (64 + 2) - 2


def test_layers_of_its_own_are_swept_beside_the_edits(worker: Worker, toys: Toys) -> None:
    """smile on its own layers stays at 2; on layers 6-7 it is swept. No recipe says both: it carries the codes."""
    run = worker.run(sweeping(layers="6-7", steps=2))
    recipe = read_png(run.files("s")[1])
    assert recipe.latent is not None and not recipe.amounts
    assert np.array_equal(run.pictures("s")[1], draw(recipe, toys.pack, opened(worker.base))[0])
    pack, codes = toys.pack, opened(worker.base).generator
    direction = pack["smile"].on(type(pack["smile"].layers)(6, 8))
    edit = 2.0 * pack["smile"] + 1.0 * pack["age"] + 3.0 * direction
    start = codes.mapping(_z(7), truncation_psi=0.7)
    assert np.abs(recipe.latent.codes.numpy() - edit.apply(start)[0].numpy()).max() < 1e-5


def _z(seed: int) -> Any:
    from eigan.latents import seeded_z

    return seeded_z([seed], 16)


def test_cancel_stops_a_sweep_between_two_pictures(worker: Worker) -> None:
    worker.call("inside_edits.py", "press_cancel", at=20)
    run = worker.run(sweeping(steps=16, low=-2.0))
    assert run.is_interrupted and run.error is None and run.executed[-1] == "r"
    steps = [data for event, data in run.events if event == "progress" and data["node"] == "r"]
    assert 0 < max(step["value"] for step in steps) < 16
    assert worker.run(sweeping(steps=16, low=-2.0)).error is None  # and goes on where it is asked again


SWEPT: dict[str, tuple[dict[str, Any], str]] = {
    "NaN": ({"low": float("nan")}, "from is nan; wanted a finite number"),
    "NaN of many": ({"high": float("nan"), "steps": 40}, "high is nan; wanted a finite number"),
    "nowhere to go": ({"low": 1.0, "high": 1.0}, "from 1 to 1 is too short for 5 steps"),
    "nowhere in many": ({"low": 1.0, "high": 1.0, "steps": 40}, "the sweep begins and ends at 1; set the ends apart"),
    "a direction": ({"direction": "../smile"}, "unknown direction '../smile'; pack 'toy' has smile, age, light"),
    "layers": ({"layers": "3-9"}, "layers 3-9 do not exist"),
    "steps": ({"steps": 1}, "steps"),
    "too far": ({"high": 1e30}, "high"),
    "rows": ({"batch": 17}, "17 pictures of 5 steps each were asked for; a sweep has at most 16 rows and 256 pictures"),
    "pictures": ({"batch": 4, "steps": 65}, "4 pictures of 65 steps each were asked for"),
}


@pytest.mark.parametrize("inputs, words", SWEPT.values(), ids=SWEPT)
def test_what_cannot_be_swept_is_a_sentence(worker: Worker, inputs: dict[str, Any], words: str) -> None:
    run = worker.run(sweeping(**inputs))
    assert words in run.message and "Traceback" not in run.message


def test_a_pack_or_latent_of_another_generator_is_refused(worker: Worker) -> None:
    given = sweeping()
    given["g1"] = node("EiganLoadGenerator", generator_name="other/model.safetensors")
    given["r"]["inputs"]["generator"] = ["g1", 0]
    assert "the latent was made for" in worker.run(given).message
    given["l"]["inputs"]["generator"] = ["g1", 0]
    assert "was fitted on" in worker.run(given).message


# fits


def fitting(method: str = "sefa", direction: str = "sefa-00", **inputs: Any) -> Prompt:
    found = prompt(e_direction=direction)
    found["p"] = node("EiganFitDirections", generator=("g", 0), method=method, **inputs)
    return found


@pytest.mark.parametrize("method", FIT_METHODS)
def test_a_fit_is_the_apps_and_its_recipe_names_it(worker: Worker, method: str) -> None:
    renderer = opened(worker.base)
    pack = fit_pack(FitSource(method, GENERATOR), renderer.generator)
    name = pack.names[2]
    run = worker.run(fitting(method, name))
    recipe = read_png(run.files("s")[0])
    assert (recipe.pack, dict(recipe.amounts)) == (f"{method}:{GENERATOR}", {name: 2.0})
    assert np.array_equal(run.pictures("s"), draw(recipe, pack, renderer))
    again = {"o": node("EiganLoadRecipe", recipe=recipe.to_json())}
    again |= {"r": node("EiganRender", generator=("o", 0), latent=("o", 1), edit=("o", 2)), "s": prompt()["s"]}
    assert np.array_equal(worker.run(again).pictures("s"), run.pictures("s"))


@pytest.mark.parametrize("method", FIT_METHODS)
def test_the_same_settings_give_the_same_directions(worker: Worker, method: str) -> None:
    settings: dict[str, Any] = {"method": method, "num_directions": 5, "layers": "2-3"}
    first, second = (worker.call("inside_edits.py", "fitted", **settings) for _ in range(2))
    assert first == second
    assert first["name"] == f"{FIT_METHODS[method]} of toy, 5 directions, layers 2-3"
    assert (first["source"], len(first["names"]), first["layers"], first["inference"]) == ("", 5, ["2-3"], False)
    other = worker.call("inside_edits.py", "fitted", **settings | {"layers": "4-5"})
    assert other["layers"] == ["4-5"]
    assert (other["digest"] == first["digest"]) == (method == "pca")  # it reads codes, which all layers share


def test_settings_of_ones_own_are_hub_exports_fit_and_recipes_carry_codes(worker: Worker) -> None:
    renderer = opened(worker.base)
    pack = fit(renderer.generator, Recipe("sefa", num_directions=3, num_samples=10_240, layers="4-7"))
    run = worker.run(fitting(num_directions=3, layers="4-7", direction=pack.names[1]))
    codes = renderer.generator.mapping(_z(7), truncation_psi=0.7)
    assert np.array_equal(run.pictures("s"), renderer.render(codes, 2.0 * pack[pack.names[1]]))
    recipe = read_png(run.files("s")[0])
    assert recipe.latent is not None and not recipe.amounts and recipe.pack == f"sefa:{GENERATOR}"


def test_all_on_some_layers_are_as_many_as_there_are(worker: Worker) -> None:
    found = worker.call("inside_edits.py", "fitted", method="sefa", layers="all")
    assert len(found["names"]) == 16 and found["layers"] == ["0-7"]


def test_one_class_may_be_drawn(worker: Worker) -> None:
    save_generator(toy_generator(c_dim=3), worker.base / "models/gan_generators/classes", dtype="fp32")
    settings = {"method": "pca", "generator_name": "classes/model.safetensors", "num_directions": 4}
    found = [worker.call("inside_edits.py", "fitted", class_name=name, **settings) for name in ("0", "2", "")]
    assert [one["name"] for one in found] == [
        "PCA of classes, 4 directions, class 0",
        "PCA of classes, 4 directions, class 2",
        "PCA of classes, 4 directions",
    ]
    assert len({one["digest"] for one in found}) == 3


def test_nothing_is_fitted_again_while_a_slider_moves(worker: Worker) -> None:
    worker.run(fitting(num_directions=4))
    found = fitting(num_directions=4)
    found["e"]["inputs"]["amount"] = 0.5
    run = worker.run(found)
    assert run.executed == ["e", "r", "s"] and "p" in run.cached


def test_cancel_stops_a_fit(worker: Worker) -> None:
    worker.call("inside_edits.py", "press_cancel", at=2)
    run = worker.run(fitting("pca", "pca-00", num_directions=6))
    assert run.is_interrupted and run.error is None and run.executed[-1] == "p"
    assert worker.run(fitting("pca", "pca-00", num_directions=6)).error is None


FITTED: dict[str, tuple[dict[str, Any], str]] = {
    "a method": ({"method": "ica"}, "unknown method 'ica'; known: sefa, pca"),
    "a path": ({"method": "../sefa"}, "unknown method '../sefa'"),
    "too many": ({"num_directions": 17}, "17 directions asked for; codes of"),
    "beyond": ({"num_directions": 9999}, "num_directions"),
    "layers": ({"layers": "7-8"}, "layers 7-8 do not exist; this generator has layers 0-7"),
    "a class": ({"class_name": "husky"}, "has no classes; leave the class out"),
    "a name": ({"direction": "smile"}, "unknown direction 'smile'; pack 'SeFa of toy' has sefa-0"),
}


@pytest.mark.parametrize("inputs, words", FITTED.values(), ids=FITTED)
def test_what_cannot_be_fitted_is_a_sentence(worker: Worker, inputs: dict[str, Any], words: str) -> None:
    run = worker.run(fitting(**inputs))
    assert words in run.message and "Traceback" not in run.message


# what a pack holds


def describing(name: str, **inputs: Any) -> Prompt:
    found = {"g": node("EiganLoadGenerator", generator_name="toy/model.safetensors")}
    found["p"] = node("EiganLoadDirectionPack", generator=("g", 0), pack_name=name)
    found["d"] = node("EiganDescribePack", pack=("p", 0), **inputs)
    return found


def test_a_bundled_pack_is_told_with_its_own_sheet(worker: Worker) -> None:
    given = describing("heads")
    given["g"]["inputs"]["generator_name"] = "heads-64"
    run = worker.run(given)
    (text,) = run.ui("d")["text"]
    lines = text.split("\n")
    assert lines[0].startswith("heads ") and "- Licence: cc0-1.0" in lines
    smile = next(line for line in lines if line.startswith("- smile: "))
    assert "serious … smiling, layers 2-9, −6 to +4; sigma 0.802; " in smile and "moves" in smile
    assert any(line.startswith("- Presets: ") for line in lines) and any("+" in line for line in lines[-3:])
    sheet = np.asarray(Image.open(REPOSITORY / "directions/heads/previews/contact-sheet.webp").convert("RGB"))
    assert np.array_equal(run.pictures("d")[0], sheet)


def test_a_pack_without_pictures_gets_a_sheet_of_the_generator(worker: Worker, toys: Toys) -> None:
    from hub_export.previews import contact_sheet, preview_codes, render_tiles

    run = worker.run(describing("toy/directions.safetensors", generator=("g", 0)))
    renderer = opened(worker.base)
    codes = preview_codes(renderer.generator, toys.pack, [0])
    rows = [render_tiles(renderer, codes, one, (-3 * 0.6, 0.0, 3 * 0.6), 128)[0] for one in toys.pack]
    assert np.array_equal(run.pictures("d")[0], np.asarray(contact_sheet(toys.pack.names, rows)))
    (text,) = run.ui("d")["text"]
    assert "- older and happy: smile +2, age +1.5. two at once" in text.split("\n")
    bare = worker.run(describing("toy/directions.safetensors"))
    assert bare.pictures("d").shape == (1, 64, 512, 3) and bare.ui("d")["text"] == [text]


def test_the_sheet_of_a_listed_pack_is_found(worker: Worker, toys: Toys) -> None:
    """A folder of models/gan_directions with its previews; and one whose previews are no pictures."""
    picture = Image.new("RGB", (20, 30), "teal")
    for name, kind in (("drawn", "WEBP"), ("damaged", "PNG")):
        folder = worker.base / "models/gan_directions" / name
        toys.pack.save(folder)
        (folder / "previews").mkdir()
        picture.save(folder / "previews/contact-sheet.webp", format=kind, lossless=True)
    assert np.array_equal(worker.run(describing("drawn/directions.safetensors")).pictures("d")[0], np.asarray(picture))
    assert worker.run(describing("damaged/directions.safetensors")).pictures("d").shape == (1, 64, 512, 3)


def test_what_was_measured_of_a_listed_pack_is_told(worker: Worker) -> None:
    shutil.copytree(REPOSITORY / "directions/heads", worker.base / "models/gan_directions/copied")
    given = describing("copied/directions.safetensors")
    given["g"]["inputs"]["generator_name"] = "heads-64"
    (text,) = worker.run(given).ui("d")["text"]
    assert "- From: models/gan_directions/copied" in text.split("\n") and "also moves " in text


def test_the_sheet_of_a_pack_of_the_hub_is_fetched_of_its_commit_or_done_without(worker: Worker) -> None:
    found = worker.call("inside_edits.py", "sheets_of_a_hub_pack")
    assert found == {
        "asked": ["org/heads", "c" * 40, ["previews/contact-sheet.webp"]],
        "there": [30, 20, 3],
        "gone": None,
    }


def test_a_fit_is_described(worker: Worker) -> None:
    given = describing("toy/directions.safetensors", generator=("g", 0))
    given["p"] = node("EiganFitDirections", generator=("g", 0), method="sefa", num_directions=2)
    run = worker.run(given)
    (text,) = run.ui("d")["text"]
    assert text.startswith("SeFa of toy, 2 directions: Directions that SeFa of toy finds") and "this workflow" in text
    assert run.pictures("d").shape[1] == 2 * 32 + 2


def test_names_are_text_and_never_tags(worker: Worker, toys: Toys) -> None:
    loud = replace(toys.pack["age"], name="<img src=x onerror=alert(1)>")
    replace(toys.pack, directions=(*toys.pack, loud)).save(worker.base / "models/gan_directions/loud")
    (text,) = worker.run(describing("loud/directions.safetensors")).ui("d")["text"]
    assert "\\x3cimg src=x" in text and "<img" not in json.dumps(text)


def test_a_sheet_of_another_generator_is_refused(worker: Worker) -> None:
    given = describing("toy/directions.safetensors", generator=("h", 0))
    given["h"] = node("EiganLoadGenerator", generator_name="other/model.safetensors")
    assert "was fitted on" in worker.run(given).message
