"""Pictures of the page for the README, wide and phone, light and dark: taken when EIGAN_SCREENSHOTS is set."""

from __future__ import annotations

import os
from typing import Any

import pytest

from eigan.pack import DirectionPack
from tests.ui.conftest import REPOSITORY, Served
from tests.ui.visitor import Visitor

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
