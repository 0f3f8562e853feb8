"""A comparison as a page: Markdown and pictures, the same edit by every pack on the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from eigan.generators.base import Generator
from eigan.pack import Direction
from eigan.render import Renderer, grid
from hub_export.card import render_template
from hub_export.compare import Comparison, Contender, Row, best_for, reach_of, share_of
from hub_export.evidence import protocol
from hub_export.markdown import Markdown, escape
from hub_export.metrics import DirectionMetrics, Metrics
from hub_export.plots.canvas import INK, QUIET, font_path, legible
from hub_export.plots.many_packs import (
    plot_agreement,
    plot_control,
    plot_drifts,
    plot_frechets,
    plot_quality,
    plot_variances,
)
from hub_export.previews import GAP, contact_sheet, encode, preview_codes, render_tiles, slugs
from hub_export.recipe_text import recipes_of
from hub_export.summary import MAX_LEAK, MIN_MONOTONICITY, per_sigma

MARK = "<!-- a page of hub-export compare -->"
PAGE = "README.md"
NUM_EDITS = 8  # attributes shown as strips
SHEET_DIRECTIONS = 10
SHEET_AMOUNTS = 7
TARGET = 1.5  # standard deviations of the attribute that a strip aims at, either way
LABEL_WIDTH = 116
SMALL, LARGE, LINE = 10, 13, 15
MAX_TILE = 72
Files = dict[str, bytes]


@dataclass(frozen=True)
class Wording:
    """What a person says on the page. notes: Markdown of their own, put in as it is."""

    title: str = "Directions of one generator, side by side"
    intro: str = ""
    caveat: str = ""
    notes: str = ""
    command: str = ""


@dataclass(frozen=True)
class Edit:
    """One attribute edited by one pack: the direction picked, and the amounts that take it from low to high."""

    label: str
    direction: Direction
    entry: DirectionMetrics
    amounts: tuple[float, ...]


def render_page(
    comparison: Comparison,
    generator: Generator,
    *,
    seeds: Sequence[int] = (0, 1),
    attributes: Sequence[str] = (),
    wording: Wording = Wording(),
    progress: Callable[[int, int, str], None] | None = None,
) -> Files:
    """File name -> bytes of the page: README.md and the WebP pictures that it shows.

    attributes: which to show as strips; none for those that the packs control best.

    Raises:
        FitError: matplotlib is not installed.
    """
    known = comparison.attributes
    chosen = [name for name in attributes if name in known] or known[:NUM_EDITS]
    names = slugs([*chosen, *comparison.labels])
    files: Files = dict(_plots(comparison))
    renderer = Renderer(generator)
    steps, done = len(chosen) + len(comparison.contenders), 0
    strips: list[tuple[str, str, list[Edit]]] = []
    codes = preview_codes(generator, comparison.contenders[0].pack, seeds)
    for attribute, slug in zip(chosen, names, strict=False):
        edits = same_edit(comparison, attribute)
        files[f"edit-{slug}.webp"] = encode(draw_edits(renderer, codes, edits))
        strips.append((attribute, f"edit-{slug}.webp", edits))
        done = _report(progress, done, steps)
    sheets: list[tuple[str, str]] = []
    for label, contender, slug in zip(comparison.labels, comparison.contenders, names[len(chosen) :], strict=True):
        files[f"sheet-{slug}.webp"] = encode(draw_sheet(renderer, codes, contender))
        sheets.append((label, f"sheet-{slug}.webp"))
        done = _report(progress, done, steps)
    return {PAGE: _text(comparison, wording, strips, sheets, set(files)).encode(), **files}


def is_page(folder: Path) -> bool:
    """Whether `folder` holds such a page, and may be written anew."""
    page = folder / PAGE
    return page.is_file() and MARK in page.read_text("utf-8", "replace")


def same_edit(comparison: Comparison, attribute: str) -> list[Edit]:
    """For each pack that scored `attribute`: its best direction, and five amounts that move the attribute alike.

    The ends are 1.5 standard deviations either way by the measured effect, within the range that was measured.
    """
    found = []
    for label, contender in zip(comparison.labels, comparison.contenders, strict=True):
        if best := best_for(contender, attribute):
            direction, entry = best
            effect = entry.effects[attribute] or 1e-9
            aims = np.linspace(-TARGET, TARGET, 5) / effect
            low, high = sorted(entry.range)
            amounts = np.clip(aims, low, high)
            found.append(Edit(label, direction, entry, tuple(float(a) for a in amounts)))
    return found


def draw_edits(renderer: Renderer, codes: torch.Tensor, edits: Sequence[Edit]) -> Image.Image:
    """One row for each pack: its label, then for each of codes (N, L, D) five pictures from low to high."""
    rows = []
    for edit in edits:
        tiles = render_tiles(renderer, codes, edit.direction, edit.amounts, MAX_TILE)  # (N, 5, h, w, 3)
        rows.append([grid(row, columns=len(row), gap=GAP) for row in tiles])
    width, height = rows[0][0].size
    gutter = 10  # between two seeds
    sheet = Image.new(
        "RGB", (LABEL_WIDTH + len(rows[0]) * (width + gutter) - gutter, len(rows) * (height + GAP) - GAP), "white"
    )
    draw = ImageDraw.Draw(sheet)
    large, small = (ImageFont.truetype(font_path(), size) for size in (LARGE, SMALL))
    names = legible([edit.direction.name for edit in edits], 14)
    labels = legible([edit.label for edit in edits], 16)
    for y, (edit, label, name, pictures) in enumerate(zip(edits, labels, names, rows, strict=True)):
        top = y * (height + GAP)
        ends = " to ".join(f"{amount:+.1f}".replace("-", "−") for amount in (edit.amounts[0], edit.amounts[-1]))
        for line, text, colour, font in ((-1, label, INK, large), (0, name, QUIET, small), (1, ends, QUIET, small)):
            draw.text((6, top + height / 2 + LINE * line), text, colour, font, anchor="lm")
        for x, picture in enumerate(pictures):
            sheet.paste(picture, (LABEL_WIDTH + x * (width + gutter), top))
    return sheet


def draw_sheet(renderer: Renderer, codes: torch.Tensor, contender: Contender) -> Image.Image:
    """The pack's first ten directions on the first of `codes`, each named with the attribute that it moves most."""
    names, rows = [], []
    for direction in contender.pack.directions[:SHEET_DIRECTIONS]:
        entry = contender.entry(direction)
        amounts = np.linspace(*direction.amount_range, SHEET_AMOUNTS).tolist()
        rows.append(render_tiles(renderer, codes[:1], direction, amounts, MAX_TILE)[0])
        names.append(f"{direction.name} {entry.main}" if entry and entry.main else direction.name)
    return contact_sheet(legible(names, 60), rows)


