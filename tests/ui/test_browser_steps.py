"""Back and forth, several seeds, and the page for everybody: undo, the history strip, keys alone, the hint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from eigan.layers import LayerRange
from eigan.pack import DirectionPack
from eigan.render import grid
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from tests.ui.conftest import Served
from tests.ui.visitor import Pixels, Visitor, edited, render_directly, same

GAP = 2  # pixels between pictures of a sheet


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    fresh = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield fresh
    fresh.close()


@pytest.fixture
def visitor(context: Any, served: Served) -> Iterator[Visitor]:
    someone = Visitor(context, served.url)
    yield someone
    assert someone.outside == [], "the page asked someone else for something"
    assert someone.trouble == []


@pytest.fixture
def pack(packs: list[DirectionPack]) -> DirectionPack:
    return packs[0]


# ---- back and forth


def test_undo_and_redo_by_button_keys_and_strip(visitor: Visitor, pack: DirectionPack) -> None:
    names = pack.names[:3]
    pictures = [visitor.pixels()]
    for i, name in enumerate(names):
        visitor.number(name).fill("1")
        visitor.number(name).blur()
        pictures.append(edited(pack, dict.fromkeys(names[: i + 1], 1.0)))
        visitor.wait_for_pixels(pictures[-1], f"move {i}")
        visitor.wait_until(lambda n=i: visitor.steps().count() == n + 2, "the step in the strip")
    assert visitor.button("Redo").is_disabled()
    visitor.button("Undo").click()
    visitor.wait_for_pixels(pictures[2], "one step back")
    assert visitor.moved() == dict.fromkeys(names[:2], 1.0)
    visitor.page.keyboard.press("Control+z")
    visitor.wait_for_pixels(pictures[1], "two steps back")
    visitor.page.keyboard.press("Control+Shift+z")
    visitor.wait_for_pixels(pictures[2], "one forth")
    visitor.button("Redo").click()
    visitor.wait_for_pixels(pictures[3], "two forth")
    visitor.wait_until(visitor.button("Redo").is_disabled, "nothing to redo")
    visitor.steps().nth(0).click()
    visitor.wait_for_pixels(pictures[0], "the first step")
    assert visitor.moved() == {}
    assert visitor.steps().nth(0).get_attribute("aria-current") == "true"
    assert visitor.button("Undo").is_disabled()
    visitor.page.keyboard.press("Control+z")
    visitor.number(names[0]).fill("-1")
    visitor.wait_for_pixels(edited(pack, {names[0]: -1.0}), "another way from there")
    visitor.wait_until(lambda: visitor.steps().count() == 2, "what was undone is forgotten")


def test_undo_brings_back_seed_psi_and_layers(visitor: Visitor, pack: DirectionPack) -> None:
    name = pack.names[0]
    visitor.number(name).fill("1")
    visitor.button(f"Keep {pack.names[1]}").click()
    visitor.wait_until(lambda: visitor.recipe().keep == (pack.names[1],), "the direction that is kept")
    before, link = visitor.pixels(), visitor.link()
    visitor.set_seed(123)
    visitor.wait_until(lambda: visitor.recipe().seed == 123, "the other seed")
    visitor.number("Truncation psi").fill("0.3")
    visitor.wait_until(lambda: visitor.recipe().truncation_psi == 0.3, "the other psi")
    visitor.page.locator("#reset").click()
    visitor.wait_until(lambda: visitor.recipe().amounts == {}, "the reset")
    for _ in range(3):
        was = visitor.link()
        visitor.button("Undo").click()
        visitor.wait_until(lambda old=was: visitor.link() != old, "a step back")
    visitor.wait_for_pixels(before, "where it was")
    assert visitor.link() == link
    assert visitor.page.locator("#seed input").input_value() == str(DEFAULT_SEED)
    assert visitor.number("Truncation psi").input_value() == str(DEFAULT_PSI)


def test_control_z_in_a_box_is_the_boxs_own(visitor: Visitor, pack: DirectionPack) -> None:
    visitor.number(pack.names[0]).fill("1")
    visitor.number(pack.names[0]).blur()
    visitor.wait_until(lambda: visitor.steps().count() == 2, "a step")
    search = visitor.page.get_by_label("Find a slider")
    search.press_sequentially("abc")
    search.press("Control+z")
    visitor.page.wait_for_timeout(300)
    assert visitor.moved() == {pack.names[0]: 1.0}


def test_undo_knows_which_presets_are_on(visitor: Visitor, pack: DirectionPack) -> None:
    preset = pack.presets[0]
    visitor.preset(preset.name).click()
    intensity = visitor.page.get_by_label(f"Intensity of {preset.name}", exact=True)
    intensity.press("End")
    amounts = {name: 1.5 * amount for name, amount in preset.amounts.items()}
    strong = edited(pack, amounts)
    visitor.wait_for_pixels(strong, "the preset at 150 %")
    visitor.wait_until(lambda: visitor.recipe().amounts == visitor.moved(), "its step")
    visitor.page.locator("#reset").click()
    visitor.wait_for_pixels(edited(pack, {}), "nothing")
    visitor.wait_until(lambda: visitor.recipe().amounts == {}, "the reset's step")
    visitor.button("Undo").click()
    visitor.wait_for_pixels(strong, "the preset at 150 % again")
    assert visitor.preset(preset.name).get_attribute("aria-pressed") == "true"
    assert intensity.get_attribute("aria-valuetext") == "150 %"
    visitor.preset(preset.name).click()
    visitor.wait_for_pixels(edited(pack, {}), "pressed again, it is off")
    assert visitor.moved() == {}


# ---- seeds


def test_several_seeds_side_by_side_and_one_is_chosen(visitor: Visitor, pack: DirectionPack) -> None:
    name = pack.names[0]
    visitor.number(name).fill("1.5")
    visitor.page.get_by_label("4", exact=True).check()
    pictures = [render_directly(pack, DEFAULT_SEED + i, DEFAULT_PSI, {name: 1.5}) for i in range(4)]
    sheet = np.asarray(grid(np.stack(pictures), columns=2, gap=GAP))
    visitor.wait_for_pixels(close_to(sheet, visitor), "four seeds, one edit")
    image = visitor.page.locator("#picture img")
    box = image.bounding_box()
    image.click(position={"x": 0.25 * box["width"], "y": 0.75 * box["height"]})  # the third: second row, first column
    visitor.wait_for_pixels(pictures[2], "the one that was clicked, alone")
    assert visitor.page.locator("#seed input").input_value() == str(DEFAULT_SEED + 2)
    assert visitor.moved() == {name: 1.5}
    assert visitor.page.locator("#count input:checked").get_attribute("value") in ("1", "0")


def close_to(wanted: Pixels, visitor: Visitor) -> Pixels:
    """`wanted`, or what is shown if it is that within one level: a batch of four is rounded in another order."""
    visitor.wait_until(lambda: visitor.pixels().shape == wanted.shape, "a sheet")
    visitor.wait_until(
        lambda: bool((np.abs(visitor.pixels().astype(int) - wanted.astype(int)) <= 1).all()), "the sheet's pictures"
    )
    return visitor.pixels()


# ---- for everybody


def test_a_slider_says_where_it_stands(visitor: Visitor, pack: DirectionPack) -> None:
    direction = next(d for d in pack if all(d.poles))
    slider = visitor.slider(direction.name)
    assert slider.get_attribute("aria-valuetext") == "0 sigmas"
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == f"0.1 sigmas, {direction.poles[1]}"
    slider.press("ArrowLeft")
    slider.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == f"-0.1 sigmas, {direction.poles[0]}"


def test_everything_by_keyboard_alone(visitor: Visitor, pack: DirectionPack) -> None:
    page, first, name = visitor.page, visitor.pixels(), pack.names[0]
    page.locator("body").press("Home")
    met = tab_to(visitor, f"Layers of {name}")
    wanted = ["Find a slider", "Moved only", f"number input for {name}", f"Reset {name}", f"range slider for {name}"]
    assert set(wanted) <= set(met), "each of them is met on the way"
    page.keyboard.press("Enter")
    page.keyboard.type("0-1")
    page.keyboard.press("Enter")
    assert focus(visitor) == f"Layers of {name}", "closing the box leaves one where one was"
    tab_to(visitor, f"range slider for {name}", "Shift+Tab")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    amounts = {name: 0.5}
    moved = edited(pack, amounts, layers={name: LayerRange(0, 2)})
    visitor.wait_for_pixels(moved, "the slider on other layers")
    tab_to(visitor, f"Lock {name}")
    page.keyboard.press("Space")
    tab_to(visitor, pack.presets[0].name, "Shift+Tab")
    page.keyboard.press("Space")
    assert focus(visitor) == pack.presets[0].name, "the chip keeps the focus"
    held = {**pack.presets[0].amounts, name: 0.5}
    visitor.wait_for_pixels(edited(pack, held, layers={name: LayerRange(0, 2)}), "the preset")
    visitor.wait_until(lambda: len(visitor.recipe().amounts) == len(held), "its step")
    page.keyboard.press("Control+z")
    visitor.wait_for_pixels(moved, "one step back")
    assert not same(first, moved)


def focus(visitor: Visitor) -> str:
    """The name of what has the focus."""
    return str(
        visitor.page.evaluate(
            "(e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.title"
            " || e.querySelector('[aria-label]')?.getAttribute('aria-label') || e.querySelector('img')?.alt)"
            "(document.activeElement)"
        )
    ).strip()


def tab_to(visitor: Visitor, name: str, key: str = "Tab", most: int = 160) -> list[str]:
    """Press Tab until the focus is on `name`; what was met on the way, all of which has a name."""
    met = []
    for _ in range(most):
        visitor.page.keyboard.press(key)
        met.append(focus(visitor))
        if met[-1] == name:
            assert all(met), f"something without a name between {met}"
            return met
    raise AssertionError(f"{name} is not to be reached; met {met}")


def test_the_hint_closes_and_stays_closed(visitor: Visitor) -> None:
    hint = visitor.page.locator("#hint")
    assert "Surprise me" in hint.inner_text()
    visitor.button("Close the hint").click()
    assert hint.count() == 0
    visitor.page.reload()
    visitor.page.locator("#sliders input[type=range]").first.wait_for()
    visitor.wait_until(lambda: hint.count() == 0 or not hint.is_visible(), "no hint")
    visitor.page.wait_for_timeout(500)
    assert hint.count() == 0
