"""Pictures of what directions do: one strip for each direction, and a contact sheet of all. Same pack, same bytes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from eigan.generators.base import Codes, Generator
from eigan.latents import seeded_z
from eigan.pack import Direction, DirectionPack
from eigan.render import Pictures, Renderer, grid

CONTACT_SHEET = "previews/contact-sheet.webp"
PLOT_PREFIX = "plot-"  # of file names that are plots'; no direction's begins so
SHEET_DIRECTIONS = 40  # rows of the contact sheet; a WebP ends at 16,383 pixels
LABEL_WIDTH = 150
LABEL_SIZE = 13
GAP = 2
QUALITY = 85
MAX_SLUG = 80


def render_previews(
    generator: Generator,
    pack: DirectionPack,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    psi: float | None = None,
    num_amounts: int = 7,
    max_tile: int = 128,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, bytes]:
    """File name -> WebP: previews/<slug>.webp for each direction (rows: seeds, columns: amounts over the slider's
    range), and previews/contact-sheet.webp (rows: the first 40 directions, on the first seed).

    Tiles are at most max_tile pixels wide. psi: None for what suits the generator.

    Raises:
        PackMismatch: the pack was made for another generator.
    """
    pack.check_fits(generator)
    codes = preview_codes(generator, pack, seeds, psi)
    renderer = Renderer(generator)
    files, sheet_rows = {}, []
    for done, (direction, slug) in enumerate(zip(pack, slugs(pack.names), strict=True)):
        if progress is not None:
            progress(done, len(pack), "previews")
        amounts = np.linspace(*direction.amount_range, num_amounts).tolist()
        tiles = render_tiles(renderer, codes, direction, amounts, max_tile)
        files[f"previews/{slug}.webp"] = encode(grid(tiles.reshape(-1, *tiles.shape[2:]), num_amounts, gap=GAP))
        if done < SHEET_DIRECTIONS:
            sheet_rows.append(tiles[0])
    files[CONTACT_SHEET] = encode(contact_sheet(pack.names, sheet_rows))
    if progress is not None:
        progress(len(pack), len(pack), "previews")
    return files


def preview_codes(generator: Generator, pack: DirectionPack, seeds: Sequence[int], psi: float | None = None) -> Codes:
    """Truncated codes (N, L, D) of the seeds, of the class the pack was fitted on, else class seed modulo c_dim."""
    c = None
    if generator.c_dim:
        fitted = pack.method.get("class_index")
        classes = [fitted if isinstance(fitted, int) else seed % generator.c_dim for seed in seeds]
        c = torch.nn.functional.one_hot(torch.tensor(classes), generator.c_dim).float().to(generator.device)
    z = seeded_z(seeds, generator.z_dim).to(generator.device)
    with torch.no_grad():
        return generator.mapping(z, c, truncation_psi=generator.default_psi if psi is None else psi)


def render_tiles(
    renderer: Renderer, codes: Codes, direction: Direction, amounts: Sequence[float], max_tile: int
) -> npt.NDArray[np.uint8]:
    """Pictures (N seeds, amounts, h, w, 3), uint8, at most max_tile pixels a side."""
    columns = [shrink(renderer.render(codes, direction * amount), max_tile) for amount in amounts]
    return np.stack(columns, axis=1)


def shrink(pictures: Pictures, max_tile: int) -> Pictures:
    """Pictures (N, H, W, 3) area-averaged so that the longer side has at most max_tile pixels."""
    height, width = pictures.shape[1:3]
    scale = max_tile / max(height, width)
    if scale >= 1:
        return pictures
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.stack([np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BOX)) for p in pictures])


def contact_sheet(names: Sequence[str], rows: Sequence[Pictures]) -> Image.Image:
    """One labelled row of pictures (amounts, h, w, 3) for each name."""
    pictures = grid(np.concatenate(rows), columns=len(rows[0]), gap=GAP)
    sheet = Image.new("RGB", (LABEL_WIDTH + pictures.width, pictures.height), "white")
    sheet.paste(pictures, (LABEL_WIDTH, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LABEL_SIZE)
    height = rows[0].shape[1]
    for i, name in enumerate(names[: len(rows)]):
        text = name
        while draw.textlength(text, font) > LABEL_WIDTH - 12:
            text = text[:-2].rstrip("…") + "…"
        draw.text((LABEL_WIDTH - 6, i * (height + GAP) + height / 2), text, "#333333", font, anchor="rm")
    return sheet


def slugs(names: Sequence[str]) -> list[str]:
    """File names without suffix (a-z, 0-9, - and _), one for each name, all different, none the sheet's or a plot's."""
    taken, found = {"contact-sheet"}, []
    for i, name in enumerate(names):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        stem = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:MAX_SLUG].rstrip("-_") or f"direction-{i:02d}"
        stem = f"direction-{stem}" if f"{stem}-".startswith(PLOT_PREFIX) else stem
        slug, copy = stem, 1
        while slug in taken:
            copy += 1
            slug = f"{stem}-{copy}"
        taken.add(slug)
        found.append(slug)
    return found


def encode(picture: Image.Image) -> bytes:
    """WebP bytes."""
    stream = BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY, method=4)
    return stream.getvalue()
