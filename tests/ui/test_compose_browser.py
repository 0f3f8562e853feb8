"""Below the sliders, as a person does it: packs together, presets of one's own, recipes and latents as files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eigan import sources
from eigan.combine import combine
from eigan.latent_files import read_latent
from eigan.latents import seeded_z
from eigan.pack import DirectionPack
from eigan.readers.safetensors import save_generator
from eigan.recipe import PictureRecipe
from eigan.render import Renderer
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from tests.toys import toy_generator
from tests.ui.bundles import words_pack
from tests.ui.conftest import Served
from tests.ui.visitor import Visitor, draw_directly, edited

NAME = "Save the sliders as a preset"


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    fresh = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield fresh
    fresh.close()


@pytest.fixture
def visitor(context: Any, served: Served) -> Iterator[Visitor]:
    someone = Visitor(context, served.url)
    someone.open_compose()
    yield someone
    assert someone.outside == [], "the page asked someone else for something"
    assert someone.trouble == []


@pytest.fixture
def pack(packs: list[DirectionPack]) -> DirectionPack:
    return packs[0]


@pytest.fixture
def beside(packs: list[DirectionPack]) -> list[DirectionPack]:
    """Two more packs of the first one's generator."""
    same = [p for p in packs[1:] if p.made_for.fingerprint == packs[0].made_for.fingerprint]
    if len(same) < 2:
        pytest.skip("no two bundled packs beside the first")
    return same[-2:]


def further(visitor: Visitor) -> list[str]:
    return [text.strip() for text in visitor.page.locator("#further .token").all_inner_texts()]


def save_as(visitor: Visitor, name: str) -> None:
    visitor.page.get_by_label(NAME).fill(name)
    visitor.button("Save preset").click()
    visitor.preset(name).wait_for()


def test_packs_are_added_and_removed(visitor: Visitor, pack: DirectionPack, beside: list[DirectionPack]) -> None:
    one, other = beside
    together = combine([pack, one, other])
    own, theirs, last = pack.names[0], together.names[len(pack)], together.names[-1]
    visitor.number(own).fill("1")
    visitor.button(f"Keep {pack.names[1]}").click()
    kept = {"keep": (pack.names[1],)}
    visitor.wait_for_pixels(edited(pack, {own: 1.0}, **kept), "the open pack alone")
    box = visitor.page.locator("#further input")
    box.click()
    visitor.page.get_by_role("option", name=one.source, exact=True).click()
    visitor.slider(theirs).wait_for()
    box.press_sequentially(other.source)
    box.press("Enter")
    visitor.slider(last).wait_for()
    assert visitor.moved() == {own: 1.0}, "what stood still stands"
    visitor.number(theirs).fill("1.5")
    visitor.number(last).fill("-1")
    amounts = {own: 1.0, theirs: 1.5, last: -1.0}
    visitor.wait_for_pixels(edited(together, amounts, **kept), "three packs in one edit")
    visitor.wait_until(lambda: visitor.recipe().further == (one.source, other.source), "the link that names them")
    visitor.page.locator("#further .token", has_text=one.source).locator(".token-remove").click()
    visitor.wait_until(lambda: "Gone with the pack: " + theirs in visitor.toast().inner_text(), "what went with it")
    rest = combine([pack, other])
    visitor.wait_for_pixels(edited(rest, {own: 1.0, rest.names[-1]: -1.0}, **kept), "two packs in one edit")
    assert further(visitor) == [other.source]
    visitor.button("Undo").click()
    visitor.wait_for_pixels(edited(together, amounts, **kept), "the three again")
    visitor.wait_until(lambda: further(visitor) == [one.source, other.source], "and the box says so")


def test_a_pack_of_another_generator_is_refused(visitor: Visitor, tmp_path: Path) -> None:
    stranger = toy_generator(9)
    save_generator(stranger, tmp_path / "generator", dtype="fp32")
    stranger.source = str(tmp_path / "generator")
    words_pack(stranger).save(tmp_path / "pack")
    before = visitor.link()
    box = visitor.page.locator("#further input")
    for wrong, sentence in {str(tmp_path / "pack"): "only packs of one generator", "no <b>pack": "not bundled"}.items():
        box.click()
        box.press_sequentially(wrong)
        box.press("Enter")
        visitor.wait_until(lambda told=sentence: told in visitor.toast().inner_text(), sentence)
        visitor.wait_until(lambda: further(visitor) == [], "the box says what is open")
        visitor.page.get_by_test_id("toast-close").first.click()
        visitor.toast().wait_for(state="detached")
    assert visitor.link() == before


