"""Recipes as ComfyUI carries them: one line of JSON for each picture, .json files, and PNGs with the workflow beside.

The JSON is eigan's own; only its line breaks are left out. No ComfyUI.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from eigan.errors import PackFormatError
from eigan.plain_files import read_plain
from eigan.recipe import MAX_RECIPE_BYTES, PNG_KEY, PictureRecipe, read_png
from eigan.render import Pictures

SUFFIXES = (".png", ".json")


def to_lines(recipes: Sequence[PictureRecipe]) -> str:
    """One recipe a line."""
    return "\n".join(json.dumps(json.loads(recipe.to_json()), ensure_ascii=False) for recipe in recipes)


def from_lines(text: str) -> list[PictureRecipe]:
    """The recipes of `to_lines`, or the one of a recipe's own JSON. Raises PackFormatError."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise PackFormatError("no recipe given; wire Render's recipe here, or paste a recipe's JSON")
    is_listed = all(line.startswith("{") and line.endswith("}") for line in lines)
    return [PictureRecipe.from_json(one) for one in (lines if is_listed else [text])]


def read_recipe(path: Path) -> PictureRecipe:
    """The recipe in a .png that eigan's app or Save Recipe wrote, or in a .json. Raises PackFormatError."""
    if path.suffix.lower() == ".png":
        return read_png(path)
    return PictureRecipe.from_json(read_plain(path, MAX_RECIPE_BYTES))


def to_png(picture: Pictures, recipe: PictureRecipe, texts: Mapping[str, str]) -> bytes:
    """`picture` (H, W, 3) as PNG, the recipe inside as eigan writes it, and `texts` as ComfyUI writes its own."""
    info = PngInfo()
    info.add_itxt(PNG_KEY, recipe.to_json())
    for key, text in texts.items():
        if key != PNG_KEY:
            info.add_text(key, text)
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", pnginfo=info, compress_level=4)
    return buffer.getvalue()
