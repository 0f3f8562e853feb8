"""evaluate: a generator and a pack in, Metrics out. Unedited pictures first, as a yardstick; then every direction."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eigan.errors import FitError
from eigan.generators.base import Generator
from eigan.latents import MAX_SEED
from eigan.pack import MAX_AMOUNT, DirectionPack
from hub_export.evaluation.classes import choose_classes, independence
from hub_export.evaluation.coordinates import Layout, lay_out
from hub_export.evaluation.drift import MIN_PICTURES, Yardstick
from hub_export.evaluation.features import FeatureNetwork, find_features
from hub_export.evaluation.profile import Profile, rounded
from hub_export.evaluation.protocol import measure_frechet
from hub_export.evaluation.samples import Reader, Source, num_workers, read_codes
from hub_export.evaluation.scorers import HEADS, Scorer, as_scorer, find_scorer
from hub_export.evaluation.sweep import STEPS, Canvas, each
from hub_export.methods.base import Progress, silent
from hub_export.metrics import DirectionMetrics, Metrics

NUM_SEEDS = 32
NUM_PICTURES = 1000
NUM_CODES = 20_000
NUM_CLASSES = 6
CLASS_SEEDS = 8  # pictures of each class
CLASS_REACH = 2.0  # sigmas to either side, or as far as the slider goes
TRIED = 2**20  # row of the stream from which on the pictures are that directions are tried on: none is a yardstick, too


@dataclass(frozen=True)
class Plan:
    """How much is drawn. Raises FitError when a number is out of range; see `evaluate` for each."""

    num_seeds: int
    num_pictures: int
    num_codes: int
    seed: int
    steps: tuple[float, ...]

    def __post_init__(self) -> None:
        for noun, low, high in (
            ("num_seeds", 2, 4096),
            ("num_pictures", MIN_PICTURES // 2, 100_000),
            ("num_codes", 100, 1_000_000),
            ("seed", 0, MAX_SEED),
        ):
            value = getattr(self, noun)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise FitError(f"{noun} is {value!r}; wanted a whole number from {low:,} to {high:,}")
        steps = self.steps
        if not steps or list(steps) != sorted(set(steps)) or not 0 < steps[0] <= steps[-1] <= MAX_AMOUNT:
            raise FitError(f"steps are {steps}; wanted ascending sigmas above 0, {MAX_AMOUNT:g} at most")


def evaluate(
    generator: Generator,
    pack: DirectionPack,
    *,
    scorer: Scorer | str | None = None,
    features: FeatureNetwork | str = HEADS,
    num_seeds: int = NUM_SEEDS,
    num_pictures: int = NUM_PICTURES,
    num_codes: int = NUM_CODES,
    seed: int = 0,
    truncation_psi: float | None = None,
    steps: Sequence[float] = STEPS,
    frechet: bool = True,
    progress: Progress | None = None,
) -> Metrics:
    """What the directions of `pack` do to pictures of `generator`; `Metrics` says what each measure is.

    scorer: what reads attributes off pictures, or a name that `find_scorer` takes; None for none. features: the space
    of drift and Fréchet distances, or "heads-attributes" or "inception". num_seeds: pictures every direction is tried
    on. num_pictures: on each side of a Fréchet distance; twice as many unedited ones are the yardstick. num_codes:
    behind variances and coordinates. steps: sigmas tried on either side, until pictures break. truncation_psi: of the
    pictures that directions are tried on; None for what suits the generator, as a person would start with. Unedited
    pictures and Fréchet distances are never truncated: what is odd is judged by all that the generator draws.
    frechet: False to leave Fréchet distances out.

    The same arguments give the same numbers, on any number of threads (of pictures of 512 px and more: up to rounding).
    Conditional generators draw the class that the pack was fitted on, else all of them alike. A scorer of your own is
    called by one thread at a time.

    Raises:
        PackMismatch: the pack was made for another generator.
        FitError: a number out of range, or a scorer that gives no numbers.
        UnknownName: no scorer or feature network of that name. InvalidCodes: a psi the generator does not take.
    """
    pack.check_fits(generator)
    plan, report = Plan(num_seeds, num_pictures, num_codes, seed, tuple(map(float, steps))), progress or silent
    reader = open_reader(scorer, features, generator)
    psi = generator.default_psi if truncation_psi is None else float(truncation_psi)
    source = Source(generator, seed, 1.0, fitted_class(pack, generator))
    tried = replace(source, truncation_psi=psi)
    tried.codes(0, 1)  # refuses a psi before any work
    codes = source.codes(0, 2 * num_pictures)
    layout = lay_out(pack, source, num_codes)
    unedited = read_codes(generator, reader, codes, progress=report, what="unedited pictures")
    yardstick = Yardstick.learn(unedited, reader.identity)
    directions = measure_directions(pack, layout, tried, reader, yardstick, plan, report)
    classes = choose_classes(generator.c_dim, NUM_CLASSES, seed) if generator.c_dim > 1 else []
    if classes:
        directions = compare_classes(pack, directions, classes, tried, reader, report)
    return Metrics(
        generator=generator.fingerprint,
        seed=seed,
        num_seeds=num_seeds,
        truncation_psi=psi,
        features=reader.features.name,
        scorer=scorer_name(scorer),
        directions=directions,
        random_variance_ratio=[rounded(ratio) for ratio in layout.random],
        frechet=measure_frechet(pack, codes[:num_pictures], unedited, generator, reader, seed=seed, progress=report)
        if frechet
        else None,
        num_pictures=len(unedited.features),
        num_codes=num_codes,
        classes=classes,
    )


def with_measured_ranges(pack: DirectionPack, metrics: Metrics) -> DirectionPack:
    """`pack` with the range of every measured direction set to the one that was found."""
    ranges = {entry.name: entry.range for entry in metrics.directions}
    return replace(pack, directions=tuple(replace(d, amount_range=ranges.get(d.name, d.amount_range)) for d in pack))


def measure_directions(
    pack: DirectionPack,
    layout: Layout,
    source: Source,
    reader: Reader,
    yardstick: Yardstick,
    plan: Plan,
    report: Progress = silent,
) -> list[DirectionMetrics]:
    """Every direction, swept over the same pictures; class_independence is left open."""
    codes = source.codes(TRIED, TRIED + plan.num_seeds)
    workers = num_workers(source.generator)
    canvas = Canvas(source.generator, reader, codes, plan.steps, workers)
    still = read_codes(source.generator, reader, codes)

    def measure(index: int) -> DirectionMetrics:
        direction = pack.directions[index]
        profile = Profile(canvas.sweep(direction, still, yardstick), still, yardstick)
        return profile.describe(direction.name, reader.names, layout.variance_ratios[index], layout.coordinates[index])

    found = []
    report(0, len(pack), "directions")
    with contextlib.closing(each(measure, range(len(pack)), workers, canvas.stopped)) as entries:
        for entry in entries:
            found.append(entry)
            report(len(found), len(pack), "directions")
    return found


def compare_classes(
    pack: DirectionPack,
    entries: Sequence[DirectionMetrics],
    classes: Sequence[int],
    source: Source,
    reader: Reader,
    report: Progress = silent,
) -> list[DirectionMetrics]:
    """`entries` with class_independence: what moving from one side to the other does to the same latents' pictures in
    each of `classes`, by the mean change of the features.
    """
    workers = num_workers(source.generator)
    canvases = [
        Canvas(source.generator, reader, source.codes(TRIED, TRIED + CLASS_SEEDS, class_index=c), (), workers)
        for c in classes
    ]

    def measure(index: int) -> DirectionMetrics:
        entry, direction = entries[index], pack.directions[index]
        ends = [max(entry.range[0], -CLASS_REACH), min(entry.range[1], CLASS_REACH)]
        changes = []
        for canvas in canvases:
            low, high = canvas.at(direction, ends)
            changes.append((high.features - low.features).mean(axis=0))
        return entry.model_copy(update={"class_independence": rounded(independence(np.stack(changes)))})

    found = []
    stops = (canvas.stopped for canvas in canvases)
    with contextlib.closing(each(measure, range(len(entries)), workers, *stops)) as compared:
        for entry in compared:
            found.append(entry)
            report(len(found), len(entries), "classes")
    return found


def open_reader(scorer: Scorer | str | None, features: FeatureNetwork | str, generator: Generator) -> Reader:
    """The scorer and the feature network, on the generator's device where they are named."""
    device = generator.device
    found = find_scorer(scorer, device) if isinstance(scorer, str) else None if scorer is None else as_scorer(scorer)
    return Reader(found, find_features(features, device) if isinstance(features, str) else features)


def scorer_name(scorer: Scorer | str | None) -> str:
    """What a scorer is called in metrics.json: as it was asked for, else by its `name` or its kind."""
    if scorer is None or isinstance(scorer, str):
        return (scorer or "")[:80]
    return str(getattr(scorer, "name", None) or getattr(scorer, "__name__", type(scorer).__name__))[:80]


def fitted_class(pack: DirectionPack, generator: Generator) -> int | None:
    """The one class that the pack was fitted on; None for all of them. Raises InvalidCodes when there is no such."""
    fitted = pack.method.get("class_index")
    if not generator.c_dim or isinstance(fitted, bool) or not isinstance(fitted, int):
        return None
    generator.class_codes(fitted, 1)
    return fitted
