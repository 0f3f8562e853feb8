"""A recipe survives JSON, PNG and link; strangers' recipes are refused in a sentence."""

from __future__ import annotations

import base64
import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eigan.errors import PackFormatError
from eigan.latent_files import Latent
from eigan.layers import LayerRange
from eigan.pose import Pose
from eigan.recipe import MAX_RECIPE_BYTES, PictureRecipe, read_png, write_png

RECIPE_KEYS = ("pack", "seed", "psi", "edit", "class", "pose", "with", "layers", "keep", "noise")

names = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Cn", "Co")), min_size=1, max_size=40).filter(
    str.strip
)
shifts = st.floats(-1, 1)
poses = st.just(Pose()) | st.builds(Pose, x=shifts, y=shifts, angle=st.floats(-360, 360))
sources = st.sampled_from(["heads", "user/name@v1.0.0", "/tmp/my pack & co", "/tmp/a,b:c%2C"])
parts: dict[str, st.SearchStrategy[Any]] = {
    "pack": sources,
    "seed": st.integers(0, 2**32 - 1),
    "truncation_psi": st.floats(-1, 2),
    "class_index": st.none() | st.integers(0, 999),
    "amounts": st.dictionaries(names, st.floats(-100, 100).filter(bool), max_size=5),
    "pose": poses,
}
ranges = st.tuples(st.integers(0, 500), st.integers(1, 12)).map(lambda r: LayerRange(r[0], r[0] + r[1]))
latents = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99)).map(
    lambda r: Latent.of(torch.randn(r[0], r[1], generator=torch.Generator().manual_seed(r[2])))
)
plain_recipes = st.builds(PictureRecipe, **parts)


@st.composite
def whole_recipes(draw: st.DrawFn, *, latent: bool = True) -> PictureRecipe:
    """Recipes that may use all that there is; some of their layers are of directions that they do not name."""
    values = {name: draw(strategy) for name, strategy in parts.items()}
    kept = draw(st.lists(names, max_size=3, unique=True))
    known = [*values["amounts"], *kept, "no direction of the recipe"]
    return PictureRecipe(
        **values,
        further=tuple(draw(st.lists(sources, max_size=3))),
        layers=draw(st.dictionaries(st.sampled_from(known), ranges, max_size=4)),
        keep=tuple(kept),
        noise_mode=draw(st.sampled_from(["const", "none"])),
        latent=draw(st.none() | latents) if latent else None,
    )


recipes = whole_recipes(latent=False)


@given(whole_recipes())
@settings(deadline=None)
def test_json_and_back(recipe: PictureRecipe) -> None:
    assert PictureRecipe.from_json(recipe.to_json()) == recipe
    assert PictureRecipe.from_json(recipe.to_json()).to_json() == recipe.to_json()


@given(plain_recipes)
def test_a_recipe_of_one_pack_and_a_seed_is_written_for_every_eigan(recipe: PictureRecipe) -> None:
    keys = ["generator", "fingerprint", "pack", "seed", "truncation_psi", "class_index", "amounts"]
    written = json.loads(recipe.to_json())
    assert list(written) == ["eigan_recipe", *keys, *(["pose"] if "pose" in written else [])]
    assert written["eigan_recipe"] == recipe.version == 1


def test_version_1_is_read_and_written_to_the_byte() -> None:
    """The text of eigan 0.1.0, frozen."""
    text = """{
 "eigan_recipe": 1,
 "generator": "org/heads",
 "fingerprint": "abc",
 "pack": "heads",
 "seed": 7,
 "truncation_psi": 0.7,
 "class_index": null,
 "amounts": {
  "Größe": -1.5
 },
 "pose": [
  0.25,
  0.0,
  90.0
 ]
}
"""
    recipe = PictureRecipe.from_json(text)
    assert recipe == PictureRecipe(
        "heads", 7, 0.7, None, {"Größe": -1.5}, "org/heads", "abc", Pose(0.25, 0, 90), noise_mode="const"
    )
    assert recipe.to_json() == text


def test_version_2_says_only_what_is_used() -> None:
    moved = PictureRecipe("p", 1, amounts={"a": 1}, layers={"a": LayerRange(8, 10), "b": LayerRange(0, 1)})
    written = json.loads(moved.to_json())
    assert written["eigan_recipe"] == moved.version == 2
    assert written["layers"] == {"a": [8, 10]}  # half-open, as in packs; b is neither moved nor kept
    assert not {"further", "keep", "noise_mode", "latent", "pose"} & set(written)
    assert moved.to_query().endswith("&edit=a:1.0&layers=a:8-9")  # as people write them
    assert json.loads(PictureRecipe("p", 1, noise_mode="none").to_json())["noise_mode"] == "none"


def test_a_pack_opened_twice_or_a_direction_kept_twice_adds_nothing() -> None:
    recipe = PictureRecipe("p", 1, further=("q", "r", "q"), keep=("b", "a", "b"))
    assert (recipe.further, recipe.keep) == (("q", "r"), ("b", "a"))


def test_a_latent_has_no_link() -> None:
    recipe = PictureRecipe("p", 1, latent=Latent.of(torch.zeros(4)))
    with pytest.raises(PackFormatError, match=r"share the PNG.*\.json"):
        recipe.to_query()


