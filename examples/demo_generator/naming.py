"""What the bundled sliders are called: of measured packs, the best direction for each factor gets its name.

`python -m examples.demo_generator.naming PACKS` reads the packs in the folders
PACKS/pca, ica, sefa, latentclr, local and isolated with their metrics.json, and writes a names file for each method and
heads.toml, the best across methods, with the presets of presets.toml; `hub-export name` makes packs of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eigan.format import read_extras, read_pack
from eigan.pack import MAX_AMOUNT, Direction, DirectionPack
from hub_export.evaluation.effects import monotonicity
from hub_export.metrics import METRICS, DirectionMetrics, read_metrics
from hub_export.summary import MAX_LEAK, MIN_MONOTONICITY

METHODS = ("pca", "ica", "sefa", "latentclr", "local")
ISOLATED = "isolated"
PRESETS = Path(__file__).with_name("presets.toml")
NAMES = Path(__file__).with_name("names")
NAMED_LEAK = 0.6  # in a method's own pack, a direction that leaks more keeps its number
TIE = 0.05  # an isolated direction may leak so much more: it keeps to the layers that suit it
SLIDER_LEAK = 0.4  # among the curated sliders: those beyond MAX_LEAK are said to be so
VERSIONS = {"heads": "2.0.0", "heads-pca": "2.0.0", "heads-sefa": "2.0.0"}


@dataclass(frozen=True)
class Slider:
    """A factor as people say it. poles: what its low and high ends look like. limits: amounts between which it looks
    right, judged by eye on the curated slider, where that is less than what was measured to hold. falls: whether the
    slider's high end is the factor's low one.
    """

    factor: str
    name: str
    poles: tuple[str, str]
    description: str
    limits: tuple[float, float] = (-MAX_AMOUNT, MAX_AMOUNT)
    falls: bool = False


SLIDERS = (
    Slider("smile", "smile", ("serious", "smiling"), "The corners of the mouth.", (-6, 4)),
    Slider("age", "age", ("young", "old"), "Years: lines, cheeks and eyelids.", (-5, 7)),
    Slider("glasses", "glasses", ("off", "on"), "Spectacles."),
    Slider("hair_len", "hair length", ("short", "long"), "Where the hair ends."),
    Slider("yaw", "turn", ("left", "right"), "Where the head faces."),
    Slider("pitch", "nod", ("up", "down"), "Chin up or down.", (-4.5, 3)),
    Slider("roll", "tilt", ("left", "right"), "The head to one side.", falls=True),
    Slider("hair_tone", "hair colour", ("dark", "fair"), "From black to blond.", (-2, 6)),
    Slider("grey", "grey hair", ("none", "grey"), "Hair, brows and beard lose their colour."),
    Slider("red", "red hair", ("none", "red"), "Copper hair."),
    Slider("skin", "skin tone", ("light", "dark"), "From light to dark.", (-2, 4.5)),
    Slider("beard", "beard", ("shaven", "bearded"), "A full beard.", (-2, 6)),
    Slider("open", "mouth", ("closed", "open"), "Lips apart, then the mouth open.", (-2, 4.5)),
    Slider("gaze_x", "gaze", ("left", "right"), "Where the eyes look."),
    Slider("eye_tone", "eye colour", ("brown", "light"), "The irises.", (-3, 6)),
    Slider("browd", "eyebrows", ("thin", "thick"), "How strong the eyebrows are."),
    Slider("lipstick", "lipstick", ("none", "red"), "Painted lips."),
    Slider("hair_on", "hair", ("bald", "hair"), "Whether there is any."),
    Slider("hair_vol", "hair volume", ("flat", "full"), "How high the hair stands.", (-4.5, 5)),
    Slider("fringe", "fringe", ("short", "deep"), "Hair over the forehead.", (-4, 5)),
    Slider("fat", "fullness", ("thin", "full"), "Cheeks and chin."),
    Slider("gender", "gender", ("feminine", "masculine"), "Between the two base shapes of this data."),
    Slider("cheek", "blush", ("pale", "rosy"), "Colour in the cheeks.", (-3, 6)),
    Slider("light_az", "light side", ("left", "right"), "Where the lamp stands."),
    Slider("light_el", "light height", ("low", "high"), "How high the lamp stands.", (-4.5, 4.5)),
    Slider("light_key", "lamp", ("dim", "bright"), "How bright the lamp is.", (-5, 3)),
    Slider("bg_val", "backdrop", ("dark", "bright"), "Brightness of the background."),
    Slider("bg_sat", "backdrop colour", ("grey", "colourful"), "How colourful the background is.", (-3, 4.5)),
    Slider("bg_hue_cos", "backdrop hue", ("green", "rose"), "The background, from green to rose."),
)


@dataclass(frozen=True)
class Measured:
    """A direction with what evaluate measured. leak and monotonicity are those of the attribute it moves most."""

    pack: DirectionPack
    direction: Direction
    metrics: DirectionMetrics

    @property
    def leak(self) -> float:
        return float("inf") if self.metrics.leak is None else self.metrics.leak

    @property
    def is_monotone(self) -> bool:
        """Of the mean over pictures, as in evaluation/ranges.py: those who wear glasses cannot be given any."""
        response = self.metrics.response
        if response is None:
            return self.metrics.monotonicity >= MIN_MONOTONICITY
        return monotonicity(np.array(response.amounts), np.array(response.values)[:, None]) >= MIN_MONOTONICITY - 1e-9

    @property
    def flip(self) -> bool:
        """Whether its positive side lowers its attribute."""
        return bool(self.metrics.main) and self.metrics.effects[self.metrics.main] < 0


def read_measured(folder: Path) -> list[Measured]:
    """The directions of the pack in `folder` with their measurements, in its order."""
    pack, metrics = read_pack(folder), read_metrics(read_extras(folder)[METRICS])
    entries = {entry.name: entry for entry in metrics.directions}
    return [Measured(pack, direction, entries[direction.name]) for direction in pack]


def best_of(measured: Sequence[Measured], factor: str) -> Measured | None:
    """The monotone direction that moves `factor` above all else and leaks least; None when there is none."""
    found = [m for m in measured if m.metrics.main == factor and m.is_monotone]
    return min(found, key=lambda m: m.leak, default=None)


def entry(measured: Measured, slider: Slider | None) -> str:
    """A [[direction]] of a names file."""
    low, high = measured.metrics.range
    least, most = slider.limits if slider and measured.pack.name == ISOLATED else (-MAX_AMOUNT, MAX_AMOUNT)
    lines = ["[[direction]]", f"name = {json.dumps(slider.name if slider else measured.direction.name)}"]
    lines.append(f"from = {json.dumps(f'{measured.pack.name}/{measured.direction.name}')}")
    if slider and measured.flip != slider.falls:
        lines.append("flip = true")
        low, high = -high, -low
    lines.append(f"range = [{max(low, least):g}, {min(high, most):g}]")
    if slider:
        lines.append(f"poles = {json.dumps(slider.poles, ensure_ascii=False)}")
        lines.append(f"description = {json.dumps(described(measured, slider), ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def described(measured: Measured, slider: Slider) -> str:
    """What the slider does and, where it does not leave everything else alone, what moves along most."""
    if measured.leak <= MAX_LEAK:
        return slider.description
    effects = {name: abs(value) for name, value in measured.metrics.effects.items() if name != measured.metrics.main}
    along = max(effects, key=lambda name: effects[name])
    known = {s.factor: s.name for s in SLIDERS}
    return f"{slider.description} Moves along: {known.get(along, along.replace('_', ' '))}."


def header(name: str, description: str) -> str:
    lines = [f"name = {json.dumps(name)}", f"description = {json.dumps(description)}", 'license = "cc0-1.0"']
    return "\n".join([*lines, f'version = "{VERSIONS.get(name, "1.0.0")}"']) + "\n"


def method_names(method: str, measured: Sequence[Measured]) -> str:
    """The names file of a method's own pack: every direction in its order, those that are clear enough named."""
    chosen: dict[str, Slider] = {}
    for slider in SLIDERS:
        best = best_of(measured, slider.factor)
        if best is not None and best.leak <= NAMED_LEAK:
            chosen[best.direction.name] = slider
    named = [m for m in measured if m.direction.name in chosen]
    others = [m for m in measured if m.direction.name not in chosen]
    description = f"What {method} finds in the bundled heads; the directions that do one thing have names."
    parts = [entry(m, chosen.get(m.direction.name)) for m in (*named, *others)]
    return "\n".join([header(f"heads-{method}", description), *parts])


