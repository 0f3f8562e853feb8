"""What a press on a little picture stands for, and what stays of the tab when something else is opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eigan.errors import PackFormatError, PackMismatch, UnknownName
from eigan.format import save_pack
from eigan.layers import LayerRange
from eigan.readers.safetensors import save_generator
from eigan.recipe import PictureRecipe
from eigan.ui.app import build_app
from eigan.ui.editor import Now
from eigan.ui.explore import fitting_packs
from eigan.ui.panel import standing
from eigan.ui.session import Studios
from eigan.ui.sheets import Row
from eigan.ui.tiles import OPEN_PACKS, Shown, check_generator, shown_now, tried
from tests.toys import toy_generator, toy_pack


@pytest.fixture
def now(toy_bundles: Path) -> Now:
    studio = Studios().open("toy-words")
    recipe = PictureRecipe(
        pack="toy-words",
        seed=3,
        amounts={"smile": 1.0, "age": 2.0},
        layers={"smile": LayerRange(0, 2), "age": LayerRange(1, 2)},
        keep=("light", "hair"),
    )
    sent = standing(
        amounts=recipe.amounts, layers=recipe.layers, keep=recipe.keep, pose=(0, 0, 0), locked=["background"]
    )
    return Now(studio, studio.complete(recipe), sent)


def shown(now: Now, **values: Any) -> Shown:
    rows = [Row("smile", (-1.8, 0.0, 1.8), ()), Row("hair", (0.0, 1.5), ())]
    return replace(shown_now(now, OPEN_PACKS, rows), **values)


def test_a_press_is_a_group_and_an_amount(now: Now) -> None:
    assert shown(now).tile([0, 2]) == (0, 1.8)
    assert shown(now).tile([1, 0]) == (1, 0.0)


@pytest.mark.parametrize(
    "index", [None, 3, "01", [], [0], [0, 1, 2], [0, -1], [-1, 0], [True, 0], [0.0, 1], [{}, 0], [0, 3], [2, 0]]
)
def test_a_press_that_is_none_is_refused(now: Now, index: object) -> None:
    with pytest.raises(PackFormatError, match=r"no picture|not there any more"):
        shown(now).tile(index)


def test_trying_moves_that_slider_on_its_own_layers_and_leaves_the_rest(now: Now) -> None:
    recipe = tried(now, "smile", -1.8)
    assert recipe == replace(now.recipe, amounts={"smile": -1.8, "age": 2.0}, layers={"age": LayerRange(1, 2)})
    assert tried(now, "hair", 1.5).keep == ("light",), "what is kept cannot be moved"
    assert "smile" not in tried(now, "smile", 0.0).amounts
    with pytest.raises(PackFormatError, match="'background' is locked"):
        tried(now, "background", 1.0)
    with pytest.raises(UnknownName, match="wisdom"):
        tried(now, "wisdom", 1.0)


def test_pictures_of_another_generator_are_not_tried(now: Now) -> None:
    check_generator(shown(now), now)
    with pytest.raises(PackMismatch, match="another generator"):
        check_generator(shown(now, fingerprint="0" * 64), now)


def test_only_packs_of_the_same_generator_are_offered(toy_bundles: Path) -> None:
    other = toy_generator(seed=9)
    save_generator(other, toy_bundles / "other")
    save_pack(toy_pack(other), toy_bundles / "other-pack")
    ours = Studios().open("toy-words").generator.fingerprint
    assert fitting_packs(ours) == ["toy-words", "toy-sefa"]
    assert fitting_packs(other.fingerprint) == ["other-pack"]
    (toy_bundles / "toy-sefa" / "config.json").write_text('{"format": "eigan-directions"}')
    assert fitting_packs(ours) == ["toy-words"], "a damaged one is left out"


@pytest.mark.parametrize("hosted", [False, True])
def test_no_event_of_the_tab_is_in_the_api_and_heavy_ones_stand_in_line(toy_bundles: Path, hosted: bool) -> None:
    app = build_app(hosted=hosted)
    ours = {"eigan.ui.explore", "eigan.ui.workbench", "eigan.ui.release"}
    found = [fn for fn in app.fns.values() if getattr(fn.fn, "__module__", "") in ours]
    assert len(found) > 15
    assert all(fn.api_visibility == "private" for fn in found)
    heavy = [fn for fn in found if fn.concurrency_id == "work"]
    assert len(heavy) >= 8
    assert all(fn.concurrency_limit == 1 for fn in heavy)
