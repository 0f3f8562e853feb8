"""Sliders on ComfyUI's real page: dragged with live drawing on and off, and named after their directions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from eigan import PictureRecipe, Renderer, draw, generator_for, load_pack
from eigan.render import Pictures
from tests.plugin.comfyui import PLUGIN, Server
from tests.plugin.page import Page, chromium

EXAMPLES = PLUGIN / "example_workflows"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Page]:
    opened = Page(browser, server.url)
    yield opened
    opened.switch_live(False)
    opened.close()
    assert opened.trouble == []


def example(name: str) -> dict[str, Any]:
    return dict(json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8")))


def find(workflow: dict[str, Any], kind: str) -> int:
    """The number of its only node of that kind."""
    [node] = [one["id"] for one in workflow["nodes"] if one["type"] == kind]
    return int(node)


def smiling(amount: float) -> Pictures:
    pack = load_pack("heads")
    recipe = PictureRecipe("heads", 7, 0.7, amounts={"smile": amount} if amount else {})
    return draw(recipe, pack, Renderer(generator_for(pack)))[0]


def opened(page: Page) -> tuple[int, int]:
    """The first example, run once: the numbers of its slider's node and its picture's."""
    workflow = example("1_one_slider")
    page.open(workflow)
    page.run()
    page.prompts.clear()
    return find(workflow, "EiganEditDirection"), find(workflow, "PreviewImage")


def is_shown(page: Page, node: int, wanted: Pictures) -> bool:
    picture = page.picture(node)
    return picture is not None and np.array_equal(picture, wanted)


def amounts(page: Page, node: int) -> list[float]:
    return [float(prompt[str(node)]["inputs"]["amount"]) for prompt in page.prompts]


def test_a_drag_is_seen_on_the_way_and_ends_at_the_last_position(page: Page) -> None:
    slider, picture = opened(page)
    page.switch_live(True)
    page.drag(slider, "amount", [0.5 + step / 200 for step in range(40)], pause=60)
    last = float(page.widgets(slider)["amount"][0])
    assert last > 5
    page.wait_until(lambda: is_shown(page, picture, smiling(last)), "the picture of the last position")
    sent = amounts(page, slider)
    assert sent[-1] == last and len(set(sent)) >= 4, sent
    assert len(sent) < 40


def test_one_prompt_is_in_flight_at_a_time(page: Page, server: Server) -> None:
    slider, picture = opened(page)
    page.page.evaluate(
        """() => {
            window.waiting = []; window.atOnce = 0;
            const post = window.app.api.queuePrompt;
            window.app.api.queuePrompt = async function (...given) {
                const reply = await post.apply(this, given);
                const queue = await (await fetch("/queue")).json();
                window.atOnce = Math.max(window.atOnce, queue.queue_running.length + queue.queue_pending.length);
                return reply;
            };
        }"""
    )
    page.switch_live(True)
    page.drag(slider, "amount", [0.5 - step / 200 for step in range(60)], pause=5)
    last = float(page.widgets(slider)["amount"][0])
    page.wait_until(lambda: is_shown(page, picture, smiling(last)), "the picture of the last position")
    assert page.page.evaluate("window.atOnce") <= 1
    assert len(page.prompts) < 40


def test_it_is_off_at_first(page: Page) -> None:
    slider, picture = opened(page)
    page.drag(slider, "amount", [0.5, 0.55, 0.6, 0.65], pause=100)
    page.page.wait_for_timeout(500)
    assert page.prompts == []
    assert is_shown(page, picture, smiling(3.0))


def test_what_cannot_be_drawn_is_said_once_and_ends_the_drag(page: Page) -> None:
    slider, _ = opened(page)
    page.page.evaluate("id => window.app.graph.getNodeById(id).disconnectInput(0)", slider)  # no pack
    page.switch_live(True)
    page.drag(slider, "amount", [0.5, 0.55, 0.6], pause=200)
    page.page.get_by_text("cannot be drawn while you drag").first.wait_for()


def test_a_drag_saves_no_files(page: Page, server: Server) -> None:
    workflow = example("5_recipe_in_and_out")
    page.open(workflow)
    slider = find(workflow, "EiganEditDirection")
    before = sorted((server.base / "output").rglob("*"))
    page.switch_live(True)
    page.drag(slider, "amount", [0.5, 0.55, 0.6], pause=200)
    page.page.get_by_text("add a Preview Image node").first.wait_for()
    assert page.prompts == [] and sorted((server.base / "output").rglob("*")) == before


def test_sliders_are_named_after_the_packs_directions(page: Page) -> None:
    workflow = example("2_preset_sliders_keep")
    for node in workflow["nodes"]:
        node.get("properties", {}).pop("eigan_labels", None)
    page.open(workflow)
    sliders = find(workflow, "EiganEditSliders")
    assert page.widgets(sliders)["amount_0"][1] in (None, "amount_0")
    page.run()
    names = load_pack("heads").names[:8]
    page.wait_until(lambda: page.widgets(sliders)["amount_7"][1] == names[7], "the names of the sliders")
    assert [page.widgets(sliders)[f"amount_{i}"][1] for i in range(8)] == list(names)
    page.open(page.saved())  # as after a reload: the names are in the workflow
    assert page.widgets(sliders)["amount_2"][1] == names[2]
    assert {f"amount_{i}" for i in range(8)} <= set(page.prompt()[str(sliders)]["inputs"])


def test_a_name_of_a_stranger_is_only_text(page: Page) -> None:
    workflow = example("2_preset_sliders_keep")
    hostile = "<img src=x onerror=window.bad=1>"
    for node in workflow["nodes"]:
        if node["type"] == "EiganEditSliders":
            node["properties"]["eigan_labels"] = [hostile, 7, None]
    page.open(workflow)
    shown = page.widgets(find(workflow, "EiganEditSliders"))
    assert shown["amount_0"][1] == hostile and shown["amount_1"][1] == "7"
    assert shown["amount_7"][1] == "amount_7 (none)"
    assert page.page.evaluate("window.bad ?? null") is None
