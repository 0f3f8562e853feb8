"""A recipe survives JSON, PNG and link; strangers' recipes are refused in a sentence."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eigan.errors import PackFormatError
from eigan.pose import Pose
from eigan.recipe import PictureRecipe, read_png, write_png

names = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Cn", "Co")), min_size=1, max_size=40).filter(
    str.strip
)
shifts = st.floats(-1, 1)
poses = st.just(Pose()) | st.builds(Pose, x=shifts, y=shifts, angle=st.floats(-360, 360))
recipes = st.builds(
    PictureRecipe,
    pack=st.sampled_from(["heads", "user/name@v1.0.0", "/tmp/my pack & co"]),
    seed=st.integers(0, 2**32 - 1),
    truncation_psi=st.floats(-1, 2),
    class_index=st.none() | st.integers(0, 999),
    amounts=st.dictionaries(names, st.floats(-100, 100).filter(bool), max_size=5),
    pose=poses,
)


@given(recipes)
def test_json_and_back(recipe: PictureRecipe) -> None:
    assert PictureRecipe.from_json(recipe.to_json()) == recipe


@given(recipes)
def test_link_and_back(recipe: PictureRecipe) -> None:
    query = dict(parse_qsl(recipe.to_query(), keep_blank_values=True))
    assert PictureRecipe.from_query(query) == recipe


@given(recipes)
def test_links_hold_nothing_that_needs_escaping(recipe: PictureRecipe) -> None:
    assert not set(recipe.to_query()) & set("<>\"' \n")


def test_png_and_back(tmp_path: Path) -> None:
    recipe = PictureRecipe("heads", 7, 0.7, amounts={"smile": 2.0, "Größe": -1.5}, fingerprint="ab" * 32)
    write_png(Image.new("RGB", (8, 8), "red"), recipe, tmp_path / "a.png")
    assert read_png(tmp_path / "a.png") == recipe
    assert Image.open(tmp_path / "a.png").getpixel((0, 0)) == (255, 0, 0)


def test_zero_amounts_are_dropped() -> None:
    assert PictureRecipe("p", 1, amounts={"a": 0.0, "b": 1}).amounts == {"b": 1.0}


@pytest.mark.parametrize(
    "query",
    [
        {"pose": "1,2"},
        {"pose": "0,0,999"},
        {"pose": "0,0,nan"},
        {"pose": "0,0,0,0"},
        {"seed": "-1"},
        {"seed": "1e3"},
        {"seed": "9" * 40},
        {"psi": "nan"},
        {"psi": "lots"},
        {"edit": "smile"},
        {"edit": "smile:1:x"},
        {"edit": ":3"},
        {"edit": "smile:1e9"},
        {"edit": "a%00b:1"},
        {"class": "cat"},
        {"pack": "x" * 600},
    ],
)
def test_malformed_links_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(PackFormatError):
        PictureRecipe.from_query(query)


@given(st.dictionaries(st.sampled_from(["pack", "seed", "psi", "edit", "class"]), st.text(max_size=60)))
def test_any_query_is_a_recipe_or_a_sentence(query: dict[str, str]) -> None:
    try:
        PictureRecipe.from_query(query)
    except PackFormatError as error:
        assert str(error)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"eigan_recipe": 2}', '{"eigan_recipe": 1, "seed": true}', "\x00"])
def test_malformed_json_is_refused(text: str) -> None:
    with pytest.raises(PackFormatError):
        PictureRecipe.from_json(text)


def test_files_without_a_recipe_say_so(tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    Image.new("RGB", (4, 4)).save(plain)
    with pytest.raises(PackFormatError, match="carries no recipe"):
        read_png(plain)
    text = tmp_path / "text.png"
    text.write_text("hello")
    with pytest.raises(PackFormatError, match="not a readable PNG"):
        read_png(text)
    jpeg = tmp_path / "jpeg.png"
    Image.new("RGB", (4, 4)).save(jpeg, format="JPEG")
    with pytest.raises(PackFormatError, match="not a readable PNG"):
        read_png(jpeg)
    whole = BytesIO()
    write_png(Image.new("RGB", (64, 64)), PictureRecipe("p", 1), whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.getvalue()[:40])
    with pytest.raises(PackFormatError):
        read_png(cut)
