"""Pictures to explore with: every direction of a pack pushed both ways, and one direction swept over its range. Bounded
by the generator's own speed. No Gradio."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from eigan.errors import PackFormatError
from eigan.generators.base import Generator
from eigan.latents import MAX_SEED
from eigan.pack import MAX_AMOUNT, Direction, check_number
from eigan.recipe import PictureRecipe
from eigan.render import Pictures, Renderer, grid
from eigan.reproduce import recipe_codes, recipe_edit, seed_codes
from eigan.ui.history import thumbnail
from eigan.ui.labels import shorten, slider_step
from eigan.ui.session import Studio

Tile = npt.NDArray[np.uint8]  # (h, w, 3)
Progress = Callable[[int, int], None]  # done, of how many

PAGE = 24  # directions
TILE = 160  # pixels of a small picture: about twice the size it is shown at, for screens that have them
SHEET_SECONDS = 12.0  # after which a page ends, with as many directions as were drawn
TILE_SECONDS = 0.4  # for the early images of a direction, where pictures are slow
SWEEP_SECONDS = 45.0
MAX_STEPS = 15
MAX_SEEDS = 6
MAX_STRIP_TILE = 256
MIN_STRIP_TILE = 64  # narrower, and the amounts would not fit under the pictures
STRIP_GAP = 2
STRIP_LABEL = 26  # pixels under the pictures, and twice that beside them
INK, PAPER = "#333333", "white"


@dataclass(frozen=True)
class Row:
    """A direction, or a seed, and its pictures: what each is moved by, and the picture."""

    name: str
    amounts: tuple[float, ...]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Sheet:
    """A page of directions: rows from number `start` on, of `total`. is_sketched: the tiles are early images."""

    rows: tuple[Row, ...]
    start: int
    total: int
    is_sketched: bool = False

    @property
    def stop(self) -> int:
        return self.start + len(self.rows)


def pushed(direction: Direction, reach: float) -> tuple[float, ...]:
    """The amounts that a sheet shows of a direction: `reach` (0 to 1) of the way to each end of its range, and 0."""
    low, high = direction.amount_range
    step = slider_step(high - low)
    ends = [round(round(end * reach / step) * step, 9) for end in (low, high)]
    return tuple(dict.fromkeys((ends[0], 0.0, ends[1])))


def bare(recipe: PictureRecipe) -> PictureRecipe:
    """The recipe's picture before any edit."""
    return replace(recipe, amounts={}, layers={}, keep=())


