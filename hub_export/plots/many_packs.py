"""Plots of several packs side by side, for comparison pages: one colour for each pack, grey for random directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hub_export.metrics import Metrics
from hub_export.plots.canvas import COLOURS, INK, NEUTRAL, QUIET, bounded, count_on, draw, label_map, legible, rule
from hub_export.plots.one_pack import CURVES, curves_of, drift_panels, median_curve
from hub_export.summary import MAX_LEAK, MIN_MONOTONICITY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES = (  # the measure, its title and unit, the ends of its axis (None: as far as it goes), a threshold
    ("purity", "Purity", "main / all that moves", (0.0, None), None),
    ("leak", "Leak", "strongest other / main", (0.0, 1.0), MAX_LEAK),
    ("monotonicity", "Monotonicity", "rank correlation", (0.5, 1.0), MIN_MONOTONICITY),
)
SPREAD = 0.16  # how far dots of one pack are moved apart, of the distance between two packs
MAX_COLUMNS = 20
OWN = dict(zip(("PCA", "ICA", "SeFa", "LatentCLR", "local"), COLOURS, strict=False)) | {"random": NEUTRAL}
MAX_PANELS = 3


def colours_of(labels: Sequence[str]) -> list[str]:
    """A colour for each label: a method's own, grey for random directions, for others those that are left."""
    left = iter([*(colour for colour in COLOURS if colour not in OWN.values()), *COLOURS, *COLOURS])
    return [OWN[label] if label in OWN else next(left) for label in labels]


def plot_variances(packs: Mapping[str, Sequence[float]]) -> bytes:
    """Explained variance ratios, one by one, of each pack's directions."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for (label, ratios), colour in zip(packs.items(), colours_of(list(packs)), strict=True):
            values = 100 * bounded(ratios, 0, 1)
            dashes = "--" if label == "random" else "-"
            axes.plot(np.arange(1, len(values) + 1), values, dashes, color=colour, label=legible([label])[0])
        axes.set(title="Explained variance of each direction", xlabel="direction", ylim=(0, None))
        axes.yaxis.set_major_formatter("{x:g}%")
        count_on(axes)
        axes.legend(ncols=2)
        rule(axes)

    return draw(2.7, paint)


def plot_quality(packs: Mapping[str, Metrics]) -> bytes:
    """Purity, leak and monotonicity: a dot for each direction, a bar at each pack's mean, a line at the threshold."""
    labels = legible(list(packs))

    def paint(figure: Figure) -> None:
        cells = figure.subplots(1, len(SHARES), sharey=True)
        for axes, (key, title, unit, (low, high), threshold) in zip(cells, SHARES, strict=True):
            limits = (low, high or _furthest(packs.values(), key))
            for row, (metrics, colour) in enumerate(zip(packs.values(), colours_of(list(packs)), strict=True)):
                values = [abs(v) for entry in metrics.directions if (v := getattr(entry, key)) is not None]
                _paint_dots(axes, row, bounded(values, *limits), colour)
            if threshold is not None:
                axes.axvline(threshold, color=INK, linewidth=0.9, linestyle=":")
            axes.set_title(title)
            axes.set_xlabel(unit)
            margin = 0.03 * (limits[1] - limits[0])
            axes.set(xlim=(limits[0] - margin, limits[1] + margin), yticks=range(len(labels)), yticklabels=labels)
            axes.tick_params(axis="y", labelcolor=INK)
            axes.spines["left"].set_visible(False)
            rule(axes, y=False, x=True)
        cells[0].set_ylim(len(labels) - 0.5, -0.5)

    return draw(0.85 + 0.42 * len(labels), paint)


def _furthest(packs: Iterable[Metrics], key: str) -> float:
    """An axis's end that holds every value of a measure between 0 and 1."""
    values = [getattr(entry, key) or 0.0 for metrics in packs for entry in metrics.directions]
    return float(np.clip(1.1 * max(values, default=0.0), 0.1, 1.0))


def _paint_dots(axes: Axes, row: int, values: np.ndarray, colour: str) -> None:
    if not len(values):
        return
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    offsets = SPREAD * (((rank * 0.618034) % 1) * 2 - 1)  # spread evenly, without chance
    axes.plot(values, row + offsets, "o", color=colour, alpha=0.55, markersize=3.6, markeredgewidth=0)
    axes.plot([values.mean()] * 2, [row - 0.34, row + 0.34], color=colour, linewidth=2.6)


