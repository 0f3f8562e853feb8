"""metrics.json: what was measured of a pack's directions. The only reader and writer of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from eigan.latents import MAX_SEED
from eigan.pack import MAX_AMOUNT, MAX_DIRECTIONS, MAX_NAME, check_text
from eigan.strict_json import StrictModel, dump_json, parse_model

METRICS = "metrics.json"
MAX_METRICS_BYTES = 16 * 2**20
MAX_ATTRIBUTES = 512
MAX_CLASSES = 64
MAX_CURVE = 101


def _printable(text: str) -> str:
    """Names are printed by terminals and put into pages. PackFormatError is a ValueError, which pydantic reports."""
    return text if text.isprintable() else check_text(text, "name", MAX_NAME, allow_empty=True)


Name = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_printable)]
Amount = Annotated[float, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Number = Annotated[float, Field(ge=-1e12, le=1e12)]  # sums of them stay finite


class Curve(StrictModel):
    """A quantity at several amounts, in sigmas, ascending; a value for each."""

    amounts: Annotated[list[Amount], Field(max_length=MAX_CURVE)]
    values: Annotated[list[Number], Field(max_length=MAX_CURVE)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.amounts) != len(self.values) or self.amounts != sorted(self.amounts):
            raise ValueError("a curve wants ascending amounts, and one value for each")
        return self


class Coordinates(StrictModel):
    """How codes lie along a direction, in sigmas from their mean.

    counts: of equal bins from low to high; codes beyond are in the outermost ones.
    """

    skewness: Number
    excess_kurtosis: Number
    low: Number
    high: Number
    counts: Annotated[list[Count], Field(max_length=200)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low is not below high")
        return self


class DirectionMetrics(StrictModel):
    """One direction.

    effects: attribute -> standard deviations of it per sigma of the slider, over `range`. main: the attribute moved
    most as far to both sides as pictures stay likely, "" without attributes. purity: |effect on main| over the sum of
    all |effects|. leak: the largest other |effect| over that on main (above 1 where another moves more over `range`).
    monotonicity: Spearman correlation of main with the amount over `range`, per picture, averaged; without its sign.
    drift: distance in the features, at each amount, from the unmoved picture; 1 is that of two pictures at random.
    identity: likewise, in the attributes that say who it is; None without attributes.
    range: amounts within which it is monotone and pictures stay within what the generator draws (evaluation/ranges.py).
    strangeness: at each amount, the share of pictures odder than 99 % of the generator's own; 0.01 of unedited ones.
    response: how far main has moved at each amount, in standard deviations; without attributes, how far the features
    have moved along their own mean path, in distances of two pictures at random.
    class_independence: mean cosine between its effect on the features in different classes; None without classes.
    """

    name: Name
    explained_variance_ratio: Number
    coordinates: Coordinates
    drift: Curve
    range: tuple[Number, Number]
    monotonicity: Number
    identity: Curve | None = None
    effects: Annotated[dict[Name, Number], Field(max_length=MAX_ATTRIBUTES)] = Field(default_factory=dict)
    main: Name = ""
    purity: Number | None = None
    leak: Number | None = None
    class_independence: Number | None = None
    strangeness: Curve | None = None
    response: Curve | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.range[0] <= 0 <= self.range[1]:
            raise ValueError("range does not hold 0")
        if self.main and self.main not in self.effects:
            raise ValueError("main is none of the effects")
        return self


class Frechet(StrictModel):
    """Fréchet distances between edited and unedited pictures (Palaev et al., arXiv:2305.14551).

    features: whose ("inception" alone makes it FID). edited: greatest amount, such as "3" -> distance. floor: between
    two sets of unedited pictures, which share no latents; edited ones are compared with their own originals, so that
    small edits lie below it. published: as the paper's notebooks move pictures, by 6 N(0, 1) along the unit vector
    (no sigmas), half a unit at least.
    """

    features: Name
    num_images: Count
    edited: Annotated[dict[Name, Number], Field(max_length=MAX_CURVE)]
    floor: Number
    published: Number | None = None


class Metrics(StrictModel):
    """Everything measured of a pack.

    seed: of the stream of codes. num_seeds: pictures every direction was tried on. num_pictures: unedited ones that
    standard deviations and what is odd were learnt from; num_codes: behind variances and coordinates. classes: those
    that class_independence compares. random_variance_ratio: of random unit directions, the strongest first.
    """

    format: Literal["eigan-metrics"] = "eigan-metrics"
    format_version: Literal[1] = 1
    generator: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    num_seeds: Count
    truncation_psi: Number
    features: Name
    scorer: Name = ""
    directions: Annotated[list[DirectionMetrics], Field(max_length=MAX_DIRECTIONS)]
    random_variance_ratio: Annotated[list[Number], Field(max_length=MAX_DIRECTIONS)]
    frechet: Frechet | None = None
    num_pictures: Count = 0
    num_codes: Count = 0
    classes: Annotated[list[Count], Field(max_length=MAX_CLASSES)] = Field(default_factory=list)

    def __getitem__(self, name: str) -> DirectionMetrics | None:
        """What was measured of the direction called `name`, None if it was not."""
        return next((entry for entry in self.directions if entry.name == name), None)


def read_metrics(data: bytes) -> Metrics:
    """The metrics that metrics.json holds. Raises PackFormatError."""
    return parse_model(Metrics, data, METRICS, MAX_METRICS_BYTES)


def write_metrics(metrics: Metrics) -> bytes:
    """metrics.json; the same metrics give the same bytes."""
    return dump_json(metrics.model_dump(mode="json"))
