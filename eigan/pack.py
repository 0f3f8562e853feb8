"""Direction, DirectionPack, Preset: the nouns of the project. Immutable, and checked when they are made.

A slider's unit is sigma: the standard deviation of the codes along the direction, measured when the pack was fitted.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from eigan.errors import PackFormatError, PackMismatch, UnknownName, list_names
from eigan.layers import LayerRange

if TYPE_CHECKING:
    from eigan.direction_model import DirectionModel
    from eigan.edit import Edit
    from eigan.generators.base import Generator

MAX_NAME = 80
MAX_TEXT = 2000
MAX_DIRECTIONS = 4096
MAX_PRESETS = 512
MAX_AMOUNT = 100.0  # sigmas; the largest published edit of the field is 60
MAX_SIGMA = 1e4
UNIT_TOLERANCE = 1e-3
NARROW_LAYERS = 3
REACHES = {"narrow": 20.0, "some": 10.0, "all": 3.0}  # sigmas; the fewer layers move, the further an edit holds


def check_text(text: object, noun: str, limit: int, *, allow_empty: bool = False) -> str:
    """`text` if it is printable and short enough, else PackFormatError. Names come from strangers' files."""
    if not isinstance(text, str):
        raise PackFormatError(f"{noun} is {type(text).__name__}; wanted text")
    if len(text) > limit or not (text.strip() or allow_empty):
        raise PackFormatError(f"{noun} has {len(text)} characters; wanted 1 to {limit}")
    hidden = next((ch for ch in text if unicodedata.category(ch) in ("Cc", "Cf", "Cs") and ch != "\n"), None)
    if hidden is not None:
        raise PackFormatError(f"{noun} holds the control character U+{ord(hidden):04X}; remove it")
    return text


