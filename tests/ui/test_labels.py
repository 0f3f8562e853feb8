"""Sliders as planned from a pack, and strangers' text that stays text."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eigan.layers import LayerRange
from eigan.ui import labels
from eigan.ui.labels import badge, class_choices, plan_slider, shown_names
from tests.toys import toy_direction, toy_generator
from tests.toys_models import varying_direction
from tests.ui.bundles import HOSTILE, hostile_pack, many_pack, words_pack


def test_a_slider_has_the_directions_range_and_words() -> None:
    plan = plan_slider(
        replace(toy_direction(), poles=("closed", "open"), layers=LayerRange(4, 8)), hint="also moves x +"
    )
    assert (plan.low, plan.high, plan.own, plan.step) == (-3.0, 3.0, (-3.0, 3.0), 0.1)
    assert (plan.poles, plan.layers, plan.hint) == (("closed", "open"), "4-7", "also moves x +")


def test_a_slider_says_that_its_direction_depends_on_the_picture() -> None:
    plan = plan_slider(varying_direction(layers=(4, 8)), hint="moves little else")
    assert (plan.layers, plan.hint) == ("4-7", "moves little else · depends on the picture")


def test_a_description_is_one_short_line() -> None:
    plan = plan_slider(replace(toy_direction(), description="opens\nthe mouth " + "x" * 500))
    assert plan.about.startswith("opens the mouth xxx")
    assert len(plan.about) == labels.MAX_ABOUT


def test_a_link_beyond_the_range_widens_it() -> None:
    plan = plan_slider(toy_direction(), 4.25)
    assert (plan.low, plan.high, plan.own) == (-3.0, 4.3, (-3.0, 3.0))


@example(low=-2.0, high=0.0, amount=2**-24, size=1.0)
@given(st.floats(-100, 0), st.floats(0, 100), st.floats(-100, 100), st.sampled_from([1.0, 1e-2, 1e-5, 1e-9]))
def test_every_range_makes_a_slider_that_can_stand_at_zero(low: float, high: float, amount: float, size: float) -> None:
    if low * size == high * size:
        high = 1.0
    plan = plan_slider(replace(toy_direction(), amount_range=(low * size, high * size)), amount * size)
    slack = 1e-6 * plan.step + 1e-9  # a millionth of a step is rounding, and makes no new stop
    assert plan.low <= min(0, amount * size) + slack
    assert plan.high >= max(0, amount * size) - slack
    assert plan.low < plan.high
    assert plan.step > 0
    assert abs(plan.low / plan.step - round(plan.low / plan.step)) < 1e-3, "0 is one of its stops"
    assert plan.low <= plan.own[0] < plan.own[1] <= plan.high


def test_a_pack_of_thousands_shows_some_and_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = toy_generator()
    many, words = many_pack(generator), words_pack(generator)
    assert shown_names(many, []) == many.names
    monkeypatch.setattr(labels, "MAX_SHOWN", 24)
    assert shown_names(many, []) == many.names[:24]
    assert shown_names(many, ["component 39", "component 30"]) == [*many.names[:22], "component 30", "component 39"]
    assert shown_names(many, many.names) == many.names, "what is moved is never left out"
    assert shown_names(words, []) == words.names


def test_classes_have_names_where_they_are_imagenets() -> None:
    assert class_choices(0) == []
    assert class_choices(3) == [("0", 0), ("1", 1), ("2", 2)]
    assert class_choices(1000)[207] == ("golden retriever (207)", 207)


def test_the_badge_says_what_is_open_and_escapes_it() -> None:
    generator = toy_generator()
    html = badge(words_pack(generator), generator.describe())
    assert "Toy words" in html
    assert "1.0.0" in html
    assert "PCA" in html
    assert "stylegan2 32px" in html
    hostile = badge(hostile_pack(generator), HOSTILE["description"])
    assert set(re.findall(r"<(/?\w+)", hostile)) <= {"div", "/div", "strong", "/strong", "span", "/span", "p", "/p"}
    assert "onerror=" not in re.sub(r">[^<]*<", "><", hostile), "only in text, never in a tag"