def curated_names(packs: Mapping[str, Sequence[Measured]]) -> str:
    """The names file of the curated pack: for each factor a method's own direction where one is clean, else the
    isolated one; sliders that leak too much are left out."""
    parts = []
    for slider in SLIDERS:
        own = [best for method in METHODS if (best := best_of(packs.get(method, ()), slider.factor))]
        clean = [best for best in own if best.leak <= MAX_LEAK]
        isolated = best_of(packs.get(ISOLATED, ()), slider.factor)
        best = min(clean or own, key=lambda m: m.leak, default=isolated)
        if best and isolated and isolated.leak < best.leak + TIE:
            best = isolated
        if best is not None and best.leak <= SLIDER_LEAK:
            parts.append(entry(best, slider))
    description = (
        f"{len(parts)} sliders for the bundled heads: face, hair, pose, light and backdrop, the best that any method "
        "or a sum of directions gave."
    )
    return "\n".join([header("heads", description), *parts, PRESETS.read_text("utf-8") if PRESETS.exists() else ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", type=Path, nargs="?", help="folder of the measured packs; without, print the factors")
    parser.add_argument("--out", type=Path, default=NAMES, help="folder for the names files")
    args = parser.parse_args()
    if args.packs is None:
        print(",".join(slider.factor for slider in SLIDERS))
        return
    packs = {name: read_measured(args.packs / name) for name in (*METHODS, ISOLATED) if (args.packs / name).is_dir()}
    args.out.mkdir(parents=True, exist_ok=True)
    files = {f"heads-{m}.toml": method_names(m, packs[m]) for m in METHODS if m in packs}
    files["heads.toml"] = curated_names(packs)
    for name, text in files.items():
        (args.out / name).write_text(text, "utf-8")
        print(f"{name}: {text.count('poles = ')} named of {text.count('[[direction]]')}")


if __name__ == "__main__":
    main()
