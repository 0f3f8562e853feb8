"""Plots of one pack, as its card shows them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eigan.pack import MAX_AMOUNT, DirectionPack
from hub_export.metrics import Curve, DirectionMetrics, Metrics
from hub_export.plots.canvas import (
    COLOURS,
    DIVERGING,
    GRID,
    INK,
    NEUTRAL,
    QUIET,
    bounded,
    count_on,
    draw,
    label_map,
    legible,
    rule,
)
from hub_export.previews import PLOT_PREFIX

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_MULTIPLES = 12  # directions in the small multiples
MAX_MAP = (24, 18)  # directions, attributes in the heat map
MAX_LINES = 60
MAX_BARS = 8
MAX_SERIES = 6
MAX_HISTORY = 1000
FULL_EFFECT = (0.25, 2.0)  # deviations per sigma at which colours may be full: the 98th percentile, within these
CURVES = (  # of DirectionMetrics, and how they are called; the last is a share, on an axis of its own
    ("drift", "Drift of the picture", "1 = two pictures at random"),
    ("identity", "Drift of who it is", ""),
    ("strangeness", "Odd pictures", ""),
)
ODD = "strangeness"


@dataclass(frozen=True)
class Plot:
    """title: the alternative text of the picture. note: how to read it, a sentence or two."""

    title: str
    note: str
    path: str


def _plot(name: str, title: str, note: str) -> Plot:
    return Plot(title, note, f"previews/{PLOT_PREFIX}{name}.webp")


PLOTS = {
    "variance": _plot(
        "variance",
        "Explained variance, direction by direction and in sum, beside random directions",
        "How much the codes vary along each direction. For directions that are not at right angles the sum is not "
        "the variance of what they span.",
    ),
    "coordinates": _plot(
        "coordinates",
        "How codes lie along each direction",
        "Coordinates of sampled codes along the directions, in sigmas; the line is a normal distribution.",
    ),
    "effects": _plot(
        "effects",
        "Which attribute each direction moves",
        "Standard deviations of each attribute per sigma of the slider: red up, blue down, a dot on the main one. "
        "A clean direction has one strong cell in its row.",
    ),
    "drift": _plot(
        "drift",
        "How far pictures drift with the amount",
        "Distance in the features from the picture without the edit; 1 is that of two pictures at random. Odd are "
        "pictures that are odder than 99 % of the generator's own. Thin: each direction; thick: their median.",
    ),
    "response": _plot(
        "response",
        "How the main attribute follows each slider",
        "Standard deviations of what each direction moves most, against the amount in sigmas; the range that was "
        "measured to hold is shaded.",
    ),
    "learning": _plot("learning", "How the fit went", "What the method reported while it was fitted."),
    "frechet": _plot(
        "frechet",
        "Fréchet distances of edited pictures",
        "Between pictures and their own edited selves, in the features named. Grey: between two sets of unedited "
        "pictures, which share no latents; a small edit stays below it.",
    ),
}


def render_plots(pack: DirectionPack, metrics: Metrics | None = None) -> dict[str, bytes]:
    """File name -> WebP of every plot that there are numbers for; the same numbers give the same bytes.

    metrics: what was measured of `pack`; without them only how the fit went can be drawn.

    Raises:
        FitError: matplotlib is not installed.
    """
    files = {}
    if history := read_history(pack.method):
        files[PLOTS["learning"].path] = plot_learning(history)
    if metrics is None:
        return files
    measured = [entry for d in pack if (entry := metrics[d.name])]
    if measured:
        files[PLOTS["variance"].path] = plot_variance(measured, metrics.random_variance_ratio)
        files[PLOTS["drift"].path] = plot_drift(measured)
    if shown := [entry for entry in measured if entry.response and entry.response.amounts]:
        files[PLOTS["response"].path] = plot_response(shown[:MAX_MULTIPLES])
    if shown := [entry for entry in measured if _has_histogram(entry)]:
        files[PLOTS["coordinates"].path] = plot_coordinates(shown[:MAX_MULTIPLES])
    if shown := [entry for entry in measured if entry.effects]:
        files[PLOTS["effects"].path] = plot_effects(shown)
    if metrics.frechet is not None:
        frechet = metrics.frechet
        edited = list(frechet.edited.items())[:MAX_BARS]
        amounts = legible([amount for amount, _ in edited], 8)
        bars = {"two sets of\nunedited ones": frechet.floor}
        bars |= {f"within ±{amount}\nsigmas": value for amount, (_, value) in zip(amounts, edited, strict=True)}
        files[PLOTS["frechet"].path] = plot_frechet(bars, frechet.features, frechet.num_images)
    return files


def plot_variance(measured: Sequence[DirectionMetrics], random: Sequence[float]) -> bytes:
    """Explained variance ratios of directions: summed up on the left, one by one on the right, and of random ones."""
    ratios = 100 * bounded((entry.explained_variance_ratio for entry in measured), 0, 1)
    chance = 100 * bounded(random[: len(ratios)], 0, 1)

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        for axes, pick, title in ((left, np.cumsum, "in sum"), (right, np.asarray, "one by one")):
            steps = np.arange(1, len(ratios) + 1)
            axes.plot(steps, pick(ratios), color=COLOURS[0], marker="o", markersize=3, label="this pack")
            if len(chance):
                axes.plot(steps[: len(chance)], pick(chance), "--", color=NEUTRAL, label="random directions")
            axes.set(title=f"Explained variance, {title}", xlabel="direction", ylim=(0, None))
            axes.yaxis.set_major_formatter("{x:g}%")
            count_on(axes)
            rule(axes)
        right.legend()

    return draw(2.7, paint)


def plot_coordinates(measured: Sequence[DirectionMetrics]) -> bytes:
    """Small multiples: histograms of coordinates, in sigmas, with the normal distribution's density."""
    names = legible([entry.name for entry in measured], 18)
    grid = np.linspace(-4, 4, 81)
    normal = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)

    def paint(figure: Figure) -> None:
        for axes, entry, name in zip(small_multiples(figure, len(names)), measured, names, strict=True):
            found = entry.coordinates
            counts = bounded(found.counts, 0, 1e12)
            low, high = (float(v) for v in bounded((found.low, found.high), -MAX_AMOUNT, MAX_AMOUNT))
            edges = np.linspace(low, high, len(counts) + 1)
            axes.stairs(counts / (counts.sum() * (edges[1] - edges[0])), edges, fill=True, color=COLOURS[5])
            axes.plot(grid, normal, color=INK, linewidth=1)
            axes.set_title(name, fontsize=8.5)
            shape = f"skew {found.skewness:+.2f}\nkurt {found.excess_kurtosis:+.2f}".replace("-", "−")
            axes.text(0.98, 0.96, shape, transform=axes.transAxes, ha="right", va="top", fontsize=6.5, color=QUIET)
            axes.set(xlim=(-4, 4), xticks=(-3, 0, 3), yticks=(), ylim=(0, 0.52))
            axes.spines["left"].set_visible(False)
            axes.tick_params(length=0)

    return draw(0.3 + 1.15 * -(-len(names) // 4), paint)


def plot_effects(measured: Sequence[DirectionMetrics]) -> bytes:
    """Heat map: directions down, attributes across, standard deviations per sigma in colour, a dot on the main one."""
    measured = measured[: MAX_MAP[0]]
    attributes = shown_attributes(measured, MAX_MAP[1])
    cells = np.array([[entry.effects.get(name, 0.0) for name in attributes] for entry in measured])
    cells = bounded(cells.flatten(), -1e3, 1e3).reshape(cells.shape)
    rows, columns = legible([entry.name for entry in measured], 20), legible(attributes, 18)
    full = float(np.clip(np.quantile(np.abs(cells), 0.98), *FULL_EFFECT))
    dots = [(attributes.index(entry.main), i) for i, entry in enumerate(measured) if entry.main in attributes]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        image = axes.pcolormesh(cells, cmap=DIVERGING, vmin=-full, vmax=full, edgecolors="white", linewidth=1.2)
        for x, y in dots:
            colour = "white" if abs(cells[y, x]) > 0.55 * full else INK
            axes.plot(x + 0.5, y + 0.5, "o", color=colour, markersize=3.2)
        label_map(axes, rows, columns)
        bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 2.2 / (0.2 * len(rows) + 0.6)), aspect=14, extend="both")
        bar.set_label("attribute's std per sigma", fontsize=7.5)
        bar.ax.tick_params(length=0, labelsize=7)
        bar.outline.set_visible(False)  # type: ignore[operator]

    return draw(1.35 + 0.2 * len(rows), paint)