def test_a_preset_of_ones_own(visitor: Visitor, pack: DirectionPack, packs: list[DirectionPack]) -> None:
    one, other, third = pack.names[:3]
    visitor.number(one).fill("1")
    visitor.number(other).fill("-0.5")
    save_as(visitor, "<b>mine</b>")
    chip = visitor.preset("<b>mine</b>")
    assert chip.get_attribute("aria-pressed") == "true", "it is what the sliders do now"
    assert visitor.moved() == {one: 1.0, other: -0.5}
    assert chip.evaluate("e => getComputedStyle(e).borderStyle") == "dashed"
    visitor.number(third).fill("2")
    chip.click()
    visitor.wait_for_pixels(edited(pack, {third: 2.0}), "without the preset")
    assert visitor.moved() == {third: 2.0}
    chip.click()
    intensity = visitor.page.get_by_label("Intensity of <b>mine</b>")
    intensity.press("End")
    visitor.wait_for_pixels(edited(pack, {one: 1.5, other: -0.75, third: 2.0}), "with half as much again")
    visitor.button("Save preset").click()
    visitor.wait_until(lambda: "1 to 80" in visitor.toast().inner_text(), "a preset wants a name")
    visitor.page.get_by_label(NAME).fill("<b>mine</b>")
    visitor.button("Save preset").click()
    visitor.page.get_by_test_id("toast-body").get_by_text("choose another name").wait_for()
    visitor.load(packs[-1].source)
    visitor.wait_until(lambda: visitor.preset("<b>mine</b>").count() == 0, "a pack without those sliders")
    visitor.load(pack.source)
    visitor.preset("<b>mine</b>").wait_for()
    visitor.preset("<b>mine</b>").click()
    visitor.wait_for_pixels(edited(pack, {one: 1.0, other: -0.5}), "the preset again")
    visitor.button("Remove preset <b>mine</b>").click()
    visitor.wait_until(lambda: visitor.preset("<b>mine</b>").count() == 0, "it is gone")
    assert visitor.moved() == {one: 1.0, other: -0.5}, "the sliders stay where they are"
    visitor.page.locator("#reset").click()
    visitor.wait_until(lambda: visitor.moved() == {}, "the reset")
    visitor.button("Undo").click()
    visitor.wait_until(lambda: visitor.moved() != {}, "a step back")
    assert visitor.preset("<b>mine</b>").count() == 0, "and it stays gone"


def test_a_slider_moved_while_a_preset_is_saved_stays_where_it_is(visitor: Visitor, pack: DirectionPack) -> None:
    one, other = pack.names[:2]
    visitor.number(one).fill("1")
    visitor.page.get_by_label(NAME).fill("mine")
    visitor.page.evaluate(
        "name => { [...document.querySelectorAll('button')].find(e => e.innerText.trim() === 'Save preset').click();"
        "const box = document.querySelector(`[aria-label='number input for ${name}']`); box.value = 2;"
        "box.dispatchEvent(new Event('input')); }",
        other,
    )
    visitor.preset("mine").wait_for()
    visitor.wait_for_pixels(edited(pack, {one: 1.0, other: 2.0}), "both moves")
    assert visitor.moved() == {one: 1.0, other: 2.0}


def test_presets_go_out_and_come_in(
    visitor: Visitor, context: Any, served: Served, pack: DirectionPack, tmp_path: Path
) -> None:
    one, other = pack.names[:2]
    visitor.button("Presets .json").click()
    visitor.wait_until(lambda: "no preset of your own yet" in visitor.toast().inner_text(), "nothing to download")
    visitor.number(one).fill("1")
    save_as(visitor, "mine")
    path = visitor.download(tmp_path, "Presets .json")
    assert path.name == "presets.json"
    found = json.loads(path.read_text())
    assert found == {"presets": [{"name": "mine", "amounts": {one: 1.0}, "description": ""}]}
    found["presets"] += [
        {"name": "yours", "amounts": {other: 2.0}},
        {"name": "theirs", "amounts": {"<i>nose</i>": 1.0}},
    ]
    path.write_text(json.dumps(found))
    friend = Visitor(context, served.url)
    friend.open_compose()
    friend.number(other).fill("0.5")
    friend.upload("Open a .json or .png", path)
    friend.preset("mine").wait_for()
    toast = friend.page.get_by_test_id("toast-body").filter(has_text="'theirs' moves")
    toast.wait_for()
    assert "nose" in toast.inner_text() and toast.locator("i").count() == 0
    assert friend.preset("theirs").count() == 0 and friend.moved() == {other: 0.5}
    friend.preset("yours").click()
    friend.wait_for_pixels(edited(pack, {other: 2.5}), "the preset of the file on top")
    assert friend.trouble == []