def _report(progress: Callable[[int, int, str], None] | None, done: int, total: int) -> int:
    if progress is not None:
        progress(done + 1, total, "pictures")
    return done + 1


def _plots(comparison: Comparison) -> Files:
    """The plots that there are numbers for."""
    measured: dict[str, Metrics] = {
        label: contender.metrics
        for label, contender in zip(comparison.labels, comparison.contenders, strict=True)
        if contender.metrics
    }
    files = {"agreement.webp": plot_agreement(comparison.labels, comparison.agreement)}
    ratios = {
        label: [d.metrics.get("explained_variance_ratio", 0.0) for d in contender.pack]
        for label, contender in zip(comparison.labels, comparison.contenders, strict=True)
    }
    files["variance.webp"] = plot_variances(ratios)
    if measured:
        files |= {"quality.webp": plot_quality(measured), "drift.webp": plot_drifts(measured)}
        if bars := plot_frechets(measured):
            files["frechet.webp"] = bars
    if comparison.attributes:
        files["control.webp"] = _plot_control(comparison)
    return files


def _plot_control(comparison: Comparison) -> bytes:
    attributes = comparison.attributes
    shares = {}
    for label, contender in zip(comparison.labels, comparison.contenders, strict=True):
        best = [best_for(contender, name) for name in attributes]
        shares[label] = [share_of(pair[1], name) if pair else 0.0 for pair, name in zip(best, attributes, strict=True)]
    well = [set(row.summary.controlled) if row.summary else set() for row in comparison.rows]
    return plot_control(shares, attributes, well)


