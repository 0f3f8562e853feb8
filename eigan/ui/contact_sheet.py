"""One edit on several seeds: a sheet with each picture before and after it. No Gradio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

from eigan.latents import MAX_SEED
from eigan.pack import DirectionPack
from eigan.recipe import PictureRecipe, write_png
from eigan.render import Renderer
from eigan.reproduce import draw

MAX_COLUMNS = 6
MAX_TILE = 256  # pixels; larger pictures are shrunk
GAP = 2
LABEL = 18  # pixels above a picture, for its seed
GUTTER = 46  # pixels left of a row, for its name
FONT_SIZE = 12
INK, PAPER = "#333333", "white"
ROWS = ("before", "after")


@dataclass(frozen=True)
class Pair:
    """A picture before and after the edit. words: what is written above it."""

    words: str
    before: Image.Image
    after: Image.Image


def sheet_recipes(recipe: PictureRecipe, count: int) -> list[PictureRecipe]:
    """The recipe, then the same edit of the seeds that follow its own: `count` in all."""
    seeds = [(recipe.seed + i) % (MAX_SEED + 1) for i in range(1, count)]
    return [recipe, *(replace(recipe, seed=seed, latent=None) for seed in seeds)]


def draw_pairs(renderer: Renderer, pack: DirectionPack, recipes: Sequence[PictureRecipe]) -> Iterator[Pair]:
    """Each recipe's picture before and after its edit. pack: as for `eigan.draw`. Raises as `eigan.draw` does."""
    for recipe in recipes:
        bare = replace(recipe, amounts={}, layers={}, keep=())
        before, after = (_tile(Image.fromarray(draw(one, pack, renderer)[0])) for one in (bare, recipe))
        yield Pair("latent" if recipe.latent is not None else f"seed {recipe.seed}", before, after)


def lay_out_sheet(pairs: Sequence[Pair]) -> Image.Image:
    """The pairs in columns, before above after, at most six side by side."""
    width, height = pairs[0].before.size
    columns = min(len(pairs), MAX_COLUMNS)
    band = LABEL + 2 * (height + GAP)
    bands = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (GUTTER + columns * (width + GAP) - GAP, bands * (band + GAP) - 2 * GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for index, pair in enumerate(pairs):
        left, top = tile_place(index, (width, height), columns)
        pen.text((left + width / 2, top - LABEL / 2), pair.words, INK, font, anchor="mm")
        for part, (name, picture) in enumerate(zip(ROWS, (pair.before, pair.after), strict=True)):
            y = top + part * (height + GAP)
            sheet.paste(picture, (left, y))
            if index % columns == 0:
                pen.text((GUTTER - 6, y + height / 2), name, INK, font, anchor="rm")
    return sheet


def tile_place(index: int, size: tuple[int, int], columns: int) -> tuple[int, int]:
    """Left and top of pair `index`'s first picture; its second lies its height and GAP below."""
    row, column = divmod(index, columns)
    band = LABEL + 2 * (size[1] + GAP)
    return GUTTER + column * (size[0] + GAP), row * (band + GAP) + LABEL


def sheet_png(pairs: Sequence[Pair], recipe: PictureRecipe) -> bytes:
    """The sheet as PNG with the first picture's recipe inside: opened again, it brings the edit back."""
    buffer = BytesIO()
    write_png(lay_out_sheet(pairs), recipe, buffer)
    return buffer.getvalue()


def _tile(picture: Image.Image) -> Image.Image:
    if picture.width <= MAX_TILE:
        return picture
    return picture.resize((MAX_TILE, round(MAX_TILE * picture.height / picture.width)), Image.Resampling.BOX)
