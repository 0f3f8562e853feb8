"""A person in front of the page: what they see, what they move. Every wait is a bounded poll of a condition."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import numpy.typing as npt
from PIL import Image

from eigan import sources
from eigan.latents import seeded_z
from eigan.pack import DirectionPack
from eigan.recipe import PictureRecipe
from eigan.render import Renderer
from eigan.reproduce import draw
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED

Pixels = npt.NDArray[np.uint8]
PATIENCE = 20_000  # milliseconds
POLL = 40


def render_directly(pack: DirectionPack, seed: int, psi: float, amounts: Mapping[str, float]) -> Pixels:
    """The picture the app should show, by the library alone."""
    generator = sources.generator_for(pack)
    codes = generator.mapping(seeded_z([seed], generator.z_dim), truncation_psi=psi)
    return Renderer(generator).render(codes, pack.edit(amounts))[0]


def draw_directly(recipe: PictureRecipe, pack: DirectionPack) -> Pixels:
    """The picture of `recipe`, by the library alone. pack: that of `eigan.combine` for one with further packs."""
    return draw(recipe, pack, Renderer(sources.generator_for(pack)))[0]


def edited(pack: DirectionPack, amounts: Mapping[str, float], **more: Any) -> Pixels:
    """The picture of the default seed after these moves, summed in the order of the sliders, as the page does."""
    in_order = {name: amounts[name] for name in pack.names if name in amounts}
    return draw_directly(PictureRecipe("", DEFAULT_SEED, DEFAULT_PSI, amounts=in_order, **more), pack)


class Visitor:
    def __init__(self, context: Any, url: str):
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.outside: list[str] = []  # requests to anywhere but the app
        self.trouble: list[str] = []  # errors of the page itself
        self.page.on("request", lambda r: self._note_request(r.url, url))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.goto(url)
        self.page.locator("#picture img").wait_for()
        self.page.locator("#sliders input[type=range]").first.wait_for()

    def _note_request(self, asked: str, url: str) -> None:
        if not asked.startswith((url.split("?")[0], "data:", "blob:")):
            self.outside.append(asked)

    def pixels(self) -> Pixels:
        """What the picture's file holds, decoded."""
        address = self.page.locator("#picture img").get_attribute("src")
        with Image.open(io.BytesIO(self.page.request.get(address).body())) as image:
            return np.asarray(image.convert("RGB"))

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(PATIENCE // POLL):
            if condition():
                return
            self.page.wait_for_timeout(POLL)
        raise AssertionError(f"waited {PATIENCE / 1000:.0f} s in vain: {what}")

    def wait_for_other_pixels(self, than: Pixels) -> None:
        self.wait_until(lambda: not same(self.pixels(), than), "the picture changes")

    def wait_for_pixels(self, wanted: Pixels, what: str) -> None:
        self.wait_until(lambda: same(self.pixels(), wanted), what)

    def slider(self, name: str) -> Any:
        return self.page.get_by_label(f"range slider for {name}", exact=True)

    def number(self, name: str) -> Any:
        return self.page.get_by_label(f"number input for {name}", exact=True)

    def amounts(self) -> dict[str, float]:
        """Where every slider of the pack stands, by name."""
        found = self.page.locator("#sliders input[type=number]").evaluate_all(
            "all => all.map(e => [e.getAttribute('aria-label'), Number(e.value)])"
        )
        return {label.removeprefix("number input for "): value for label, value in found}

    def moved(self) -> dict[str, float]:
        """Where the sliders stand that do not stand at 0, by name."""
        return {name: value for name, value in self.amounts().items() if value}

    def preset(self, name: str) -> Any:
        return self.page.locator("#preset-buttons").get_by_role("button", name=name, exact=True)

    def steps(self) -> Any:
        """The buttons of the history strip."""
        return self.page.get_by_role("list", name="History").get_by_role("button")

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def drag(self, name: str, to: float) -> None:
        """Drag a slider's thumb from where it stands to `to` (0 left end, 1 right end), in many small steps."""
        self.drag_through(name, [to])

    def drag_through(self, name: str, places: Sequence[float], steps: int = 25) -> None:
        """Drag a slider's thumb to one place after another without letting go, in `steps` small steps each."""
        slider = self.slider(name)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        low, high, value = (float(slider.evaluate(f"e => e.{k}")) for k in ("min", "max", "value"))
        start, middle = (value - low) / (high - low), box["y"] + box["height"] / 2
        mouse = self.page.mouse
        mouse.move(box["x"] + 8 + start * (box["width"] - 16), middle)
        mouse.down()
        for place in places:
            mouse.move(box["x"] + 8 + place * (box["width"] - 16), middle, steps=steps)
        mouse.up()

    def set_seed(self, seed: int) -> None:
        self.page.locator("#seed input").fill(str(seed))

    def link(self) -> str:
        return str(self.page.locator("#link input").input_value())

    def recipe(self) -> PictureRecipe:
        """What the share link says."""
        return PictureRecipe.from_query(dict(parse_qsl(urlsplit(self.link()).query)))

    def load(self, source: str) -> None:
        """Type a pack's name and press Load."""
        box = self.page.locator("#picker input")
        box.fill(source)
        self.page.locator("#load").click()

    def upload(self, button: str, path: Path) -> None:
        """Press a button that asks for a file, and give it one."""
        with self.page.expect_file_chooser() as asked:
            self.button(button).click()
        asked.value.set_files(path)

    def open_compose(self) -> None:
        """Unfold what combines packs and saves presets."""
        self.page.locator("#compose > button").click()

    def toast(self) -> Any:
        return self.page.get_by_test_id("toast-body").first

    def download(self, folder: Path, button: str = "Download PNG") -> Path:
        with self.page.expect_download() as waiting:
            self.button(button).click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path


def same(a: Pixels, b: Pixels) -> bool:
    return a.shape == b.shape and bool((a == b).all())
