"""What the families' settings share: limits, strict JSON both ways, and how they are read off a checkpoint.

A family's settings are a `Config` of annotated fields; weights decide them by name and shape (`Sizes`), and what a file
says of itself fills in the rest (`agreed`) and must not contradict the weights (`check_stated`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo
from torch import Tensor

from eigan.errors import CheckpointError, list_names
from eigan.strict_json import StrictModel

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_RESOLUTION = 4096
MAX_BLOCKS = MAX_RESOLUTION.bit_length() - 2  # resolutions 4, 8, ..., MAX_RESOLUTION
MAX_WIDTH = 16384
MAX_CLASSES = 10 * MAX_WIDTH
MAX_MAPPING_LAYERS = 64
MAX_NUMBER = 1e6
TOLERANCE = 1e-6  # of a number that a file states, relative


def or_w_dim(width: int, settings: ValidationInfo) -> int:
    return width or int(settings.data.get("w_dim", 0))


Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
HiddenWidth = Annotated[int, Field(ge=0, le=MAX_WIDTH, validate_default=True), AfterValidator(or_w_dim)]  # 0: w_dim
Classes = Annotated[int, Field(ge=0, le=MAX_CLASSES)]
MappingDepth = Annotated[int, Field(ge=1, le=MAX_MAPPING_LAYERS)]
Positive = Annotated[float, Field(gt=0, le=MAX_NUMBER)]
Channels = dict[Annotated[int, Field(strict=False)], Width]  # resolution (a string in JSON) -> width


class Config(StrictModel):
    """The settings of one family, checked before anything is allocated; types are taken literally, NaN is refused.

    Raises:
        CheckpointError: naming a setting that is unknown, missing, of another type, or one the family cannot have.
    """

    family: ClassVar[str]  # for messages: "StyleGAN2"

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise CheckpointError(explain(error, self.family)) from None
        self.check()

    def check(self) -> None:
        """Raise CheckpointError when settings that are right by themselves do not go together."""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `from_json` gives it back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> Self:
        """The settings that `to_json` wrote. Raises CheckpointError on anything malformed."""
        return cls(**config)


def explain(error: ValidationError, family: str) -> str:
    """The first of the problems, as a sentence: which setting, what it is, what it should be."""
    first = error.errors(include_url=False)[0]
    setting = ".".join(str(part)[:40] for part in first["loc"] if part != "[key]")
    if first["type"] == "missing":
        return f"{setting} is missing from the settings of a {family}"
    if first["type"] == "extra_forbidden":
        return f"{setting} is no setting of a {family}"
    wanted = f"{first['msg'][0].lower()}{first['msg'][1:]}".replace("input should", "it should")
    return f"{setting} is {shown(first['input'])}; in a {family} {wanted}"


def shown(value: object) -> str:
    """A stranger's value for a message: cut short, however large it is."""
    try:
        return repr(value)[:60]
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"


def check_resolution(resolution: int) -> None:
    """Raise CheckpointError unless it is a power of two within the limits."""
    if not 4 <= resolution <= MAX_RESOLUTION or resolution & (resolution - 1):
        raise CheckpointError(f"resolution {shown(resolution)} is not a power of two between 4 and {MAX_RESOLUTION}")


def check_channels(channels: Mapping[int, int], resolutions: Iterable[int]) -> None:
    """Raise CheckpointError unless there is a width for each of the resolutions and no other."""
    given, wanted = sorted(channels), list(resolutions)
    if given != wanted:
        raise CheckpointError(f"channels given for {list_names(map(shown, given))}; wanted for {wanted}")


def check_lod(lod: Tensor | None, most: int, family: str) -> None:
    """Raise CheckpointError when no toRGB draws at this level of detail (0: the full resolution).

    What is not one number, or on the meta device, passes: `load_weights` looks at shapes.
    """
    if lod is not None and not lod.is_meta and lod.numel() == 1 and not 0 <= float(lod) <= most:  # nor is NaN
        raise CheckpointError(f"lod is {float(lod):g}; this {family} draws at 0 to {most}")


def resolutions_to(last: int) -> tuple[int, ...]:
    """4, 8, ..., last."""
    return tuple(2**i for i in range(2, last.bit_length()))


class Sizes:
    """Shapes of weights by name; a missing or misshapen one is told by name. family: what the weights are taken for."""

    def __init__(self, weights: Mapping[str, Tensor], family: str):
        self.weights, self.family = weights, family

    def of(self, name: str, dims: int) -> tuple[int, ...]:
        """Raises CheckpointError unless the weight is there and has `dims` dimensions."""
        tensor = self.weights.get(name)
        if tensor is None:
            raise CheckpointError(f"weights do not fit a {self.family}: missing {name}; the checkpoint is incomplete")
        if tensor.ndim != dims:
            raise CheckpointError(
                f"{name} has shape {tuple(tensor.shape)}; a {self.family} has {dims} dimensions there"
            )
        return tuple(tensor.shape)


def count_indices(names: Iterable[str], pattern: str, most: int, noun: str) -> int:
    """1 + the largest number that `pattern` (one group of digits) finds at the start of a name; 0 without any.

    Raises:
        CheckpointError: it is more than `most`, so that nobody counts up to it.
    """
    number = re.compile(pattern)
    found = max((int(match[1][:9]) for name in names if (match := number.match(name))), default=-1)
    if found >= most:
        raise CheckpointError(f"the weights have {noun} number {found}; eigan knows at most {most} of them")
    return found + 1


def largest_resolution(names: Iterable[str], pattern: str) -> int:
    """The largest size that `pattern` (one group of digits) finds at the start of a name; 4 without any.

    Raises:
        CheckpointError: it is no power of two, or too large to be one of a generator's.
    """
    size = re.compile(pattern)
    last = max((int(match[1][:9]) for name in names if (match := size.match(name))), default=4)
    if not 4 <= last <= MAX_RESOLUTION or last & (last - 1):
        raise CheckpointError(f"the weights go up to {last}px; wanted a power of two between 4 and {MAX_RESOLUTION}")
    return last


def agreed(hints: Mapping[str, Any], paths: Iterable[str], default: Any, noun: str) -> Any:
    """What the file states at all of these paths that it has; `default` when it has none of them.

    Raises:
        CheckpointError: it states different things.
    """
    found = {path: hints[path] for path in paths if path in hints}
    if len(set(found.values())) > 1:
        said = list_names((f"{path} is {shown(value)}" for path, value in found.items()), 4)
        raise CheckpointError(f"the file says {said}; eigan knows one {noun} for all")
    return next(iter(found.values()), default)


def check_stated(hints: Mapping[str, Any], path: str, actual: Any) -> None:
    """Raise CheckpointError when the file says of itself what its weights do not; None is no statement."""
    stated = hints.get(path)
    if stated is None or stated == actual:
        return
    is_close = (
        isinstance(actual, float) and isinstance(stated, float) and math.isclose(stated, actual, rel_tol=TOLERANCE)
    )
    if not is_close:
        raise CheckpointError(f"the file says {path} is {shown(stated)}; its weights say {actual}")


def check_number(value: object, path: str, least: float, most: float) -> float:
    """The number that the file states at `path`. Raises CheckpointError unless it is one from `least` to `most`."""
    if type(value) not in (int, float) or not least <= value <= most:  # type: ignore[operator]  # not true of NaN either
        raise CheckpointError(f"the file says {path} is {shown(value)}; wanted a number from {least:g} to {most:g}")
    return float(value)  # type: ignore[arg-type]
