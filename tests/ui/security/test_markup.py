"""Names and words of a stranger's pack stay words: in every tab, in toasts, in the HTML that the server sends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from benchmarks.page_client import PageClient, PageError
from eigan import sources
from eigan.format import pack_files
from eigan.pack import DirectionPack
from tests.ui.bundles import HOSTILE, hostile_pack
from tests.ui.security.attempts import events, types_of
from tests.ui.serving import Running
from tests.ui.visitor import Visitor

REPO = "evil/words"
TABS = ("Explore", "Compare", "Take away", "Open", "Publish", "Sliders")
MARKUP = ("<img src=x", "<img src=//", "<script", "<svg onload", "<iframe", "href=javascript:", "href='javascript:")
GRADIOS_OWN = ("https://fonts.", "https://huggingface.co/")  # what Gradio's page asks for on every Space
WRONG = "script:not([src]):not([type]), iframe[src^=javascript], svg[onload], img[onerror], [src*='evil.test']"


@pytest.fixture
def evil(space: Running, pack: DirectionPack) -> str:
    """A pack on the Hub whose every word is hostile, for the generator that is bundled."""
    generator: Any = sources.generator_for(pack)
    words = f"# {HOSTILE['name']}\n{HOSTILE['description']}\n<script>window.pwned=9</script>\n![a](//evil.test/c.png)\n"
    files = pack_files(replace(hostile_pack(generator), made_for=pack.made_for), {})
    space.hub.store.push(REPO, files | {"README.md": f"---\ntags: [eigan]\n---\n{words}".encode()}, tag="v1.0.0")
    return f"{REPO}@v1.0.0"


def test_hostile_words_stay_words_in_every_tab(space: Running, browser: Any, evil: str) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        someone = Visitor(context, f"{space.url}?pack={evil}&seed=3")
        someone.slider(HOSTILE["direction"]).wait_for()
        someone.page.locator("#preset-buttons button").first.click()
        someone.wait_until(lambda: "edit=" in someone.link(), "the preset moves")
        for tab in TABS:
            place = someone.page.get_by_role("tab", name=tab)
            if place.count():
                place.first.click()
                someone.wait_until(lambda p=place: p.first.get_attribute("aria-selected") == "true", f"tab {tab}")
        someone.page.locator("#history button").first.wait_for()
        shown = someone.pixels()
        someone.slider(HOSTILE["direction"]).press("ArrowRight")
        someone.wait_for_other_pixels(shown)
        someone.load(f"{HOSTILE['name']}/x")
        someone.toast().wait_for()
        assert someone.page.evaluate("window.pwned") is None
        assert someone.page.locator(f"gradio-app :is({WRONG})").count() == 0
        assert [address for address in someone.outside if not address.startswith(GRADIOS_OWN)] == []
        assert someone.trouble == []


def test_the_servers_html_holds_no_markup_of_strangers(space: Running, evil: str) -> None:
    client = PageClient(space.url)
    client.http.params = httpx.QueryParams({"pack": evil})
    client.arrive()
    client.http.params = httpx.QueryParams()
    assert REPO in client["link"]
    for event, _ in events(client, "html"):
        try:
            client.run(event)
        except PageError as error:
            assert not any(mark in str(error) for mark in MARKUP)
    types = types_of(client)
    written = [value for number, value in client.values.items() if types[number] in ("html", "markdown")]
    text = "".join(value for value in written if isinstance(value, str))
    assert "&lt;img src=x" in text, "the names are shown"
    assert [mark for mark in MARKUP if mark in text] == []
    client.close()
