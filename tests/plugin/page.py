"""A person in front of ComfyUI's own page: opens a workflow, drags sliders, presses Run, looks. No network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eigan.render import Pictures

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
INSIDE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # nothing is looked up, whatever the page asks for
PATIENCE = 60_000  # milliseconds
POLL = 50
SIZE = {"width": 1600, "height": 1000}


@contextmanager
def chromium() -> Iterator[Any]:
    """Headless Chromium. Where there is none the tests are skipped, but never in CI."""
    found = str(CHROMIUM) if CHROMIUM.exists() else shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and not os.environ.get("CI"):
        pytest.skip("no Chromium here (apt-get install chromium); CI has one")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=[*FLAGS, INSIDE])
        yield running
        running.close()


class Page:
    """ComfyUI's page. `node` numbers are those of the workflow's JSON."""

    def __init__(self, browser: Any, url: str, size: Mapping[str, int] = SIZE):
        self.page = browser.new_page(viewport=dict(size))
        self.page.set_default_timeout(PATIENCE)
        self.trouble: list[str] = []  # errors of the page itself
        self.prompts: list[dict[str, Any]] = []  # that it sent
        self.page.add_init_script("localStorage.setItem('vueNodesBannerDismissed', 'true')")
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", self._note)
        self.page.goto(url)
        self.wait("() => Boolean(window.app?.graph && window.LiteGraph?.registered_node_types?.EiganRender)")

    def _note(self, request: Any) -> None:
        if request.method == "POST" and request.url.split("?")[0].endswith("/prompt"):
            self.prompts.append(json.loads(request.post_data)["prompt"])

    def wait(self, condition: str, argument: Any = None) -> Any:
        return self.page.wait_for_function(condition, arg=argument, polling=POLL).json_value()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(PATIENCE // POLL):
            if condition():
                return
            self.page.wait_for_timeout(POLL)
        raise AssertionError(f"waited {PATIENCE / 1000:.0f} s in vain: {what}")

    def open(self, workflow: Mapping[str, Any], name: str = "example") -> None:
        """As if it were dropped on the page."""
        given = [dict(workflow), name]
        self.page.evaluate("([workflow, name]) => window.app.loadGraphData(workflow, true, true, name)", given)
        self.wait("count => window.app.graph._nodes.length === count", len(workflow["nodes"]))

    def saved(self) -> dict[str, Any]:
        """The workflow as Save writes it."""
        return dict(json.loads(self.page.evaluate("() => JSON.stringify(window.app.graph.serialize())")))

    def prompt(self) -> dict[str, Any]:
        """What Run sends for what is on the page."""
        return dict(self.page.evaluate("async () => (await window.app.graphToPrompt()).output"))

    def switch_live(self, is_on: bool) -> None:
        self.page.evaluate("on => window.app.extensionManager.setting.set('Eigan.Live', on)", is_on)

    def run(self) -> None:
        """Press Run, and wait until everything that was queued is done."""
        self.page.evaluate(
            """async () => {
                const ended = new Promise((done) => {
                    for (const name of ["execution_success", "execution_error", "execution_interrupted"])
                        window.app.api.addEventListener(name, (event) => done(name), { once: true });
                });
                await window.app.queuePrompt(0);
                return await ended;
            }"""
        )

    def widgets(self, node: int) -> dict[str, Any]:
        """Name -> (value, label) of a node's widgets."""
        found = self.page.evaluate(
            "id => window.app.graph.getNodeById(id).widgets.map(w => [w.name, w.value, w.label ?? null])", node
        )
        return {name: (value, shown) for name, value, shown in found}

    def place(self, node: int, widget: str, share: float) -> tuple[float, float]:
        """Where on the page a slider's `share` of its width is, 0 to 1."""
        x, y = self.page.evaluate(
            """([id, name, share]) => {
                const node = window.app.graph.getNodeById(id);
                const widget = node.widgets.find((one) => one.name === name);
                const [width] = node.size, margin = 15, top = widget.y ?? widget.last_y;
                const at = [node.pos[0] + margin + share * (width - 2 * margin), node.pos[1] + top + 10];
                const { scale, offset } = window.app.canvas.ds;
                const box = window.app.canvas.canvas.getBoundingClientRect();
                return [(at[0] + offset[0]) * scale + box.left, (at[1] + offset[1]) * scale + box.top];
            }""",
            [node, widget, share],
        )
        return float(x), float(y)

    def title(self, node: int) -> tuple[float, float]:
        """Where on the page a node's title is."""
        x, y = self.page.evaluate(
            """id => {
                const node = window.app.graph.getNodeById(id), { scale, offset } = window.app.canvas.ds;
                const box = window.app.canvas.canvas.getBoundingClientRect();
                const at = [node.pos[0] + node.size[0] / 2, node.pos[1] - 15];
                return [(at[0] + offset[0]) * scale + box.left, (at[1] + offset[1]) * scale + box.top];
            }""",
            node,
        )
        return float(x), float(y)

    def drag(self, node: int, widget: str, shares: list[float], pause: int = 0) -> None:
        """Press on the slider, move through `shares` of its width, let go; `pause` ms at each."""
        self.page.mouse.move(*self.place(node, widget, shares[0]))
        self.page.mouse.down()
        for share in shares[1:]:
            self.page.mouse.move(*self.place(node, widget, share))
            self.page.wait_for_timeout(pause)
        self.page.mouse.up()

    def picture(self, node: int) -> Pictures | None:
        """(H, W, 3): what a node that shows pictures shows now."""
        address = self.page.evaluate("id => window.app.graph.getNodeById(id).imgs?.[0]?.src ?? null", node)
        if address is None:
            return None
        with Image.open(BytesIO(self.page.request.get(address.replace("preview=", "was=")).body())) as image:
            return np.asarray(image.convert("RGB"))

    def close(self) -> None:
        self.page.close()
