"""Every way to edit, as a person does it: lock, keep, layers, search, numbers, dragging, presets together."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from eigan.combine import combine
from eigan.edit import overlap
from eigan.layers import LayerRange
from eigan.pack import DirectionPack, MadeFor, Preset
from eigan.readers.safetensors import save_generator
from eigan.ui.labels import shorten
from tests.toys import toy_generator
from tests.ui.bundles import direction, words_pack
from tests.ui.conftest import Served
from tests.ui.visitor import Visitor, edited, same

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


# ---- presets, overlaps, names


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
