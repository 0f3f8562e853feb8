"""Words and ranges shown for a pack: slider texts and ends, the badge. Everything from a pack is a stranger's text,
so it is escaped here, once, for the component that shows it. Pure functions, no Gradio."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from html import escape

from eigan.pack import Direction, DirectionPack
from eigan.pose import LIMITS, Pose

SHOWN = 24  # sliders on the page before the person asks for more
MAX_SHOWN = 120
MAX_PRESETS_SHOWN = 60
MAX_INFO = 140
POSE_WORDS = {"x": ("Pose: right", "widths"), "y": ("Pose: down", "widths"), "angle": ("Pose: turn", "degrees")}
POSE_REACH = {"x": 0.5, "y": 0.5, "angle": 180.0}
LOOKALIKES = str.maketrans({"<": "‹", ">": "›", "`": "ˋ", "*": "∗"})


@dataclass(frozen=True)
class SliderPlan:
    """One slider as the page builds it. zero: where 0 lies on its track, in percent."""

    name: str
    info: str
    minimum: float
    maximum: float
    step: float
    value: float
    zero: int


def plan_slider(direction: Direction, amount: float = 0.0) -> SliderPlan:
    """The slider of `direction` standing at `amount`; its range is widened if a link brought a larger amount."""
    low, high = direction.amount_range
    step = slider_step(high - low)
    minimum = _snap(min(low, amount), step, math.floor)
    maximum = _snap(max(high, amount), step, math.ceil)
    maximum = max(maximum, minimum + step)
    zero = round(100 * -minimum / (maximum - minimum))
    return SliderPlan(direction.name, slider_info(direction), minimum, maximum, step, amount, zero)


def plan_pose(pose: Pose) -> list[SliderPlan]:
    """The sliders that shift and turn the picture of a generator that has a pose, in Pose's order."""
    plans = []
    for field, (name, unit) in POSE_WORDS.items():
        value: float = getattr(pose, field)
        reach = POSE_REACH[field] if abs(value) <= POSE_REACH[field] else LIMITS[field]
        plans.append(SliderPlan(name, f"{unit} · the input's transform", -reach, reach, reach / 100, value, 50))
    return plans


def slider_step(span: float) -> float:
    """0.1 sigma, or finer where the whole range is less than two sigmas: a power of ten."""
    return 0.1 if span >= 2 else 10.0 ** math.floor(math.log10(max(span, 2e-5) / 20))


def slider_info(direction: Direction) -> str:
    """Poles and layers in one line: 'closed … open · layers 4-7 · depends on the picture' (safe as `info`)."""
    low, high = direction.poles
    poles = f"{low or '−'} … {high or '+'}" if low or high else ""
    noun = "layer" if len(direction.layers) == 1 else "layers"
    words = [poles or _shorten(direction.description), f"{noun} {direction.layers}"]
    words += ["depends on the picture"] if direction.model is not None else []
    return " · ".join(plain_info(word) for word in words if word)


def shown_names(pack: DirectionPack, moved: Collection[str], extra: Collection[str]) -> list[str]:
    """Directions that get a slider, in pack order: the first ones, those moved, those of presets, those asked for."""
    wanted = list(pack.names[:SHOWN]) + list(moved) + list(extra)
    wanted += [name for preset in pack.presets for name in preset.amounts]
    kept = set(list(dict.fromkeys(wanted))[: max(MAX_SHOWN, len(moved) + SHOWN)])
    return [name for name in pack.names if name in kept]


def escape_html(text: str) -> str:
    """`text` as HTML that shows it and does nothing else (toasts and the badge are HTML)."""
    return escape(text, quote=True)


def plain_info(text: str) -> str:
    """`text` for a component's `info`, which reads some Markdown: what would be markup becomes a lookalike."""
    line = text.replace("\n", " ").translate(LOOKALIKES).replace("](", "] (")
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", "ˍ", line, flags=re.ASCII)


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
    words = f'<p class="about">{escape_html(_shorten(pack.description, 300))}</p>' if pack.description else ""
    return f'<div class="badge"><strong>{escape_html(pack.name)}</strong>{items}</div>{words}'


def _shorten(text: str, limit: int = MAX_INFO) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _snap(value: float, step: float, rounding: Callable[[float], int]) -> float:
    """`value` moved to a multiple of `step`, so that 0 is one of the slider's stops."""
    steps = value / step
    nearest = round(steps)
    whole = nearest if abs(steps - nearest) < 1e-6 else rounding(steps)
    return round(whole * step, 9)
