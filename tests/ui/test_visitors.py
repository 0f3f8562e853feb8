"""Several visitors at once, all moving sliders, and a program beside them: no picture is another one's."""

from __future__ import annotations

from typing import Any

from benchmarks import visitors
from benchmarks.visitors import Tally, check
from eigan.recipe import PictureRecipe
from tests.ui.conftest import Served


def test_nobody_sees_a_wrong_picture(served: Served, packs: list[Any]) -> None:
    found = visitors.run(served.url, packs[0], visitors=6, programs=1, seconds=5.0, warm=0.0, pid=None)
    assert found["wrong"] == 0
    assert found["errors"] == {}
    assert found["pictures"] >= 6
    assert found["distinct"] >= 6


def test_a_wrong_picture_would_be_noticed(packs: list[Any]) -> None:
    recipe = PictureRecipe(packs[0].source, 3).to_json()
    assert check({recipe: {"0" * 64}}, packs[0]) == 1


def test_an_error_is_told_apart_from_being_busy() -> None:
    tally = Tally()
    tally.error(ValueError("the app is busy: come back"))
    tally.error(ValueError("something else"))
    assert tally.busy == 1
    assert tally.errors == {"ValueError: something else": 1}
