"""From a slider's move to the picture: what the server takes, and how long a person in front of the page waits.

    python -m benchmarks.app_latency

server: the page's handler (`Editor.follow`), which checks what the page sent, draws and writes the PNG, in this process
and without Gradio, while something is dragged and at rest; and `Studio.png` alone. Every position is a new one, so that
nothing is found ready.

browser: `python app.py` on this machine and Chromium. One move is an `input` event on a slider's range; the time runs,
in the page, from the event to the frame after the new picture is decoded. The next move comes when the page is at rest
again. join and file are those two requests' own times, as the browser reports them; what is left is the handler, the
answer's way through Gradio's queue, and the page. drag: events as fast as frames come, for some seconds; how many new
pictures a second are decoded, and whether the last one is that of the slider's last position, to the pixel.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as app.py does, before torch comes

import gradio as gr
import numpy as np
import torch
from PIL import Image

from benchmarks.machine import machine
from benchmarks.visitors import app
from eigan import sources
from eigan.pack import DirectionPack
from eigan.recipe import PictureRecipe
from eigan.render import Renderer
from eigan.reproduce import draw
from eigan.ui.editor import Editor, Scene, View
from eigan.ui.history import History
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from eigan.ui.page import lay_out
from eigan.ui.session import Studios

RESULTS = Path(__file__).parent / "results"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
HEADERS = {"host": "127.0.0.1:7860"}
WARM = 10
TARGETS = {"server_ms": 40.0, "browser_ms": 150.0}

IN_PAGE = """
() => {
  const range = name => [...document.querySelectorAll("#sliders input[type=range]")]
    .find(e => e.getAttribute("aria-label") === `range slider for ${name}`);
  const picture = () => document.querySelector("#picture img");
  const frame = () => new Promise(requestAnimationFrame);
  const pause = ms => new Promise(done => setTimeout(done, ms));
  const put = (slider, value) => { slider.value = value; slider.dispatchEvent(new Event("input", { bubbles: true })); };
  const changed = (before, ms) => new Promise(done => {
    const look = () => { const now = picture()?.src; if (now && now !== before) { stop(); done(true); } };
    const observer = new MutationObserver(look);
    const timer = setTimeout(() => { stop(); done(false); }, ms);
    const stop = () => { observer.disconnect(); clearTimeout(timer); };
    observer.observe(document.querySelector("#picture"), { subtree: true, childList: true, attributes: true });
    look();
  });
  const requests = (from, part) => performance.getEntriesByType("resource")
    .filter(e => e.startTime >= from && e.name.includes(part)).map(e => e.duration);
  window.measure = {
    async move(name, value) {
      const slider = range(name), before = picture().src, start = performance.now();
      put(slider, value);
      if (!await changed(before, 5000)) return null;
      await picture().decode();
      await frame();
      const taken = performance.now() - start, between = picture().src;
      const join = requests(start, "queue/join")[0] ?? null, file = requests(start, "file=")[0] ?? null;
      await changed(between, 3000);  // at rest: the same picture, to be kept
      await pause(60);
      performance.clearResourceTimings();
      return { taken, join, file };
    },
    async drag(name, from, to, seconds) {
      const slider = range(name), seen = new Set(), start = performance.now();
      let frames = 0;
      const observer = new MutationObserver(() => {
        const img = picture(), src = img?.src;
        if (src && !seen.has(src)) img.decode().then(() => seen.add(src), () => {});
      });
      observer.observe(document.querySelector("#picture"), { subtree: true, childList: true, attributes: true });
      while (performance.now() - start < 1000 * seconds) {
        const along = (performance.now() - start) / (1000 * seconds);
        put(slider, from + (to - from) * along);
        frames += 1;
        await frame();
      }
      const pictures = seen.size;
      put(slider, to);
      slider.dispatchEvent(new Event("pointerup", { bubbles: true }));
      await pause(1500);
      observer.disconnect();
      return { frames, pictures };
    },
  };
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--drag-seconds", type=float, default=5.0)
    parser.add_argument("--result", type=Path, default=RESULTS / f"app_latency-{date.today()}.json")
    options = parser.parse_args()
    pack = sources.load_pack(sources.bundled_packs()[0])
    record: dict[str, Any] = {
        "benchmark": "app_latency",
        "date": str(date.today()),
        "machine": machine(torch.get_num_threads(), gr),
        "pack": pack.source,
        "targets": TARGETS,
        "server": measure_server(pack, options.moves),
    }
    print_all("server", record["server"])
    record["browser"] = measure_browser(pack, options.moves, options.drag_seconds)
    print_all("browser", record["browser"])
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.result}")


def print_all(side: str, found: dict[str, Any]) -> None:
    for name, value in found.items():
        shown = ", ".join(f"{k} {v:.1f}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{side} {name}: {shown}", flush=True)