@pytest.mark.parametrize(
    "values",
    [
        {"further": ("x",) * 9},
        {"further": ("x" * 501,)},
        {"further": ("",)},
        {"further": "heads"},
        {"further": (1,)},
        {"keep": tuple(f"d{i}" for i in range(513))},
        {"keep": ("a\0",)},
        {"keep": "smile"},
        {"layers": {"a" * 81: LayerRange(0, 1)}},
        {"layers": {f"d{i}": LayerRange(0, 1) for i in range(513)}},
        {"layers": {"a": (0, 1)}},
        {"noise_mode": "random"},
        {"noise_mode": []},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(PackFormatError):
        PictureRecipe("p", 1, **values)


def test_the_largest_recipe_survives_a_png(tmp_path: Path) -> None:
    longest = [f"{i:03d}" + "\U0001f600" * 77 for i in range(512)]
    recipe = PictureRecipe(
        "\U0001f600" * 500,
        2**32 - 1,
        amounts=dict.fromkeys(longest, -12.345678901234567),
        further=tuple(f"{i}" + "\U0001f600" * 499 for i in range(8)),
        layers={name: LayerRange(100, 400) for name in longest},
        keep=tuple(longest),
        latent=Latent.of(torch.randn(128, 512)),
    )
    write_png(Image.new("RGB", (8, 8), "red"), recipe, tmp_path / "a.png")
    assert read_png(tmp_path / "a.png") == recipe
    assert Image.open(tmp_path / "a.png").getpixel((0, 0)) == (255, 0, 0)
    assert len(recipe.to_json().encode()) < MAX_RECIPE_BYTES


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
        {"with": "a%00b"},
        {"with": ",".join("abcdefghi")},
        {"with": "x" * (MAX_RECIPE_BYTES + 1)},
        {"layers": "smile:all", "edit": "smile:1"},
        {"layers": "smile:9-8", "edit": "smile:1"},
        {"layers": "smile", "edit": "smile:1"},
        {"layers": "smile:0-512", "edit": "smile:1"},
        {"keep": "%FF%00"},
        {"keep": ",".join(f"d{i}" for i in range(513))},
        {"noise": "random"},
        {"noise": ""},
        {"pack": "x" * 600},
    ],
)
def test_malformed_links_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(PackFormatError):
        PictureRecipe.from_query(query)


@given(st.dictionaries(st.sampled_from([*RECIPE_KEYS]), st.text(max_size=60)))
def test_any_query_is_a_recipe_or_a_sentence(query: dict[str, str]) -> None:
    try:
        PictureRecipe.from_query(query)
    except PackFormatError as error:
        assert str(error)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"eigan_recipe": 2}', '{"eigan_recipe": 1, "seed": true}', "\x00"])
def test_malformed_json_is_refused(text: str) -> None:
    with pytest.raises(PackFormatError):
        PictureRecipe.from_json(text)


GOOD = {"shape": [1, 2], "data": base64.b64encode(struct.pack("<2f", 1, 2)).decode()}


@pytest.mark.parametrize(
    "changes",
    [
        {"eigan_recipe": 1, "keep": ["a"]},
        {"eigan_recipe": 1, "latent": None},
        {"eigan_recipe": True},
        {"eigan_recipe": "2"},
        {"eigan_recipe": 0},
        {"more": 1},
        {"further": "heads"},
        {"further": [["heads"]]},
        {"further": list("abcdefghi")},
        {"keep": ["a"] * 513},
        {"keep": [1]},
        {"layers": {"a": [3, 3]}},
        {"layers": {"a": [-1, 3]}},
        {"layers": {"a": [0, 513]}},
        {"layers": {"a": [0, 1, 2]}},
        {"layers": {"a": [0, 1.5]}},
        {"layers": {"a": [False, True]}},
        {"layers": {"a": "8-9"}},
        {"noise_mode": "random"},
        {"latent": {**GOOD, "more": 1}},
        {"latent": {**GOOD, "shape": [2, 2]}},
        {"latent": {**GOOD, "shape": [-1, -2]}},
        {"latent": {**GOOD, "shape": [2**40, 2**40]}},
        {"latent": {**GOOD, "shape": [1, 2, 1]}},
        {"latent": {**GOOD, "shape": [True, 2]}},
        {"latent": {**GOOD, "shape": [0, 2], "data": ""}},
        {"latent": {**GOOD, "data": GOOD["data"] + " "}},
        {"latent": {**GOOD, "data": GOOD["data"][:-1]}},
        {"latent": {**GOOD, "data": "Größe==="}},
        {"latent": {**GOOD, "data": base64.b64encode(struct.pack("<2f", 1, float("nan"))).decode()}},
        {"latent": {**GOOD, "data": base64.b64encode(struct.pack("<2f", 1, 1e7)).decode()}},
        {"latent": {**GOOD, "data": "A" * 400_000}},
        {"latent": [1.0, 2.0]},
    ],
    ids=str,
)
def test_version_2_is_read_strictly(changes: dict[str, Any]) -> None:
    whole = {"eigan_recipe": 2, **json.loads(PictureRecipe("p", 1, latent=Latent.of(torch.zeros(2))).to_json())}
    assert PictureRecipe.from_json(json.dumps({**whole, "latent": GOOD})).latent == Latent.of(torch.tensor([1.0, 2]))
    if changes.get("eigan_recipe") == 1:
        del whole["latent"]
    with pytest.raises(PackFormatError) as error:
        PictureRecipe.from_json(json.dumps({**whole, **changes}))
    assert str(error.value)


def test_a_newer_version_says_what_to_do() -> None:
    with pytest.raises(PackFormatError, match="this eigan reads 1 to 2. Upgrade eigan"):
        PictureRecipe.from_json('{"eigan_recipe": 3, "pack": 7, "style": "x"}')


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
