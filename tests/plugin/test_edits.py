"""Edit Sliders, Apply Preset, Keep and Pose in the real core: the pictures are eigan's own, in whatever order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from eigan import PictureRecipe, draw, read_png, recipe_codes
from eigan.pack import Direction, DirectionPack, Preset
from eigan.pose import Pose
from eigan.readers.safetensors import save_generator
from tests.plugin.comfyui import Prompt, Run, Worker, node
from tests.plugin.conftest import LOCAL_GENERATOR, Toys
from tests.plugin.opened import opened
from tests.plugin.test_nodes import prompt
from tests.toys import toy_direction
from tests.toys_stylegan3 import toy_stylegan3

MANY = "many/directions.safetensors"
NAMES = ("smile", "age", "light", "hat", "long, dark hair", "fifth", "sixth", "seventh", "eighth", "ninth")


@pytest.fixture(scope="module")
def many(worker: Worker, toys: Toys) -> DirectionPack:
    """Ten directions on two pages, one of them with a comma in its name; and a preset whose name has letters of two
    scripts."""
    found: list[Direction] = [*toys.pack]
    found += [toy_direction(name, (0, 8), seed=i) for i, name in enumerate(NAMES[3:], start=10)]
    presets = (*toys.pack.presets, Preset("été 2", {"hat": 0.5, "ninth": -1.0}))
    pack = replace(toys.pack, name="many", directions=tuple(found), presets=presets)
    pack.save(worker.base / "models/gan_directions/many")
    return pack


def chain(kinds: Sequence[tuple[str, dict[str, Any]]], **changes: Any) -> Prompt:
    """The usual graph with these nodes in place of its Edit Direction, one after the other."""
    found = prompt(p_pack_name=MANY, **changes)
    del found["e"]
    for i, (kind, inputs) in enumerate(kinds):
        given = {} if kind == "EiganPose" else {"pack": ("p", 0)}
        given |= {"edit": (f"e{i - 1}", 0)} if i else {}
        found[f"e{i}"] = node(kind, **given, **inputs)
    found["r"]["inputs"]["edit"] = [f"e{len(kinds) - 1}", 0]
    return found


def sliders(page: int = 0, **amounts: float) -> tuple[str, dict[str, Any]]:
    return "EiganEditSliders", {"page": page, **{f"amount_{i}": amounts.get(f"a{i}", 0.0) for i in range(8)}}


def pictures_of(worker: Worker, pack: DirectionPack, **recipe: Any) -> Any:
    return draw(PictureRecipe("many", 7, 0.7, **recipe), pack, opened(worker.base))


def test_sliders_move_the_directions_of_their_page(worker: Worker, many: DirectionPack) -> None:
    run = worker.run(chain([sliders(a0=1.5, a2=-2.0, a7=0.5), sliders(1, a1=1.0)]))
    amounts = {"smile": 1.5, "light": -2.0, "seventh": 0.5, "ninth": 1.0}
    assert np.array_equal(run.pictures("s"), pictures_of(worker, many, amounts=amounts))
    assert dict(read_png(run.files("s")[0]).amounts) == amounts


def test_sliders_at_zero_do_nothing(worker: Worker, many: DirectionPack) -> None:
    run = worker.run(chain([("EiganEditDirection", {"direction": "age", "amount": 2.0}), sliders()]))
    assert np.array_equal(run.pictures("s"), pictures_of(worker, many, amounts={"age": 2.0}))
    assert dict(read_png(run.files("s")[0]).amounts) == {"age": 2.0}


def test_sliders_say_which_is_which(worker: Worker, many: DirectionPack) -> None:
    text = worker.call("inside_edits.py", "texts_of_sliders", pack_name=MANY, page=1)
    assert text.split("\n") == [
        "- amount_0: eighth: sad … happy, layers 0-7, −3 to +3",
        "- amount_1: ninth: sad … happy, layers 0-7, −3 to +3",
    ]


def test_a_preset_moves_what_it_says(worker: Worker, many: DirectionPack) -> None:
    run = worker.run(chain([("EiganApplyPreset", {"preset": "été 2", "intensity": -1.5})]))
    assert np.array_equal(run.pictures("s"), pictures_of(worker, many, amounts={"hat": -0.75, "ninth": 1.5}))
    still = worker.run(chain([("EiganApplyPreset", {"preset": " older and happy ", "intensity": 0.0})]))
    assert np.array_equal(still.pictures("s"), pictures_of(worker, many))


def test_what_is_kept_stays(worker: Worker, many: DirectionPack) -> None:
    """Names with commas in them have a line of their own; repetitions add nothing."""
    text = "age, light ,\n long, dark hair \nage"
    run = worker.run(chain([("EiganKeep", {"directions": text}), sliders(a0=2.0)]))
    wanted = {"amounts": {"smile": 2.0}, "keep": ("age", "light", "long, dark hair")}
    assert np.array_equal(run.pictures("s"), pictures_of(worker, many, **wanted))
    assert not np.array_equal(run.pictures("s"), pictures_of(worker, many, amounts={"smile": 2.0}))
    assert read_png(run.files("s")[0]).keep == wanted["keep"]


KINDS = [
    ("EiganEditDirection", {"direction": "age", "amount": 0.75}),
    sliders(a0=1.5, a1=0.5, a3=-1.0),
    ("EiganApplyPreset", {"preset": "older and happy", "intensity": 0.5}),
    ("EiganKeep", {"directions": "light\nfifth"}),
]


def test_the_order_of_a_chain_does_not_matter(worker: Worker, many: DirectionPack) -> None:
    runs: Iterator[Run] = (worker.run(chain(order)) for order in permutations(KINDS))
    found = {(run.pictures("s").tobytes(), read_png(run.files("s")[0]).to_json()) for run in runs}
    amounts = {"smile": 2.5, "age": 2.0, "hat": -1.0}
    wanted = pictures_of(worker, many, amounts=amounts, keep=("light", "fifth"))
    assert [picture for picture, _ in found] == [wanted.tobytes()]


def test_only_the_edit_and_what_follows_run_again(worker: Worker, many: DirectionPack) -> None:
    first, second = (chain([KINDS[3], sliders(a0=amount), KINDS[2]]) for amount in (0.3, 0.4))
    worker.run(first)
    run = worker.run(second)
    assert run.executed == ["e1", "e2", "r", "s"] and set(run.cached) == {"g", "p", "l", "e0"}
    assert worker.run(second).executed == []


# what is beyond its range the core refuses itself: it names the input
REFUSED: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "NaN": (sliders(a0=float("nan")), "amount of 'smile' is nan; wanted a finite number"),
    "NaN beyond the page": (sliders(1, a5=float("nan")), "amount_5 is nan, and page 1 of pack 'many' has 2 directions"),
    "beyond the page": (sliders(1, a2=0.5), "amount_2 is 0.5, and page 1 of pack 'many' has 2 directions alone; set"),
    "beyond the pack": (sliders(2), "page 2 is beyond the pack: 'many' has 10 directions, on page 0 to 1"),
    "before the pack": (sliders(-1), "page"),
    "too far": (sliders(a0=1e9), "amount_0"),
    "a preset that is not there": (
        ("EiganApplyPreset", {"preset": "../x", "intensity": 1.0}),
        "unknown preset '../x'; pack 'many' has older and happy, été 2",
    ),
    "an intensity of NaN": (
        ("EiganApplyPreset", {"preset": "older and happy", "intensity": float("nan")}),
        "intensity is nan; wanted a finite number",
    ),
    "too intense": (("EiganApplyPreset", {"preset": "older and happy", "intensity": 2.5}), "intensity"),
    "nothing to keep": (("EiganKeep", {"directions": " , \n"}), "no directions to keep were named; pack 'many' has"),
    "to keep what is not there": (("EiganKeep", {"directions": "age, <b>x</b>"}), "unknown direction '\\x3cb>x"),
    "a pose of NaN": (("EiganPose", {"x": float("nan"), "y": 0.0, "angle": 0.0}), "pose x is nan; wanted -1 to 1"),
    "a pose beyond": (("EiganPose", {"x": 0.0, "y": 2.0, "angle": 0.0}), "y"),
    "a pose of StyleGAN2": (("EiganPose", {"x": 0.1, "y": 0.0, "angle": 0.0}), "only StyleGAN3 has a pose"),
}


@pytest.mark.parametrize("kind, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_a_sentence(
    worker: Worker, many: DirectionPack, kind: tuple[str, dict[str, Any]], words: str
) -> None:
    run = worker.run(chain([kind]))
    assert words in run.message
    assert "Traceback" not in run.message and len(run.message) < 1300


def test_a_pack_without_presets_says_so(worker: Worker, toys: Toys) -> None:
    replace(toys.pack, presets=()).save(worker.base / "models/gan_directions/bare")
    given = chain([("EiganApplyPreset", {"preset": "x", "intensity": 1.0})])
    given["p"]["inputs"]["pack_name"] = "bare/directions.safetensors"
    assert "pack 'toy' has no presets; move its directions by Edit Sliders" in worker.run(given).message


def test_nothing_left_of_a_move_is_said_where_it_is_kept(worker: Worker, toys: Toys) -> None:
    """Two directions of one vector: the one cannot move while the other is kept."""
    twin = replace(toys.pack["age"], name="years")
    replace(toys.pack, directions=(*toys.pack, twin)).save(worker.base / "models/gan_directions/twins")
    given = chain([("EiganEditDirection", {"direction": "age", "amount": 1.0}), ("EiganKeep", {"directions": "years"})])
    given["p"]["inputs"]["pack_name"] = "twins/directions.safetensors"
    run = worker.run(given)
    assert "nothing is left of 'age' when years must stay as they are" in run.message
    assert run.error and run.error["node_id"] == "e1"


def test_packs_of_two_generators_are_refused(worker: Worker, many: DirectionPack) -> None:
    given = chain([sliders(a0=1.0), ("EiganKeep", {"directions": "smile"})])
    given["p1"] = node("EiganLoadDirectionPack", generator=("h", 0), pack_name="heads")
    given["h"] = node("EiganLoadGenerator", generator_name="heads-64")
    given["e1"]["inputs"]["pack"] = ["p1", 0]
    assert "one edit moves directions of one generator" in worker.run(given).message


def test_a_stylegan3_is_shifted_and_turned(worker: Worker) -> None:
    save_generator(toy_stylegan3(), worker.base / "models/gan_generators/posed", dtype="fp32")
    given = {
        "g": node("EiganLoadGenerator", generator_name="posed/model.safetensors"),
        "l": node("EiganLatentFromSeed", generator=("g", 0), seed=7, truncation=0.7),
        "first": node("EiganPose", x=0.5, y=0.5, angle=9.0),
        "e": node("EiganPose", x=0.25, y=-0.125, angle=30.0, edit=("first", 0)),
        "r": node("EiganRender", generator=("g", 0), latent=("l", 0), edit=("e", 0)),
        "s": node("EiganSaveRecipe", recipe=("r", 1), images=("r", 0)),
    }
    run = worker.run(given)
    recipe = read_png(run.files("s")[0])
    assert recipe.pose == Pose(0.25, -0.125, 30.0)
    renderer = opened(worker.base, "posed")
    codes = recipe_codes(PictureRecipe("", 7, 0.7), renderer.generator)
    assert np.array_equal(run.pictures("s"), renderer.render(codes, pose=recipe.pose))
    assert not np.array_equal(run.pictures("s"), renderer.render(codes))


def test_other_weights_are_refused(worker: Worker, many: DirectionPack) -> None:
    """An edit of one generator's pack does not draw with another."""
    given = chain([sliders(a0=1.0)])
    given["g1"] = node("EiganLoadGenerator", generator_name="other/model.safetensors")
    given["l"]["inputs"]["generator"] = given["r"]["inputs"]["generator"] = ["g1", 0]
    assert given["g"]["inputs"]["generator_name"] == LOCAL_GENERATOR
    assert "was fitted on" in worker.run(given).message
