"""The Explore tab in a real browser: sheet, sweep, a pack named, saved, published and opened again."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eigan.combine import combine
from eigan.format import read_pack
from eigan.pack import DirectionPack
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from eigan.ui.sheets import MIN_STRIP_TILE, PAGE, STRIP_LABEL, pushed
from tests.ui.conftest import Served
from tests.ui.visitor import Visitor, render_directly, same


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    fresh = browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True)
    yield fresh
    fresh.close()


@pytest.fixture
def visitor(context: Any, served: Served) -> Iterator[Visitor]:
    someone = Visitor(context, served.url)
    yield someone
    assert someone.outside == [], "the page asked someone else for something"
    assert someone.trouble == []


@pytest.fixture
def machine(served: Served) -> Iterator[Path]:
    """The file that the app's machine keeps its Hub token in: alice's."""
    path = served.log.parent / "hf" / "token"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("hf_alice")
    yield path
    path.unlink(missing_ok=True)


def explore(visitor: Visitor) -> None:
    """Open the tab, and wait for its first sheet."""
    visitor.page.get_by_role("tab", name="Explore").click()
    visitor.page.locator("#sheet button").first.wait_for()


def shows_page(visitor: Visitor, pack: DirectionPack, start: int = 0) -> bool:
    """Whether the sheet is a page of `pack` from there on: full, or as much as a busy machine draws in its time."""
    shown = sheet_names(visitor)
    return 0 < len(shown) <= PAGE and shown == pack.names[start : start + len(shown)]


def turn_to(visitor: Visitor, tab: str) -> None:
    visitor.page.locator("#explore-tabs").get_by_role("tab", name=tab, exact=True).click()


def sheet_names(visitor: Visitor) -> list[str]:
    return [str(text) for text in visitor.page.locator("#sheet .name").all_text_contents()]


def choose(visitor: Visitor, box: str, option: str) -> None:
    """Choose an option of a dropdown."""
    visitor.page.locator(f"{box} input").click()
    visitor.page.get_by_role("option", name=option, exact=True).click()


def field(visitor: Visitor, elem_id: str) -> Any:
    return visitor.page.locator(f"#{elem_id} :is(input:not([type=range]), textarea)").first


def direction_now(visitor: Visitor) -> str:
    return str(field(visitor, "direction").input_value())


def add_to_draft(visitor: Visitor, **values: str) -> None:
    """Fill the form's boxes by their ids, and add what they say to the draft."""
    for elem_id, value in values.items():
        field(visitor, elem_id.replace("_", "-")).fill(value)
    visitor.page.locator("#add-entry").click()


def drafted(visitor: Visitor) -> list[str]:
    return [str(text) for text in visitor.page.locator("#draft tbody tr").all_inner_texts()]


def press(visitor: Visitor, name: str, amount: str) -> None:
    visitor.page.locator("#sheet").get_by_role("button", name=f"{name} at {amount}", exact=True).click()


def test_a_press_on_the_sheet_moves_that_slider(visitor: Visitor, packs: list[DirectionPack]) -> None:
    pack = packs[0]
    explore(visitor)
    assert shows_page(visitor, pack)
    second, first = pack.directions[1], pack.directions[0]
    up, down = pushed(second, 0.6)[-1], pushed(first, 0.6)[0]
    press(visitor, second.name, f"+{up:g}")
    wanted = render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {second.name: up})
    visitor.wait_for_pixels(wanted, "the picture that was pressed")
    press(visitor, first.name, f"−{abs(down):g}")
    both = render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {first.name: down, second.name: up})
    visitor.wait_for_pixels(both, "the other sliders stay where they are")
    assert direction_now(visitor) == first.name
    visitor.page.get_by_role("tab", name="Sliders").click()
    assert visitor.moved() == {first.name: down, second.name: up}
    visitor.button("Undo").click()
    visitor.wait_for_pixels(wanted, "one press back")


