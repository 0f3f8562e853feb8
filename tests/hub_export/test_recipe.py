"""A recipe reads back as it was written, and repeats a pack to the byte; files of strangers are bounded and strict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from eigan.errors import EiganError, FitError, PackFormatError, UnknownName
from eigan.format import VECTORS, save_pack
from eigan.pack import MadeFor
from hub_export import Recipe, fit
from hub_export.cli import app
from hub_export.methods import METHODS
from hub_export.recipe_file import RecipeFile, pinned_source
from hub_export.sampling import SAMPLER
from hub_export.toml_files import dump_toml, parse_toml
from tests.toys import toy_generator, toy_pack

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK: dict[str, dict[str, Any]] = {"latentclr": {"iterations": 3, "batch": 2}, "local": {"num_codes": 2}}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.one_of(TEXTS, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@given(st.dictionaries(TEXTS, VALUES, max_size=6))
@settings(max_examples=150, deadline=None)
def test_toml_reads_back(values: dict[str, Any]) -> None:
    text = dump_toml(values)
    assert "\r" not in text and len(text.splitlines()) >= len(values)
    try:
        assert parse_toml(text.encode(), "it") == values
    except PackFormatError as error:  # text that is full of dots looks like a bomb
        assert "dots" in str(error)


@pytest.mark.parametrize("value", ["\ud800", b"bytes", {1, 2}, object()])
def test_toml_refuses_what_it_cannot_say(value: object) -> None:
    with pytest.raises(PackFormatError, match="cannot be written"):
        dump_toml({"value": value})


def test_parse_takes_an_account_and_a_file() -> None:
    recipe = Recipe("sefa", 5, 400, 3, "2-4", options={"normalize": "none"}).resolve(toy_generator())
    account = {**recipe.describe(), "history": {"loss": [1.0]}, "iterations": 12}
    assert Recipe.parse(account) == recipe
    table = {"method": "sefa", **{key: value for key, value in recipe.describe().items() if key != "name"}}
    assert Recipe.parse(table) == recipe
    assert account["name"] == "sefa"  # not changed


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({}, FitError, "wants a method"),
        ({"method": 3}, FitError, "wants a method"),
        ({"method": "pcaa"}, UnknownName, "unknown method 'pcaa'"),
        ({"name": "pcaa"}, UnknownName, "unknown method 'pcaa'"),
        ({"method": "sefa", "history": 1}, FitError, "sefa takes normalize; history means nothing to it"),
        ({"method": "sefa", "sampler": "mersenne-1"}, FitError, "came from the stream 'mersenne-1'"),
        ({"name": "sefa", "sampler": ["x"]}, FitError, "came from the stream"),
        ({"method": "sefa", "layers": 8}, FitError, "layers is 8; wanted text"),
        ({"method": "sefa", "seed": "0"}, FitError, "seed is '0'"),
        ({"method": "sefa", "num_samples": 1e6}, FitError, "num_samples is 1000000.0"),
        ({"method": "sefa", "precision": ["fp32"]}, FitError, "precision is"),
        ({"method": "sefa", "normalize": "rows"}, FitError, "normalize is 'rows'"),
        ({"method": "sefa", "options": {"normalize": "none"}}, FitError, "options means nothing to it"),
    ],
)
def test_recipes_that_cannot_be_read(values: dict[str, Any], error: type[EiganError], message: str) -> None:
    with pytest.raises(error, match=message):
        Recipe.parse(values)


def test_the_command_line_counts_more_than_the_file() -> None:
    told = RecipeFile(values={"method": "sefa", "normalize": "none", "seed": 3, "sampler": SAMPLER})
    assert told.recipe({}) == Recipe("sefa", seed=3, options={"normalize": "none"})
    assert told.recipe({"seed": 4, "normalize": "column"}) == Recipe("sefa", seed=4)
    assert told.recipe({"method": "pca"}) == Recipe("pca", seed=3)  # which has no normalize
    assert RecipeFile().recipe({}) == Recipe("pca")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("generator = 3", "generator is 3; wanted text"),
        ("name = [1]", r"name is \[1\]; wanted text"),
        ("seed = ", "cannot be read as TOML"),
        ("a" + ".b" * 40 + " = 1", "dots"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(PackFormatError, match=message):
        RecipeFile.read(path)


def test_sources_are_pinned_to_the_commit() -> None:
    commit = "a" * 40
    made_for = MadeFor("stylegan2", "f" * 64, 32, 8, 16, source="me/faces@v1:net.pkl", revision=commit)
    assert pinned_source(made_for) == f"me/faces@{commit}:net.pkl"
    assert pinned_source(replace(made_for, source="/data/net.pkl", revision="")) == "/data/net.pkl"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize("method", METHODS)
def test_a_recipe_repeats_every_method_to_the_byte(method: str, toy_folder: Path, tmp_path: Path) -> None:
    options = [f"-o{name}={json.dumps(value)}" for name, value in QUICK.get(method, {}).items()]
    given = ["--method", method, "--num-samples", 2000, "--num-directions", 4, "--seed", 6, "--no-previews", *options]
    run("fit", "--generator", toy_folder, "--out", tmp_path / "a", "--license", "mit", *given)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(run("recipe", tmp_path / "a"))
    run("fit", recipe, "--out", tmp_path / "b", "--no-previews")
    files = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "ab"]
    assert files[0] == files[1]
    assert VECTORS in files[0]


def test_a_recipe_of_another_generator_is_refused(toy_folder: Path, tmp_path: Path) -> None:
    pack = replace(fit(toy_generator(1), Recipe("sefa", num_samples=100)), name="other")
    text = replace(RecipeFile.of_pack(pack), generator=str(toy_folder)).to_toml()
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(FitError, match="the recipe was made with a generator of fingerprint"):
        run("fit", tmp_path / "r.toml", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run("fit", tmp_path / "r.toml", "--out", tmp_path / "out", "--generator", toy_folder, "--no-previews")


def test_a_recipe_without_a_generator_asks_for_one(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('method = "pca"\n')
    with pytest.raises(FitError, match="say which generator"):
        run("fit", tmp_path / "r.toml", "--out", tmp_path / "out")


def test_packs_that_no_method_made_have_no_recipe(tmp_path: Path) -> None:
    save_pack(replace(toy_pack(), method={"name": "named", "sources": {}}), tmp_path / "pack")
    with pytest.raises(FitError, match="not fitted by a known method, but 'named'"):
        run("recipe", tmp_path / "pack")


def test_methods_lists_every_option_and_its_default() -> None:
    shown = " ".join(run("methods").split())
    for name, method in METHODS.items():
        assert f"{name}: " in shown
        for option, field in method.options.model_fields.items():
            assert option in shown
            assert field.description, f"{name}.{option} does not say what it does"
    assert "normalize column" in shown
