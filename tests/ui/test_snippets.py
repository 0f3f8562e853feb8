"""Snippets: what is pasted draws the same picture; whatever a name holds, it stays one constant."""

from __future__ import annotations

import ast
import inspect
import json
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eigan import LayerRange, Pose
from eigan.errors import PackFormatError
from eigan.latent_files import Latent
from eigan.recipe import PictureRecipe, write_png
from eigan.ui.api import Endpoints
from eigan.ui.links import file_name
from eigan.ui.session import Studio, Studios
from eigan.ui.snippets import (
    PARAMETERS,
    api_values,
    client_snippet,
    comfyui_snippet,
    python_snippet,
    recipe_snippet,
    shell_snippet,
)

ADDRESS = "http://127.0.0.1:7860/"
RICH: dict[str, Any] = {
    "amounts": {"smile": 1.5, "age": -0.75},
    "layers": {"smile": LayerRange(2, 4)},
    "keep": ("light",),
    "noise_mode": "none",
}
HARD_NAMES = [
    "it's",
    'say "x"',
    "\\",
    "a\\",
    "{}",
    "%s",
    "#!",
    "$(rm -rf /)",
    "`id`",
    "'; import os; '",
    '"""',
    "a\nb",
    "é ☃",
]


def complete(studio: Studio, **values: Any) -> PictureRecipe:
    given: dict[str, Any] = {"pack": studio.source, "seed": 11, "truncation_psi": 0.7}
    return studio.complete(PictureRecipe(**(given | values)))