def test_a_recipe_goes_out_and_comes_in(
    visitor: Visitor, context: Any, served: Served, pack: DirectionPack, beside: list[DirectionPack], tmp_path: Path
) -> None:
    together = combine([pack, beside[0]])
    last = together.names[-1]
    visitor.page.goto(f"{served.url}?pack={pack.source}&with={beside[0].source}&seed=5&edit={last}:2")
    visitor.wait_until(lambda: last in visitor.moved(), "the link's picture")
    visitor.open_compose()
    visitor.wait_until(lambda: further(visitor) == [beside[0].source], "the box says what the link opened")
    visitor.button(f"Keep {pack.names[0]}").click()
    visitor.wait_until(lambda: visitor.recipe().keep == (pack.names[0],), "the keep")
    path = visitor.download(tmp_path, "Recipe .json")
    recipe = PictureRecipe.from_json(path.read_text())
    assert path.name == f"{pack.source}-seed-5-edited.json"
    assert (recipe.seed, recipe.further, recipe.keep) == (5, (beside[0].source,), (pack.names[0],))
    wanted = draw_directly(recipe, together)
    visitor.wait_for_pixels(wanted, "the picture")
    friend = Visitor(context, served.url)
    friend.open_compose()
    friend.upload("Open a .json or .png", path)
    friend.wait_for_pixels(wanted, "the same picture elsewhere")
    friend.wait_until(lambda: friend.link() == visitor.link(), "the same link")
    png = friend.download(tmp_path)
    third = Visitor(context, served.url)
    third.open_compose()
    third.upload("Open a .json or .png", png)
    third.wait_for_pixels(wanted, "the same picture from its PNG")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not valid JSON"),
        (b'{"a": 1}', "neither a recipe nor presets"),
        (b'{"eigan_recipe": 1, "<b>": 2}', "the recipe"),
        (b'{"presets": [{"name": "<script>window.pwned=1</script>", "amounts": {}}]}', "moves nothing"),
        (b"[" * 5000, "nested deeper"),
        (b"\xff" * 100, "UTF-8"),
    ],
)
def test_files_that_are_none_are_refused(visitor: Visitor, tmp_path: Path, data: bytes, sentence: str) -> None:
    before = visitor.link()
    (tmp_path / "any.json").write_bytes(data)
    visitor.upload("Open a .json or .png", tmp_path / "any.json")
    visitor.wait_until(lambda: sentence in visitor.toast().inner_text(), sentence)
    assert visitor.page.evaluate("window.pwned") is None
    assert visitor.link() == before
    visitor.page.locator("#shuffle").click()
    visitor.wait_until(lambda: visitor.link() != before, "the page goes on")


@pytest.mark.parametrize("form", [".npy", ".safetensors", ".pt"])
def test_latents_out_and_in(
    visitor: Visitor, context: Any, served: Served, pack: DirectionPack, tmp_path: Path, form: str
) -> None:
    one = pack.names[0]
    visitor.number(one).fill("1.5")
    wanted = edited(pack, {one: 1.5})
    visitor.wait_for_pixels(wanted, "the edited picture")
    visitor.page.get_by_label(form, exact=True).check()
    path = visitor.download(tmp_path, "Download latent")
    assert path.name == f"{pack.source}-seed-{DEFAULT_SEED}-edited-latent{form}"
    generator = sources.generator_for(pack)
    codes = read_latent(path).for_generator(generator)
    assert (Renderer(generator).render(codes)[0] == wanted).all(), "the codes after the edit"
    visitor.page.get_by_label("unedited", exact=True).check()
    path = visitor.download(tmp_path, "Download latent")
    start = generator.mapping(seeded_z([DEFAULT_SEED], generator.z_dim), truncation_psi=DEFAULT_PSI)
    assert read_latent(path).for_generator(generator).equal(start), "the codes before it"
    friend = Visitor(context, f"{served.url}?seed=9")
    friend.open_compose()
    friend.number(one).fill("1.5")
    assert not friend.page.locator("#start").is_visible()
    friend.upload("Start from a latent", path)
    friend.wait_for_pixels(wanted, "the edit of the codes")
    friend.page.get_by_text("starts from a latent").wait_for()
    assert "A link cannot hold" in friend.link()
    friend.number(one).fill("0")
    friend.wait_for_pixels(edited(pack, {}), "the codes alone")
    friend.button("Back to the seed").click()
    friend.wait_until(lambda: "seed=9" in friend.link(), "the link")
    friend.wait_for_pixels(draw_directly(PictureRecipe("", 9, DEFAULT_PSI), pack), "the seed's picture")
    assert not friend.page.locator("#start").is_visible()
    friend.button("Undo").click()
    friend.wait_for_pixels(edited(pack, {}), "the codes alone again")
    friend.page.locator("#shuffle").click()
    friend.wait_until(lambda: not friend.page.locator("#start").is_visible(), "another seed ends it")
    assert friend.trouble == []


def test_latents_that_do_not_fit_are_refused(visitor: Visitor, tmp_path: Path) -> None:
    before = visitor.pixels()
    np.save(tmp_path / "wrong.npy", np.zeros((18, 512), np.float32))
    (tmp_path / "evil.pt").write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/eigan-was-here'\ntR.")
    for name, sentence in {"wrong.npy": "(18, 512)", "evil.pt": "evil.pt"}.items():
        visitor.upload("Start from a latent", tmp_path / name)
        visitor.wait_until(lambda told=sentence: told in visitor.toast().inner_text(), sentence)
        visitor.page.get_by_test_id("toast-close").first.click()
        visitor.toast().wait_for(state="detached")
    assert not Path("/tmp/eigan-was-here").exists()
    assert (visitor.pixels() == before).all() and not visitor.page.locator("#start").is_visible()
