"""Previews: one strip for each direction and a contact sheet, the same bytes each time, under names a pack may hold."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eigan.errors import PackMismatch
from eigan.format import check_file_name
from eigan.pack import DirectionPack, MadeFor
from eigan.render import Renderer, strip
from hub_export.plots import PLOTS
from hub_export.previews import CONTACT_SHEET, LABEL_WIDTH, PLOT_PREFIX, preview_codes, render_previews, shrink, slugs
from tests.toys import toy_direction, toy_generator, toy_pack
from tests.toys_models import varying_pack

pytestmark = pytest.mark.usefixtures("one_thread")


def opened(data: bytes) -> Image.Image:
    picture = Image.open(BytesIO(data))
    assert picture.format == "WEBP"
    return picture.convert("RGB")


def test_one_strip_for_each_direction_and_a_sheet() -> None:
    generator, pack, seen = toy_generator(), toy_pack(), []
    files = render_previews(
        generator, pack, seeds=[1, 5], num_amounts=5, progress=lambda done, total, what: seen.append((done, total))
    )
    assert set(files) == {"previews/smile.webp", "previews/age.webp", "previews/light.webp", CONTACT_SHEET}
    assert opened(files["previews/age.webp"]).size == (5 * 34 - 2, 2 * 34 - 2)
    assert opened(files[CONTACT_SHEET]).size == (LABEL_WIDTH + 5 * 34 - 2, 3 * 34 - 2)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert files == render_previews(toy_generator(), toy_pack(), seeds=[1, 5], num_amounts=5)


def test_a_strip_shows_the_edit() -> None:
    generator, pack = toy_generator(), toy_pack()
    direction = pack["smile"]
    files = render_previews(generator, pack, seeds=[3], num_amounts=3)
    codes = preview_codes(generator, pack, [3], 0.7)
    expected = np.asarray(strip(Renderer(generator), codes, direction, [-3.0, 0.0, 3.0]), np.int16)
    shown = np.asarray(opened(files["previews/smile.webp"]), np.int16)
    assert np.abs(shown - expected).mean() < 25  # WebP is lossy, random weights are noise
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.9


def test_directions_that_depend_on_the_picture_have_previews_too() -> None:
    generator = toy_generator()
    files = render_previews(generator, varying_pack(generator), seeds=[3, 4], num_amounts=3)
    assert set(files) == {"previews/turn.webp", "previews/smile.webp", "previews/tilt.webp", CONTACT_SHEET}
    strip_of = np.asarray(opened(files["previews/turn.webp"]), np.int16)
    assert np.abs(strip_of[:32, :32] - strip_of[:32, -32:]).mean() > 3  # its ends differ


def test_large_pictures_become_small_tiles() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), dtype=np.uint8)
    small = shrink(pictures, 16)
    assert small.shape == (2, 16, 8, 3)
    blocks = pictures.reshape(2, 16, 4, 8, 4, 3).mean(axis=(2, 4))
    assert np.abs(small - blocks).max() <= 1
    assert shrink(pictures, 64) is pictures
    assert opened(render_previews(toy_generator(), toy_pack(), seeds=[0, 1], max_tile=8)["previews/age.webp"]).size == (
        68,
        18,
    )


def test_conditional_generators_show_the_fitted_class() -> None:
    generator = toy_generator(c_dim=3)
    pack = replace(toy_pack(), made_for=MadeFor.describe(generator))
    fitted = replace(pack, method={"name": "pca", "class_index": 2})
    assert (preview_codes(generator, fitted, [2, 5], 1.0) == preview_codes(generator, pack, [2, 5], 1.0)).all()
    assert (preview_codes(generator, fitted, [0, 1], 1.0) != preview_codes(generator, pack, [0, 1], 1.0)).any()
    assert len(render_previews(generator, fitted, seeds=[0], num_amounts=2)) == 4


def test_a_pack_of_another_generator_is_refused() -> None:
    with pytest.raises(PackMismatch):
        render_previews(toy_generator(3), toy_pack())


def test_the_sheet_stays_within_what_webp_can_hold() -> None:
    generator = toy_generator()
    many = tuple(toy_direction(f"d{i}", seed=i) for i in range(45))
    pack = DirectionPack("many", MadeFor.describe(generator), many, {"name": "pca"})
    files = render_previews(generator, pack, seeds=[0], num_amounts=2, max_tile=4)
    assert len(files) == 46
    assert opened(files[CONTACT_SHEET]).height == 40 * 6 - 2


def test_long_names_are_cut_to_the_label() -> None:
    generator = toy_generator()
    pack = DirectionPack("long", MadeFor.describe(generator), (toy_direction("w" * 80),), {"name": "pca"})
    sheet = opened(render_previews(generator, pack, seeds=[0])[CONTACT_SHEET])
    assert sheet.crop((0, 0, 4, sheet.height)).getcolors() == [(4 * sheet.height, (255, 255, 255))]


def test_file_names_are_plain() -> None:
    names = ["Smile", "smile", "Übermut & Co.", "улыбка", "微笑", "contact sheet", "../../etc/passwd", "a" * 80, "-_-"]
    found = slugs(names)
    expected = ["smile", "smile-2", "ubermut-co", "direction-03", "direction-04", "contact-sheet-2", "etc-passwd"]
    assert found == [*expected, "a" * 80, "direction-08"]


@given(names=st.lists(st.text(min_size=1, max_size=80), max_size=12, unique=True))
@settings(max_examples=150, deadline=None)
def test_any_names_give_files_that_a_pack_may_hold(names: list[str]) -> None:
    found = slugs(names)
    assert len(set(found)) == len(names)
    for slug in found:
        check_file_name(f"previews/{slug}.webp")
    assert "contact-sheet" not in found
    assert not any(slug.startswith(PLOT_PREFIX) for slug in found)


def test_no_direction_takes_the_place_of_a_plot() -> None:
    names = ["plot variance", "Plot", "plot", "plot-drift", "plots"]
    assert slugs(names) == [
        "direction-plot-variance", "direction-plot", "direction-plot-2", "direction-plot-drift", "plots",
    ]  # fmt: skip
    assert all(plot.path.startswith(f"previews/{PLOT_PREFIX}") for plot in PLOTS.values())