def run(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pasted text leaves behind, run in `folder`."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(text, "snippet", "exec"), names)
    return names


def strings(text: str) -> list[str]:
    return [
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


# Python


@pytest.mark.parametrize(
    ("further", "values"),
    [
        ((), {}),
        ((), {"amounts": {"smile": 2.0, "age": -1.25}}),
        ((), RICH),
        (("toy-sefa",), {"amounts": {"smile": 1.0, "component 3": -2.0}}),
        (("sefa:toy",), {"amounts": {"age": 1.0, "sefa-00": 2.0}}),
    ],
)
def test_pasted_python_draws_the_same_picture(
    toy_bundles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    further: tuple[str, ...],
    values: dict[str, Any],
) -> None:
    studio = Studios().open("toy-words", further)
    recipe = complete(studio, **values)
    text = python_snippet(recipe, "picture.png").text
    found = run(text, tmp_path, monkeypatch)
    with Image.open(tmp_path / "again-picture.png") as saved:
        assert (np.asarray(saved) == np.asarray(studio.render(recipe))).all()
    assert found["picture"].shape == (32, 32, 3)
    assert studio.complete(found["recipe"]) == recipe


def test_pasted_python_of_an_uploaded_latent_reads_the_downloaded_picture(
    toy_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Studios().open("toy-words")
    codes = np.random.default_rng(0).normal(size=(8, 16)).astype("<f4")
    recipe = complete(studio, amounts={"smile": 1.0}, latent=Latent((8, 16), codes.tobytes()))
    file = file_name(recipe)
    write_png(studio.render(recipe), recipe, tmp_path / file)
    run(python_snippet(recipe, file).text, tmp_path, monkeypatch)
    with Image.open(tmp_path / f"again-{file}") as saved:
        assert (np.asarray(saved) == np.asarray(studio.render(recipe))).all()


def test_python_says_no_more_than_it_has_to() -> None:
    text = python_snippet(PictureRecipe("heads", 65, 0.7, amounts={"smile": 2.0}), "x.png").text
    assert text.splitlines()[3:5] == [
        "pack = eigan.load_pack('heads')",
        "recipe = eigan.PictureRecipe(pack='heads', seed=65, truncation_psi=0.7, amounts={'smile': 2.0})",
    ]
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_class_and_a_pose_are_said() -> None:
    recipe = PictureRecipe("p", 1, 0.7, 207, pose=Pose(0.25, -0.1, 30.0))
    text = python_snippet(recipe, "x.png").text
    assert "class_index=207" in text and "pose=eigan.Pose(0.25, -0.1, 30.0)" in text


PYTHON_CALLS = {"load_pack", "combine", "fit_pack", "parse_fit", "load_generator", "PictureRecipe", "LayerRange"}
PYTHON_CALLS |= {"Renderer", "generator_for", "draw", "fromarray", "save"}

names = st.text(min_size=1, max_size=30) | st.sampled_from(HARD_NAMES)


@given(pack=names, further=st.lists(names, max_size=3), moved=st.dictionaries(names, st.floats(-90, 90), max_size=3))
def test_whatever_a_name_holds_it_stays_one_constant(pack: str, further: list[str], moved: dict[str, float]) -> None:
    try:
        layers = dict.fromkeys(list(moved)[:1], LayerRange(1, 3))
        recipe = PictureRecipe(
            pack, 3, 0.5, amounts=moved, further=tuple(further), layers=layers, keep=tuple(list(moved)[1:])
        )
    except PackFormatError:
        return
    text = python_snippet(recipe, file_name(recipe)).text
    call = next(
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and _name(node) == "PictureRecipe"
    )
    given = {word.arg: word.value for word in call.keywords}
    assert ast.literal_eval(given["pack"]) == recipe.pack
    assert ast.literal_eval(given.get("further", ast.Tuple([], ast.Load()))) == recipe.further
    assert ast.literal_eval(given.get("amounts", ast.Dict([], []))) == recipe.amounts
    assert ast.literal_eval(given.get("keep", ast.Tuple([], ast.Load()))) == recipe.keep
    assert {recipe.pack, *recipe.further} <= set(strings(text))
    _check_calls(text, PYTHON_CALLS)

    client = client_snippet(recipe, ADDRESS).text
    call = next(node for node in ast.walk(ast.parse(client)) if isinstance(node, ast.Call) and _name(node) == "predict")
    sent = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    assert sent.pop("api_name") == "/edit"
    defaults = {
        "further": [],
        "keep": [],
        "layers": {},
        "amounts": {},
        "noise": True,
        "pose": None,
        "class_index": None,
    }
    assert defaults | sent == api_values(recipe)
    _check_calls(client, {"Client", "predict", "print"})

    shell = shell_snippet(recipe, ADDRESS).text
    words = shlex.split(shell, comments=True)
    assert words[:3] == ["eigan", "--pack", recipe.pack]
    asked = json.loads(next(word for word in words if word.startswith('{"data"')))
    assert dict(zip(PARAMETERS, asked["data"], strict=True)) == api_values(recipe)
    link = next(line for line in shell.splitlines() if line.startswith("# http"))
    again = PictureRecipe.from_query(dict(parse_qsl(urlsplit(link[2:]).query, keep_blank_values=True)))
    assert (again.pack, again.amounts) == (recipe.pack, recipe.amounts)


def _name(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _check_calls(text: str, allowed: set[str]) -> None:
    found = {_name(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    assert found <= allowed, "nothing in a name becomes code"


# the others


def test_parameters_are_the_endpoints_in_order() -> None:
    parameters = list(inspect.signature(Endpoints.edit).parameters.values())[1:]
    assert tuple(parameter.name for parameter in parameters) == PARAMETERS
    recipe = PictureRecipe("p", 1, noise_mode="const")
    standing = {name: value for name, value in api_values(recipe).items() if name not in ("pack", "seed", "amounts")}
    defaults = {p.name: p.default for p in parameters if p.name in standing}
    assert {name: value or None for name, value in standing.items() if name != "truncation_psi"} == {
        name: value or None for name, value in defaults.items() if name != "truncation_psi"
    }


def test_the_api_draws_the_same_picture(toy_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eigan.ui.finding import Finder

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    studios = Studios()
    studio = studios.open("toy-words", ["toy-sefa"])
    recipe = complete(studio, **RICH | {"amounts": {**RICH["amounts"], "component 3": -2.0}})
    file = Endpoints(studios, Finder(hosted=False)).edit(**api_values(recipe))
    with Image.open(file.path) as picture:
        assert (np.asarray(picture) == np.asarray(studio.render(recipe))).all()


def test_a_latent_is_refused_where_it_cannot_go() -> None:
    recipe = PictureRecipe("p", 1, latent=Latent((1, 16), bytes(64)))
    assert client_snippet(recipe, ADDRESS).text == "" and "does not take" in client_snippet(recipe, ADDRESS).about
    assert shell_snippet(recipe, ADDRESS).text == "eigan --pack p\n"


def test_json_is_the_recipe() -> None:
    recipe = PictureRecipe("heads", 1, 0.7, **RICH)
    for snippet in (comfyui_snippet(recipe, "heads.png"), recipe_snippet(recipe)):
        assert snippet.language == "json" and PictureRecipe.from_json(snippet.text) == recipe
    about = comfyui_snippet(recipe, "heads.png").about
    assert all(word in about for word in ("heads.png", "EiganLoadRecipe", "EiganRender", "GAN edit"))
