"""Undo, redo and the strip: one line of steps, and a place in it."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eigan.latent_files import Latent
from eigan.recipe import PictureRecipe
from eigan.ui.history import MAX_STEPS, THUMB, History, describe, thumbnail

PICTURE = Image.new("RGB", (8, 8), "teal")


def recipe(number: int) -> PictureRecipe:
    return PictureRecipe("heads", number)


def walk(*numbers: int) -> History:
    history = History()
    for number in numbers:
        history = history.add(recipe(number), PICTURE)
    return history


def seeds(history: History) -> list[int]:
    return [PictureRecipe.from_json(step.recipe).seed for step in history.steps]


def test_nothing_has_happened_yet() -> None:
    assert (History().here, History().at, History().as_strip()["items"]) == ("", -1, [])
    assert History().move_to(0) == History().move_to(-3) == History()


def test_steps_are_added_where_the_page_stands() -> None:
    history = walk(1, 2, 3)
    assert (seeds(history), history.at) == ([1, 2, 3], 2)
    undone = history.move_to(0)
    assert (seeds(undone), undone.here) == ([1, 2, 3], recipe(1).to_json())
    assert seeds(undone.add(recipe(9), PICTURE)) == [1, 9], "what was undone is forgotten"
    assert undone.add(recipe(1), PICTURE) is undone, "the same picture again is no step"
    assert seeds(history) == [1, 2, 3], "a history is never changed"


def test_only_the_last_are_kept() -> None:
    history = walk(*range(MAX_STEPS + 5))
    assert seeds(history) == list(range(5, MAX_STEPS + 5))
    assert history.at == MAX_STEPS - 1


@given(st.lists(st.one_of(st.integers(0, 6), st.sampled_from(["undo", "redo"])), max_size=80))
def test_it_is_a_line_with_a_place_in_it(doings: list[int | str]) -> None:
    """As the textbook's two stacks: undo pops one and pushes it on the other, a step empties the other."""
    history, done, undone = History(), [], []
    for doing in doings:
        if doing == "undo":
            history = history.move_to(history.at - 1)
            if len(done) > 1:
                undone.append(done.pop())
        elif doing == "redo":
            history = history.move_to(history.at + 1)
            if undone:
                done.append(undone.pop())
        elif not done or done[-1] != doing:
            history = history.add(recipe(int(doing)), PICTURE)
            done, undone = [*done, doing][-MAX_STEPS:], []
        assert seeds(history) == done + undone[::-1]
        assert history.at == len(done) - 1
        assert history.here == (recipe(int(done[-1])).to_json() if done else "")


@given(st.integers(1, 10), st.integers(-100, 100), st.integers(-100, 100))
def test_where_one_goes_does_not_depend_on_where_one_was(length: int, first: int, then: int) -> None:
    history = walk(*range(length))
    assert history.move_to(first).move_to(then) == history.move_to(then)
    assert 0 <= history.move_to(then).at < length


def test_the_strip_has_a_small_picture_of_each_step() -> None:
    big = Image.linear_gradient("L").convert("RGBA").resize((300, 200))
    history = History().add(recipe(1), big).add(recipe(2), PICTURE)
    strip = history.move_to(0).as_strip()
    assert (strip["at"], strip["label"], [item["words"] for item in strip["items"]]) == (
        0,
        "History",
        ["seed 1", "seed 2"],
    )
    kind, data = strip["items"][0]["src"].split(",")
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        assert (small.format, small.size) == ("WEBP", (THUMB, THUMB * 2 // 3))
    assert len(thumbnail(Image.effect_noise((1024, 1024), 90))) < 12_000, "the session keeps forty of them"


@pytest.mark.parametrize(
    ("amounts", "words"),
    [
        ({}, "seed 65"),
        ({"smile": 2.0, "age": -1.25}, "seed 65: smile +2, age −1.25"),
        (dict.fromkeys("abcdef", 1.0), "seed 65: a +1, b +1, c +1, d +1 and 2 more"),
        ({"<b>": 0.1}, "seed 65: <b> +0.1"),
    ],
)
def test_a_step_is_told_in_a_few_words(amounts: dict[str, float], words: str) -> None:
    assert describe(PictureRecipe("heads", 65, amounts=amounts)) == words


def test_a_latent_is_told() -> None:
    start = PictureRecipe("heads", 65, latent=Latent.of(torch.zeros(4)))
    assert describe(start) == "uploaded latent"
    assert describe(replace(start, amounts={"age": 1.0})) == "uploaded latent: age +1"
