"""Pictures of the page for the README, wide and phone, light and dark: taken when EIGAN_SCREENSHOTS is set."""

from __future__ import annotations

import os
from typing import Any

import pytest

from eigan.pack import DirectionPack
from tests.ui.conftest import REPOSITORY, Served
from tests.ui.visitor import Visitor

TABS = {  # tab -> (what is waited for, the button that asks for it)
    "Explore": ("#sheet img", ""),
    "Compare": ("#rivals img", "Compare"),
    "Take away": ("#film img", "Make the animation"),
    "Open": ("#card", ""),
}
SIZES = {"wide": (1280, 900), "phone": (390, 844)}


@pytest.mark.skipif(not os.environ.get("EIGAN_SCREENSHOTS"), reason="set EIGAN_SCREENSHOTS=1 to take screenshots")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_take_screenshots(browser: Any, served: Served, packs: list[DirectionPack], size: str, theme: str) -> None:
    folder = REPOSITORY / "docs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    width, height = SIZES[size]
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        visitor = Visitor(context, f"{served.url}?__theme={theme}")
        first = visitor.pixels()
        visitor.page.screenshot(path=folder / f"{size}-{theme}.png")
        preset = packs[0].presets[0]
        visitor.page.locator("#preset-buttons").get_by_role("button", name=preset.name, exact=True).click()
        visitor.wait_for_other_pixels(first)
        visitor.page.get_by_label("Before / after").check()
        visitor.page.locator("#comparison img").nth(1).wait_for()
        visitor.slider(packs[0].names[0]).scroll_into_view_if_needed()
        visitor.page.screenshot(path=folder / f"{size}-{theme}-edited.png")


@pytest.mark.skipif(not os.environ.get("EIGAN_SCREENSHOTS"), reason="set EIGAN_SCREENSHOTS=1 to take screenshots")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tab", TABS)
def test_take_screenshots_of_tabs(browser: Any, served: Served, tab: str, size: str, theme: str) -> None:
    folder = REPOSITORY / "docs" / "screenshots"
    width, height = SIZES[size]
    shown, press = TABS[tab]
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        page = Visitor(context, f"{served.url}?__theme={theme}&edit=smile:2,age:3").page
        page.get_by_role("tab", name=tab).click()
        if press:
            page.get_by_role("button", name=press, exact=True).click()
        pictures = page.locator(shown)
        pictures.last.wait_for()
        page.wait_for_function(f"document.querySelector('{shown}').complete !== false")  # those below load when seen
        page.get_by_role("tab", name=tab).scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#tabs').scrollIntoView({block: 'start'})" if size == "phone" else "0")
        page.screenshot(path=folder / f"{size}-{theme}-{tab.split()[0].lower()}.png")
