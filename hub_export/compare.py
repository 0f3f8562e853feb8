"""Packs of one generator side by side: what each one's directions do, how cleanly, and where two packs agree."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from eigan import hub
from eigan.errors import PackFormatError, PackMismatch
from eigan.format import MANIFEST, read_manifest
from eigan.generators.base import Generator
from eigan.pack import Direction, DirectionPack, MadeFor
from eigan.plain_files import read_plain
from eigan.sources import bundled_path, load_pack
from hub_export.evaluation.agreement import match
from hub_export.evidence import metrics_of
from hub_export.fit import gather
from hub_export.metrics import MAX_METRICS_BYTES, METRICS, DirectionMetrics, Metrics
from hub_export.moments import Moments
from hub_export.recipe import Recipe
from hub_export.summary import FIRST, Summary, summarize
from hub_export.workers import on_one_thread

LABELS = {"pca": "PCA", "ica": "ICA", "sefa": "SeFa", "latentclr": "LatentCLR", "local": "local", "random": "random"}
MAX_PACKS = 12
COVARIANCE_SAMPLES = 50_000
MIN_REACH = 1.0  # standard deviations of an attribute that a slider must be able to move it by, to be picked for it


@dataclass(frozen=True)
class Contender:
    """One pack of a comparison, what was measured of it, and the processor time of its fit, where it is known."""

    pack: DirectionPack
    metrics: Metrics | None = None
    seconds: float | None = None

    @property
    def method(self) -> str:
        return str(self.pack.method.get("name", ""))

    def entry(self, direction: Direction) -> DirectionMetrics | None:
        """What was measured of `direction`."""
        return self.metrics[direction.name] if self.metrics else None


@dataclass(frozen=True)
class Row:
    """One contender's numbers, None for what nobody measured.

    variance: of the codes, within the span of its first ten directions; when `is_sum`, the sum of those along them,
    which is another number unless they are at right angles.
    """

    label: str
    num_directions: int
    variance: float | None
    is_sum: bool
    summary: Summary | None
    seconds: float | None


@dataclass(frozen=True)
class Comparison:
    """Contenders of one generator and what was made of them. agreement[i][j]: mean |cos| of matched directions of the
    i-th and the j-th, None where no two of them move the same layers.
    """

    contenders: tuple[Contender, ...]
    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    agreement: tuple[tuple[float | None, ...], ...]

    @property
    def made_for(self) -> MadeFor:
        return self.contenders[0].pack.made_for

    @property
    def attributes(self) -> list[str]:
        """Every attribute that was scored, those that the packs control together best first."""
        scores: dict[str, list[float]] = {}
        for contender in self.contenders:
            measured = [entry for d in contender.pack if (entry := contender.entry(d))]
            for name in {name for entry in measured for name in entry.effects}:
                scores.setdefault(name, []).append(max(share_of(entry, name) for entry in measured))
        return sorted(scores, key=lambda name: (-sum(scores[name]), name))


def open_contender(source: str, *, token: str | None = None) -> Contender:
    """The pack that `source` names, with its metrics.json if it has one.

    Raises:
        PackFormatError, HubError, UnknownName: as `load_pack`; or metrics.json is damaged or of another pack.
    """
    pack = load_pack(source, token=token)
    folder = bundled_path(source) or Path(source)
    if not folder.is_dir():
        ref = hub.parse_ref(source)
        if ref is None:
            return Contender(pack)
        folder = hub.download(ref, (MANIFEST, METRICS), max_bytes=2 * MAX_METRICS_BYTES, token=token).path
    entry = read_manifest(folder).files.get(METRICS)
    if entry is None:
        return Contender(pack)
    data = read_plain(folder / METRICS, MAX_METRICS_BYTES)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise PackFormatError(
            f"{METRICS} of {source} is not the file that {MANIFEST} lists; evaluate or download again"
        )
    return Contender(pack, metrics_of(pack, {METRICS: data}))


def compare(contenders: Sequence[Contender], generator: Generator | None = None) -> Comparison:
    """The contenders side by side. generator: with it, explained variance is that of the span, not a sum.

    Raises:
        PackFormatError: fewer than two packs, or more than twelve. PackMismatch: packs of different generators.
    """
    if not 2 <= len(contenders) <= MAX_PACKS:
        raise PackFormatError(f"{len(contenders)} packs given; a comparison wants 2 to {MAX_PACKS}")
    first = contenders[0].pack
    for contender in contenders[1:]:
        if contender.pack.made_for.fingerprint != first.made_for.fingerprint:
            raise PackMismatch(
                f"{contender.pack.name!r} was made for {contender.pack.made_for}, {first.name!r} for {first.made_for}; "
                "only packs of one generator can be compared"
            )
    covariance = None
    if generator is not None:
        first.check_fits(generator)
        covariance = sample_covariance(generator)
    labels = label(contenders)
    rows = [_row(contender, name, covariance) for contender, name in zip(contenders, labels, strict=True)]
    agreement = tuple(tuple(agree(a.pack, b.pack) for b in contenders) for a in contenders)
    return Comparison(tuple(contenders), labels, tuple(rows), agreement)


def label(contenders: Sequence[Contender]) -> tuple[str, ...]:
    """A name for each, all different: its method's, or the pack's where several have the same method."""
    methods = Counter(contender.method for contender in contenders)
    names: list[str] = []
    for i, contender in enumerate(contenders, 1):
        name = LABELS.get(contender.method, "") if methods[contender.method] == 1 else ""
        name = name or contender.pack.name
        names.append(f"{name} ({i})" if name in names else name)
    return tuple(names)


def agree(a: DirectionPack, b: DirectionPack) -> float | None:
    """Mean |cos| of the directions of two packs, matched one to one; None where they share no range of layers.

    Raises:
        FitError: SciPy is not installed.
    """
    cosines = [pair.cosine for found in match(a, b) for pair in found.pairs]
    return fmean(cosines) if cosines else None


def sample_covariance(generator: Generator) -> Tensor:
    """Covariance of the generator's codes (D, D), float64, of 50,000 samples."""
    # any method's recipe draws the same codes
    recipe = Recipe("sefa", num_samples=COVARIANCE_SAMPLES, num_directions=1).resolve(generator)
    moments = Moments(generator.code_dim)
    gather(moments, generator, recipe)
    return moments.covariance


