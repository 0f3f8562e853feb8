"""Contact sheets and sweeps: what each little picture is, how many there are, and how long anybody waits."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eigan.errors import PackFormatError, UnknownName
from eigan.latent_files import Latent
from eigan.layers import LayerRange
from eigan.pack import Direction
from eigan.recipe import PictureRecipe
from eigan.render import Renderer
from eigan.reproduce import draw
from eigan.ui import sheets
from eigan.ui.session import Studio, Studios
from eigan.ui.sheets import (
    MAX_STEPS,
    PAGE,
    Row,
    bare,
    caption,
    draw_sheet,
    draw_sweep,
    pushed,
    sheet_note,
    signed,
    strip_image,
    sweep_amounts,
    sweep_seeds,
    swept,
    tiles_value,
)
from tests.toys import toy_direction
from tests.ui.bundles import HOSTILE
from tests.ui.visitor import same


@pytest.fixture
def studio(toy_bundles: Path) -> Studio:
    return Studios().open("toy-words")


@pytest.fixture
def recipe(studio: Studio) -> PictureRecipe:
    edited = PictureRecipe(
        pack="toy-words",
        seed=7,
        truncation_psi=0.7,
        amounts={"smile": 1.5, "age": -1.0},
        layers={"smile": LayerRange(1, 3)},
        keep=("light",),
        noise_mode="none",
    )
    return studio.complete(edited)


def directly(studio: Studio, recipe: PictureRecipe) -> np.ndarray:
    return draw(recipe, studio.pack, Renderer(studio.generator))[0]


def test_a_direction_is_pushed_a_share_of_the_way_to_its_ends_in_steps_of_its_slider() -> None:
    wide, narrow = toy_direction(), replace(toy_direction(), amount_range=(-0.5, 1.0))
    assert pushed(wide, 0.6) == (-1.8, 0.0, 1.8)
    assert pushed(narrow, 0.55) == (-0.28, 0.0, 0.55)
    assert pushed(replace(wide, amount_range=(0.0, 2.0)), 1.0) == (0.0, 2.0), "nothing lies below"


def test_every_tile_is_the_picture_of_that_direction_alone(studio: Studio, recipe: PictureRecipe) -> None:
    sheet = draw_sheet(studio, bare(recipe), studio.pack.directions, reach=0.5, clock=lambda: 0.0)
    assert [row.name for row in sheet.rows] == studio.pack.names
    assert (sheet.start, sheet.stop, sheet.total, sheet.is_sketched) == (0, 5, 5, False)
    for row in sheet.rows:
        for amount, tile in zip(row.amounts, row.tiles, strict=True):
            alone = replace(bare(recipe), amounts={row.name: amount})
            assert np.abs(tile.astype(int) - directly(studio, alone).astype(int)).max() <= 1, (row.name, amount)
    still = directly(studio, bare(recipe))
    assert not any(same(row.tiles[0], still) for row in sheet.rows), "a direction that moves nothing shows nothing"


def test_a_sheet_comes_in_pages(studio: Studio, recipe: PictureRecipe) -> None:
    many = Studios().open("toy-sefa").pack.directions
    first = draw_sheet(studio, bare(recipe), many, clock=lambda: 0.0)
    second = draw_sheet(studio, bare(recipe), many, start=first.stop, clock=lambda: 0.0)
    assert (len(first.rows), len(second.rows)) == (PAGE, 40 - PAGE)
    assert [row.name for row in (*first.rows, *second.rows)] == [d.name for d in many]
    with pytest.raises(PackFormatError, match="begin at the first"):
        draw_sheet(studio, bare(recipe), many, start=40)
    with pytest.raises(PackFormatError, match="how far"):
        draw_sheet(studio, bare(recipe), many, reach=float("nan"))


def test_a_page_ends_when_its_time_is_up_and_says_so(studio: Studio, recipe: PictureRecipe) -> None:
    seconds = count(step=5.0)
    sheet = draw_sheet(studio, bare(recipe), studio.pack.directions, clock=lambda: next(seconds))
    assert len(sheet.rows) == 3, "after 5 and 10 seconds there is still time, after 15 there is not"
    assert "short because this generator (32 px) is slow" in sheet_note(sheet, recipe, studio.generator)
    endless = count(step=1000.0)
    assert len(draw_sheet(studio, recipe, studio.pack.directions, clock=lambda: next(endless)).rows) == 1


def test_a_slow_generator_shows_early_images_where_it_has_them(
    studio: Studio, recipe: PictureRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = np.full((2, 16, 16, 3), 77, np.uint8)
    monkeypatch.setattr(Studio, "is_slow", True)
    monkeypatch.setattr(Renderer, "preview", lambda self, codes, **_: early[: len(codes)])
    sheet = draw_sheet(studio, bare(recipe), studio.pack.directions)
    assert sheet.is_sketched
    assert all((row.tiles[0] == 77).all() for row in sheet.rows)
    assert "coarse" in sheet_note(sheet, recipe, studio.generator)
    monkeypatch.setattr(Renderer, "preview", lambda self, codes, **_: None)
    assert not draw_sheet(studio, bare(recipe), studio.pack.directions).is_sketched


def test_the_page_goes_on_from_its_own_trail(studio: Studio, recipe: PictureRecipe) -> None:
    studio.render(recipe)
    before = studio.renderer._trail
    draw_sheet(studio, bare(recipe), studio.pack.directions)
    draw_sweep(studio, recipe, "age", [-1, 1], [7])
    assert studio.renderer._trail is before


def test_progress_is_told(studio: Studio, recipe: PictureRecipe) -> None:
    told: list[tuple[int, int]] = []
    draw_sheet(studio, recipe, studio.pack.directions, progress=lambda *at: told.append(at), clock=lambda: 0.0)
    assert told == [(i, 5) for i in range(5)]


@pytest.mark.parametrize(
    ("low", "high", "steps", "wanted"),
    [
        (-3, 3, 7, [-3, -2, -1, 0, 1, 2, 3]),
        (2, -1, 4, [2, 1, 0, -1]),
        (0, 1, 4, [0, 0.33, 0.67, 1]),
        (0, 0.1, 4, [0, 0.033, 0.067, 0.1]),
    ],
)
def test_sweep_amounts(low: float, high: float, steps: int, wanted: list[float]) -> None:
    assert sweep_amounts(low, high, steps) == wanted
    assert all(str(amount) != "-0.0" for amount in sweep_amounts(low, high, steps))


@pytest.mark.parametrize(
    ("low", "high", "steps", "message"),
    [
        (1, 1, 3, "too short"),
        (0, 0.001, 5, "too short"),
        (-3, 3, MAX_STEPS + 1, "2 to 15"),
        (-3, 3, 1, "2 to 15"),
        (-1000, 3, 3, "from"),
        (float("nan"), 3, 3, "from"),
        (0, float("inf"), 3, "to is"),
    ],
)
def test_sweeps_that_make_no_sense_are_refused(low: float, high: float, steps: int, message: str) -> None:
    with pytest.raises(PackFormatError, match=message):
        sweep_amounts(low, high, steps)


def test_a_sweep_is_what_the_page_would_show(studio: Studio, recipe: PictureRecipe) -> None:
    seeds = sweep_seeds(recipe, 3)
    rows = draw_sweep(studio, recipe, "age", [-2, 0, 2], seeds)
    assert [row.name for row in rows] == ["seed 7", "seed 8", "seed 9"]
    for seed, row in zip(seeds, rows, strict=True):
        for amount, tile in zip(row.amounts, row.tiles, strict=True):
            wanted = directly(studio, swept(replace(recipe, seed=seed), "age", amount))
            assert np.abs(tile.astype(int) - wanted.astype(int)).max() <= 1
    with pytest.raises(UnknownName, match="wisdom"):
        draw_sweep(studio, recipe, "wisdom", [0, 1], [7])
    with pytest.raises(PackFormatError, match="1 to 6"):
        sweep_seeds(recipe, 7)


def test_the_last_seed_is_followed_by_the_first(recipe: PictureRecipe) -> None:
    assert sweep_seeds(replace(recipe, seed=2**32 - 1), 2) == [2**32 - 1, 0]


def test_a_latent_has_one_row(studio: Studio, recipe: PictureRecipe) -> None:
    recipe = replace(recipe, latent=Latent.of(torch.randn(1, studio.generator.code_dim)))
    assert sweep_seeds(recipe, 4) == [7]
    (row,) = draw_sweep(studio, recipe, "age", [0, 1], [7])
    assert row.name == "latent"
    assert np.abs(row.tiles[1].astype(int) - directly(studio, swept(recipe, "age", 1)).astype(int)).max() <= 1


def test_a_sweep_that_would_take_too_long_is_refused_before_it_begins(
    studio: Studio, recipe: PictureRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio.renderer, "expected_seconds", lambda: 1.5)
    monkeypatch.setattr(sheets, "Renderer", None)  # nothing is drawn
    with pytest.raises(PackFormatError, match=r"about 1\.5 s here, so 45 of them take 68 s; ask for at most 30"):
        draw_sweep(studio, recipe, "age", sweep_amounts(-3, 3, 15), [7, 8, 9])


def test_the_strip_has_room_for_its_amounts_and_seeds() -> None:
    tile = np.zeros((32, 32, 3), np.uint8)
    one = strip_image([Row("seed 1", (-1.0, 0.0, 1.0), (tile,) * 3)])
    assert one.size == (3 * 64 + 2 * 2, 64 + 26), "enlarged twice, two pixels apart, and a line under them"
    pixels = np.asarray(one)
    assert (pixels[:64, :64] == 0).all()
    assert [bool((pixels[64:, i * 66 : i * 66 + 64] < 128).any()) for i in range(3)] == [True] * 3
    two = strip_image([Row(f"seed {i}", (-1.0, 0.0), (tile,) * 2) for i in (1, 2)])
    left = two.width - (2 * 64 + 2)
    assert left > 50
    assert (np.asarray(two)[: 2 * 64, :left] < 128).any(axis=(1, 2)).any(), "the seeds are written beside the rows"
    large = np.zeros((1024, 1024, 3), np.uint8)
    assert strip_image([Row("seed 1", (0.0, 1.0), (large,) * 2)]).size == (2 * 256 + 2, 256 + 26)


def test_amounts_as_they_are_written() -> None:
    assert [signed(a) for a in (1.5, -2.0, 0.0, 0.3333)] == ["+1.5", "−2", "0", "+0.3333"]


def test_what_the_page_is_sent_is_plain_and_every_picture_is_sent_once(studio: Studio, recipe: PictureRecipe) -> None:
    sheet = draw_sheet(studio, bare(recipe), studio.pack.directions, clock=lambda: 0.0)
    value = tiles_value(sheet.rows, "Sheet", about=lambda row: f"about {row.name}")
    assert json.loads(json.dumps(value)) == value
    assert len(value["pictures"]) == 2 * 5 + 1, "the one at 0 is shared"
    assert value["groups"][0]["title"] == "smile"
    assert value["groups"][0]["about"] == "about smile"
    assert [tile["under"] for tile in value["groups"][0]["tiles"]] == ["−1.8", "0", "+1.8"]
    for group, row in zip(value["groups"], sheet.rows, strict=True):
        for shown, tile in zip(group["tiles"], row.tiles, strict=True):
            data = base64.b64decode(value["pictures"][shown["picture"]].partition(",")[2])
            seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
            assert np.abs(seen - tile).mean() < 20, "lossy, but that picture"


def test_captions_say_what_is_known_and_no_more() -> None:
    plain = Direction("component 3", toy_direction().vector, 0.5, LayerRange(0, 8))
    assert caption(plain, "") == "layers 0-7"
    told = replace(plain, poles=("old", "young"), metrics={"explained_variance_ratio": 0.1234})
    assert caption(told, "also moves smile +") == "old … young · layers 0-7 · 12% of the variance · also moves smile +"
    assert len(caption(replace(plain, poles=(HOSTILE["pole"], "x" * 80)), "y" * 500)) <= 160
