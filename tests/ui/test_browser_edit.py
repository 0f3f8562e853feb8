"""Every way to edit, as a person does it: lock, keep, layers, search, numbers, undo, seeds side by side, presets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eigan.combine import combine
from eigan.edit import overlap
from eigan.layers import LayerRange
from eigan.pack import DirectionPack, MadeFor, Preset
from eigan.readers.safetensors import save_generator
from eigan.recipe import PictureRecipe
from eigan.render import grid
from eigan.ui.labels import shorten
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from tests.toys import toy_generator
from tests.ui.bundles import direction, words_pack
from tests.ui.conftest import Served
from tests.ui.visitor import Pixels, Visitor, draw_directly, render_directly, same

GAP = 2  # pixels between pictures of a sheet
ODD_NAMES = ("constructor", "hasOwnProperty", "toString", "__defineGetter__", "smile: 1,2 %2C", "ünïcödé ✓")


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


def edited(pack: DirectionPack, amounts: Mapping[str, float], **more: Any) -> Pixels:
    """The picture of the default seed after these moves, summed in the order of the sliders, as the page does."""
    in_order = {name: amounts[name] for name in pack.names if name in amounts}
    return draw_directly(PictureRecipe("", DEFAULT_SEED, DEFAULT_PSI, amounts=in_order, **more), pack)


def sharing(pack: DirectionPack) -> tuple[str, str]:
    """Two directions of which one is changed by keeping the other."""
    pairs = [(a.name, b.name) for a, b in combinations(pack, 2) if 0.2 < abs(overlap(a, b)) < 0.9]
    return pairs[0] if pairs else next((a.name, b.name) for a, b in combinations(pack, 2) if overlap(a, b))


# ---- lock, keep, layers


def test_a_lock_holds_against_presets_and_reset(visitor: Visitor, pack: DirectionPack) -> None:
    preset = max(pack.presets, key=lambda p: len(p.amounts))
    name, *others = preset.amounts
    visitor.number(name).fill("0.7")
    visitor.button(f"Lock {name}").click()
    assert visitor.slider(name).is_disabled() and visitor.number(name).is_disabled()
    visitor.preset(preset.name).click()
    amounts = {name: 0.7} | {other: preset.amounts[other] for other in others}
    visitor.wait_for_pixels(edited(pack, amounts), "the preset, but for what is locked")
    assert visitor.moved() == pytest.approx(amounts)
    visitor.page.locator("#reset").click()
    visitor.wait_for_pixels(edited(pack, {name: 0.7}), "what is locked alone")
    assert visitor.moved() == {name: 0.7}
    visitor.button("Undo").click()
    visitor.wait_until(lambda: len(visitor.moved()) > 1, "the step before")
    assert visitor.button(f"Lock {name}").get_attribute("aria-pressed") == "true"
    visitor.button(f"Lock {name}").click()
    assert visitor.moved()[name] == 0.7, "unlocking moves nothing"
    visitor.button(f"Reset {name}").click()
    visitor.wait_for_pixels(edited(pack, {o: preset.amounts[o] for o in others}), "it can be moved again")


def test_what_is_kept_is_left_alone_by_the_others(visitor: Visitor, pack: DirectionPack) -> None:
    moved, kept = sharing(pack)
    visitor.number(moved).fill("1")
    plain = edited(pack, {moved: 1.0})
    visitor.wait_for_pixels(plain, "the move alone")
    visitor.button(f"Keep {kept}").click()
    wanted = edited(pack, {moved: 1.0}, keep=(kept,))
    assert not same(plain, wanted), "else this shows nothing"
    visitor.wait_for_pixels(wanted, "the move that leaves the other alone")
    visitor.wait_until(lambda: visitor.recipe().keep == (kept,), "the link that says so")
    visitor.button(f"Stop keeping {kept}").click()
    visitor.wait_for_pixels(plain, "the move alone again")
    assert visitor.button(f"Stop keeping {kept}").count() == 0
    assert visitor.button(f"Keep {kept}").get_attribute("aria-pressed") == "false"


def test_what_cannot_be_kept_is_said(visitor: Visitor, pack: DirectionPack, tmp_path: Path) -> None:
    generator = toy_generator()
    words = pack_of(generator, tmp_path, ["here", "twin"])
    twin = replace(words["twin"], vector=words["here"].vector)
    replace(words, directions=(words["here"], twin)).save(tmp_path / "pack")
    visitor.load(str(tmp_path / "pack"))
    visitor.slider("twin").wait_for()
    visitor.number("here").fill("1")
    visitor.button("Keep twin").click()
    visitor.wait_until(lambda: "nothing is left of 'here'" in visitor.toast().inner_text(), "a sentence")


def test_layers_are_typed_refused_and_taken_back(visitor: Visitor, pack: DirectionPack) -> None:
    name, last = pack.names[0], pack.made_for.num_layers - 1
    own = pack[name].layers
    visitor.number(name).fill("2")
    plain = edited(pack, {name: 2.0})
    visitor.wait_for_pixels(plain, "the move on its own layers")
    where = visitor.button(f"Layers of {name}")
    where.click()
    box = visitor.page.get_by_label(f"Layers that {name} moves")
    assert box.input_value() == str(own)
    for wrong in (f"0-{last + 1}", "3-2", "x", "1,2", "-1"):
        box.fill(wrong)
        box.press("Enter")
        visitor.page.get_by_text(f"write layers of 0-{last}").wait_for()
    assert same(visitor.pixels(), plain), "what is refused changes nothing"
    for text, layers in {"0-1": (0, 2), f"{last}": (last, last + 1), "all": (0, last + 1)}.items():
        if not box.is_visible():
            where.click()
        box.fill(text)
        box.press("Enter")
        assert not box.is_visible()
        wanted = edited(pack, {name: 2.0}, layers={name: LayerRange(*layers)})
        visitor.wait_for_pixels(wanted, f"the move on layers {text}")
    visitor.wait_until(lambda: visitor.recipe().layers == {name: LayerRange(0, last + 1)}, "the link that says so")
    assert f"(own: {own})" in where.inner_text()
    where.click()
    box.fill("")
    visitor.button("set").click()
    visitor.wait_for_pixels(plain, "its own layers again")
    assert where.inner_text() == f"layers {own}"
    where.click()
    box.press("Escape")
    assert not box.is_visible()
    assert visitor.page.evaluate("document.activeElement.getAttribute('aria-label')") == f"Layers of {name}"


# ---- finding and moving


def test_searching_among_very_many(context: Any, served: Served, packs: list[DirectionPack]) -> None:
    first, *others = [p for p in packs if p.made_for.fingerprint == packs[0].made_for.fingerprint]
    together = combine([first, *others])
    assert len(together) >= 60
    someone = Visitor(context, f"{served.url}?pack={first.source}&with={','.join(p.source for p in others)}")
    rows = someone.page.locator("#sliders .row")
    assert rows.count() == len(together)
    someone.number(together.names[-1]).fill("1")
    wanted = edited(together, {together.names[-1]: 1.0})
    someone.wait_for_pixels(wanted, "the picture of the last slider")
    search, name = someone.page.get_by_label("Find a slider"), together.names[len(first) + 3]
    search.fill(name.upper())
    visible = someone.page.locator("#sliders .row:visible .name")
    texts = {d.name: f"{d.name} {' '.join(d.poles)} {shorten(d.description)}".lower() for d in together}
    fitting = [n for n, text in texts.items() if all(word in text for word in name.lower().split())]
    assert name in fitting and len(fitting) < 9
    someone.wait_until(lambda: visible.all_inner_texts() == fitting, "only what is searched for")
    assert f"{len(fitting)} of {len(together)}" in someone.page.locator(".panel-tools").inner_text()
    search.fill("no such slider")
    someone.wait_until(lambda: visible.count() == 0, "nothing found")
    search.fill("")
    someone.wait_until(lambda: visible.count() == len(together), "all of them")
    moved_only = someone.button("Moved only")
    moved_only.click()
    assert visible.all_inner_texts() == [together.names[-1]]
    preset = first.presets[0]
    someone.preset(preset.name).click()
    someone.wait_until(lambda: visible.count() == len(preset.amounts) + 1, "what the preset moves is shown, too")
    moved_only.click()
    assert visible.count() == len(together)
    assert someone.trouble == []


def test_poles_find_a_slider_too(visitor: Visitor, pack: DirectionPack) -> None:
    direction = next(d for d in pack if d.poles[1] and d.poles[1] not in d.name)
    visitor.page.get_by_label("Find a slider").fill(direction.poles[1])
    visitor.wait_until(
        lambda: direction.name in visitor.page.locator("#sliders .row:visible .name").all_inner_texts(), "its pole"
    )


def test_numbers_are_typed_and_one_slider_reset(visitor: Visitor, pack: DirectionPack) -> None:
    first, second = pack.names[:2]
    visitor.number(first).fill("1.37")
    visitor.number(second).fill("-0.5")
    visitor.wait_for_pixels(edited(pack, {first: 1.37, second: -0.5}), "what was typed")
    visitor.button(f"Reset {first}").click()
    visitor.wait_for_pixels(edited(pack, {second: -0.5}), "the other alone")
    visitor.number(second).fill("")
    visitor.wait_for_pixels(edited(pack, {}), "an empty box is 0")
    visitor.number(second).blur()
    assert visitor.number(second).input_value() == "0"


def test_the_last_position_wins(visitor: Visitor, pack: DirectionPack) -> None:
    """Dragged to and fro, in hundreds of steps: the picture that stays is that of where the thumbs were let go."""
    chance, names = random.Random(0), pack.names[:3]
    for _ in range(5):
        for _ in range(2):
            places = [chance.uniform(0.05, 0.95) for _ in range(4)]
            visitor.drag_through(chance.choice(names), places, steps=chance.randint(2, 30))
        wanted = edited(pack, visitor.moved())
        visitor.wait_for_pixels(wanted, "the picture of the last position")
        visitor.wait_until(lambda: visitor.recipe().amounts == visitor.moved(), "the link of the last position")
        visitor.page.wait_for_timeout(500)  # whatever was still on its way has arrived by now
        assert same(visitor.pixels(), wanted)


# ---- back and forth


def test_undo_and_redo_by_button_keys_and_strip(visitor: Visitor, pack: DirectionPack) -> None:
    names = pack.names[:3]
    pictures = [visitor.pixels()]
    for i, name in enumerate(names):
        visitor.number(name).fill("1")
        visitor.number(name).blur()
        pictures.append(edited(pack, dict.fromkeys(names[: i + 1], 1.0)))
        visitor.wait_for_pixels(pictures[-1], f"move {i}")
        visitor.wait_until(lambda n=i: steps(visitor).count() == n + 2, "the step in the strip")
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
    steps(visitor).nth(0).click()
    visitor.wait_for_pixels(pictures[0], "the first step")
    assert visitor.moved() == {}
    assert steps(visitor).nth(0).get_attribute("aria-current") == "true"
    assert visitor.button("Undo").is_disabled()
    visitor.page.keyboard.press("Control+z")
    visitor.number(names[0]).fill("-1")
    visitor.wait_for_pixels(edited(pack, {names[0]: -1.0}), "another way from there")
    visitor.wait_until(lambda: steps(visitor).count() == 2, "what was undone is forgotten")


def steps(visitor: Visitor) -> Any:
    return visitor.page.get_by_role("list", name="History").get_by_role("button")


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
    visitor.wait_until(lambda: steps(visitor).count() == 2, "a step")
    search = visitor.page.get_by_label("Find a slider")
    search.press_sequentially("abc")
    search.press("Control+z")
    visitor.page.wait_for_timeout(300)
    assert visitor.moved() == {pack.names[0]: 1.0}


# ---- seeds, presets


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


def test_two_presets_add_up_in_either_order(visitor: Visitor, pack: DirectionPack) -> None:
    one, other = presets_that_meet(pack)
    amounts = {
        n: one.amounts.get(n, 0.0) + other.amounts.get(n, 0.0)
        for n in pack.names
        if n in {*one.amounts, *other.amounts}
    }
    wanted = edited(pack, amounts)
    for pair in ((one, other), (other, one)):
        for preset in pair:
            visitor.preset(preset.name).click()
        visitor.wait_for_pixels(wanted, "both presets")
        assert visitor.moved() == pytest.approx({n: a for n, a in amounts.items() if a})
        visitor.preset(pair[0].name).click()
        visitor.wait_for_pixels(edited(pack, pair[1].amounts), "the second alone")
        visitor.page.locator("#reset").click()
        visitor.wait_for_pixels(edited(pack, {}), "neither")


def presets_that_meet(pack: DirectionPack) -> tuple[Preset, Preset]:
    """Two that move a slider in common, if there are; else any two."""
    pairs = list(combinations(pack.presets, 2))
    return next((pair for pair in pairs if set(pair[0].amounts) & set(pair[1].amounts)), pairs[0])


def test_undo_knows_which_presets_are_on(visitor: Visitor, pack: DirectionPack) -> None:
    preset = pack.presets[0]
    visitor.preset(preset.name).click()
    intensity = visitor.page.get_by_label(f"Intensity of {preset.name}", exact=True)
    intensity.press("End")
    amounts = {name: 1.5 * amount for name, amount in preset.amounts.items()}
    strong = edited(pack, amounts)
    visitor.wait_for_pixels(strong, "the preset at 150 %")
    visitor.wait_until(lambda: steps(visitor).count() >= 2, "a step")
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


def test_what_overlaps_is_said(visitor: Visitor, pack: DirectionPack) -> None:
    pairs = [(overlap(a, b), a.name, b.name) for a, b in combinations(pack, 2)]
    value, one, other = max(pairs, key=lambda pair: abs(pair[0]))
    line = visitor.page.locator("#overlap .overlap")
    assert line.count() == 0
    visitor.number(one).fill("1")
    visitor.number(other).fill("0.5")
    how = "go the same way" if value > 0 else "work against each other"
    visitor.page.get_by_text(f"{one} and {other} {how} ({value:+.2f})").wait_for()
    visitor.number(other).fill("-0.5")
    visitor.page.get_by_text(f"({-value:+.2f})").wait_for()
    visitor.page.locator("#reset").click()
    visitor.wait_until(lambda: line.count() == 0, "nothing to say")


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


def test_names_that_mean_something_to_javascript(visitor: Visitor, tmp_path: Path) -> None:
    words = pack_of(toy_generator(), tmp_path, (*ODD_NAMES, "__proto__"))
    presets = tuple(Preset(name, {name: 1.0, ODD_NAMES[0]: 0.5}) for name in ODD_NAMES[1:3])
    replace(words, presets=presets).save(tmp_path / "pack")
    words = DirectionPack.load(tmp_path / "pack")
    visitor.load(words.source)
    visitor.slider(ODD_NAMES[0]).wait_for()
    visitor.wait_for_pixels(edited(words, {}), "the other pack")
    assert visitor.moved() == {} and not visitor.slider("constructor").is_disabled()
    amounts = {}
    for i, name in enumerate(ODD_NAMES):
        visitor.number(name).fill(str(amounts.setdefault(name, round(0.4 + 0.2 * i, 1))))
    visitor.wait_for_pixels(edited(words, amounts), "all of them moved")
    visitor.wait_until(lambda: dict(visitor.recipe().amounts) == amounts, "the link")
    visitor.preset("hasOwnProperty").click()
    more = amounts | {"hasOwnProperty": amounts["hasOwnProperty"] + 1, "constructor": amounts["constructor"] + 0.5}
    visitor.wait_for_pixels(edited(words, more), "and the preset")
    visitor.button("Lock hasOwnProperty").click()
    visitor.button("Keep toString").click()
    visitor.page.locator("#reset").click()
    held = edited(words, {"hasOwnProperty": more["hasOwnProperty"]}, keep=("toString",))
    visitor.wait_for_pixels(held, "what is locked")


def pack_of(generator: Any, folder: Path, names: Sequence[str]) -> DirectionPack:
    """Directions called `names` for `generator`, which lies beside them under `folder`."""
    save_generator(generator, folder / "generator", dtype="fp32")
    made_for = replace(MadeFor.describe(generator), source=str(folder / "generator"))
    directions = tuple(direction(generator, name, i) for i, name in enumerate(names))
    return replace(words_pack(generator), directions=directions, presets=(), made_for=made_for)
