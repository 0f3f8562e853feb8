"""Share links and file names: what a recipe becomes for a person, and back."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eigan.errors import PackFormatError
from eigan.recipe import PictureRecipe
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED, file_name, page_address, read_link, share_link

KEYS = st.sampled_from(["pack", "seed", "psi", "class", "edit", "__theme", "x"])


def query_of(link: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link).query, keep_blank_values=True))


def test_a_link_comes_back_as_its_recipe() -> None:
    recipe = PictureRecipe("user/name@v1.0.0", 7, 0.65, None, {"smile": 1.5, "a,b:c & d": -2.0})
    link = share_link(recipe, "https://example.org/")
    assert link.startswith("https://example.org/?pack=user/name@v1.0.0&seed=7")
    assert read_link(query_of(link), "heads") == recipe


def test_what_a_link_leaves_out_is_filled_in() -> None:
    assert read_link({}, "heads") is None
    assert read_link({"__theme": "dark"}, "heads") is None
    assert read_link({"pack": "other"}, "heads") == PictureRecipe("other", DEFAULT_SEED, DEFAULT_PSI)
    assert read_link({"seed": "3"}, "heads") == PictureRecipe("heads", 3, DEFAULT_PSI)


@given(st.dictionaries(KEYS, st.text(max_size=60)))
def test_any_query_gives_a_recipe_or_one_sentence(query: dict[str, str]) -> None:
    try:
        recipe = read_link(query, "heads")
    except PackFormatError as error:
        assert str(error)
    else:
        assert recipe is None or isinstance(recipe, PictureRecipe)


@pytest.mark.parametrize(
    ("headers", "environ", "address"),
    [
        ({"host": "127.0.0.1:7860"}, {}, "http://127.0.0.1:7860/"),
        ({"host": "inner:80", "x-forwarded-host": "my.org", "x-forwarded-proto": "https,http"}, {}, "https://my.org/"),
        ({"host": "inner"}, {"SPACE_HOST": "user-app.hf.space"}, "https://user-app.hf.space/"),
        ({"host": "h", "x-forwarded-proto": "javascript"}, {}, "http://h/"),
        ({}, {}, "http://127.0.0.1:7860/"),
        ({"host": "///"}, {}, "http://127.0.0.1:7860/"),
    ],
)
def test_the_page_knows_its_address(headers: dict[str, str], environ: dict[str, str], address: str) -> None:
    assert page_address(headers, environ) == address


@pytest.mark.parametrize(
    ("pack", "name"),
    [
        ("heads", "heads-seed-7.png"),
        ("user/name@v1.0.0", "name-v1.0.0-seed-7.png"),
        ("/home/me/my pack/", "my-pack-seed-7.png"),
        ("C:\\packs\\..", "C-packs-seed-7.png"),
        ("…", "picture-seed-7.png"),
    ],
)
def test_downloads_are_named_by_pack_and_seed(pack: str, name: str) -> None:
    assert file_name(PictureRecipe(pack, 7)) == name
    assert file_name(PictureRecipe(pack, 7, amounts={"a": 1.0})) == name.replace(".png", "-edited.png")


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs")), max_size=200))
def test_every_file_name_is_safe(pack: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*\.png", file_name(PictureRecipe(pack, 1)))
