"""isolate: of all that a pack's directions span, for each attribute the move that changes it and as little else as can.

Directions found without labels move several attributes at once. What every one of them does to every attribute, on
every few layers, is measured by drawing; to first order the effects of a sum of moves add up, so the sum that changes
one attribute by 1 and the greatest of the others least is a small convex problem. Taking other attributes out of a
direction is InterFaceGAN's conditional manipulation (Shen et al., CVPR 2020, arXiv:1907.10786, section 3.3); here with
measured effects instead of classifiers' normals, and with the layers chosen, too. Pictures have the last word: every
candidate is swept as `evaluate` sweeps it, and what still moves along is taken out once more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from eigan.errors import FitError, list_names, lookup
from eigan.generators.base import Generator
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack
from hub_export.evaluation.coordinates import describe
from hub_export.evaluation.drift import Yardstick
from hub_export.evaluation.effects import judge, standardized
from hub_export.evaluation.features import FeatureNetwork
from hub_export.evaluation.measure import Plan, fitted_class, open_reader, scorer_name
from hub_export.evaluation.profile import Profile, rounded
from hub_export.evaluation.samples import Reader, Readings, Source, num_workers, read_codes
from hub_export.evaluation.scorers import HEADS, Numbers, Scorer
from hub_export.evaluation.sweep import Canvas, each
from hub_export.methods.base import Progress, silent

NUM_SEEDS = 48
NUM_PICTURES = 500
NUM_CODES = 20_000
SEED = 1  # evaluate's is 0: a direction is not judged by the pictures it was made on
SPAN = 2  # layers that are measured together
STEP = 1.0  # sigmas to either side
STEPS = (1.0, 2.0, 3.0, 4.5, 6.0, 8.0)
RIDGES = (0.003, 0.03, 0.3)  # of the mean squared effect: how dear long moves are
CANDIDATES = 3  # layers for which a sum is swept
CORRECTIONS = 3
LONG = 0.05  # leak that a sigma of length is worth when candidates are ranked: long moves leave the codes' cloud
LAWSON_STEPS = 40


@dataclass(frozen=True)
class Candidate:
    """A sum of moves: weights (K,) of the pack's directions, in their sigmas, on `layers`. cost: lower is better."""

    weights: Numbers
    layers: LayerRange
    cost: float


@dataclass(frozen=True)
class Swept:
    """A candidate as pictures show it. effects: (A,), standard deviations per sigma within `range`."""

    direction: Direction
    candidate: Candidate
    effects: Numbers
    leak: float


def solve(effects: Numbers, index: int, ridge: float) -> Numbers:
    """Weights (K,) that change attribute `index` by 1 and the others as little as can be, in the largest of them.

    effects (K, A): of each move on each attribute. Minimises max over a != index of |wᵀ effects_a|, by Lawson's
    reweighted least squares, plus a ridge: `ridge` times the mean squared effect per unit of squared length.
    Raises FitError when nothing moves the attribute.
    """
    wanted = effects[:, index]
    others = np.delete(effects, index, axis=1)
    if not np.abs(wanted).max(initial=0.0) > 0:
        raise FitError("no direction moves this attribute")
    scale = float(np.square(effects).sum() / len(effects))
    shares = np.full(others.shape[1], 1 / max(others.shape[1], 1))
    best, least = wanted / float(wanted @ wanted), np.inf
    for _ in range(LAWSON_STEPS):
        cost = (others * shares) @ others.T + ridge * scale / effects.shape[1] * np.eye(len(effects))
        weights = np.linalg.solve(cost, wanted)
        weights /= float(weights @ wanted)
        left = np.abs(weights @ others)
        worst = float(left.max(initial=0.0))
        if worst < least:
            best, least = weights, worst
        if not worst > 0:
            break
        shares = shares * (left + 0.05 * worst)
        shares /= shares.sum()
    return best


def candidates(responses: Numbers, spans: Sequence[LayerRange], index: int) -> list[Candidate]:
    """The best sum of moves for each run of layers, by prediction, best first.

    responses: (2, S, K, A), of each span of layers, on either half of the pictures. What a sum made for one half does
    to the other says how much ridge it wants; the sum is then made for both.
    """
    found = []
    for first in range(len(spans)):
        for last in range(first, len(spans)):
            halves = responses[:, first : last + 1].sum(axis=1)  # (2, K, A)
            layers = LayerRange(spans[first].start, spans[last].stop)
            with contextlib.suppress(FitError):
                tried = [_with_ridge(halves, layers, index, ridge) for ridge in RIDGES]
                found.append(min(tried, key=lambda candidate: candidate.cost))
    found.sort(key=lambda candidate: candidate.cost)
    return found


