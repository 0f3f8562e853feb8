"""How every plot is drawn: matplotlib's Agg without pyplot, one style, opaque white; same numbers, same bytes.

A plot is 1280 pixels wide and made to be read at half of that, on light pages and dark ones. matplotlib comes with the
extra "evaluate" and is imported here alone, when something is drawn.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from eigan.errors import FitError
from hub_export.markdown import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 6.4  # inches; 1280 pixels
DPI = 200
MAX_SHADES = 192  # different colours of a plot; a third of the bytes, and no eye tells
INK, QUIET, GRID = "#222222", "#5f6368", "#dadce0"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#e69f00", "#56b4e9", "#882255", "#44aa99")  # Okabe-Ito, Tol
NEUTRAL = "#8a8d91"  # of what is random, or not edited
DIVERGING = "RdBu_r"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # names come from strangers; a dollar sign is a dollar sign
    "text.usetex": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.07,
    "figure.constrained_layout.h_pad": 0.07,
    "axes.facecolor": "white",
}
_STYLE_LOCK = Lock()  # matplotlib reads its style from a global table, which is put back afterwards


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(height: float, paint: Callable[[Figure], None], *, width: float = WIDTH) -> bytes:
    """WebP bytes (lossless) of a figure of `width` x `height` inches, 200 pixels each, that `paint` fills.

    Raises:
        FitError: matplotlib is not installed.
    """
    if not can_draw():
        raise FitError('plots want matplotlib, which is not installed; pip install "eigan[evaluate]"')
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _STYLE_LOCK, style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        paint(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    stream = BytesIO()
    picture = Image.fromarray(pixels).convert("RGB").quantize(MAX_SHADES, dither=Image.Dither.NONE).convert("RGB")
    picture.save(stream, "WEBP", lossless=True, quality=80, method=4)
    return stream.getvalue()


def legible(names: Sequence[str], limit: int = 22) -> list[str]:
    """Names cut to `limit` characters; one that the font has no letters for becomes its number, #0, #1, ..."""
    shown = []
    for i, name in enumerate(names):
        text = one_line(name)
        text = text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
        shown.append(text if text and all(_has_glyph(ch) for ch in text) else f"#{i}")
    return shown


def font_path() -> Path:
    """The font of every plot, DejaVu Sans, which comes with matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@cache
def _has_glyph(character: str) -> bool:
    from matplotlib.font_manager import get_font

    return get_font(str(font_path())).get_char_index(ord(character)) != 0


def bounded(values: Iterable[float], low: float, high: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Numbers as an array within [low, high]: a stranger's 1e308 must not leave the paper."""
    return np.clip(np.asarray(list(values), np.float64), low, high)


def count_on(axes: Axes) -> None:
    """Whole numbers alone along the horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def rule(axes: Axes, *, y: bool = True, x: bool = False) -> None:
    """Faint lines to read values by; no ticks."""
    axes.grid(visible=y, axis="y")
    if x:
        axes.grid(visible=True, axis="x")
    axes.tick_params(length=0)


def label_map(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Names of the rows (first on top) and columns of a heat map, and nothing else round it."""
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=50, ha="left", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False, labelcolor=INK)
    axes.invert_yaxis()
    for spine in axes.spines.values():
        spine.set_visible(False)
