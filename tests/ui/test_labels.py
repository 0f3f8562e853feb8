"""Sliders as planned from a pack, and strangers' text that stays text."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from eigan.layers import LayerRange
from eigan.ui import labels
from eigan.ui.labels import badge, plain_info, plan_slider, shown_names
from tests.toys import toy_direction, toy_generator
from tests.toys_models import varying_direction
from tests.ui.bundles import HOSTILE, hostile_pack, many_pack, words_pack

# the constructs that Gradio's `info` turns into HTML
MARKUP = re.compile(
    r"`[^`]+`|\[[^\]]+\]\([^)]+\)|\*\*.+?\*\*|__.+?__|\*.+?\*|(?<!\w)_.+?_(?!\w)|[<>]", flags=re.ASCII | re.DOTALL
)


def test_a_slider_has_the_directions_range_and_words() -> None:
    plan = plan_slider(replace(toy_direction(), poles=("closed", "open"), layers=LayerRange(4, 8)))
    assert (plan.minimum, plan.maximum, plan.step, plan.value, plan.zero) == (-3.0, 3.0, 0.1, 0.0, 50)
    assert plan.info == "closed … open · layers 4-7"


def test_a_slider_says_that_its_direction_depends_on_the_picture() -> None:
    assert plan_slider(varying_direction(layers=(4, 8))).info == "layers 4-7 · depends on the picture"


def test_one_pole_one_layer_or_only_a_description() -> None:
    one = replace(toy_direction(), poles=("", "open"), layers=LayerRange(4, 5))
    assert plan_slider(one).info == "− … open · layer 4"
    described = replace(one, poles=("", ""), description="opens\nthe mouth " + "x" * 500)
    assert plan_slider(described).info.startswith("opens the mouth xxx")
    assert len(plan_slider(described).info) < 170


def test_a_link_beyond_the_range_widens_it() -> None:
    plan = plan_slider(toy_direction(), 4.25)
    assert (plan.minimum, plan.maximum, plan.value) == (-3.0, 4.3, 4.25)


@example(low=-2.0, high=0.0, amount=2**-24, size=1.0)
@given(st.floats(-100, 0), st.floats(0, 100), st.floats(-100, 100), st.sampled_from([1.0, 1e-2, 1e-5, 1e-9]))
def test_every_range_makes_a_slider_that_can_stand_at_zero(low: float, high: float, amount: float, size: float) -> None:
    if low * size == high * size:
        high = 1.0
    plan = plan_slider(replace(toy_direction(), amount_range=(low * size, high * size)), amount * size)
    slack = 1e-6 * plan.step + 1e-9  # a millionth of a step is rounding, and makes no new stop
    assert plan.minimum <= min(0, amount * size) + slack
    assert plan.maximum >= max(0, amount * size) - slack
    assert plan.minimum < plan.maximum
    assert plan.step > 0
    assert abs(plan.minimum / plan.step - round(plan.minimum / plan.step)) < 1e-3, "0 is one of its stops"
    assert 0 <= plan.zero <= 100


def test_first_directions_are_shown_then_those_moved_then_those_of_presets() -> None:
    generator = toy_generator()
    many = many_pack(generator)
    assert shown_names(many, [], []) == many.names[: labels.SHOWN]
    shown = shown_names(many, ["component 30"], ["component 39"])
    assert shown == [*many.names[: labels.SHOWN], "component 30", "component 39"]
    words = words_pack(generator)
    assert shown_names(words, [], []) == words.names


@given(st.text(max_size=80))
def test_no_text_becomes_markup_in_info(text: str) -> None:
    assert not MARKUP.search(plain_info(text))


def test_plain_words_stay_as_they_are() -> None:
    for text in ("from the left", "long_hair", "Größe 2.5 (warm)", "it's 50 % & more", "#1: a-b"):
        assert plain_info(text) == text


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