def _with_ridge(halves: Numbers, layers: LayerRange, index: int, ridge: float) -> Candidate:
    crossed = [judge(solve(halves[i], index, ridge) @ halves[1 - i], index) for i in (0, 1)]
    leak = max(main.leak if main.index is not None else np.inf for main in crossed)
    weights = solve(halves.mean(axis=0), index, ridge)
    return Candidate(weights, layers, leak + LONG * float(np.linalg.norm(weights)))


def spans_of(layers: LayerRange) -> list[LayerRange]:
    """`layers` in spans of SPAN; the last may be shorter."""
    return [LayerRange(start, min(start + SPAN, layers.stop)) for start in range(layers.start, layers.stop, SPAN)]


@dataclass(frozen=True)
class Workshop:
    """Everything that moves are tried with. codes (M, D): untruncated, centred; they say what a sigma is."""

    pack: DirectionPack
    canvas: Canvas
    reader: Reader
    still: Readings
    yardstick: Yardstick
    codes: torch.Tensor
    workers: int

    def responses(self, spans: Sequence[LayerRange], report: Progress) -> Numbers:
        """(2, S, K, A): mean change of every attribute for a sigma of every direction on every span, on every other
        picture and on those between."""
        jobs = [replace(direction, layers=span) for span in spans for direction in self.pack]

        def measure(direction: Direction) -> Numbers:
            forth, back = self.canvas.at(direction, (STEP, -STEP))
            changes = standardized(forth.scores - back.scores, self.yardstick.deviations) / (2 * STEP)
            return np.stack([changes[::2].mean(axis=0), changes[1::2].mean(axis=0)])

        rows = []
        with contextlib.closing(each(measure, jobs, self.workers, self.canvas.stopped)) as measured:
            for row in measured:
                rows.append(row)
                report(len(rows), len(jobs), "what each direction moves")
        found: Numbers = np.stack(rows, axis=1).reshape(2, len(spans), len(self.pack), -1)
        return found

    def sweep(self, candidate: Candidate, index: int) -> Swept:
        """The candidate as a direction, its range, and what it moves within it."""
        moves = torch.stack([d.vector.double() * d.sigma for d in self.pack])  # (K, D)
        vector = torch.from_numpy(candidate.weights) @ moves
        vector /= vector.norm()
        sigma = float((self.codes @ vector).std())
        direction = Direction(self.reader.names[index], vector.float(), sigma, candidate.layers)
        profile = Profile(self.canvas.sweep(direction, self.still, self.yardstick), self.still, self.yardstick)
        found = profile.describe(direction.name, self.reader.names, 0.0, describe(np.zeros(2)))
        effects = np.array([found.effects[name] for name in self.reader.names])
        main = judge(effects, index)
        leak = main.leak if main.index is not None else np.inf
        direction = replace(
            direction,
            amount_range=found.range,
            metrics={"leak": rounded(min(leak, 1e6)), "monotonicity": found.monotonicity},
        )
        return Swept(direction, candidate, effects, leak)

    def isolate(self, index: int, responses: Numbers, spans: Sequence[LayerRange]) -> Direction:
        """The direction of attribute `index`: the best candidate as swept, corrected while that helps."""
        found = candidates(responses, spans, index)[:CANDIDATES]
        best = min((self.sweep(candidate, index) for candidate in found), key=lambda swept: swept.leak)
        for _ in range(CORRECTIONS if 0 < best.leak < np.inf else 0):
            swept = self.sweep(corrected(best, responses, spans, index), index)
            if swept.leak >= best.leak:
                break
            best = swept
        return best.direction


def corrected(swept: Swept, responses: Numbers, spans: Sequence[LayerRange], index: int) -> Candidate:
    """`swept` with what pictures show moving along taken out, to first order, by the shortest move that does."""
    layers = swept.candidate.layers
    chosen = [i for i, span in enumerate(spans) if layers.start <= span.start < layers.stop]
    effects = responses.mean(axis=0)[chosen].sum(axis=0)  # (K, A)
    wanted = swept.effects / swept.effects[index]  # per unit of the attribute
    wanted[index] = 0.0
    ridge = RIDGES[1] * float(np.square(effects).mean()) * np.eye(len(effects))
    move = np.linalg.solve(effects @ effects.T + len(wanted) * ridge, effects @ wanted)
    per_unit = swept.candidate.weights / float(swept.candidate.weights @ effects[:, index])
    return replace(swept.candidate, weights=per_unit - move)