def plot_control(shares: Mapping[str, Sequence[float]], attributes: Sequence[str], well: Sequence[set[str]]) -> bytes:
    """Packs down, attributes across: the share of the attribute in all that the pack's best direction for it moves.

    shares: pack -> a number of each attribute. well: for each pack, the attributes that it controls, marked by dots.
    """
    attributes = list(attributes)[:MAX_COLUMNS]
    cells = np.array([bounded(values, 0, 1)[: len(attributes)] for values in shares.values()])
    rows, columns = legible(list(shares)), legible(attributes, 18)
    full = max(0.1, float(cells.max()))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        image = axes.pcolormesh(cells, cmap="Blues", vmin=0, vmax=1.2 * full, edgecolors="white", linewidth=1.6)
        for y, names in enumerate(well):
            for x, name in enumerate(attributes):
                if name in names:
                    axes.plot(x + 0.5, y + 0.5, "o", color="white" if cells[y, x] > 0.6 * full else INK, markersize=4)
        label_map(axes, rows, columns)
        bar = figure.colorbar(image, ax=axes, aspect=9, pad=0.02)
        bar.set_label("share of what moves", fontsize=7.5)
        bar.ax.tick_params(length=0, labelsize=7)
        bar.outline.set_visible(False)  # type: ignore[operator]

    return draw(1.2 + 0.3 * len(rows), paint)


def plot_drifts(packs: Mapping[str, Metrics]) -> bytes:
    """The medians of each pack's directions against the amount: drift in features and identity, odd pictures."""
    panels = {key: found for key, *_ in CURVES if (found := _medians(packs, key))}
    colours = dict(zip(packs, colours_of(list(packs)), strict=True))
    shown = dict(zip(packs, legible(list(packs)), strict=True))

    def paint(figure: Figure) -> None:
        for axes, _, key in drift_panels(figure, panels):
            for label, (amounts, values) in panels[key].items():
                axes.plot(amounts, values, color=colours[label], label=shown[label])
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(6, len(names)))

    return draw(3.0, paint)


def _medians(packs: Mapping[str, Metrics], key: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {label: curves_of(metrics.directions, key) for label, metrics in packs.items()}
    return {label: median_curve(curves) for label, curves in found.items() if curves}


def plot_frechets(packs: Mapping[str, Metrics]) -> bytes | None:
    """Bars of each pack's Fréchet distances for each greatest amount; None where nobody measured any."""
    known = {label: metrics.frechet for label, metrics in packs.items() if metrics.frechet}
    amounts = list(dict.fromkeys(a for frechet in known.values() for a in frechet.edited))[:MAX_PANELS]
    if not amounts:
        return None
    floors = [frechet.floor for frechet in known.values()]
    features = legible(sorted({frechet.features for frechet in known.values()}), 30)
    pictures = sorted({frechet.num_images for frechet in known.values()})

    def paint(figure: Figure) -> None:
        cells = figure.subplots(1, len(amounts), squeeze=False)[0]
        colours = [c for label, c in zip(packs, colours_of(list(packs)), strict=True) if label in known]
        for axes, amount in zip(cells, amounts, strict=True):
            values = bounded((frechet.edited.get(amount, 0.0) for frechet in known.values()), 0, 1e9)
            bars = axes.barh(legible(list(known)), values, color=colours, height=0.64)
            axes.bar_label(bars, [f"{v:.3g}" if v else "–" for v in values], padding=3, fontsize=8.5, color=INK)
            axes.axvline(float(np.mean(floors)), color=INK, linewidth=0.9, linestyle=":")
            axes.set_title(f"Edited within ±{legible([amount], 6)[0]} sigmas")
            axes.set(xticks=(), xlim=(0, 1.2 * max(values.max(), 1e-9)))
            axes.invert_yaxis()
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(length=0, labelcolor=INK)
        kind = "FID" if features == ["inception"] else f"Not FID: {', '.join(features)} features"
        sizes = ", ".join(f"{n:,}" for n in pictures)
        figure.supxlabel(f"{kind}, {sizes} pictures a side. Dotted: two unedited sets", fontsize=8.5, color=QUIET)

    return draw(0.85 + 0.34 * len(known), paint)


def plot_agreement(labels: Sequence[str], cosines: Sequence[Sequence[float | None]]) -> bytes:
    """The matrix of mean |cos| between packs, with its numbers."""
    cells = np.array([[np.nan if v is None else float(np.clip(v, 0, 1)) for v in row] for row in cosines])
    names = legible(labels)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.pcolormesh(cells, cmap="Blues", vmin=0, vmax=1.1, edgecolors="white", linewidth=2)
        for (y, x), value in np.ndenumerate(cells):
            text = "–" if np.isnan(value) else f"{value:.2f}"
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", color="white" if value > 0.6 else INK)
        axes.set_xticks(np.arange(len(names)) + 0.5, names)
        axes.set_yticks(np.arange(len(names)) + 0.5, names)
        axes.tick_params(length=0, labeltop=True, labelbottom=False, labelcolor=INK)
        axes.invert_yaxis()
        axes.set_title("Agreement: mean |cos| of matched directions", pad=22)
        for spine in axes.spines.values():
            spine.set_visible(False)

    return draw(0.9 + 0.36 * len(names), paint)
