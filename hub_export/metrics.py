"""metrics.json: what was measured of a pack's directions. The only reader and writer of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eigan.pack import MAX_DIRECTIONS
from eigan.strict_json import StrictModel, dump_json, parse_model

METRICS = "metrics.json"
MAX_METRICS_BYTES = 16 * 2**20
MAX_ATTRIBUTES = 512
Name = Annotated[str, Field(max_length=80)]


class Curve(StrictModel):
    """A quantity at several amounts, in sigmas."""

    amounts: Annotated[list[float], Field(max_length=101)]
    values: Annotated[list[float], Field(max_length=101)]


class Coordinates(StrictModel):
    """How codes lie along a direction, in sigmas from their mean. counts: of equal bins from low to high."""

    skewness: float
    excess_kurtosis: float
    low: float
    high: float
    counts: Annotated[list[int], Field(max_length=200)]


class DirectionMetrics(StrictModel):
    """One direction.

    effects: attribute -> standard deviations of it per sigma of the slider. main: the attribute moved most, "" without
    attributes. purity: |effect on main| over the sum of all |effects|. leak: the largest other |effect| over that on
    main. monotonicity: Spearman correlation of main with the amount, per seed, averaged, over `range`.
    drift: distance in the features, at each amount, from the unmoved picture; 1 is that of two pictures at random.
    identity: likewise, in the attributes that say who it is; None without attributes.
    range: amounts within which it is monotone and pictures stay within what the generator draws.
    class_independence: mean cosine between its effect on the features in different classes; None without classes.
    """

    name: Name
    explained_variance_ratio: float
    coordinates: Coordinates
    drift: Curve
    range: tuple[float, float]
    monotonicity: float
    identity: Curve | None = None
    effects: Annotated[dict[Name, float], Field(max_length=MAX_ATTRIBUTES)] = Field(default_factory=dict)
    main: Name = ""
    purity: float | None = None
    leak: float | None = None
    class_independence: float | None = None


class Frechet(StrictModel):
    """Fréchet distances between edited and unedited pictures (Palaev et al., arXiv:2305.14551).

    features: whose ("inception" alone makes it FID). edited: greatest amount, such as "3" -> distance. floor: between
    two sets of unedited pictures.
    """

    features: Name
    num_images: int
    edited: dict[Name, float]
    floor: float


class Metrics(StrictModel):
    """Everything measured of a pack. random_variance_ratio: of random unit directions, the strongest first."""

    format: Literal["eigan-metrics"] = "eigan-metrics"
    format_version: Literal[1] = 1
    generator: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    seed: int
    num_seeds: int
    truncation_psi: float
    features: Name
    scorer: Name = ""
    directions: Annotated[list[DirectionMetrics], Field(max_length=MAX_DIRECTIONS)]
    random_variance_ratio: Annotated[list[float], Field(max_length=MAX_DIRECTIONS)]
    frechet: Frechet | None = None

    def __getitem__(self, name: str) -> DirectionMetrics | None:
        """What was measured of the direction called `name`, None if it was not."""
        return next((entry for entry in self.directions if entry.name == name), None)


def read_metrics(data: bytes) -> Metrics:
    """The metrics that metrics.json holds. Raises PackFormatError."""
    return parse_model(Metrics, data, METRICS, MAX_METRICS_BYTES)


def write_metrics(metrics: Metrics) -> bytes:
    """metrics.json; the same metrics give the same bytes."""
    return dump_json(metrics.model_dump(mode="json"))
