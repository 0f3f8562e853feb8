"""What the endpoints are asked, as it arrives: JSON of any kind, until its types, sizes and names are checked here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from eigan.classes import NUM_IMAGENET, find_class
from eigan.errors import InvalidCodes, PackFormatError, UnknownName
from eigan.generators.base import Generator
from eigan.layers import LayerRange
from eigan.pack import MAX_NAME, Direction
from eigan.pose import STILL, Pose
from eigan.recipe import MAX_FURTHER, MAX_MOVES, MAX_SOURCE, PictureRecipe
from eigan.strict_json import StrictModel
from eigan.ui.finding import MAX_WORDS
from eigan.ui.session import Studio

MAX_STEPS = 15  # of a sweep

Source = Annotated[str, Field(max_length=MAX_SOURCE)]
Name = Annotated[str, Field(max_length=MAX_NAME)]
M = TypeVar("M", bound=StrictModel)


class Scene(StrictModel):
    """What an edit and a sweep are both asked for, as it arrived."""

    pack: Source
    seed: int
    amounts: Annotated[dict[Name, float], Field(max_length=MAX_MOVES)]
    truncation_psi: float
    class_index: int | Name | None
    further: Annotated[list[Source], Field(max_length=MAX_FURTHER)]
    layers: Annotated[dict[Name, Name], Field(default_factory=dict, max_length=MAX_MOVES)]
    keep: Annotated[list[Name], Field(default_factory=list, max_length=MAX_MOVES)]
    noise: bool = True
    pose: Annotated[list[float], Field(min_length=3, max_length=3)] | None = None

    def recipe(self, studio: Studio) -> PictureRecipe:
        """The complete recipe, if `studio` can draw it. Raises EiganError."""
        for name in self.layers:
            studio.pack[name]  # that it is there: a recipe drops layers of what it does not move
        if self.pose is not None and not studio.generator.has_pose:
            raise InvalidCodes(f"{studio.generator.describe()} has no pose; leave it out")
        return studio.complete(
            PictureRecipe(
                pack=studio.source,
                seed=self.seed,
                truncation_psi=self.truncation_psi,
                class_index=class_of(self.class_index, studio.generator),
                amounts=self.amounts,
                pose=STILL if self.pose is None else Pose(*self.pose),
                layers={n: LayerRange.parse(text, studio.generator.num_layers) for n, text in self.layers.items()},
                keep=tuple(self.keep),
                noise_mode="const" if self.noise else "none",
            )
        )


class Sweep(StrictModel):
    """What a sweep alone is asked for."""

    direction: Name
    low: float | None
    high: float | None
    steps: Annotated[int, Field(ge=2, le=MAX_STEPS)]

    def amounts(self, direction: Direction) -> list[float]:
        """Evenly from low to high, each the direction's own end where it is left out. Raises PackFormatError."""
        own = direction.amount_range
        low, high = own[0] if self.low is None else self.low, own[1] if self.high is None else self.high
        if not low < high:
            raise PackFormatError(f"low is {low:g} and high is {high:g}; wanted low below high")
        return [round(low + (high - low) * i / (self.steps - 1), 4) for i in range(self.steps)]


class Search(StrictModel):
    """What a list of packs is asked for."""

    search: Annotated[str, Field(max_length=MAX_WORDS)]
    generator: Source
    where: Literal["bundled", "hub"]


class Opening(StrictModel):
    pack: Source


def checked(model: type[M], **values: Any) -> M:
    """What an endpoint was asked, if it has the types and sizes that the endpoint takes. Raises PackFormatError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"])
        raise PackFormatError(f"{place}: {first['msg']}") from None


def class_of(asked: int | str | None, generator: Generator) -> int | None:
    """The class that a number, digits or a name stand for. Raises InvalidCodes, UnknownName."""
    if asked is None:
        return None
    if not generator.c_dim:
        raise InvalidCodes(f"{generator.describe()} has no classes; leave class_index out")
    if isinstance(asked, str) and not asked.strip().isdecimal():
        if generator.c_dim != NUM_IMAGENET:
            raise UnknownName(f"this generator's classes have no names; give a number, 0 to {generator.c_dim - 1}")
        return find_class(asked)
    index = int(asked)
    if not 0 <= index < generator.c_dim:
        raise InvalidCodes(f"class_index is {index}; this generator has classes 0 to {generator.c_dim - 1}")
    return index