def _text(
    comparison: Comparison,
    wording: Wording,
    strips: Sequence[tuple[str, str, list[Edit]]],
    sheets: Sequence[tuple[str, str]],
    files: set[str],
) -> str:
    metrics = next((c.metrics for c in comparison.contenders if c.metrics), None)
    fitted = [
        (label, recipe.text)
        for label, contender in zip(comparison.labels, comparison.contenders, strict=True)
        for recipe in recipes_of(contender.pack)
    ]
    text = render_template(
        "compare.md.j2",
        mark=Markdown(MARK),
        wording=wording,
        notes=Markdown(wording.notes.strip()),
        command=Markdown(wording.command),
        made_for=comparison.made_for,
        header=[Markdown(name) for name in HEADER],
        rows=[cells(row) for row in comparison.rows],
        sums=any(row.is_sum and row.variance is not None for row in comparison.rows),
        depending=[name for name, c in zip(comparison.labels, comparison.contenders, strict=True) if _depends(c)],
        labels=comparison.labels,
        controllers=_controllers(comparison),
        strips=[(name, Markdown(path), [_edit_note(edit, name) for edit in edits]) for name, path, edits in strips],
        sheets=[(label, Markdown(path)) for label, path in sheets],
        pictures={name: Markdown(name) for name in files},
        recipes=fitted,
        protocol=protocol(metrics) if metrics else [],
        min_monotonicity=MIN_MONOTONICITY,
        max_leak=MAX_LEAK,
    )
    return f"{text}\n"


HEADER = (
    "method",
    "directions",
    "variance, first 10",
    "purity",
    "leak",
    "monotonicity",
    "main attributes",
    "controlled",
    "Fréchet, edited",
    "drift per sigma",
    "time to fit",
)


def cells(row: Row) -> list[Markdown]:
    """One line of the table, a cell for each name in HEADER."""
    found = row.summary
    variance = "–" if row.variance is None else f"{'Σ ' * row.is_sum}{100 * row.variance:.3g}%"
    frechet = "–"
    if found and found.frechet:
        frechet = ", ".join(f"±{escape(k)}: {v:.3g}" for k, v in list(found.frechet.items())[:4])
    numbers = [(found.purity, ".2f"), (found.leak, ".2f"), (found.monotonicity, ".3f")] if found else [(None, "")] * 3
    scored = found is not None and found.mains > 0
    counts = [f"{found.mains}", f"{len(found.controlled)}"] if found and scored else ["–", "–"]
    shown = [
        escape(row.label),
        f"{row.num_directions}",
        variance,
        *(number(value, form) for value, form in numbers),
        *counts,
        frechet,
        number(found.drift if found else None, ".3g"),
        "–" if row.seconds is None else f"{row.seconds:.3g} s",
    ]
    return [Markdown(cell) for cell in shown]


def number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def _controllers(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """For each attribute that any pack controls: the direction that does, in each pack ("–" where none does)."""
    found = [row.summary.controlled if row.summary else {} for row in comparison.rows]
    names = [name for name in comparison.attributes if any(name in table for table in found)]
    return [(name, [table.get(name, "–") for table in found]) for name in names]


def _edit_note(edit: Edit, attribute: str) -> Markdown:
    """'PCA: pca-03, share 0.62, drift 0.11 a sigma, reaches 2.4'."""
    drift = per_sigma(edit.entry.drift)
    return Markdown(
        f"{escape(edit.label)}: {escape(edit.direction.name)}, share {share_of(edit.entry, attribute):.2f}, "
        f"reach {reach_of(edit.entry, attribute):.1f}, drift {number(drift, '.2f')}"
    )


def _depends(contender: Contender) -> bool:
    return any(direction.model is not None for direction in contender.pack)