def draw_sheet(
    studio: Studio,
    recipe: PictureRecipe,
    directions: Sequence[Direction],
    *,
    start: int = 0,
    reach: float = 0.6,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Sheet:
    """A page of `directions` (of any pack for the studio's generator), from number `start` on, each moved alone from
    where the recipe's picture is before any edit.

    At most PAGE of them, and no more than are drawn in SHEET_SECONDS, but one. Where the generator is slow the tiles
    are early images (`Renderer.preview`), if it has any.

    Raises:
        PackFormatError: `start` or `reach` out of range. InvalidCodes: the generator refuses the recipe.
    """
    check_number(reach, "how far", 0.01, 1.0)
    if not 0 <= start < len(directions):
        raise PackFormatError(f"the sheet begins at direction {start + 1} of {len(directions)}; begin at the first")
    page = directions[start : start + PAGE]
    renderer = Renderer(studio.generator)  # its own: the sliders' goes on from where it stands
    rows: list[Row] = []
    begun, sketched = clock(), False
    with torch.inference_mode():
        codes = recipe_codes(recipe, studio.generator)
        options: dict[str, Any] = {"noise_mode": recipe.noise_mode, "pose": recipe.pose}
        still = tiny(renderer.render(codes, **options), TILE)[0]
        for done, direction in enumerate(page):
            if rows and clock() - begun > SHEET_SECONDS:
                break
            if progress is not None:
                progress(done, len(page))
            amounts = pushed(direction, reach)
            moved = torch.cat([(direction * amount).apply(codes) for amount in amounts if amount])
            early = renderer.preview(moved, seconds=TILE_SECONDS, **options) if studio.is_slow else None
            sketched = sketched or early is not None
            ends = iter(tiny(renderer.render(moved, **options) if early is None else early, TILE))
            tiles = tuple(next(ends) if amount else still for amount in amounts)
            rows.append(Row(direction.name, amounts, tiles))
    return Sheet(tuple(rows), start, len(directions), sketched)


def sweep_amounts(low: float, high: float, steps: int) -> list[float]:
    """`steps` amounts from `low` to `high`, evenly, to a hundredth of a sigma (a thousandth, where they are close).

    Raises:
        PackFormatError: ends that are no amounts, the same, or too few or too many steps.
    """
    for value, noun in ((low, "from"), (high, "to")):
        check_number(value, noun, -MAX_AMOUNT, MAX_AMOUNT)
    if not 2 <= steps <= MAX_STEPS:
        raise PackFormatError(f"{steps} steps were asked for; a sweep has 2 to {MAX_STEPS}")
    digits = 2 if abs(high - low) / steps >= 0.05 else 3
    amounts = [round(float(value), digits) + 0.0 for value in np.linspace(low, high, steps)]  # + 0.0: no -0.0
    if len(set(amounts)) < steps:
        raise PackFormatError(f"from {low:g} to {high:g} is too short for {steps} steps; set the ends further apart")
    return amounts


def sweep_seeds(recipe: PictureRecipe, count: int) -> list[int]:
    """The seeds of a sweep's rows: the recipe's and those after it. Raises PackFormatError."""
    if not 1 <= count <= MAX_SEEDS:
        raise PackFormatError(f"{count} rows were asked for; a sweep has 1 to {MAX_SEEDS}")
    if recipe.latent is not None:
        return [recipe.seed]
    return [(recipe.seed + i) % (MAX_SEED + 1) for i in range(count)]


def swept(recipe: PictureRecipe, name: str, amount: float) -> PictureRecipe:
    """The recipe with `name` at `amount`, everything else as it stands."""
    return replace(recipe, amounts={**recipe.amounts, name: amount})


def draw_sweep(
    studio: Studio,
    recipe: PictureRecipe,
    name: str,
    amounts: Sequence[float],
    seeds: Sequence[int],
    *,
    progress: Progress | None = None,
) -> list[Row]:
    """One row for each seed, one picture for each amount of `name`; all else is as the recipe has it.

    Pictures are those that the page would show, full size. A recipe that starts from a latent has one row.

    Raises:
        UnknownName: the packs have no such direction. PackFormatError: it would take longer than SWEEP_SECONDS.
    """
    check_time(studio, len(amounts) * len(seeds))
    renderer, columns = Renderer(studio.generator), []
    with torch.inference_mode():
        if recipe.latent is None:
            codes = seed_codes(recipe, studio.generator, seeds)
        else:
            codes, seeds = recipe_codes(recipe, studio.generator), seeds[:1]
        for done, amount in enumerate(amounts):
            if progress is not None:
                progress(done, len(amounts))
            edit = recipe_edit(swept(recipe, name, amount), studio.pack)
            columns.append(renderer.render(codes, edit, noise_mode=recipe.noise_mode, pose=recipe.pose))
    words = "latent" if recipe.latent is not None else "seed {}"
    return [
        Row(words.format(seed), tuple(amounts), tuple(column[i] for column in columns)) for i, seed in enumerate(seeds)
    ]


def check_time(studio: Studio, count: int) -> None:
    """Raise PackFormatError when `count` pictures would take longer than anyone should wait."""
    each = studio.renderer.expected_seconds() or 0.0
    if count > 1 and count * each > SWEEP_SECONDS:
        raise PackFormatError(
            f"a picture of this generator takes about {each:.1f} s here, so {count} of them take {count * each:.0f} s; "
            f"ask for at most {max(2, int(SWEEP_SECONDS / each))}: fewer steps or rows"
        )


def strip_image(rows: Sequence[Row]) -> Image.Image:
    """A sweep to look at and to keep: its pictures side by side, the amounts written under them, and the seeds beside
    them where there are several."""
    pictures = np.stack([tile for row in rows for tile in row.tiles])
    pictures = enlarged(tiny(pictures, MAX_STRIP_TILE), MIN_STRIP_TILE)
    columns, size = len(rows[0].amounts), pictures.shape[1]
    sheet = grid(pictures, columns, gap=STRIP_GAP)
    left = 2 * STRIP_LABEL + 34 if len(rows) > 1 else 0
    whole = Image.new("RGB", (left + sheet.width, sheet.height + STRIP_LABEL), PAPER)
    whole.paste(sheet, (left, 0))
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(13)
    for i, amount in enumerate(rows[0].amounts):
        middle = left + i * (size + STRIP_GAP) + size / 2
        words = signed(amount).replace("−", "-")  # Pillow's font has no minus
        draw.text((middle, sheet.height + STRIP_LABEL / 2), words, INK, font, anchor="mm")
    for i, row in enumerate(rows if left else ()):
        draw.text((left - 8, i * (size + STRIP_GAP) + size / 2), row.name, INK, font, anchor="rm")
    return whole


def png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def signed(amount: float) -> str:
    """'+1.5', '−2', '0': as amounts are written under pictures."""
    return f"{'−' if amount < 0 else '+' if amount else ''}{abs(amount):g}"


def tiny(pictures: Pictures, size: int) -> Pictures:
    """Pictures (N, H, W, 3) averaged down to `size` pixels a side, if they are larger."""
    from hub_export.previews import shrink

    return shrink(pictures, size)


def enlarged(pictures: Pictures, size: int) -> Pictures:
    """Pictures (N, H, W, 3), every pixel repeated until a side has `size`, if they are smaller."""
    times = -(-size // pictures.shape[1])
    return pictures.repeat(times, axis=1).repeat(times, axis=2) if times > 1 else pictures


def tiles_value(
    rows: Sequence[Row], label: str, *, about: Callable[[Row], str] | None = None, layout: str = "cards"
) -> dict[str, Any]:
    """What the component of `assets/tiles.js` shows for `rows`: plain text and pictures as data addresses.

    about: what is said under a row's name. layout: "cards", as many side by side as fit, or "rows".
    """
    addresses: dict[bytes, int] = {}  # a picture that is shown many times, as the one at 0, is sent once
    groups = []
    for row in rows:
        shown = [addresses.setdefault(tile.tobytes(), len(addresses)) for tile in row.tiles]
        tiles = [{"picture": i, "under": signed(amount)} for i, amount in zip(shown, row.amounts, strict=True)]
        groups.append({"title": row.name, "about": about(row) if about else "", "tiles": tiles})
    pictures = {addresses[tile.tobytes()]: tile for row in rows for tile in row.tiles}
    sources = [thumbnail(Image.fromarray(pictures[i]), TILE) for i in sorted(pictures)]
    return {"label": label, "layout": layout, "pictures": sources, "groups": groups}


def caption(direction: Direction, hint: str) -> str:
    """Under a direction's name on the sheet: its poles, its layers, and what else it moves where that was measured."""
    poles = " … ".join(direction.poles) if all(direction.poles) else ""
    variance = direction.metrics.get("explained_variance_ratio")
    share = "" if variance is None else f"{100 * variance:.2g}% of the variance"
    return shorten(" · ".join(filter(None, (poles, f"layers {direction.layers}", share, hint))), 160)


def sheet_note(sheet: Sheet, recipe: PictureRecipe, generator: Generator) -> str:
    """One plain sentence or two: what the sheet shows of what, and why it may be less than a page."""
    start = "the uploaded latent" if recipe.latent is not None else f"seed {recipe.seed}"
    told = f"Directions {sheet.start + 1} to {sheet.stop} of {sheet.total}, from {start}."
    if len(sheet.rows) < min(PAGE, sheet.total - sheet.start):
        told += f" The page is short because this generator ({generator.resolution} px) is slow here."
    if sheet.is_sketched:
        told += " The small pictures are early, coarse ones; press one for the real picture."
    return told
