"""OpenRaster: pictures as the layers of one .ora file, which Krita, GIMP and MyPaint open.

A zip of PNGs and stack.xml; the file's kind comes first and uncompressed, so that it is known by its first bytes
(https://www.openraster.org, baseline of 0.0.6).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from eigan.errors import InvalidCodes
from eigan.recipe import PictureRecipe, write_png

MIMETYPE = "image/openraster"
VERSION = "0.0.6"
MAX_LAYERS = 256
MAX_NAME = 200
THUMBNAIL = 256  # pixels along one side, at most
EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of every file within: the same layers make the same bytes


@dataclass(frozen=True, eq=False)
class Layer:
    """A picture (H, W, 3), uint8, with a name for people. Its recipe, where there is one, goes into its PNG."""

    name: str
    picture: npt.NDArray[np.uint8]
    recipe: PictureRecipe | None = None


def openraster(layers: Sequence[Layer]) -> bytes:
    """An .ora file of `layers`, the lowest first. All are opaque and shown, so that what is seen is the topmost.

    Raises:
        InvalidCodes: no layers or more than 256, pictures of several sizes, or something that is no picture.
    """
    height, width = _size(layers)
    image = ET.Element("image", version=VERSION, w=str(width), h=str(height))
    stack = ET.SubElement(image, "stack")
    files = {}
    for index, layer in reversed(list(enumerate(layers))):  # stack.xml begins with the topmost
        source = f"data/layer{index:03}.png"
        files[source] = _png(Image.fromarray(layer.picture), layer.recipe)
        attributes = {"name": plain(layer.name) or f"layer {index}", "src": source, "x": "0", "y": "0"}
        attributes |= {"opacity": "1.0", "visibility": "visible", "composite-op": "svg:src-over"}
        ET.SubElement(stack, "layer", attributes)
    top = Image.fromarray(layers[-1].picture)
    thumbnail = top.copy()
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
    files["mergedimage.png"] = _png(top, layers[-1].recipe)
    files["Thumbnails/thumbnail.png"] = _png(thumbnail, None)
    return _zipped({"stack.xml": ET.tostring(image, encoding="UTF-8", xml_declaration=True), **files})


def plain(name: str) -> str:
    """`name` on one line of characters that XML may hold, cut after 200; names come from strangers' packs."""
    shown = "".join(ch if ch.isprintable() else " " for ch in name)
    return " ".join(shown.split())[:MAX_NAME]


def _size(layers: Sequence[Layer]) -> tuple[int, int]:
    """Height and width that all layers have. Raises InvalidCodes."""
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise InvalidCodes(f"{len(layers)} layers; wanted 1 to {MAX_LAYERS} in one file")
    for layer in layers:
        shape = layer.picture.shape
        if layer.picture.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or not layer.picture.size:
            raise InvalidCodes(f"layer {plain(layer.name)!r} is {layer.picture.dtype} {shape}; wanted (H, W, 3), uint8")
    sizes = {layer.picture.shape[:2] for layer in layers}
    if len(sizes) > 1:
        listed = ", ".join(f"{width} x {height}" for height, width in sorted(sizes))
        raise InvalidCodes(f"layers of {listed} pixels; wanted one size, scale them first")
    height, width = sizes.pop()
    return height, width


def _png(image: Image.Image, recipe: PictureRecipe | None) -> bytes:
    buffer = BytesIO()
    if recipe is None:
        image.save(buffer, format="PNG")
    else:
        write_png(image, recipe, buffer)
    return buffer.getvalue()


def _zipped(files: dict[str, bytes]) -> bytes:
    """The zip: the kind first and stored, as readers look for it there; PNGs stored too, being compressed already."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {"mimetype": MIMETYPE.encode(), **files}.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED if name.endswith(".xml") else zipfile.ZIP_STORED)
    return buffer.getvalue()