def span_variance(directions: Sequence[Direction], covariance: Tensor) -> float:
    """The share of the codes' variance within the span of `directions`: tr(Qᵀ C Q) / tr(C), Q an orthonormal basis."""
    rows = torch.cat([d.vector.double().reshape(-1, d.code_dim) for d in directions])

    def solve() -> float:
        left, sizes, _ = torch.linalg.svd(rows.T, full_matrices=False)
        basis = left[:, sizes > 1e-6 * sizes[0]]
        return float((basis * (covariance @ basis)).sum() / covariance.trace())

    return on_one_thread(solve)


def best_for(contender: Contender, attribute: str) -> tuple[Direction, DirectionMetrics] | None:
    """The direction that moves `attribute` most cleanly, of those whose slider moves it by a standard deviation; else
    the one that moves it most. None when nothing was scored.
    """
    found = [(d, entry) for d in contender.pack if (entry := contender.entry(d)) and attribute in entry.effects]
    if not found:
        return None
    able = [pair for pair in found if reach_of(pair[1], attribute) >= MIN_REACH]
    if able:
        return max(able, key=lambda pair: share_of(pair[1], attribute))
    return max(found, key=lambda pair: reach_of(pair[1], attribute))


def share_of(entry: DirectionMetrics, attribute: str) -> float:
    """|effect on the attribute| over the sum of all |effects|; 0 where nothing moves."""
    total = sum(abs(value) for value in entry.effects.values())
    return abs(entry.effects.get(attribute, 0.0)) / total if total else 0.0


def reach_of(entry: DirectionMetrics, attribute: str) -> float:
    """Standard deviations that the slider, over its measured range, moves the attribute by to the farther side."""
    return abs(entry.effects.get(attribute, 0.0)) * max(abs(end) for end in entry.range)


def _row(contender: Contender, name: str, covariance: Tensor | None) -> Row:
    first = contender.pack.directions[:FIRST]
    ratios = [d.metrics.get("explained_variance_ratio") for d in first]
    known = [ratio for ratio in ratios if ratio is not None]
    if covariance is not None:
        variance: float | None = span_variance(first, covariance)
    else:
        variance = min(1.0, sum(known)) if len(known) == len(ratios) else None
    summary = summarize(contender.metrics) if contender.metrics else None
    return Row(name, len(contender.pack), variance, covariance is None, summary, contender.seconds)