def test_another_packs_sheet_brings_its_direction_along(visitor: Visitor, packs: list[DirectionPack]) -> None:
    pack, other = packs[0], packs[1]
    explore(visitor)
    choose(visitor, "#sheet-source", other.source)
    visitor.page.locator("#draw-sheet").click()
    visitor.wait_until(lambda: shows_page(visitor, other), "the other pack's sheet")
    direction = other.directions[2]
    amount = pushed(direction, 0.6)[-1]
    press(visitor, direction.name, f"+{amount:g}")
    together = combine([pack, other])
    name = together.names[len(pack) + 2]
    wanted = render_directly(together, DEFAULT_SEED, DEFAULT_PSI, {name: amount})
    visitor.wait_for_pixels(wanted, "the other pack's direction")
    visitor.wait_until(lambda: direction_now(visitor) == name, "the direction at hand is the one pressed")
    drawn = len(sheet_names(visitor))
    visitor.page.locator("#sheet-later").click()
    visitor.wait_until(lambda: shows_page(visitor, other, drawn), "its next page")


def test_another_packs_directions_do_not_outstay_it(visitor: Visitor, packs: list[DirectionPack]) -> None:
    explore(visitor)
    visitor.load(packs[1].source)
    visitor.page.locator("#badge strong").get_by_text(packs[1].name, exact=True).wait_for()
    visitor.wait_until(lambda: not sheet_names(visitor), "the old sheet is gone")
    visitor.wait_until(lambda: direction_now(visitor) in packs[1].names, "the direction is one of the new pack's")
    visitor.page.locator("#draw-sheet").click()
    visitor.wait_until(lambda: shows_page(visitor, packs[1]), "the new sheet")


