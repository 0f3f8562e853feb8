"""Words and ranges shown for a pack: what the panel's rows say and reach, the badge, HTML that is safe to show. Pure
functions, no Gradio. Text for the panel is plain: it is written there as text, whatever it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from html import escape

from eigan.classes import NUM_IMAGENET, class_names
from eigan.pack import Direction, DirectionPack
from eigan.pose import LIMITS, Pose

MAX_SHOWN = 400  # rows in the panel; a pack may have 4,096 directions
MAX_PRESETS_SHOWN = 60
MAX_ABOUT = 140
POSE_WORDS = {"x": ("Pose: right", "widths"), "y": ("Pose: down", "widths"), "angle": ("Pose: turn", "degrees")}
POSE_REACH = {"x": 0.5, "y": 0.5, "angle": 180.0}


@dataclass(frozen=True)
class SliderPlan:
    """One row of the panel. low and high: the slider's ends; own: its ends before a link asked for more.

    layers: as people write them, inclusive; "" where there are none. hint: what else it moves. about: for the search.
    """

    name: str
    low: float
    high: float
    own: tuple[float, float]
    step: float
    poles: tuple[str, str] = ("", "")
    unit: str = "sigmas"
    layers: str = ""
    hint: str = ""
    about: str = ""


def plan_slider(direction: Direction, amount: float = 0.0, hint: str = "") -> SliderPlan:
    """The row of `direction` standing at `amount`; its range is widened if a link brought a larger amount."""
    low, high = direction.amount_range
    step = slider_step(high - low)
    own = (_snap(low, step, math.floor), _snap(high, step, math.ceil))
    own = (own[0], max(own[1], own[0] + step))
    hints = [hint, "depends on the picture" if direction.model is not None else ""]
    return SliderPlan(
        name=direction.name,
        low=min(own[0], _snap(amount, step, math.floor)),
        high=max(own[1], _snap(amount, step, math.ceil)),
        own=own,
        step=step,
        poles=direction.poles,
        layers=str(direction.layers),
        hint=" · ".join(filter(None, hints)),
        about=shorten(direction.description),
    )


def plan_pose(pose: Pose) -> list[SliderPlan]:
    """The rows that shift and turn the picture of a generator that has a pose, in Pose's order."""
    plans = []
    for field, (name, unit) in POSE_WORDS.items():
        value: float = getattr(pose, field)
        reach = POSE_REACH[field] if abs(value) <= POSE_REACH[field] else LIMITS[field]
        plans.append(SliderPlan(name, -reach, reach, (-reach, reach), reach / 100, unit=unit))
    return plans


def class_choices(c_dim: int) -> list[tuple[str, int]]:
    """(what to show, class index) of a generator's classes: ImageNet's by name; empty where there are none."""
    if c_dim != NUM_IMAGENET:
        return [(str(index), index) for index in range(c_dim)]
    return [(f"{name} ({index})", index) for index, name in enumerate(class_names())]


def slider_step(span: float) -> float:
    """0.1 sigma, or finer where the whole range is less than two sigmas: a power of ten."""
    return 0.1 if span >= 2 else 10.0 ** math.floor(math.log10(max(span, 2e-5) / 20))


def shown_names(pack: DirectionPack, wanted: Collection[str]) -> list[str]:
    """Directions that get a row, in pack order: those wanted, those of presets, the first ones; MAX_SHOWN in all."""
    asked = [*wanted, *(name for preset in pack.presets for name in preset.amounts), *pack.names]
    kept = set(list(dict.fromkeys(asked))[: max(MAX_SHOWN, len(wanted))])
    return [name for name in pack.names if name in kept]


def escape_html(text: str) -> str:
    """`text` as HTML that shows it and does nothing else (toasts and the badge are HTML)."""
    return escape(text, quote=True)


def badge(pack: DirectionPack, generator_words: str) -> str:
    """HTML: which pack is open and what it edits."""
    method = str(pack.method.get("name", ""))[:40]
    facts = [
        ("version", pack.version or pack.revision[:8]),
        ("generator", generator_words),
        ("method", method.upper() if method in ("pca", "ica") else method),
        ("directions", str(len(pack))),
        ("licence", pack.license),
    ]
    items = "".join(
        f'<span class="fact"><span class="what">{escape_html(what)}</span> {escape_html(value)}</span>'
        for what, value in facts
        if value
    )
    words = f'<p class="about">{escape_html(shorten(pack.description, 300))}</p>' if pack.description else ""
    return f'<div class="badge"><strong>{escape_html(pack.name)}</strong>{items}</div>{words}'


def shorten(text: str, limit: int = MAX_ABOUT) -> str:
    """`text` in one line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _snap(value: float, step: float, rounding: Callable[[float], int]) -> float:
    """`value` moved to a multiple of `step`, so that 0 is one of the slider's stops."""
    steps = value / step
    nearest = round(steps)
    whole = nearest if abs(steps - nearest) < 1e-6 else rounding(steps)
    return round(whole * step, 9)