def shown_attributes(measured: Sequence[DirectionMetrics], limit: int) -> list[str]:
    """Attributes for columns: each direction's main one first, in the directions' order, then the most moved others."""
    mains = [entry.main for entry in measured if entry.main and entry.main in entry.effects]
    totals: dict[str, float] = {}
    for entry in measured:
        for name, effect in entry.effects.items():
            totals[name] = totals.get(name, 0.0) + min(abs(effect), 1e3)
    by_total = sorted(totals, key=lambda name: (-totals[name], name))
    return list(dict.fromkeys([*mains, *by_total]))[:limit]


def plot_drift(measured: Sequence[DirectionMetrics]) -> bytes:
    """Against the amount: distances from the unmoved picture in features and in identity, and the share of odd ones."""
    panels = {key: found for key, *_ in CURVES if (found := curves_of(measured, key))}

    def paint(figure: Figure) -> None:
        for axes, colour, key in drift_panels(figure, panels):
            for amounts, values in panels[key]:
                axes.plot(amounts, values, color=colour, alpha=0.25, linewidth=0.9)
            axes.plot(*median_curve(panels[key]), color=colour, linewidth=2.4)

    return draw(2.7, paint)


def drift_panels(figure: Figure, keys: Collection[str]) -> Iterator[tuple[Axes, str, str]]:
    """An axes, a colour and the key for each of CURVES that is among `keys`; distances share their scale."""
    cells = figure.subplots(1, max(1, len(keys)), squeeze=False)[0]
    shown = [(key, title, unit) for key, title, unit in CURVES if key in keys]
    for axes, (key, title, unit), colour in zip(cells, shown, COLOURS, strict=False):
        yield axes, colour, key
        axes.set(title=title, xlabel="amount, in sigmas", ylabel=unit, ylim=(0, None))
        count_on(axes)
        if key == ODD:
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        rule(axes)
    distances = [axes for axes, (key, *_) in zip(cells, shown, strict=False) if key != ODD]
    for axes in distances:
        axes.set_ylim(0, max(other.get_ylim()[1] for other in distances))