def test_a_sweep_is_pressed_and_downloaded(visitor: Visitor, packs: list[DirectionPack], tmp_path: Path) -> None:
    pack = packs[0]
    name = pack.names[2]
    explore(visitor)
    turn_to(visitor, "Sweep")
    choose(visitor, "#direction", name)
    low, _ = pack[name].amount_range
    visitor.wait_until(lambda: float(field(visitor, "sweep-low").input_value()) == low, "its own range")
    for box, value in (("sweep-low", "-1"), ("sweep-high", "2"), ("steps", "4"), ("rows", "2")):
        field(visitor, box).fill(value)
        field(visitor, box).press("Tab")
    visitor.page.locator("#sweep").click()
    strip = visitor.page.locator("#strip")
    strip.locator("button").nth(7).wait_for()
    strip.get_by_role("button", name=f"seed {DEFAULT_SEED + 1} at +2", exact=True).click()
    wanted = render_directly(pack, DEFAULT_SEED + 1, DEFAULT_PSI, {name: 2.0})
    visitor.wait_for_pixels(wanted, "the picture that was pressed, seed and all")
    assert visitor.page.locator("#seed input").input_value() == str(DEFAULT_SEED + 1)
    saved = visitor.download(tmp_path, "Download strip")
    assert saved.name.endswith(f"-seed-{DEFAULT_SEED}.png")
    picture = np.asarray(Image.open(saved).convert("RGB"))
    times = max(MIN_STRIP_TILE // len(wanted), 1)
    last = picture[-STRIP_LABEL - times * len(wanted) : -STRIP_LABEL, -times * len(wanted) :]
    assert same(last, wanted.repeat(times, axis=0).repeat(times, axis=1))


def test_a_sweep_that_cannot_be_is_told_in_a_sentence(visitor: Visitor) -> None:
    explore(visitor)
    turn_to(visitor, "Sweep")
    field(visitor, "sweep-low").fill("3")
    field(visitor, "sweep-high").fill("3")
    visitor.page.locator("#sweep").click()
    visitor.toast().get_by_text("too short for 7 steps").wait_for()


def test_a_direction_is_named_saved_and_opened(visitor: Visitor, packs: list[DirectionPack], tmp_path: Path) -> None:
    pack = packs[0]
    first, second = pack.directions[0], pack.directions[1]
    explore(visitor)
    turn_to(visitor, "Name")
    choose(visitor, "#direction", second.name)
    visitor.wait_until(lambda: field(visitor, "form-name").input_value() == second.name, "the form is filled")
    add_to_draft(visitor, form_name="<b>glee</b>", minus="grim", plus="gay", form_low="-1", form_high="2.5")
    visitor.wait_until(lambda: len(drafted(visitor)) == 1, "the first entry")
    choose(visitor, "#direction", first.name)
    visitor.wait_until(lambda: field(visitor, "form-name").input_value() == first.name, "the form is filled again")
    visitor.page.locator("#form-flip input").check()
    add_to_draft(visitor, form_name="other")
    visitor.wait_until(lambda: len(drafted(visitor)) == 2, "the second entry")
    assert "<b>glee</b>" in drafted(visitor)[0]
    visitor.button("Edit <b>glee</b>").click()
    visitor.wait_until(lambda: field(visitor, "form-low").input_value() == "-1", "the entry is in the form")
    add_to_draft(visitor, form_name="glee")
    visitor.wait_until(lambda: drafted(visitor)[0].startswith("glee"), "renamed, in its place")
    field(visitor, "pack-name").fill("my people")
    visitor.page.locator("#make-pack").click()
    visitor.page.locator("#draft-note").get_by_text("my people is ready: 2 directions").wait_for()
    with zipfile.ZipFile(visitor.download(tmp_path, "Download .zip")) as archive:
        archive.extractall(tmp_path)
    made = DirectionPack.load(tmp_path / "my-people")
    assert made.names == ["glee", "other"]
    assert (made["glee"].poles, made["glee"].amount_range) == (("grim", "gay"), (-1.0, 2.5))
    low, high = first.amount_range
    assert made["other"].amount_range == (-high, -low), "turned round, and its ends with it"
    names = visitor.download(tmp_path, "Names file")
    assert "[[direction]]" in names.read_text()
    folder = tmp_path / "saved"
    field(visitor, "folder").fill(str(folder))
    visitor.page.locator("#save-pack").click()
    visitor.page.locator("#draft-note").get_by_text("written to").wait_for()
    assert read_pack(folder).names == ["glee", "other"]
    visitor.page.get_by_role("tab", name="Sliders").click()
    visitor.load(str(folder))
    visitor.slider("glee").wait_for()
    visitor.number("glee").fill("2")
    wanted = render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {second.name: 2.0})
    visitor.wait_for_pixels(wanted, "the named slider is the direction that was named")


def test_a_draft_is_read_from_its_file_changed_and_emptied(
    visitor: Visitor, packs: list[DirectionPack], tmp_path: Path
) -> None:
    pack = packs[0]
    names = tmp_path / "names.toml"
    names.write_text(f'name = "read"\n[[direction]]\nfrom = "{pack.name}/{pack.names[0]}"\nname = "one"\n')
    explore(visitor)
    turn_to(visitor, "Name")
    visitor.upload("Open a names file", names)
    visitor.wait_until(lambda: len(drafted(visitor)) == 1, "what the file names")
    assert field(visitor, "pack-name").input_value() == "read"
    visitor.button("Remove one").click()
    visitor.wait_until(lambda: not drafted(visitor), "nothing")
    visitor.page.locator("#make-pack").click()
    visitor.toast().get_by_text("the draft is empty").wait_for()


