from __future__ import annotations

import xml.etree.ElementTree as ET
import zipfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from eigan.errors import InvalidCodes
from eigan.openraster import MAX_LAYERS, Layer, openraster
from eigan.recipe import PNG_KEY, PictureRecipe


def picture(seed: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3), np.uint8)


def opened(data: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(BytesIO(data))


def pixels(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(archive.read(name))).convert("RGB"))


def test_the_kind_comes_first_and_as_it_is() -> None:
    data = openraster([Layer("a", picture(0))])
    first = opened(data).infolist()[0]
    assert (first.filename, first.compress_type, first.extra) == ("mimetype", zipfile.ZIP_STORED, b"")
    assert data[30:38] == b"mimetype" and data[38:54] == b"image/openraster"  # where `file` and freedesktop look


def test_the_stack_names_its_layers_from_the_top_down() -> None:
    pictures = [picture(seed) for seed in range(3)]
    archive = opened(openraster([Layer(f"layer {i}", one) for i, one in enumerate(pictures)]))
    image = ET.fromstring(archive.read("stack.xml"))
    assert (image.tag, image.get("w"), image.get("h")) == ("image", "30", "20")
    layers = image.findall("./stack/layer")
    assert [layer.get("name") for layer in layers] == ["layer 2", "layer 1", "layer 0"]
    for layer, wanted in zip(layers, reversed(pictures), strict=True):
        assert np.array_equal(pixels(archive, layer.get("src") or ""), wanted)
        assert (layer.get("x"), layer.get("y"), layer.get("visibility")) == ("0", "0", "visible")
    assert np.array_equal(pixels(archive, "mergedimage.png"), pictures[-1])
    assert archive.testzip() is None


def test_the_thumbnail_is_small_and_keeps_its_shape() -> None:
    archive = opened(openraster([Layer("a", picture(0, 300, 600))]))
    assert Image.open(BytesIO(archive.read("Thumbnails/thumbnail.png"))).size == (256, 128)
    archive = opened(openraster([Layer("a", picture(0))]))
    assert np.array_equal(pixels(archive, "Thumbnails/thumbnail.png"), picture(0))


@pytest.mark.parametrize(
    "name, shown",
    [
        ('</stack>"&<layer name="x', '</stack>"&<layer name="x'),
        ("two\nlines\ttab", "two lines tab"),
        ("no\0such\x1b[31m\ufffe\ud800", "no such [31m"),
        ("", "layer 0"),
        ("x" * 5000, "x" * 200),
        ("年龄 +2", "年龄 +2"),
    ],
)
def test_a_name_of_a_stranger_stays_a_name(name: str, shown: str) -> None:
    archive = opened(openraster([Layer(name, picture(0))]))
    layers = ET.fromstring(archive.read("stack.xml")).findall(".//layer")
    assert [layer.get("name") for layer in layers] == [shown]
    assert not [path for path in archive.namelist() if ".." in path or path.startswith("/")]


def test_a_layer_holds_its_recipe() -> None:
    recipe = PictureRecipe("heads", 7, amounts={"smile": 2.0})
    archive = opened(openraster([Layer("plain", picture(0)), Layer("smile", picture(1), recipe)]))
    texts = [Image.open(BytesIO(archive.read(f"data/layer{i:03}.png"))).text for i in (0, 1)]
    assert texts[0] == {} and PictureRecipe.from_json(texts[1][PNG_KEY]) == recipe


def test_the_same_layers_are_the_same_bytes() -> None:
    layers = [Layer("a", picture(0)), Layer("b", picture(1))]
    assert openraster(layers) == openraster(layers)


@pytest.mark.parametrize(
    "layers, words",
    [
        ([], "0 layers; wanted 1 to"),
        ([Layer("a", picture(0))] * (MAX_LAYERS + 1), f"{MAX_LAYERS + 1} layers"),
        ([Layer("a", picture(0)), Layer("b", picture(0, 10, 12))], "layers of 12 x 10, 30 x 20 pixels"),
        ([Layer("a", picture(0)[..., :2])], "layer 'a' is uint8 (20, 30, 2)"),
        ([Layer("a", picture(0).astype(np.float32))], "float32"),
        ([Layer("a", picture(0, 0, 30))], "(0, 30, 3)"),
    ],
)
def test_what_are_no_layers_is_refused(layers: list[Layer], words: str) -> None:
    with pytest.raises(InvalidCodes) as caught:
        openraster(layers)
    assert words in str(caught.value)
