"""Comparing and taking away in a real browser: what is shown and downloaded is what the library draws."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from eigan import sources
from eigan.combine import combine
from eigan.format import MANIFEST, PRESETS, VECTORS
from eigan.pack import DirectionPack
from eigan.recipe import PictureRecipe, read_png
from eigan.ui.contact_sheet import GAP, tile_place
from tests.ui.conftest import Served
from tests.ui.visitor import Pixels, Visitor, draw_directly, same

LOSSY = 2.5  # levels that codecs may differ by on average; the edits of these tests make 5 and more
EDIT = "?seed=21&edit={}:3.0"


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    fresh = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    fresh.grant_permissions(["clipboard-read", "clipboard-write"])
    yield fresh
    fresh.close()


@pytest.fixture
def pack(packs: list[DirectionPack]) -> DirectionPack:
    return packs[0]


@pytest.fixture
def visitor(context: Any, served: Served, pack: DirectionPack) -> Iterator[Visitor]:
    """Somebody in front of an edited picture."""
    someone = Visitor(context, served.url + EDIT.format(pack.names[1]))
    yield someone
    assert someone.outside == [], "the page asked someone else for something"
    assert someone.trouble == []


def open_tab(visitor: Visitor, *names: str) -> None:
    for name in names:
        visitor.page.get_by_role("tab", name=name, exact=True).click()


def combined(recipe: PictureRecipe) -> DirectionPack:
    return combine([sources.load_pack(source) for source in (recipe.pack, *recipe.further)])


def drawn(recipe: PictureRecipe) -> Pixels:
    return draw_directly(recipe, combined(recipe))


def bare(recipe: PictureRecipe) -> PictureRecipe:
    return replace(recipe, amounts={}, layers={}, keep=())


def apart(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


# Compare


def rows(visitor: Visitor) -> Any:
    return visitor.page.locator("#rivals li")


def wait_for_rows(visitor: Visitor, count: int) -> None:
    visitor.wait_until(lambda: rows(visitor).count() == count, f"{count} packs side by side")


def tiles(row: Any) -> list[Pixels]:
    """The pictures of a row, decoded."""
    found = []
    for address in row.locator("img").evaluate_all("all => all.map(e => e.src)"):
        with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
            found.append(np.asarray(picture.convert("RGB")))
    return found


def test_the_same_edit_side_by_side_and_used(visitor: Visitor, packs: list[DirectionPack]) -> None:
    before, edited = visitor.recipe(), visitor.pixels()
    open_tab(visitor, "Compare")
    wait_for_rows(visitor, len(packs))
    assert visitor.page.locator("#compare-direction input").input_value() == packs[0].names[1], "what is moved"
    chosen = tiles(rows(visitor).first)
    assert same(chosen[2], edited) and same(chosen[1], drawn(bare(before)))
    opposite = replace(before, amounts={name: -amount for name, amount in before.amounts.items()})
    assert same(chosen[0], drawn(opposite))
    for index in range(1, len(packs)):
        row = rows(visitor).nth(index)
        wanted = tiles(row)[2]
        row.get_by_role("button").click()
        visitor.wait_for_pixels(wanted, f"the edit of row {index + 1}")
        taken = visitor.recipe()
        assert same(drawn(taken), wanted) and len(taken.further) == 1 and packs[0].names[1] not in taken.amounts
    visitor.wait_until(
        lambda: visitor.page.locator("#compare-direction input").input_value() in visitor.recipe().amounts,
        "the edit that was used is the one to compare next",
    )
    rows(visitor).first.get_by_role("button").click()
    visitor.wait_for_pixels(edited, "the edit that it began with")
    assert visitor.recipe().amounts == before.amounts


def test_another_direction_and_amount_are_compared_at_once(visitor: Visitor, pack: DirectionPack) -> None:
    open_tab(visitor, "Compare")
    rows(visitor).nth(1).wait_for()
    box = visitor.page.locator("#compare-direction input")
    box.click()
    visitor.page.get_by_role("option", name=pack.names[3], exact=True).click()
    first = rows(visitor).first.locator(".edit")
    visitor.wait_until(lambda: first.inner_text().startswith(pack.names[3]), "the rows of the other slider")
    number = visitor.page.locator("#compare-amount input[type=number]")
    number.fill("-1")
    visitor.page.locator("#compare-run").click()
    visitor.wait_until(lambda: first.inner_text() == f"{pack.names[3]} −1", "the rows of the other amount")
    recipe = visitor.recipe()
    wanted = replace(recipe, amounts={**recipe.amounts, pack.names[3]: -1.0})
    assert same(tiles(rows(visitor).first)[2], drawn(wanted)), "the other sliders stay as they stand"


def test_a_pack_from_the_hub_is_compared_and_a_wrong_one_told(
    visitor: Visitor, served: Served, packs: list[DirectionPack]
) -> None:
    folder = served.bundles / packs[-1].source
    files = {name: (folder / name).read_bytes() for name in (MANIFEST, VECTORS, PRESETS) if (folder / name).is_file()}
    served.hub.store.push("user/rival", files, tag="v1.0.0")
    open_tab(visitor, "Compare")
    wait_for_rows(visitor, len(packs))
    box = visitor.page.locator("#compare-packs input")
    for name in ("user/rival@v1.0.0", "no such pack"):
        box.fill(name)
        box.press("Enter")
    visitor.page.locator("#compare-run").click()
    visitor.wait_until(lambda: "no such pack" in visitor.toast().inner_text(), "the pack that is not there is told")
    wait_for_rows(visitor, len(packs) + 1)
    wanted = tiles(rows(visitor).last)[2]
    rows(visitor).last.get_by_role("button").click()
    visitor.wait_for_pixels(wanted, "its edit")
    visitor.wait_until(lambda: visitor.recipe().further == ("user/rival@v1.0.0",), "its pack in the link")


def test_numbers_and_what_to_cite(visitor: Visitor, packs: list[DirectionPack]) -> None:
    open_tab(visitor, "Compare")
    wait_for_rows(visitor, len(packs))
    assert visitor.page.locator("#compare-numbers tbody tr").count() == 2 * len(packs)
    visitor.page.locator("#cite > button").click()
    visitor.wait_until(lambda: "@misc{eigan" in copied(visitor, "#bibtex"), "the BibTeX")
    papers = ("harkonen2020ganspace", "shen2021closedform", "yuksel2021latentclr", "karras2020stylegan2")
    if packs[0].source == "heads":
        assert all(paper in copied(visitor, "#bibtex") for paper in papers)
    assert PictureRecipe.from_json(copied(visitor, "#cite-recipe")).amounts == visitor.recipe().amounts
    listed = visitor.page.locator("#cited").inner_text()
    assert all(pack.name in listed and pack.version in listed for pack in packs)


# Take away


def make_film(visitor: Visitor, kind: str, folder: Path) -> Path:
    """Make an animation of the kind, and download it."""
    visitor.page.locator("#film-format").get_by_label(kind, exact=True).check()
    visitor.page.locator("#film-make").click()
    visitor.page.locator({"WebP": "#film img", "MP4": "#film-video video"}[kind]).wait_for()
    return visitor.download(folder, "Download animation")


def frames_of(path: Path) -> list[Pixels]:
    if path.suffix == ".webp":
        with Image.open(path) as film:
            return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def enlarged(picture: Pixels, size: int) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("kind", ["WebP", "MP4"])
def test_an_animation_begins_and_ends_at_the_unedited_picture(visitor: Visitor, kind: str, tmp_path: Path) -> None:
    recipe = visitor.recipe()
    open_tab(visitor, "Take away")
    path = make_film(visitor, kind, tmp_path)
    assert path.suffix == {"WebP": ".webp", "MP4": ".mp4"}[kind] and "seed-21-edited" in path.name
    found = frames_of(path)
    size = found[0].shape[0]
    before, after = enlarged(drawn(bare(recipe)), size), enlarged(drawn(recipe), size)
    assert apart(before, after) > 2 * LOSSY
    assert apart(found[0], before) < LOSSY and apart(found[-1], before) < LOSSY
    assert min(apart(frame, after) for frame in found) < LOSSY, "it reaches the edit"
    assert len(found) > 15


def test_one_slider_from_end_to_end(visitor: Visitor, pack: DirectionPack, tmp_path: Path) -> None:
    recipe, name = visitor.recipe(), pack.names[3]
    open_tab(visitor, "Take away")
    visitor.page.get_by_label("One slider, end to end").check()
    visitor.page.locator("#film-direction input").click()
    visitor.page.get_by_role("option", name=name, exact=True).click()
    found = frames_of(make_film(visitor, "MP4", tmp_path))
    ends = [drawn(replace(recipe, amounts={**recipe.amounts, name: end})) for end in pack[name].amount_range]
    low, high = (enlarged(end, found[0].shape[0]) for end in ends)
    assert apart(found[0], low) < LOSSY and apart(found[15], high) < LOSSY


STOP_AT_ONCE = """() => {  // as soon as the first frames are told, quicker than a hand
  new MutationObserver((_, observer) => {
    if (!document.querySelector("#film-note progress")) return;
    observer.disconnect();
    document.querySelector("#film-stop").click();
    window.stopped = true;
  }).observe(document.querySelector("#film-note"), { childList: true, subtree: true });
}"""


def test_a_stopped_animation_makes_room(visitor: Visitor) -> None:
    open_tab(visitor, "Take away")
    visitor.page.locator("#film-count input[type=number]").fill("40")
    visitor.page.evaluate(STOP_AT_ONCE)
    visitor.page.locator("#film-make").click()
    visitor.wait_until(lambda: visitor.page.evaluate("window.stopped") is True, "it was begun, and stopped")
    open_tab(visitor, "Contact sheet")
    visitor.page.locator("#pairs-make").click()
    visitor.page.locator("#pairs img").wait_for()  # made after it, one at a time
    open_tab(visitor, "Animation")
    assert visitor.page.locator("#film img").count() == 0
    assert visitor.page.locator("#film-note progress").count() == 0


def test_a_contact_sheet_holds_the_direct_renders_and_opens_again(
    visitor: Visitor, context: Any, served: Served, tmp_path: Path
) -> None:
    recipe = visitor.recipe()
    open_tab(visitor, "Take away", "Contact sheet")
    visitor.page.locator("#pairs-seeds input[type=number]").fill("4")
    visitor.page.locator("#pairs-make").click()
    visitor.page.locator("#pairs img").wait_for()
    path = visitor.download(tmp_path, "Download sheet")
    assert read_png(path).amounts == recipe.amounts
    with Image.open(path) as image:
        sheet = np.asarray(image)
    for index in range(4):
        one = replace(recipe, seed=recipe.seed + index)
        for part, wanted in enumerate((drawn(bare(one)), drawn(one))):
            height, width = wanted.shape[:2]
            left, top = tile_place(index, (width, height), 4)
            top += part * (height + GAP)
            assert same(sheet[top : top + height, left : left + width], wanted)
    other = Visitor(context, served.url)
    other.page.locator("#upload input[type=file], input[type=file]").first.set_input_files(path)
    other.wait_for_pixels(drawn(recipe), "the edit of the sheet")


def copied(visitor: Visitor, place: str) -> str:
    """What the copy button of some code gives."""
    visitor.page.locator(place).get_by_role("button", name="Copy").click()
    return str(visitor.page.evaluate("navigator.clipboard.readText()"))


def code(visitor: Visitor) -> str:
    return copied(visitor, "#code")


def test_the_code_follows_the_picture_and_draws_it(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_tab(visitor, "Take away", "Code")
    visitor.wait_until(lambda: "seed=21," in code(visitor), "the code of the picture")
    visitor.set_seed(34)
    visitor.wait_until(lambda: "seed=34," in code(visitor), "the code of the next picture, without being asked for")
    visitor.wait_until(lambda: visitor.page.locator(".stale").count() == 0, "code that may be copied")
    monkeypatch.chdir(tmp_path)
    exec(compile(code(visitor), "pasted", "exec"), {})
    with Image.open(next(tmp_path.glob("again-*.png"))) as picture:
        assert same(np.asarray(picture), visitor.pixels())


def test_the_api_and_the_shell_give_the_same_picture(
    visitor: Visitor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_tab(visitor, "Take away", "Code")
    visitor.page.locator("#code-as").get_by_label("API", exact=True).check()
    visitor.wait_until(lambda: "gradio_client" in code(visitor), "the client's code")
    names: dict[str, Any] = {}
    exec(compile(code(visitor), "pasted", "exec"), names)
    with Image.open(names["path"]) as picture:
        assert same(np.asarray(picture), visitor.pixels())
    visitor.page.locator("#code-as").get_by_label("Shell", exact=True).check()
    visitor.wait_until(lambda: "curl" in code(visitor), "the shell's code")
    if shutil.which("curl") is None:
        return
    commands = "\n".join(line for line in code(visitor).splitlines() if not line.startswith("eigan "))
    said = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, timeout=60, check=True).stdout
    answer = json.loads(next(line for line in said.splitlines() if line.startswith("data: ")).removeprefix("data: "))
    body = visitor.page.request.get(answer[0]["url"]).body()
    with Image.open(io.BytesIO(body)) as picture:
        assert same(np.asarray(picture), visitor.pixels())


def test_the_files_are_of_the_picture_as_it_stands(visitor: Visitor, tmp_path: Path) -> None:
    open_tab(visitor, "Take away")
    visitor.wait_until(lambda: visitor.page.locator("#take-recipe").is_enabled(), "the recipe")
    visitor.set_seed(34)
    visitor.wait_for_pixels(drawn(replace(visitor.recipe(), seed=34)), "the next picture")
    visitor.wait_until(lambda: visitor.page.locator(".stale").count() == 0, "files that may be taken")
    path = visitor.download(tmp_path, "Recipe (JSON)")
    recipe = PictureRecipe.from_json(path.read_bytes())
    assert recipe.seed == 34 and same(drawn(recipe), visitor.pixels()) and path.name.endswith("-seed-34-edited.json")
    png = visitor.download(tmp_path, "Picture (PNG)")
    assert read_png(png) == recipe


def test_nothing_moved_is_told(context: Any, served: Served) -> None:
    someone = Visitor(context, served.url)
    open_tab(someone, "Take away")
    someone.page.locator("#film-make").click()
    someone.toast().wait_for()
    assert "nothing is moved yet" in someone.toast().inner_text()


def test_strangers_text_stays_text_in_both_tabs(context: Any, served: Served, hostile_folder: Path) -> None:
    someone = Visitor(context, served.url)
    first = someone.pixels()
    someone.load(str(hostile_folder))
    someone.wait_for_other_pixels(first)
    open_tab(someone, "Compare")
    rows(someone).first.wait_for()
    open_tab(someone, "Take away", "Code")
    someone.wait_until(lambda: "load_pack" in code(someone), "the code")
    assert someone.page.evaluate("window.pwned") is None
    assert someone.page.locator("#controls :is(script, iframe, svg[onload])").count() == 0
    assert someone.trouble == []
