"""The Take away tab without a browser: files that decode to the pictures they are of, and bounds that hold."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image, ImageSequence

from eigan.errors import PackFormatError, UnknownName
from eigan.latent_files import Latent
from eigan.latents import MAX_SEED
from eigan.layers import LayerRange
from eigan.recipe import PictureRecipe, read_png
from eigan.render import Renderer
from eigan.ui import animation
from eigan.ui.animation import (
    Shape,
    check_affordable,
    draw_move,
    encode,
    most_frames,
    sizes_for,
    sweep,
    usual_size,
    whole_move,
)
from eigan.ui.contact_sheet import GAP, MAX_COLUMNS, draw_pairs, lay_out_sheet, sheet_png, sheet_recipes, tile_place
from eigan.ui.desk import Desk
from eigan.ui.editor import Editor, Now
from eigan.ui.page import lay_out
from eigan.ui.panel import standing
from eigan.ui.session import Studio, Studios
from eigan.ui.take import CODES, Take, animate, bounds, lay_out_take, lay_sheet, plainly_each, snippet_of

LOSSY = (
    12.0  # mean difference in levels that a codec may make of these noisy toys; other pictures differ by 30 and more
)


@pytest.fixture
def words(toy_bundles: Path) -> Studio:
    return Studios().open("toy-words")


def recipe_of(studio: Studio, **values: Any) -> PictureRecipe:
    given: dict[str, Any] = {
        "pack": studio.source,
        "seed": 5,
        "truncation_psi": 0.7,
        "amounts": {"smile": 3.0, "age": 2.0},
    }
    return studio.complete(PictureRecipe(**(given | values)))


def bare(recipe: PictureRecipe) -> PictureRecipe:
    return replace(recipe, amounts={}, layers={}, keep=())


def drawn(studio: Studio, recipe: PictureRecipe) -> np.ndarray:
    return np.asarray(studio.render(recipe))


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def decoded(data: bytes, suffix: str) -> list[np.ndarray]:
    """Every frame of an animation, RGB."""
    if suffix == ".webp":
        with Image.open(io.BytesIO(data)) as film:
            return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
    import av

    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


# animations


def test_the_whole_edit_goes_from_the_unedited_picture_to_the_edited_and_back(words: Studio) -> None:
    recipe = recipe_of(words, keep=("light",), layers={"smile": LayerRange(0, 4)}, noise_mode="none")
    found = list(draw_move(Renderer(words.generator), recipe, whole_move(recipe, words.pack), 5, 32))
    assert len(found) == 8
    assert (found[0] == drawn(words, bare(recipe))).all()
    assert (found[4] == drawn(words, recipe)).all()
    assert (found[3] == found[5]).all() and not (found[3] == found[4]).all()


def test_a_sweep_goes_from_end_to_end_with_the_rest_as_it_stands(words: Studio) -> None:
    recipe = recipe_of(words)
    low, high = words.pack["light"].amount_range
    found = list(draw_move(Renderer(words.generator), recipe, sweep(recipe, words.pack, "light"), 3, 32))
    for at, frame in ((low, found[0]), (high, found[2])):
        assert (frame == drawn(words, replace(recipe, amounts={**recipe.amounts, "light": at}))).all()
    with pytest.raises(UnknownName):
        sweep(recipe, words.pack, "nobody")


@pytest.mark.parametrize("suffix", [".webp", ".mp4"])
def test_files_decode_to_their_frames(words: Studio, suffix: str) -> None:
    recipe = recipe_of(words)
    frames = list(draw_move(Renderer(words.generator), recipe, whole_move(recipe, words.pack), 4, 128))
    found = decoded(encode(frames, suffix, 10), suffix)
    assert {frame.shape for frame in found} == {(128, 128, 3)}
    assert apart(found[0], frames[0]) < LOSSY < apart(frames[3], frames[0])
    assert len(found) == len(frames) == 6
    for mine, theirs in zip(found, frames, strict=True):
        assert apart(mine, theirs) < LOSSY


def test_nothing_moved_makes_no_animation(words: Studio) -> None:
    with pytest.raises(PackFormatError, match="nothing is moved yet"):
        whole_move(recipe_of(words, amounts={}), words.pack)


@pytest.mark.parametrize(
    ("resolution", "sizes", "usual"),
    [(64, [64, 128, 256, 512, 1024], 256), (1024, [64, 128, 256, 512, 1024], 512), (32, [32, 64, 128, 256, 512], 256)],
)
def test_sizes_suit_the_generator(resolution: int, sizes: list[int], usual: int) -> None:
    assert sizes_for(resolution) == sizes
    assert usual_size(resolution) == usual


class Slow:
    """A renderer that says how long its pictures take."""

    def __init__(self, seconds: float | None):
        self.seconds = seconds

    def expected_seconds(self, count: int = 1) -> float | None:
        return self.seconds


def test_what_one_visitor_may_ask_for_is_bounded(words: Studio) -> None:
    quick, slow, unknown = Slow(0.01), Slow(5.0), Slow(None)
    assert [most_frames(one) for one in (quick, slow, unknown)] == [40, 12, 40]  # type: ignore[arg-type]
    check_affordable(quick, Shape(40, 20, 512))  # type: ignore[arg-type]
    check_affordable(quick, Shape(17, 20, 1024))  # type: ignore[arg-type]
    for renderer, shape, told in (
        (slow, Shape(13, 20, 64), "wanted 4 to 12 here"),
        (quick, Shape(41, 20, 64), "wanted 4 to 40"),
        (quick, Shape(3, 20, 64), "wanted 4 to 40"),
        (quick, Shape(40, 20, 1024), "choose 17 frames"),
        (quick, Shape(4, 20, 2048), "at most 1024"),
        (quick, Shape(4, 20, 0), "at most 1024"),
        (quick, Shape(4, 60, 64), "wanted 5 to 30"),
    ):
        with pytest.raises(PackFormatError, match=told):
            check_affordable(renderer, shape)  # type: ignore[arg-type]


def test_what_was_not_filled_in_yet_is_the_usual_or_refused() -> None:
    assert Shape.of(16, 20, None, 64) == Shape(16, 20.0, 256)
    assert Shape.of(None, None, 128, 64) == Shape(0, 0.0, 128)
    for shape in (Shape.of(None, 20, 64, 64), Shape.of(16, None, 64, 64)):
        with pytest.raises(PackFormatError, match="wanted"):
            check_affordable(Slow(0.01), shape)  # type: ignore[arg-type]


# contact sheets


@pytest.mark.parametrize("count", [2, 6, 8])
def test_a_sheet_holds_the_direct_renders(words: Studio, count: int) -> None:
    recipe = recipe_of(words, seed=MAX_SEED - 2)
    recipes = sheet_recipes(recipe, count)
    assert [one.seed for one in recipes][:5] == [MAX_SEED - 2, MAX_SEED - 1, MAX_SEED, 0, 1][:count]
    data = sheet_png(list(draw_pairs(Renderer(words.generator), words.pack, recipes)), recipe)
    with Image.open(io.BytesIO(data)) as sheet:
        pixels = np.asarray(sheet)
    for index, one in enumerate(recipes):
        left, top = tile_place(index, (32, 32), min(count, MAX_COLUMNS))
        for y, wanted in ((top, bare(one)), (top + 32 + GAP, one)):
            assert (pixels[y : y + 32, left : left + 32] == drawn(words, wanted)).all()
    assert pixels.shape[1] < 400 and (pixels[:, :40].min(axis=(1, 2)) < 128).any(), "rows are named at the left"


def test_a_sheet_brings_its_edit_back(words: Studio, tmp_path: Path) -> None:
    recipe = recipe_of(words)
    path = tmp_path / "sheet.png"
    path.write_bytes(
        sheet_png(list(draw_pairs(Renderer(words.generator), words.pack, sheet_recipes(recipe, 2))), recipe)
    )
    assert read_png(path) == recipe


def test_an_uploaded_latent_comes_first_and_seeds_follow(words: Studio) -> None:
    codes = np.random.default_rng(0).normal(size=(8, 16)).astype("<f4")
    recipe = recipe_of(words, latent=Latent((8, 16), codes.tobytes()))
    pairs = list(draw_pairs(Renderer(words.generator), words.pack, sheet_recipes(recipe, 3)))
    assert [pair.words for pair in pairs] == ["latent", "seed 6", "seed 7"]
    assert (np.asarray(pairs[0].after) == drawn(words, recipe)).all()
    assert (np.asarray(pairs[1].after) == drawn(words, replace(recipe, seed=6, latent=None))).all()


def test_large_pictures_are_shrunk_on_a_sheet(words: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eigan.ui.contact_sheet.MAX_TILE", 16)
    pairs = list(draw_pairs(Renderer(words.generator), words.pack, sheet_recipes(recipe_of(words), 2)))
    assert pairs[0].before.size == (16, 16)
    assert lay_out_sheet(pairs).width < 100


# the tab


@pytest.fixture
def desk(toy_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Desk, Take]]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    with gr.Blocks():
        page, tabs = lay_out(["toy-words"], hosted=False)
        with tabs.take:
            tab = lay_out_take(tabs.take)
        yield Desk(Editor(page, Studios(), "toy-words", {})), tab


def now_of(desk: Desk, **values: Any) -> Now:
    studio = desk.studios.open("toy-words")
    recipe = recipe_of(studio, **values)
    return Now(studio, recipe, standing(amounts=recipe.amounts, layers={}, keep=(), pose=()))


@pytest.mark.parametrize("suffix", [".webp", ".mp4"])
def test_an_animation_is_made_frame_by_frame_and_shown(desk: tuple[Desk, Take], suffix: str) -> None:
    page, tab = desk
    now = now_of(page)
    steps = list(animate(tab, now, whole_move(now.recipe, now.studio.pack), suffix, Shape(4, 10.0, 64)))
    assert len(steps) == 6 + 1, "it can be stopped between two frames"
    assert "2 of 6 frames" in steps[1][tab.note] and steps[-1][tab.note] == ""
    shown = steps[-1]
    path = Path(shown[tab.download]["value"])
    assert path.name == f"toy-words-seed-5-edited{suffix}"
    assert apart(decoded(path.read_bytes(), suffix)[0], decoded(path.read_bytes(), suffix)[3]) > 1
    film, video = shown[tab.film], shown[tab.video]
    assert (film["visible"], video["visible"]) == ((True, False) if suffix == ".webp" else (False, True))
    assert (film["value"] or video["value"]) == str(path)


def test_a_stopped_animation_leaves_nothing(desk: tuple[Desk, Take], monkeypatch: pytest.MonkeyPatch) -> None:
    page, tab = desk
    now = now_of(page)
    monkeypatch.setattr(animation, "encode", lambda *_: pytest.fail("it was written all the same"))
    steps = animate(tab, now, whole_move(now.recipe, now.studio.pack), ".webp", Shape(4, 10.0, 64))
    next(steps)
    steps.close()  # type: ignore[attr-defined]


def test_a_sheet_is_made_seed_by_seed_and_shown(desk: tuple[Desk, Take]) -> None:
    page, tab = desk
    now = now_of(page)
    steps = list(lay_sheet(tab, now, 3))
    assert len(steps) == 3 + 1
    path = Path(steps[-1][tab.sheet]["value"])
    assert path.name == "toy-words-seed-5-edited-sheet.png" and read_png(path) == now.recipe
    for count, amounts, told in ((13, {"smile": 1.0}, "wanted 2 to 12"), (3, {}, "nothing is moved yet")):
        with pytest.raises(PackFormatError, match=told):
            next(lay_sheet(tab, now_of(page, amounts=amounts), count))


def test_controls_follow_the_packs(desk: tuple[Desk, Take], monkeypatch: pytest.MonkeyPatch) -> None:
    page, tab = desk
    now = now_of(page, amounts={"age": 1.0})
    updates = bounds(tab, now, None, None, (16, 6))
    assert updates[tab.direction]["value"] == "age" and "smile" in updates[tab.direction]["choices"]
    assert updates[tab.size]["value"] == 256
    assert (updates[tab.count]["maximum"], updates[tab.count]["value"]) == (40, 16)
    kept = bounds(tab, now, "light", 512, (16, 6))
    assert (kept[tab.direction]["value"], kept[tab.size]["value"]) == ("light", 512)
    gone = bounds(tab, now, "of another pack", 333, (16, 6))
    assert (gone[tab.direction]["value"], gone[tab.size]["value"]) == ("age", 256)
    monkeypatch.setattr(Renderer, "expected_seconds", lambda *_: 6.0)
    slow = bounds(tab, now, None, None, (16, 6))
    assert (slow[tab.count]["maximum"], slow[tab.count]["value"]) == (10, 10)
    assert (slow[tab.seeds]["maximum"], slow[tab.seeds]["value"]) == (5, 5)


def test_every_kind_of_code_is_of_the_picture(desk: tuple[Desk, Take]) -> None:
    page, _ = desk
    now = now_of(page)
    found = {kind: snippet_of(kind, now, "http://here:1/") for kind in CODES}
    assert len({snippet.text for snippet in found.values()}) == 4, "ComfyUI's is the recipe, too"
    for snippet in found.values():
        assert "toy-words" in snippet.text and "smile" in snippet.text and snippet.about
    assert "http://here:1/" in found["API"].text and "http://here:1/gradio_api" in found["Shell"].text


def test_errors_between_two_frames_are_one_sentence() -> None:
    @plainly_each
    def make() -> Iterator[int]:
        yield 1
        raise PackFormatError("no <b>")

    steps = make()
    assert next(steps) == 1
    with pytest.raises(gr.Error) as caught:
        next(steps)
    assert caught.value.message.startswith("no ") and "<" not in caught.value.message
    assert caught.value.print_exception is False
