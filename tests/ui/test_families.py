"""Controls that only some families have, in a real browser: StyleGAN3's pose, BigGAN's class and threshold, noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eigan import Pose, Renderer, seeded_z, sources
from eigan.classes import find_class
from eigan.generators.base import Generator
from eigan.pack import DirectionPack
from eigan.readers.safetensors import save_generator
from eigan.recipe import PictureRecipe
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from hub_export.fit import fit
from hub_export.recipe import Recipe
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan
from tests.toys_stylegan3 import toy_stylegan3
from tests.ui.conftest import Served
from tests.ui.visitor import Pixels, Visitor, draw_directly, same


def write_pack(generator: Generator, root: Path) -> DirectionPack:
    """A SeFa pack of `generator`, both under `root`, as somebody's own folders."""
    save_generator(generator, root / "generator", dtype="fp32")
    generator.source = str(root / "generator")
    fit(generator, Recipe("sefa", num_directions=4, num_samples=2048)).save(root / "pack")
    return DirectionPack.load(root / "pack")


def picture(pack: DirectionPack, c: int | None, psi: float, pose: Pose | None = None) -> Pixels:
    generator = sources.generator_for(pack)
    codes = generator.mapping(seeded_z([DEFAULT_SEED], generator.z_dim), c, truncation_psi=psi)
    return np.asarray(Renderer(generator).render(codes, pose=pose or Pose())[0])


@pytest.fixture
def visitor(browser: Any, served: Served) -> Any:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        someone = Visitor(context, served.url)
        yield someone
        assert someone.trouble == []


def test_a_stylegan3_is_shifted_and_turned(visitor: Visitor, tmp_path: Path) -> None:
    pack = write_pack(toy_stylegan3(), tmp_path)
    visitor.load(pack.source)
    visitor.wait_for_pixels(picture(pack, None, 0.7), "the still picture")
    visitor.number("Pose: right").fill("0.25")
    visitor.number("Pose: turn").fill("90")
    visitor.wait_for_pixels(picture(pack, None, 0.7, Pose(x=0.25, angle=90.0)), "the picture shifted and turned")
    visitor.wait_until(lambda: "pose=0.25,0.0,90.0" in visitor.link(), "the link that says so")
    visitor.page.goto(visitor.link())
    visitor.wait_for_pixels(picture(pack, None, 0.7, Pose(x=0.25, angle=90.0)), "the picture of the link")
    visitor.page.locator("#reset").click()
    visitor.wait_for_pixels(picture(pack, None, 0.7), "the still picture again")


def test_a_biggan_takes_classes_by_name_and_a_threshold_of_one_at_most(visitor: Visitor, tmp_path: Path) -> None:
    pack = write_pack(toy_biggan(num_classes=1000), tmp_path)
    visitor.load(pack.source)
    visitor.wait_for_pixels(picture(pack, 0, 0.7), "class 0")
    assert visitor.slider("Truncation psi").get_attribute("max") == "1"
    box = visitor.page.locator("#class-index input")
    box.click()
    box.press_sequentially("husky")
    visitor.page.get_by_role("option", name="husky").click()
    husky = find_class("siberian husky")
    visitor.wait_for_pixels(picture(pack, husky, 0.7), "the husky")
    visitor.wait_until(lambda: visitor.recipe().class_index == husky, "the link that says so")
    assert visitor.page.locator("#pose input").count() == 0


def test_classes_without_names_go_by_their_number(visitor: Visitor, tmp_path: Path) -> None:
    pack = write_pack(toy_biggan(), tmp_path)
    visitor.load(pack.source)
    visitor.page.locator("#class-index input").click()
    visitor.page.get_by_role("option", name="2", exact=True).click()
    visitor.wait_for_pixels(picture(pack, 2, 0.7), "class 2")


def test_noise_can_be_left_out(visitor: Visitor, tmp_path: Path) -> None:
    pack = write_pack(toy_generator(), tmp_path)
    start = PictureRecipe(pack.source, DEFAULT_SEED, DEFAULT_PSI)
    noisy, clean = draw_directly(start, pack), draw_directly(replace(start, noise_mode="none"), pack)
    assert not same(noisy, clean)
    assert visitor.page.get_by_label("Noise").count() == 0, "the bundled generator has none"
    visitor.load(pack.source)
    visitor.wait_for_pixels(noisy, "the picture with noise")
    visitor.page.get_by_label("Noise").uncheck()
    visitor.wait_for_pixels(clean, "the picture without")
    visitor.wait_until(lambda: visitor.recipe().noise_mode == "none", "the link that says so")
    visitor.page.goto(visitor.link())
    visitor.wait_for_pixels(clean, "the picture of the link")
    assert not visitor.page.get_by_label("Noise").is_checked()
    visitor.page.get_by_label("Noise").check()
    visitor.wait_for_pixels(noisy, "the picture with noise again")
