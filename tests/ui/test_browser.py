"""The page in a real browser: what a person moves is what they see, to the last pixel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eigan.format import MANIFEST, PRESETS, VECTORS
from eigan.pack import DirectionPack
from eigan.recipe import read_png
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from tests.ui.conftest import Served
from tests.ui.visitor import Pixels, Visitor, render_directly, same


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


def picture_now(visitor: Visitor, pack: DirectionPack, seed: int = DEFAULT_SEED, psi: float = DEFAULT_PSI) -> Pixels:
    """The picture that belongs to the sliders as they stand."""
    return render_directly(pack, seed, psi, visitor.amounts())


def test_first_visit_shows_the_first_pack_with_all_sliders_at_zero(visitor: Visitor, pack: DirectionPack) -> None:
    assert visitor.amounts() == dict.fromkeys(visitor.amounts(), 0.0)
    assert set(visitor.amounts()) <= set(pack.names)
    assert same(visitor.pixels(), render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {}))
    assert visitor.page.locator("#badge strong").get_by_text(pack.name).is_visible()


def test_keyboard_and_mouse_move_a_slider_and_the_picture_follows(visitor: Visitor, pack: DirectionPack) -> None:
    first, name = visitor.pixels(), pack.names[0]
    slider = visitor.slider(name)
    slider.focus()
    for _ in range(7):
        slider.press("ArrowRight")
    visitor.wait_for_other_pixels(first)
    assert visitor.amounts()[name] == pytest.approx(0.7)
    visitor.wait_for_pixels(picture_now(visitor, pack), "the picture of the last key press")
    keyed = visitor.pixels()
    visitor.drag(name, 0.9)
    visitor.wait_for_other_pixels(keyed)
    assert visitor.amounts()[name] > 1.0
    visitor.wait_for_pixels(picture_now(visitor, pack), "the picture of the end of the drag")


def test_a_number_typed_beyond_the_end_is_brought_back(visitor: Visitor, pack: DirectionPack) -> None:
    direction = pack.directions[0]
    box = visitor.number(direction.name)
    box.fill("1.3")
    visitor.wait_for_pixels(picture_now(visitor, pack), "the picture of the number typed")
    box.fill("99")
    box.blur()
    visitor.wait_until(lambda: visitor.amounts()[direction.name] == direction.amount_range[1], "the end of the range")
    visitor.wait_for_pixels(picture_now(visitor, pack), "the picture at the end of the range")


def test_a_preset_moves_several_sliders_and_reset_takes_them_back(visitor: Visitor, pack: DirectionPack) -> None:
    first = visitor.pixels()
    preset = max(pack.presets, key=lambda p: len(p.amounts))
    visitor.preset(preset.name).click()
    visitor.wait_for_other_pixels(first)
    assert visitor.preset(preset.name).get_attribute("aria-pressed") == "true"
    moved = visitor.moved()
    assert len(moved) >= 2
    assert moved == pytest.approx(dict(preset.amounts))
    visitor.wait_for_pixels(picture_now(visitor, pack), "the preset's picture")
    strong = visitor.pixels()
    intensity = visitor.page.get_by_label(f"Intensity of {preset.name}", exact=True)
    intensity.focus()
    for _ in range(4):
        intensity.press("ArrowLeft")
    visitor.wait_for_other_pixels(strong)
    assert intensity.get_attribute("aria-valuetext") == "80 %"
    assert visitor.moved() == pytest.approx({name: 0.8 * amount for name, amount in moved.items()})
    visitor.wait_for_pixels(picture_now(visitor, pack), "the weaker preset's picture")
    visitor.page.locator("#reset").click()
    visitor.wait_for_pixels(first, "the first picture after reset")
    assert not visitor.moved()
    assert visitor.preset(preset.name).get_attribute("aria-pressed") == "false"


def test_a_preset_pressed_again_is_taken_back_and_leaves_what_was_moved_by_hand(
    visitor: Visitor, pack: DirectionPack
) -> None:
    preset = pack.presets[0]
    name = next(name for name in pack.names if name not in preset.amounts)
    visitor.number(name).fill("1")
    visitor.preset(preset.name).click()
    visitor.wait_for_pixels(picture_now(visitor, pack), "the preset on top of what was moved")
    assert visitor.moved() == pytest.approx({name: 1.0, **preset.amounts})
    visitor.preset(preset.name).click()
    wanted = render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {name: 1.0})
    visitor.wait_for_pixels(wanted, "what was moved by hand alone")
    assert visitor.moved() == {name: 1.0}


def test_seed_psi_and_shuffle_change_the_picture(visitor: Visitor, pack: DirectionPack) -> None:
    first = visitor.pixels()
    visitor.set_seed(DEFAULT_SEED + 5)
    visitor.wait_for_other_pixels(first)
    visitor.wait_for_pixels(picture_now(visitor, pack, DEFAULT_SEED + 5), "the picture of the seed")
    visitor.number("Truncation psi").fill("0.4")
    visitor.wait_for_pixels(picture_now(visitor, pack, DEFAULT_SEED + 5, 0.4), "the picture of psi 0.4")
    before = visitor.pixels()
    visitor.page.locator("#shuffle").click()
    visitor.wait_for_other_pixels(before)
    seed = int(visitor.page.locator("#seed input").input_value())
    visitor.wait_for_pixels(picture_now(visitor, pack, seed, 0.4), "the picture of the surprise")


def test_a_share_link_shows_the_same_pixels(visitor: Visitor, context: Any, pack: DirectionPack) -> None:
    visitor.drag(pack.names[0], 0.8)
    visitor.drag(pack.names[1], 0.3)
    visitor.set_seed(12345)
    wanted = picture_now(visitor, pack, 12345)
    visitor.wait_for_pixels(wanted, "the edited picture")
    visitor.wait_until(lambda: "seed=12345" in visitor.link() and visitor.link().count(":") >= 3, "the link")
    friend = Visitor(context, visitor.link())
    assert same(friend.pixels(), wanted)
    assert friend.amounts() == visitor.amounts()
    friend.page.reload()
    friend.page.locator("#sliders input[type=range]").first.wait_for()
    assert same(friend.pixels(), wanted)


@pytest.mark.parametrize("query", ["seed=banana", "pack=no-such-pack&seed=3", "edit=%FF,,::"])
def test_a_broken_link_is_told_and_the_default_shown(
    context: Any, served: Served, pack: DirectionPack, query: str
) -> None:
    someone = Visitor(context, f"{served.url}?{query}")
    someone.toast().wait_for()
    assert "This link cannot be shown" in someone.toast().inner_text()
    assert same(someone.pixels(), render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {}))


def test_a_downloaded_picture_carries_its_recipe_and_opens_again(
    visitor: Visitor, context: Any, served: Served, pack: DirectionPack, tmp_path: Path
) -> None:
    visitor.drag(pack.names[0], 0.75)
    visitor.set_seed(77)
    wanted = picture_now(visitor, pack, 77)
    visitor.wait_for_pixels(wanted, "the edited picture")
    path = visitor.download(tmp_path)
    recipe = read_png(path)
    assert path.name == f"{pack.source}-seed-77-edited.png"
    assert (recipe.pack, recipe.seed, recipe.truncation_psi) == (pack.source, 77, DEFAULT_PSI)
    assert recipe.amounts == {name: value for name, value in visitor.amounts().items() if value}
    with Image.open(path) as image:
        assert same(np.asarray(image), wanted)
    other = Visitor(context, served.url)
    other.upload("Open a picture", path)
    other.wait_for_pixels(wanted, "the picture from its file")
    other.wait_until(lambda: other.amounts() == visitor.amounts(), "the sliders of the file")


def test_before_and_after(visitor: Visitor, pack: DirectionPack) -> None:
    first = visitor.pixels()
    visitor.drag(pack.names[0], 0.9)
    visitor.wait_for_other_pixels(first)
    visitor.page.get_by_label("Before / after").check()
    pictures = visitor.page.locator("#comparison img")
    pictures.nth(1).wait_for()
    shown = set(pictures.evaluate_all("all => all.map(e => e.src)"))
    assert len(shown) == 2
    visitor.page.get_by_label("Before / after").uncheck()
    visitor.page.locator("#picture img").wait_for()
    visitor.wait_for_pixels(picture_now(visitor, pack), "the edited picture again")


def test_a_wrong_pack_is_told_and_the_page_goes_on(visitor: Visitor, pack: DirectionPack) -> None:
    first = visitor.pixels()
    for wrong, sentence in {"no such <b>pack</b>": "not bundled", "nobody/nothing@v1.0.0": "go on working"}.items():
        visitor.load(wrong)
        visitor.toast().wait_for()
        visitor.wait_until(lambda told=sentence: told in visitor.toast().inner_text(), f"a toast that says {sentence}")
        assert visitor.page.get_by_test_id("toast-body").locator("b").count() == 0
        visitor.page.get_by_test_id("toast-close").first.click()
        visitor.toast().wait_for(state="detached")
    slider = visitor.slider(pack.names[0])
    slider.focus()
    slider.press("ArrowRight")
    visitor.wait_for_other_pixels(first)


def test_choosing_from_the_list_or_pressing_enter_loads(visitor: Visitor, packs: list[DirectionPack]) -> None:
    other = packs[-1]
    visitor.page.locator("#picker input").click()
    visitor.page.get_by_role("option", name=other.source, exact=True).click()
    visitor.wait_until(lambda: f"pack={other.source}&" in visitor.link(), "the pack that was chosen")
    box = visitor.page.locator("#picker input")
    box.fill(packs[0].source)
    box.press("Enter")
    visitor.wait_until(lambda: f"pack={packs[0].source}&" in visitor.link(), "the pack that was typed")


def test_hostile_text_from_a_local_folder_stays_text(visitor: Visitor, hostile_folder: Path) -> None:
    first = visitor.pixels()
    visitor.load(str(hostile_folder))
    visitor.wait_for_other_pixels(first)
    visitor.slider("<script>window.pwned=2</script>").wait_for()
    visitor.page.locator("#preset-buttons button").first.click()
    visitor.wait_until(lambda: any(visitor.amounts().values()), "the preset moves")
    assert visitor.page.evaluate("window.pwned") is None
    assert visitor.page.locator("#controls :is(script, iframe, svg[onload], img, a, code)").count() == 0


def test_versions_from_the_hub(visitor: Visitor, served: Served, pack: DirectionPack) -> None:
    folder = served.bundles / pack.source
    files = {name: (folder / name).read_bytes() for name in (MANIFEST, VECTORS, PRESETS) if (folder / name).is_file()}
    served.hub.store.push("user/name", files, tag="v1.0.0")
    served.hub.store.push("user/name", reversed_pack_files(pack), tag="v1.1.0")
    for version in ("v1.0.0", "v1.1.0"):
        visitor.load(f"user/name@{version}")
        visitor.wait_until(lambda v=version: f"pack=user/name@{v}" in visitor.link(), f"the link names {version}")
    visitor.wait_until(lambda: next(iter(visitor.amounts())) == pack.names[-1], "the sliders of the new version")


def reversed_pack_files(pack: DirectionPack) -> dict[str, bytes]:
    """The same directions in the other order, as another version of the pack."""
    from dataclasses import replace

    from eigan.format import pack_files

    last_first = replace(pack, directions=pack.directions[::-1], version="1.1.0", source="", revision="")
    return pack_files(last_first, {})


def test_two_visitors_on_different_packs_do_not_meet(browser: Any, served: Served, packs: list[DirectionPack]) -> None:
    one, other = packs[0], packs[-1]
    with browser.new_context() as mine, browser.new_context() as yours:
        first = Visitor(mine, f"{served.url}?pack={one.source}&seed=1")
        second = Visitor(yours, f"{served.url}?pack={other.source}&seed=2")
        for _ in range(3):
            first.slider(one.names[0]).press("ArrowRight")
            second.slider(other.names[1]).press("ArrowLeft")
        first.wait_for_pixels(picture_now(first, one, 1), "the first visitor's picture")
        second.wait_for_pixels(picture_now(second, other, 2), "the second visitor's picture")
        second.page.reload()
        first.slider(one.names[0]).press("ArrowRight")
        first.wait_for_pixels(picture_now(first, one, 1), "the first visitor's picture after the other's reload")


def test_nothing_but_pictures_is_served_from_disk(served: Served, browser: Any) -> None:
    with browser.new_context() as context:
        for path in ("pyproject.toml", "/etc/hostname", str(served.log)):
            assert context.request.get(f"{served.url}gradio_api/file={path}").status in (403, 404)