def test_foreign_folders_are_not_overwritten(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_bytes(b"mine")
    explore(visitor)
    turn_to(visitor, "Name")
    add_to_draft(visitor, form_name="one")
    visitor.wait_until(lambda: len(drafted(visitor)) == 1, "the entry")
    field(visitor, "pack-name").fill("people")
    field(visitor, "folder").fill(str(tmp_path))
    visitor.page.locator("#save-pack").click()
    visitor.toast().get_by_text("holds other files").wait_for()
    assert [path.name for path in tmp_path.iterdir()] == ["me.jpg"]


def test_a_named_pack_is_published_and_opened_from_the_hub(
    visitor: Visitor, packs: list[DirectionPack], served: Served, machine: Path
) -> None:
    pack, hub = packs[0], served.hub
    hub.reset()
    explore(visitor)
    turn_to(visitor, "Name")
    add_to_draft(visitor, form_name="joy")
    visitor.wait_until(lambda: len(drafted(visitor)) == 1, "the entry")
    field(visitor, "pack-name").fill("people")
    turn_to(visitor, "Publish")
    visitor.page.locator("#publish-who").get_by_text("You publish as alice").wait_for()
    visitor.wait_until(lambda: field(visitor, "repo").input_value() == "alice/people", "a name is offered")
    field(visitor, "repo").fill(f"alice/people-{id(visitor)}")
    repo = f"alice/people-{id(visitor)}"
    go = visitor.page.locator("#publish")
    assert go.is_disabled(), "first what it will do"
    visitor.page.locator("#look").click()
    visitor.page.locator("#plan").get_by_text("The repository will be made, public.").wait_for()
    assert not hub.requests("^(POST|PUT|DELETE) "), "looking writes nothing"
    hub.fault("^POST .*/tag/", times=-1, drop=True)
    go.click()
    visitor.toast().get_by_text("only the tag v1.0.0 is not").wait_for(timeout=60_000)
    hub.faults.clear()
    visitor.page.get_by_test_id("toast-close").first.click()
    go.click()
    visitor.toast().get_by_text("has changed since it was shown").wait_for(timeout=60_000)
    visitor.page.locator("#plan").get_by_text("only the tag is missing").wait_for()
    go.click()
    visitor.page.locator("#published").get_by_text("is published").wait_for(timeout=60_000)
    assert field(visitor, "load-line").input_value() == f'eigan.DirectionPack.load("{repo}@v1.0.0")'
    assert len(hub.store.repos[repo].commits) == 2, "one commit after the first"
    visitor.page.locator("#open-published").click()
    visitor.page.locator("#badge strong").get_by_text("people", exact=True).wait_for()
    visitor.page.get_by_role("tab", name="Sliders").click()
    high = pack.directions[0].amount_range[1]
    visitor.number("joy").fill(str(high))
    wanted = render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {pack.names[0]: high})
    visitor.wait_for_pixels(wanted, "the published slider is the direction that was named")
    assert "hf_alice" not in visitor.page.content()
    assert "hf_alice" not in served.log.read_text()


def test_without_a_token_and_with_a_revoked_one_a_sentence_says_what_to_do(visitor: Visitor, machine: Path) -> None:
    machine.unlink()
    explore(visitor)
    turn_to(visitor, "Publish")
    visitor.page.locator("#publish-who").get_by_text("No Hub token on this machine").wait_for()
    turn_to(visitor, "Name")
    add_to_draft(visitor, form_name="joy")
    visitor.wait_until(lambda: len(drafted(visitor)) == 1, "the entry")
    field(visitor, "pack-name").fill("people")
    turn_to(visitor, "Publish")
    field(visitor, "repo").fill("alice/people")
    machine.write_text("hf_revoked")
    visitor.page.locator("#look").click()
    visitor.toast().get_by_text("does not accept the token of this machine").wait_for()
    assert visitor.page.locator("#publish").is_disabled()


def test_the_tab_fits_a_phone(browser: Any, served: Served) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    try:
        visitor = Visitor(context, served.url)
        explore(visitor)
        for tab in ("Contact sheet", "Sweep", "Name", "Publish"):
            turn_to(visitor, tab)
            if tab == "Name":
                add_to_draft(visitor, form_name="a name that is long enough to need more than one line of a phone")
                visitor.wait_until(lambda: len(drafted(visitor)) == 1, "the entry")
            width = visitor.page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, f"{tab} is {width} px wide"
    finally:
        context.close()