def curves_of(measured: Sequence[DirectionMetrics], key: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """(amounts, values) of each direction's curve called `key`; those that are missing or empty left out."""
    curves: list[Curve | None] = [getattr(entry, key) for entry in measured[:MAX_LINES]]
    return [(np.asarray(c.amounts), bounded(c.values, 0, 100)) for c in curves if c is not None and c.amounts]


def plot_response(measured: Sequence[DirectionMetrics]) -> bytes:
    """Small multiples: how far the main attribute has moved at each amount, the measured range shaded."""
    names = legible([entry.name for entry in measured], 14)
    mains = legible([entry.main or "picture" for entry in measured], 14)
    curves = [entry.response for entry in measured if entry.response]
    limit = max(1e-3, min(100.0, max(abs(v) for curve in curves for v in curve.values)))

    def paint(figure: Figure) -> None:
        for axes, entry, curve, name, main in zip(
            small_multiples(figure, len(names)), measured, curves, names, mains, strict=False
        ):
            axes.axvspan(
                *(float(v) for v in bounded(entry.range, -MAX_AMOUNT, MAX_AMOUNT)), color="#e8f1f8", linewidth=0
            )
            axes.axhline(0, color=GRID, linewidth=0.8)
            axes.plot(curve.amounts, bounded(curve.values, -100, 100), color=COLOURS[0])
            axes.set_title(name, fontsize=8.5)
            axes.set_title(main, loc="right", fontsize=7.5, fontweight="normal", color=QUIET)
            axes.set_ylim(-1.08 * limit, 1.08 * limit)
            axes.tick_params(length=0, labelsize=7)

    return draw(0.3 + 1.15 * -(-len(names) // 4), paint)


def small_multiples(figure: Figure, count: int) -> list[Axes]:
    """`count` axes, four in a row, with common scales."""
    columns = min(4, count)
    cells = figure.subplots(-(-count // columns), columns, sharex=True, sharey=True, squeeze=False).flatten()
    for axes in cells[count:]:
        axes.set_axis_off()
    return list(cells[:count])


def median_curve(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The median of curves over the amounts that at least half of them reach, each counting within its own amounts."""
    amounts = np.unique(np.concatenate([a for a, _ in curves]))
    values = np.array([np.interp(amounts, a, v, left=np.nan, right=np.nan) for a, v in curves])
    shared = (~np.isnan(values)).mean(axis=0) >= 0.5
    return amounts[shared], np.nanmedian(values[:, shared], axis=0)


def plot_learning(history: Mapping[str, Sequence[float]]) -> bytes:
    """One panel for each quantity of a fit's history."""
    history = dict(history)
    steps = history.pop("iteration", None)
    titles = legible(list(history), 30)

    def paint(figure: Figure) -> None:
        columns = min(2, len(history))
        rows = -(-len(history) // columns)
        cells = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes, title, values, colour in zip(cells, titles, history.values(), COLOURS, strict=False):
            across = steps if steps is not None and len(steps) == len(values) else range(1, len(values) + 1)
            axes.plot(across, values, color=colour)
            axes.set(title=title, xlabel="iteration" if across is steps else "record")
            if min(values) > 0 and max(values) > 100 * min(values):
                axes.set_yscale("log")
            rule(axes)
        for axes in cells[len(history) :]:
            axes.set_axis_off()

    return draw(2.4 * -(-len(history) // 2), paint)


def read_history(method: Mapping[str, Any]) -> dict[str, list[float]]:
    """The series under "history" in a pack's account of its fit, as far as they are finite numbers."""
    given = method.get("history")
    if not isinstance(given, Mapping):
        return {}
    found = {}
    for name, values in given.items():
        if not isinstance(values, Sequence) or not 2 <= len(values) <= MAX_HISTORY:
            continue
        if all(type(v) in (int, float) and -1e30 < v < 1e30 for v in values):  # nor NaN
            found[str(name)] = [float(v) for v in values]
        if len(found) == MAX_SERIES:
            break
    return found if set(found) - {"iteration"} else {}


def plot_frechet(bars: Mapping[str, float], features: str, num_images: int) -> bytes:
    """Bars of Fréchet distances, the first of them (of unedited pictures) grey."""
    labels = list(bars)
    values = bounded(bars.values(), 0, 1e9)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        colours = [NEUTRAL] + [COLOURS[0]] * (len(values) - 1)
        drawn = axes.barh(labels, values, color=colours, height=0.62)
        axes.bar_label(drawn, [f"{v:.3g}" for v in values], padding=4, fontsize=9, color=INK)
        axes.invert_yaxis()
        kind = "FID: Inception" if features == "inception" else f"Not FID: {legible([features], 40)[0]}"
        axes.set(title="Fréchet distance of edited pictures", xlabel=f"{kind} features, {num_images:,} pictures a side")
        axes.set(xticks=(), xlim=(0, 1.12 * max(values.max(), 1e-9)))
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0, labelcolor=INK)

    return draw(0.75 + 0.45 * len(values), paint)


def _has_histogram(entry: DirectionMetrics) -> bool:
    found = entry.coordinates
    return sum(found.counts) > 0 and min(found.counts) >= 0 and -MAX_AMOUNT <= found.low < found.high <= MAX_AMOUNT
