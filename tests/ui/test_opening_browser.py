"""The Open tab in a real browser: a pack found on the Hub, its versions and card, and a generator without a pack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eigan.pack import DirectionPack
from eigan.ui.fitting import FitSource, fit_pack, open_generator
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from tests.ui.conftest import Served
from tests.ui.test_browser import reversed_pack_files
from tests.ui.visitor import Visitor, render_directly

TAGS = b"---\ntags: [eigan, latent-directions]\n---\n"
EVIL_CARD = b"""---
license: cc-by-nc-4.0
tags: [eigan, latent-directions]
widget: [{text: "<img src=x onerror=window.pwned=1>"}]
---
# Card <script>window.pwned=2</script>
[click](javascript:window.pwned=3) ![x](https://evil.test/a.png) <img src=x onerror=window.pwned=4>
"""


@pytest.fixture
def visitor(browser: Any, served: Served) -> Iterator[Visitor]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        someone = Visitor(context, served.url)
        yield someone
        assert someone.outside == [], "the page asked someone else for something"
        assert someone.trouble == []


@pytest.fixture
def shelf(served: Served, packs: list[DirectionPack]) -> Iterator[DirectionPack]:
    """On the Hub: two versions of the first bundled pack, with its card and pictures, and a hostile one."""
    pack, hub = packs[0], served.hub
    folder = served.bundles / pack.source
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    hub.store.push("anna/words", {name: data for name, data in files.items() if data}, tag="v1.0.0")
    hub.store.push("anna/words", {**reversed_pack_files(pack), "README.md": TAGS + b"# Newer words\n"}, tag="v1.1.0")
    hub.store.push("evil/words", {**files, "README.md": EVIL_CARD}, tag="v1.0.0")
    yield pack
    for repo_id in ("anna/words", "evil/words"):
        del hub.store.repos[repo_id]


def open_tab(visitor: Visitor) -> Any:
    visitor.page.get_by_role("tab", name="Open", exact=True).click()
    tab = visitor.page.locator("#opening")
    tab.wait_for()
    return tab


def search(visitor: Visitor, words: str) -> None:
    box = visitor.page.locator("#hub-words textarea, #hub-words input")
    box.fill(words)
    box.press("Enter")


def test_a_pack_is_found_opened_and_told_of(visitor: Visitor, shelf: DirectionPack) -> None:
    tab = open_tab(visitor)
    search(visitor, "anna")
    found = tab.get_by_role("radio", name="anna/words v1.1.0")
    found.wait_for()
    assert found.is_checked()
    tab.get_by_role("button", name="Open this pack").click()
    visitor.wait_until(lambda: "pack=anna/words@v1.1.0" in visitor.link(), "the link of the pack found")
    facts = tab.locator("#facts")
    visitor.wait_until(lambda: "pinned to v1.1.0" in facts.inner_text(), "where it comes from")
    assert shelf.made_for.fingerprint in facts.inner_text()
    visitor.wait_until(lambda: "Newer words" in tab.locator("#card").text_content(), "the card of the newest")
    version = tab.get_by_label("Version of anna/words")
    version.wait_for()
    assert version.input_value() == "v1.1.0"
    version.click()
    visitor.page.get_by_role("option", name="v1.0.0", exact=True).click()
    visitor.wait_until(lambda: "pack=anna/words@v1.0.0" in visitor.link(), "the link of the other version")
    visitor.wait_until(lambda: "pinned to v1.0.0" in facts.inner_text(), "what is known of the other version")
    visitor.wait_until(lambda: tab.locator("#card img").count() > 0, "the card of the other version")
    tab.locator("#card summary").click()
    picture = tab.locator("#card img").first
    picture.scroll_into_view_if_needed()
    visitor.wait_until(lambda: picture.evaluate("e => e.naturalWidth") > 0, "the card's picture is there")


def test_what_is_open_is_told_from_the_first_look_on(visitor: Visitor, packs: list[DirectionPack]) -> None:
    facts = visitor.page.locator("#facts")
    assert facts.count() == 0, "nothing is fetched for a tab that nobody looks at"
    open_tab(visitor)
    visitor.wait_until(lambda: packs[0].made_for.fingerprint in facts.inner_text(), "the facts of the first pack")
    assert "Links" in facts.inner_text() and "bundled with eigan" in facts.inner_text()
    visitor.load(packs[-1].source)
    visitor.wait_until(lambda: packs[-1].name in facts.inner_text(), "the facts of the other pack")
    assert visitor.page.locator("#version").count() == 0 or not visitor.page.locator("#version").is_visible()


def test_hostile_listings_and_cards_stay_text(visitor: Visitor, shelf: DirectionPack) -> None:
    tab = open_tab(visitor)
    search(visitor, "evil")
    tab.get_by_role("radio", name="evil/words v1.0.0").wait_for()
    assert "<img src=x onerror" in tab.locator("#hub-found").inner_text()
    tab.get_by_role("button", name="Open this pack").click()
    visitor.wait_until(lambda: "pack=evil/words@v1.0.0" in visitor.link(), "it opens all the same")
    visitor.wait_until(lambda: "Card window.pwned=2" in tab.locator("#card").text_content(), "the card's words")
    tab.locator("#card summary").click()
    assert tab.locator("#card :is(script, iframe, img, a[href^=javascript])").count() == 0
    assert visitor.page.evaluate("window.pwned") is None


def test_nothing_found_and_a_generator_that_is_not_on_the_hub(visitor: Visitor) -> None:
    tab = open_tab(visitor)
    search(visitor, "no such <b>pack</b>")
    note = tab.locator("#hub-note")
    visitor.wait_until(lambda: "No pack on the Hub with" in note.inner_text(), "what was found: nothing")
    assert note.locator("b").count() == 0
    tab.get_by_label("Only packs for the generator that is open").check()
    search(visitor, "")
    visitor.wait_until(lambda: "is not on the Hub" in note.inner_text(), "a bundled generator is not on the Hub")
    assert tab.get_by_role("button", name="Open this pack").count() == 0


def test_a_hub_that_is_down_is_a_sentence_and_the_page_goes_on(visitor: Visitor, served: Served) -> None:
    tab = open_tab(visitor)
    served.hub.fault("^GET /api/models$", times=-1, status=429, headers={"Retry-After": "290"})
    try:
        search(visitor, "anything")
        note = tab.locator("#hub-note")
        visitor.wait_until(lambda: "the Hub" in note.inner_text(), "why nothing was found")
    finally:
        served.hub.faults.clear()
    visitor.page.get_by_role("tab", name="Sliders", exact=True).click()
    before = visitor.pixels()
    visitor.page.locator("#shuffle").click()
    visitor.wait_for_other_pixels(before)


@pytest.mark.parametrize(("method", "name"), [("sefa", "sefa-00"), ("pca", "pca-00")])
def test_a_generator_without_a_pack_is_fitted_and_slides(
    visitor: Visitor, packs: list[DirectionPack], method: str, name: str
) -> None:
    generator = packs[0].made_for.source
    fitted = fit_pack(FitSource(method, generator), open_generator(generator, hosted=True))
    tab = open_tab(visitor)
    tab.locator("#fit-generator textarea, #fit-generator input").fill(generator)
    tab.locator(f"#fit-method input[value={method}]").check()
    tab.get_by_role("button", name="Fit and open").click()
    visitor.wait_until(lambda: f"pack={method}:{generator}" in visitor.link(), "the link of the fitted pack")
    visitor.wait_until(lambda: "fitted on the spot" in tab.locator("#facts").inner_text(), "what is known of it")
    visitor.page.get_by_role("tab", name="Sliders", exact=True).click()
    visitor.number(name).fill("2")
    wanted = render_directly(fitted, DEFAULT_SEED, DEFAULT_PSI, {name: 2.0})
    visitor.wait_for_pixels(wanted, "the picture that the fitted direction makes")
    visitor.wait_until(lambda: f"edit={name}:2.0" in visitor.link(), "the link of that picture")
    again = Visitor(visitor.page.context, visitor.link())
    again.wait_for_pixels(wanted, "the same picture from its link")


def test_what_cannot_be_fitted_is_told(visitor: Visitor, tmp_path: Path) -> None:
    tab = open_tab(visitor)
    box = tab.locator("#fit-generator textarea, #fit-generator input")
    for wrong, told in {"": "no generator was named", "no <b>such</b> thing": "is no file or folder here"}.items():
        box.fill(wrong)
        tab.get_by_role("button", name="Fit and open").click()
        visitor.wait_until(
            lambda t=told: visitor.toast().count() and t in visitor.toast().inner_text(),  # type: ignore[misc]
            f"a toast that says {told}",
        )
        assert visitor.page.get_by_test_id("toast-body").locator("b").count() == 0
        visitor.page.get_by_test_id("toast-close").first.click()
        visitor.toast().wait_for(state="detached")
