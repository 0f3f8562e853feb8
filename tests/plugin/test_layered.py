"""Save as Layers in the real core."""

from __future__ import annotations

import xml.etree.ElementTree as ET
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eigan import PictureRecipe, draw
from eigan.recipe import PNG_KEY
from tests.plugin.comfyui import Prompt, Run, Worker, node
from tests.plugin.conftest import Toys
from tests.plugin.test_nodes import prompt

HOSTILE = 'a"><layer name=\'x\' src="../../x.png"/>&amp;'


def layered(**inputs: Any) -> Prompt:
    """The usual generator, pack, latent and edit, saved as layers."""
    found = prompt()
    del found["r"], found["s"]
    found["age"] = node("EiganEditDirection", pack=("p", 0), direction="age", amount=-1.5, edit=("e", 0))
    given = {"edit_1": ("e", 0), "edit_2": ("age", 0), **inputs}
    found["s"] = node("EiganSaveLayers", generator=("g", 0), latent=("l", 0), **given)
    return found


def files(run: Run) -> list[Path]:
    names = [text.removeprefix("saved ") for text in run.ui("s")["text"]]
    return [next((run.base / "output").rglob(name)) for name in names]


def read(path: Path) -> tuple[list[str], list[np.ndarray], zipfile.ZipFile]:
    """Names and pictures of an .ora file's layers, the lowest first, by its stack.xml alone."""
    archive = zipfile.ZipFile(path)
    assert archive.infolist()[0].filename == "mimetype" and archive.read("mimetype") == b"image/openraster"
    layers = ET.fromstring(archive.read("stack.xml")).findall("./stack/layer")[::-1]
    pictures = [np.asarray(Image.open(BytesIO(archive.read(layer.get("src") or "")))) for layer in layers]
    return [layer.get("name") or "" for layer in layers], pictures, archive


def test_layers_are_eigans_pictures(worker: Worker, toys: Toys) -> None:
    run = worker.run(layered())
    [path] = files(run)
    assert path.parent == worker.base / "output/eigan" and path.name.startswith("layers_0")
    names, pictures, archive = read(path)
    assert names == ["unedited", "smile +2", "smile +2, age −1.5"]
    moves = [{}, {"smile": 2.0}, {"smile": 2.0, "age": -1.5}]
    wanted = [draw(PictureRecipe("toy", 7, 0.7, amounts=one), toys.pack, toys.renderer)[0] for one in moves]
    assert all(np.array_equal(*pair) for pair in zip(pictures, wanted, strict=True))
    assert np.array_equal(np.asarray(Image.open(BytesIO(archive.read("mergedimage.png")))), wanted[-1])
    assert np.array_equal(run.pictures("s")[0], wanted[-1])  # what the node shows
    recipe = PictureRecipe.from_json(Image.open(BytesIO(archive.read("data/layer001.png"))).text[PNG_KEY])
    assert np.array_equal(draw(recipe, toys.pack, toys.renderer)[0], wanted[1])


def test_each_picture_of_a_batch_gets_a_file(worker: Worker, toys: Toys) -> None:
    given = layered(filename_prefix="pair/of")
    given["l"]["inputs"]["batch"] = 2
    paths = files(worker.run(given))
    assert len(paths) == 2 and {path.parent.name for path in paths} == {"pair"}
    for path, seed in zip(paths, (7, 8), strict=True):
        wanted = draw(PictureRecipe("toy", seed, 0.7, amounts={"smile": 2.0}), toys.pack, toys.renderer)[0]
        assert np.array_equal(read(path)[1][1], wanted)


def test_a_batch_of_images_goes_on_top(worker: Worker, toys: Toys) -> None:
    given = layered(images=("w", 0))
    options = {"pack": ("p", 0), "direction": "light", "low": -2.0, "high": 2.0, "steps": 3}
    given["w"] = node("EiganSweep", generator=("g", 0), latent=("l", 0), **options)
    names, pictures, _ = read(files(worker.run(given))[0])
    assert names == ["unedited", "smile +2", "smile +2, age −1.5", "image 1", "image 2", "image 3"]
    for picture, amount in zip(pictures[3:], (-2.0, 0.0, 2.0), strict=True):
        recipe = PictureRecipe("toy", 7, 0.7, amounts={"light": amount})
        assert np.array_equal(picture, draw(recipe, toys.pack, toys.renderer)[0])


def test_without_edits_the_picture_alone_is_saved_and_nothing_is_overwritten(worker: Worker) -> None:
    given = layered(filename_prefix="eigan/alone")
    del given["s"]["inputs"]["edit_1"], given["s"]["inputs"]["edit_2"]
    first = files(worker.run(given))
    given["l"]["inputs"]["seed"] = 8
    second = files(worker.run(given))
    assert first != second and first[0].exists()
    assert read(first[0])[0] == ["unedited"]


def test_a_hostile_name_is_only_a_name(worker: Worker, toys: Toys) -> None:
    folder = worker.base / "models/gan_directions/toy"
    smile, *rest = toys.pack.directions
    replace(toys.pack, directions=(replace(smile, name=HOSTILE), *rest), presets=()).save(folder)
    try:
        given = layered()
        given["e"]["inputs"]["direction"] = HOSTILE
        names, _, archive = read(files(worker.run(given))[0])
    finally:
        toys.pack.save(folder)
    assert names[1] == f"{HOSTILE} +2"
    assert sorted(archive.namelist())[-1] == "stack.xml" and len(archive.namelist()) == 7


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"filename_prefix": "../../x"}, "leads out of ComfyUI's output folder"),
        ({"filename_prefix": "/tmp/x"}, "leads out of ComfyUI's output folder"),
        ({"filename_prefix": ""}, "no file name given"),
        ({"images": ("empty", 0)}, "layers of 32 x 32, 64 x 48 pixels; wanted one size"),
        ({"latent": ("two", 0), "images": ("empty", 0)}, "the latent has 2"),
        ({"generator": ("other", 0)}, "the latent was made for"),
        ({"latent": ("theirs", 0), "generator": ("other", 0)}, "was fitted on"),
    ],
)
def test_what_cannot_be_saved_is_a_sentence(worker: Worker, changes: dict[str, Any], words: str) -> None:
    given = layered()
    given["empty"] = node("EmptyImage", width=64, height=48, batch_size=1, color=0)
    given["two"] = node("EiganLatentFromSeed", generator=("g", 0), seed=7, truncation=0.7, batch=2)
    given["other"] = node("EiganLoadGenerator", generator_name="other/model.safetensors")
    given["theirs"] = node("EiganLatentFromSeed", generator=("other", 0), seed=7, truncation=0.7)
    for key, value in changes.items():
        given["s"]["inputs"][key] = list(value) if isinstance(value, tuple) else value
    before = sorted((worker.base / "output").rglob("*.ora"))
    assert words in worker.run(given).message
    assert sorted((worker.base / "output").rglob("*.ora")) == before
