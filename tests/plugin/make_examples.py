"""Exports plugin/example_workflows/ from ComfyUI's real page, with thumbnails, and docs/comfyui/'s screenshots.

Run by hand after graphs.py or a node changed: `python -m tests.plugin.make_examples [name ...]`. Then look at it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from tests.plugin.comfyui import PLUGIN, REPOSITORY, Server, make_base, person_environ
from tests.plugin.core import find_core
from tests.plugin.graphs import EXAMPLES, ONE_SLIDER, PICTURES, Graph
from tests.plugin.page import Page, chromium

WORKFLOWS = PLUGIN / "example_workflows"
SHOTS = REPOSITORY / "docs" / "comfyui"
THUMBNAIL = 400  # pixels along the wider side
QUIET = {
    "Comfy.Minimap.Visible": False,
    "Comfy.TutorialCompleted": True,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Canvas.SelectionToolbox": True,
}
MARGIN = 30
BUILD = """graph => {
    const made = {};
    window.app.graph.clear();
    for (const [name, part] of Object.entries(graph)) {
        const node = (made[name] = window.LiteGraph.createNode(part.kind));
        window.app.graph.add(node);
        node.pos = part.at;
        if (part.title) node.title = part.title;
        if (part.size) node.setSize(part.size);
        for (const [key, value] of Object.entries(part.values)) {
            const widget = node.widgets.find((one) => one.name === key || key === "");
            widget.value = value;
        }
    }
    for (const [name, part] of Object.entries(graph))
        for (const [key, [from, output]] of Object.entries(part.wires)) {
            const source = made[from].outputs.findIndex((one) => one.name === output);
            const target = made[name].inputs.findIndex((one) => one.name === key);
            if (source < 0 || target < 0) throw new Error(`${from}.${output} -> ${name}.${key}`);
            made[from].connect(source, made[name], target);
        }
    return Object.fromEntries(Object.entries(made).map(([name, node]) => [name, node.id]));
}"""
FRAME = """margin => {  // all nodes in view, below the page's own bars
    const boxes = window.app.graph._nodes.map((node) => node.getBounding());
    const left = Math.min(...boxes.map((b) => b[0])), top = Math.min(...boxes.map((b) => b[1]));
    const right = Math.max(...boxes.map((b) => b[0] + b[2])), bottom = Math.max(...boxes.map((b) => b[1] + b[3]));
    const ds = window.app.canvas.ds, canvas = window.app.canvas.canvas.getBoundingClientRect();
    const bar = 110, side = 70, width = canvas.width - side - 2 * margin, height = canvas.height - bar - 2 * margin;
    ds.scale = Math.min(width / (right - left), height / (bottom - top), 1.2);
    ds.offset[0] = (side + margin) / ds.scale - left;
    ds.offset[1] = (bar + margin) / ds.scale - top;
    window.app.canvas.setDirty(true, true);
}"""


def export(browser: Any, url: str, name: str, graph: Graph) -> Page:
    """Build it on the page, save it, open that on a new page, run it, take its picture and a screenshot."""
    page = Page(browser, url)
    ids = page.page.evaluate(BUILD, {key: asdict(part) for key, part in graph.items()})
    page.page.evaluate(FRAME, MARGIN)
    workflow = tidied(page.saved())
    page.close()
    (WORKFLOWS / f"{name}.json").write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = Page(browser, url)
    page.open(workflow, name)
    page.page.evaluate(FRAME, MARGIN)
    page.run()
    page.page.wait_for_timeout(1500)  # pictures fade in
    page.page.screenshot(path=SHOTS / f"{name}.png")
    thumbnail(page, ids[PICTURES[name]], WORKFLOWS / f"{name}.jpg")
    return page


def tidied(workflow: dict[str, Any]) -> dict[str, Any]:
    """Without what changes from export to export."""
    workflow["id"] = "00000000-0000-0000-0000-000000000000"
    workflow.get("extra", {}).pop("frontendVersion", None)
    return workflow


def thumbnail(page: Page, node: int, path: Path) -> None:
    picture = page.picture(node)
    assert picture is not None, f"{path.name}: the node shows no picture"
    image = Image.fromarray(picture)
    scale = THUMBNAIL / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    image.resize(size, Image.Resampling.LANCZOS).save(path, quality=88)


def shoot_help(page: Page) -> None:
    """The page of help beside a node."""
    render = page.page.evaluate("() => window.app.graph._nodes.find((one) => one.comfyClass === 'EiganRender').id")
    page.page.mouse.click(*page.title(render))
    page.page.get_by_test_id("info-button").click()
    page.page.get_by_text("the generator that the latent was made with").first.wait_for()
    page.page.wait_for_timeout(500)
    page.page.screenshot(path=SHOTS / "help.png")


def main(names: Sequence[str]) -> None:
    WORKFLOWS.mkdir(exist_ok=True)
    SHOTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder))
        (base / "user/default/comfy.settings.json").write_text(json.dumps(QUIET))
        (base / "custom_nodes" / "eigan").symlink_to(PLUGIN)
        server = Server(find_core(), base, person_environ())
        try:
            with chromium() as browser:
                for name in names or EXAMPLES:
                    export(browser, server.url, name, EXAMPLES[name]).close()
                shoot_help(export(browser, server.url, "1_one_slider", ONE_SLIDER))
        finally:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