def positions(pack: DirectionPack, count: int) -> list[tuple[str, float]]:
    """(slider, value) of so many moves, each a new picture: through the sliders in turn, further out every time."""
    found = []
    for number in range(count):
        direction = pack.directions[number % min(len(pack), 10)]
        low, high = direction.amount_range
        share = (number // min(len(pack), 10) + 1) / (count // min(len(pack), 10) + 2)
        found.append((direction.name, round((high if number % 2 else low) * share, 1)))
    return found


def measure_server(pack: DirectionPack, moves: int) -> dict[str, dict[str, float]]:
    """Milliseconds of every kind of move."""
    studios = Studios()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GRADIO_TEMP_DIR"] = cache
        with gr.Blocks():
            page, _ = lay_out(sources.bundled_packs(), hosted=False)
        editor = Editor(page, studios, pack.source, {})
        studio = studios.open(pack.source)
        scene = Scene(DEFAULT_SEED, DEFAULT_PSI, 0)
        updates = editor.show(editor.prepare_pack(pack.source, scene), None, View(), HEADERS)
        opened, panel = updates[page.opened], updates[page.panel]
        history = [History()]
        walk = positions(pack, 3 * (moves + WARM))

        def follow(name: str, amount: float, *, moving: bool) -> None:
            sent = panel | {"moving": moving, "amounts": {name: amount}}
            found = editor.follow(opened, sent, scene, View(history=history[0]), HEADERS)
            if found and not moving:
                history[0] = found[page.history]

        def png(name: str, amount: float) -> None:
            recipe = PictureRecipe(pack.source, DEFAULT_SEED, DEFAULT_PSI, amounts={name: amount + 0.005})
            studio.png(studio.complete(recipe))

        each: dict[str, Callable[[str, float], None]] = {
            "moving_ms": lambda name, amount: follow(name, amount, moving=True),
            "at_rest_ms": lambda name, amount: follow(name, amount + 0.001, moving=False),
            "png_alone_ms": png,
        }
        return {kind: timed(act, walk[i :: len(each)]) for i, (kind, act) in enumerate(each.items())}


def timed(act: Callable[[str, float], None], walk: list[tuple[str, float]]) -> dict[str, float]:
    taken = []
    for name, amount in walk:
        start = time.perf_counter()
        act(name, amount)
        taken.append(1e3 * (time.perf_counter() - start))
    return spread(taken[WARM:])


def spread(milliseconds: list[float]) -> dict[str, float]:
    median, p95, longest = np.percentile(milliseconds, [50, 95, 100])
    return {"median": float(median), "p95": float(p95), "max": float(longest), "moves": len(milliseconds)}


def measure_browser(pack: DirectionPack, moves: int, drag_seconds: float) -> dict[str, Any]:
    """The same from a person's side of the screen."""
    from playwright.sync_api import sync_playwright

    found = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium")
    with app() as (url, _), sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.locator("#sliders input[type=range]").first.wait_for(timeout=60_000)
        page.locator("#picture img").wait_for()
        page.evaluate(IN_PAGE)
        answers = [
            page.evaluate("([name, value]) => window.measure.move(name, value)", [name, amount])
            for name, amount in positions(pack, moves + WARM)
        ][WARM:]
        shown = [answer for answer in answers if answer]
        result: dict[str, Any] = {
            kind: spread([answer[part] for answer in shown if answer[part] is not None])
            for kind, part in (("pixels_ms", "taken"), ("join_ms", "join"), ("file_ms", "file"))
        }
        result["without_a_picture"] = len(answers) - len(shown)
        result["drag"] = drag(page, pack, drag_seconds)
        chromium.close()
    return result


def drag(page: Any, pack: DirectionPack, seconds: float) -> dict[str, Any]:
    """One long drag: pictures a second, and whether it ends with the right one."""
    direction = pack.directions[0]
    low, high = direction.amount_range
    ends = [direction.name, low, high, seconds]
    counted = page.evaluate("([name, low, high, s]) => window.measure.drag(name, low, high, s)", ends)
    address = page.locator("#picture img").get_attribute("src")
    with Image.open(io.BytesIO(page.request.get(address).body())) as image:
        last = np.asarray(image.convert("RGB"))
    values = page.locator("#sliders input[type=number]").evaluate_all(
        "all => all.map(e => [e.getAttribute('aria-label').replace('number input for ', ''), Number(e.value)])"
    )
    amounts = {name: value for name, value in values if value}
    recipe = PictureRecipe(pack.source, DEFAULT_SEED, DEFAULT_PSI, amounts=amounts)
    right = draw(recipe, pack, Renderer(sources.generator_for(pack)))[0]
    return {
        "seconds": seconds,
        "events_per_second": counted["frames"] / seconds,
        "pictures_per_second": counted["pictures"] / seconds,
        "last_is_right": float(np.array_equal(last, right)),
    }


if __name__ == "__main__":
    main()