def check_number(value: object, noun: str, low: float, high: float) -> float:
    """`value` as a float within [low, high], else PackFormatError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise PackFormatError(f"{noun} is {value!r}; wanted a finite number")
    if not low <= value <= high:
        raise PackFormatError(f"{noun} is {value}; wanted {low:g} to {high:g}")
    return float(value)


@dataclass(frozen=True, eq=False)
class Direction:
    """A unit vector in code space, the layers it moves, and how far one sigma is.

    vector (D,), or (len(layers), D) where every layer moves its own way, float32, each row of norm 1.
    amount_range: the sigmas in which the edit was found to hold; a slider's ends.
    poles: what the ends look like ("closed", "open"); empty strings when unnamed.
    metrics: what was measured, by name (explained_variance_ratio, ...).
    model: where the direction depends on the code: a model of one direction over the first numbers of D. `vector` (D,)
    is then the mean of its unit directions made unit, for tables and comparisons; `eigan.edit` moves along the model.

    Raises:
        PackFormatError: a vector that is not finite, not unit, not of that shape; a bad name, range or sigma.
    """

    name: str
    vector: Tensor
    sigma: float
    layers: LayerRange
    amount_range: tuple[float, float] = (-3.0, 3.0)
    poles: tuple[str, str] = ("", "")
    description: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    model: DirectionModel | None = None

    def __post_init__(self) -> None:
        check_text(self.name, "direction name", MAX_NAME)
        check_text(self.description, f"description of {self.name!r}", MAX_TEXT, allow_empty=True)
        for pole in self.poles:
            check_text(pole, f"pole of {self.name!r}", MAX_NAME, allow_empty=True)
        check_number(self.sigma, f"sigma of {self.name!r}", 1e-12, MAX_SIGMA)
        low, high = (check_number(v, f"range of {self.name!r}", -MAX_AMOUNT, MAX_AMOUNT) for v in self.amount_range)
        if not low <= 0 <= high or low == high:
            raise PackFormatError(f"range of {self.name!r} is [{low:g}, {high:g}]; wanted one that holds 0")
        for key, value in self.metrics.items():
            check_number(value, f"metric {key!r} of {self.name!r}", -1e12, 1e12)
        self._check_vector()

    def _check_vector(self) -> None:
        shape = tuple(self.vector.shape)
        if not (len(shape) == 1 or (len(shape) == 2 and shape[0] == len(self.layers))) or not self.vector.numel():
            raise PackFormatError(f"vector of {self.name!r} has shape {shape}; wanted (D,) or ({len(self.layers)}, D)")
        if not bool(self.vector.isfinite().all()):
            raise PackFormatError(f"vector of {self.name!r} holds NaN or infinite values; the file is damaged")
        norms = self.vector.float().norm(dim=-1)
        if bool(((norms - 1).abs() > UNIT_TOLERANCE).any()):
            raise PackFormatError(f"vector of {self.name!r} has norm {norms.max():.4g}; wanted 1")
        object.__setattr__(self, "vector", self.vector.detach().float().cpu().contiguous())
        if self.model is not None:
            self._check_model(self.model)

    def _check_model(self, model: DirectionModel) -> None:
        if self.vector.ndim != 1:
            raise PackFormatError(f"{self.name!r} has a model and a vector for each layer; give one vector, its mean")
        if model.count != 1 or model.size > self.code_dim or model.fixed is not None:
            raise PackFormatError(
                f"the {model.kind} model of {self.name!r} gives {model.count} directions of {model.size} numbers; "
                f"wanted 1 that depends on the code, of at most {self.code_dim}"
            )
        object.__setattr__(self, "model", model.settled())

    @property
    def code_dim(self) -> int:
        return self.vector.shape[-1]

    def on(self, layers: LayerRange) -> Direction:
        """The same direction moving `layers` in place of its own; itself when these are its own.

        A vector (D,) may move any layers. Where every layer moves its own way, the vectors stay with their layers: only
        some of its own can be taken. Sigma, range and metrics stay what was measured on its own layers.

        Raises:
            PackFormatError: layers for which the direction has no vector.
        """
        if layers == self.layers:
            return self
        if self.vector.ndim == 1:
            return replace(self, layers=layers)
        if layers.start < self.layers.start or layers.stop > self.layers.stop:
            raise PackFormatError(
                f"{self.name!r} has a vector of its own for each of the layers {self.layers} and none for others; it "
                f"cannot move layers {layers}"
            )
        first = layers.start - self.layers.start
        return replace(self, layers=layers, vector=self.vector[first : first + len(layers)])

    def __mul__(self, amount: float) -> Edit:
        from eigan.edit import Edit, Slider

        return Edit((Slider(self, amount),))

    __rmul__ = __mul__

    def __neg__(self) -> Edit:
        return self * -1.0


@dataclass(frozen=True)
class MadeFor:
    """The generator a pack was fitted on. The fingerprint decides; the rest tells a person which one it is."""

    architecture: str
    fingerprint: str
    resolution: int
    num_layers: int
    code_dim: int
    code_space: str = "w"
    source: str = ""
    revision: str = ""

    @classmethod
    def describe(cls, generator: Generator) -> MadeFor:
        return cls(
            architecture=generator.architecture,
            fingerprint=generator.fingerprint,
            resolution=generator.resolution,
            num_layers=generator.num_layers,
            code_dim=generator.code_dim,
            code_space=generator.code_space,
            source=generator.source,
            revision=generator.revision,
        )

    def __str__(self) -> str:
        where = f"{self.source}@{self.revision[:8]}" if self.revision else self.source or self.fingerprint[:12]
        return f"{where} ({self.architecture}, {self.resolution}px, {self.num_layers} layers of {self.code_dim})"


@dataclass(frozen=True)
class Preset:
    """Several directions moved together under one name. amounts: direction name -> sigmas.

    Raises:
        PackFormatError: a bad name or amount, or nothing to move.
    """

    name: str
    amounts: Mapping[str, float]
    description: str = ""

    def __post_init__(self) -> None:
        check_text(self.name, "preset name", MAX_NAME)
        check_text(self.description, f"description of preset {self.name!r}", MAX_TEXT, allow_empty=True)
        if not self.amounts:
            raise PackFormatError(f"preset {self.name!r} moves nothing")
        for name, amount in self.amounts.items():
            check_number(amount, f"amount of {name!r} in preset {self.name!r}", -MAX_AMOUNT, MAX_AMOUNT)


@dataclass(frozen=True, eq=False)
class DirectionPack:
    """Named directions of one generator, with presets composed of them.

    method: {"name": "pca", ...every hyper-parameter that made it}.
    version: semantic version, "" before the first publish.

    Raises:
        PackFormatError: a name used twice, a preset that names an unknown direction, directions that do not fit.
    """

    name: str
    made_for: MadeFor
    directions: tuple[Direction, ...]
    method: Mapping[str, Any]
    presets: tuple[Preset, ...] = ()
    description: str = ""
    license: str = ""
    version: str = ""
    source: str = ""  # where it was loaded from: a folder, a bundled name or org/name@revision
    revision: str = ""  # commit it came from, if from the Hub

    def __post_init__(self) -> None:
        check_text(self.name, "pack name", MAX_NAME)
        check_text(self.description, "pack description", MAX_TEXT, allow_empty=True)
        if not 1 <= len(self.directions) <= MAX_DIRECTIONS:
            raise PackFormatError(
                f"pack {self.name!r} has {len(self.directions)} directions; wanted 1 to {MAX_DIRECTIONS}"
            )
        if len(self.presets) > MAX_PRESETS:
            raise PackFormatError(f"pack {self.name!r} has {len(self.presets)} presets; at most {MAX_PRESETS}")
        check_unique("direction", [d.name for d in self.directions])
        check_unique("preset", [p.name for p in self.presets])
        for direction in self.directions:
            if direction.code_dim != self.made_for.code_dim or direction.layers.stop > self.made_for.num_layers:
                raise PackFormatError(
                    f"direction {direction.name!r} moves layers {direction.layers} of {direction.code_dim} numbers; "
                    f"the pack is for {self.made_for}"
                )
        known = set(self.names)
        for preset in self.presets:
            unknown = sorted(set(preset.amounts) - known)
            if unknown:
                raise PackFormatError(f"preset {preset.name!r} moves {list_names(unknown)}, not in the pack")

    @property
    def names(self) -> list[str]:
        return [d.name for d in self.directions]

    def __getitem__(self, name: str) -> Direction:
        for direction in self.directions:
            if direction.name == name:
                return direction
        raise UnknownName(f"unknown direction {name!r}; pack {self.name!r} has {list_names(self.names)}")

    def __iter__(self) -> Iterator[Direction]:
        return iter(self.directions)

    def __len__(self) -> int:
        return len(self.directions)

    def preset(self, name: str) -> Preset:
        for preset in self.presets:
            if preset.name == name:
                return preset
        known = list_names([p.name for p in self.presets])
        raise UnknownName(f"unknown preset {name!r}; pack {self.name!r} has {known}")

    def edit(self, amounts: Mapping[str, float]) -> Edit:
        """The Edit that moves each named direction by its amount, in sigmas."""
        from eigan.edit import Edit, Slider

        return Edit(tuple(Slider(self[name], amount) for name, amount in amounts.items()))

    def check_fits(self, generator: Generator) -> None:
        """Raise PackMismatch unless the pack was fitted on exactly this generator's weights."""
        if self.made_for.fingerprint != generator.fingerprint:
            raise PackMismatch(
                f"pack {self.name!r} was fitted on {self.made_for}; this generator is {MadeFor.describe(generator)}. "
                "Load the generator named first, or a pack made for this one."
            )

    def with_version(self, version: str) -> DirectionPack:
        return replace(self, version=version)

    def save(self, folder: str | Path) -> None:
        """Write the pack as a folder (pack format): all of it or nothing. See `eigan.format.save_pack`."""
        from eigan.format import save_pack

        save_pack(self, Path(folder))

    @classmethod
    def load(cls, source: str | Path, *, token: str | bool | None = None, offline: bool = False) -> DirectionPack:
        """A pack from a folder, a bundled name ("heads"), or the Hub ("org/name", "org/name@v1.2.0").

        Raises:
            PackFormatError: the files are damaged, malformed or hold values out of range.
            HubError: the Hub cannot give it (message says why and what to do).
        """
        from eigan.sources import load_pack

        return load_pack(source, token=token, offline=offline)


def check_unique(noun: str, names: Sequence[str]) -> None:
    """Raise PackFormatError when a name is used twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PackFormatError(f"{noun} {name!r} is there twice; names must differ")
        seen.add(name)


def reach_for(layers: LayerRange, num_layers: int) -> float:
    """A slider's default ends in sigmas: of 105 published GANSpace edits, those of few layers reach 20 and beyond."""
    if len(layers) == num_layers:
        return REACHES["all"]
    return REACHES["narrow" if len(layers) <= NARROW_LAYERS else "some"]