def open_workshop(
    generator: Generator, pack: DirectionPack, reader: Reader, plan: Plan, psi: float, report: Progress
) -> Workshop:
    """The pictures that moves are tried on, and what is needed to judge them."""
    source, count = Source(generator, plan.seed, 1.0, fitted_class(pack, generator)), 2 * plan.num_pictures
    tried = replace(source, truncation_psi=psi).codes(count, count + plan.num_seeds)
    unedited = read_codes(generator, reader, source.codes(0, count), progress=report, what="unedited pictures")
    codes = source.codes(0, plan.num_codes)[:, 0].double()
    workers = num_workers(generator)
    return Workshop(
        pack,
        Canvas(generator, reader, tried, plan.steps, workers),
        reader,
        read_codes(generator, reader, tried),
        Yardstick.learn(unedited, reader.identity),
        codes - codes.mean(dim=0),
        workers,
    )


def isolate(
    generator: Generator,
    pack: DirectionPack,
    *,
    scorer: Scorer | str = HEADS,
    attributes: Sequence[str] = (),
    features: FeatureNetwork | str = HEADS,
    name: str = "",
    num_seeds: int = NUM_SEEDS,
    num_pictures: int = NUM_PICTURES,
    seed: int = SEED,
    truncation_psi: float | None = None,
    progress: Progress | None = None,
) -> DirectionPack:
    """A pack with a direction for each of `attributes` (default: all that `scorer` reads and `pack` moves), so named.

    Each is a sum of the directions of `pack` on the layers that suit it, with the range within which it was found to
    hold, and its leak and monotonicity in its metrics, measured on the `num_seeds` pictures it was made on: `evaluate`
    judges it on others. 2 num_pictures unedited pictures say what a standard deviation is. The same arguments give the
    same pack.

    Raises:
        PackMismatch: the pack was made for another generator.
        FitError: a direction that is no single vector; a number out of range; an attribute that was asked for, or
            every one, that nothing moves.
        UnknownName: the scorer does not read one of the attributes.
    """
    pack.check_fits(generator)
    for direction in pack:
        if direction.vector.ndim != 1 or direction.model is not None:
            raise FitError(f"{direction.name!r} of {pack.name!r} is not one vector for all codes; isolate adds vectors")
    plan = Plan(num_seeds, num_pictures, NUM_CODES, seed, STEPS)
    report, reader = progress or silent, open_reader(scorer, features, generator)
    columns = {attribute: i for i, attribute in enumerate(reader.names)}
    chosen = [lookup(columns, attribute, "attribute") for attribute in dict.fromkeys(attributes or reader.names)]
    psi = generator.default_psi if truncation_psi is None else float(truncation_psi)
    workshop = open_workshop(generator, pack, reader, plan, psi, report)
    spans = spans_of(LayerRange(0, generator.num_layers))
    responses = workshop.responses(spans, report)
    moved = np.abs(responses).max(axis=(0, 1, 2)) > 0
    if not attributes:
        chosen = [i for i in chosen if moved[i]]
    if still := [reader.names[i] for i in chosen if not moved[i]] or ([] if chosen else list(reader.names)):
        raise FitError(
            f"no direction of {pack.name!r} moves {list_names(still)}; choose other attributes or directions"
        )
    directions = []
    jobs = each(lambda i: workshop.isolate(i, responses, spans), chosen, workshop.workers, workshop.canvas.stopped)
    with contextlib.closing(jobs) as isolated:
        for direction in isolated:
            directions.append(direction)
            report(len(directions), len(chosen), "attributes")
    method = {
        "name": "isolate",
        "basis": {pack.name: dict(pack.method)},
        "scorer": scorer_name(scorer),
        "num_seeds": num_seeds,
        "num_pictures": num_pictures,
        "seed": seed,
        "truncation_psi": psi,
    }
    return DirectionPack(
        name or f"{pack.name}-isolated", pack.made_for, tuple(directions), method, license=pack.license
    )
