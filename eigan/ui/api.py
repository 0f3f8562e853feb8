"""Typed endpoints for other programs, and the tools of the MCP server: /edit, /sweep, /packs, /directions.

They know nothing of the page. What they are asked is checked here, since Gradio passes on whatever JSON arrives. They
take turns at drawing, and only so many may wait, so that programs leave the page its share of the machine.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Annotated, Any, Literal, ParamSpec, TypedDict, TypeVar, get_type_hints

import gradio as gr
import numpy as np
from pydantic import Field, ValidationError

from eigan import sources
from eigan.classes import NUM_IMAGENET, find_class
from eigan.errors import EiganError, HubError, InvalidCodes, PackFormatError, UnknownName, list_names
from eigan.generators.base import Generator
from eigan.layers import LayerRange
from eigan.pack import MAX_NAME, Direction, DirectionPack
from eigan.pose import STILL, Pose
from eigan.recipe import MAX_FURTHER, MAX_MOVES, MAX_SOURCE, PictureRecipe
from eigan.render import grid
from eigan.reproduce import draw
from eigan.strict_json import StrictModel
from eigan.ui.finding import MAX_WORDS, Finder, source_of
from eigan.ui.links import DEFAULT_PSI, file_name
from eigan.ui.served import Shelf
from eigan.ui.session import GAP, Studio, Studios

P = ParamSpec("P")
R = TypeVar("R")
MAX_INSIDE = 16  # calls that are answered or wait at any time; the next is told that the app is busy
MAX_STEPS = 15
MAX_STRIP_PIXELS = 16 * 2**20
SHELF_BYTES = 256 * 2**20  # of pictures made for programs: they do not push out those that people look at
BUSY = f"the app is busy: {MAX_INSIDE} other calls are being answered; call again in a few seconds"

Source = Annotated[str, Field(max_length=MAX_SOURCE)]
Name = Annotated[str, Field(max_length=MAX_NAME)]


class PackFacts(TypedDict):
    """A pack in a list. pack: what the other endpoints open it by. presets: of packs on the Hub not known here."""

    pack: str
    name: str
    version: str
    generator: str
    directions: list[str]
    presets: list[str]
    licence: str
    description: str


class DirectionFacts(TypedDict):
    """A direction: the words of its two ends, the range it is meant for in sigmas, the layers it moves ("2-4")."""

    name: str
    negative: str
    positive: str
    low: float
    high: float
    layers: str
    description: str


class PresetFacts(TypedDict):
    """Several directions moved at once, by name in sigmas: fit to be sent as `amounts`."""

    name: str
    amounts: dict[str, float]
    description: str


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


class Endpoints:
    """The endpoints, as plain functions: their docstrings and types become the API's schema and the MCP tools."""

    def __init__(self, studios: Studios, finder: Finder):
        self.studios, self.finder = studios, finder
        self._shelf = Shelf("api", SHELF_BYTES)
        self._drawing = Lock()

    def edit(
        self,
        pack: str,
        seed: int,
        amounts: dict[str, float] | None = None,
        truncation_psi: float = DEFAULT_PSI,
        class_index: int | str | None = None,
        further: list[str] | None = None,
        layers: dict[str, str] | None = None,
        keep: list[str] | None = None,
        noise: bool = True,
        pose: list[float] | None = None,
    ) -> gr.FileData:
        """Make a picture with a GAN and move it along named directions, such as a smile or an age.

        Args:
            pack: a bundled pack's name, such as heads, or a Hub id such as user/name@v1.0.0; `packs` lists them
            seed: a whole number from 0; the same seed gives the same picture
            amounts: direction name to amount, in standard deviations; `directions` lists names and ranges
            truncation_psi: 0 is the average picture, 1 the full variety
            class_index: the class to draw, by number or ImageNet name, of a generator that has classes
            further: more packs of the same generator, whose directions may be used too
            layers: direction name to the layers that it moves instead of its own, such as 4-7
            keep: directions that must stay as they are while the others move
            noise: false leaves out the fine random detail
            pose: right, down (in picture widths) and turn (in degrees), of a StyleGAN3 generator

        Returns:
            a PNG file with its recipe inside
        """
        asked = checked(
            Scene,
            pack=pack,
            seed=seed,
            amounts=amounts or {},
            truncation_psi=truncation_psi,
            class_index=class_index,
            further=further or [],
            layers=layers or {},
            keep=keep or [],
            noise=noise,
            pose=pose,
        )
        studio = self._open(asked.pack, asked.further)
        recipe = asked.recipe(studio)
        with self._drawing:
            data = studio.png(recipe)
        return self._file(data, file_name(recipe))

    def sweep(
        self,
        pack: str,
        seed: int,
        direction: str,
        low: float | None = None,
        high: float | None = None,
        steps: int = 7,
        amounts: dict[str, float] | None = None,
        truncation_psi: float = DEFAULT_PSI,
        class_index: int | str | None = None,
    ) -> tuple[gr.FileData, list[float]]:
        """Show what one direction does: a strip of pictures along it, from its low to its high end.

        Args:
            pack: a bundled pack's name, such as heads, or a Hub id such as user/name@v1.0.0; `packs` lists them
            seed: a whole number from 0; the same seed gives the same picture
            direction: the name of the direction, one that `directions` lists
            low: the amount of the first picture, in standard deviations; left out, the low end of the direction's range
            high: the amount of the last picture; left out, the high end of the direction's range
            steps: how many pictures, 2 to 15
            amounts: how far other directions are moved in all of the pictures
            truncation_psi: 0 is the average picture, 1 the full variety
            class_index: the class to draw, by number or ImageNet name, of a generator that has classes

        Returns:
            a PNG file with the pictures side by side
            the amount of each picture
        """
        asked = checked(
            Scene,
            pack=pack,
            seed=seed,
            amounts=amounts or {},
            truncation_psi=truncation_psi,
            class_index=class_index,
            further=[],
        )
        along = checked(Sweep, direction=direction, low=low, high=high, steps=steps)
        studio = self._open(asked.pack, [])
        recipe, moves = asked.recipe(studio), along.amounts(studio.pack[along.direction])
        if len(moves) * studio.generator.resolution**2 > MAX_STRIP_PIXELS:
            most = MAX_STRIP_PIXELS // studio.generator.resolution**2
            raise PackFormatError(f"{len(moves)} pictures of this generator are too large for a strip; ask for {most}")
        swept = [replace(recipe, amounts={**recipe.amounts, along.direction: amount}) for amount in moves]
        with self._drawing:
            pictures = np.concatenate([draw(each, studio.pack, studio.renderer) for each in swept])
        buffer = BytesIO()
        grid(pictures, columns=len(moves), gap=GAP).save(buffer, format="PNG")
        return self._file(buffer.getvalue(), f"{Path(file_name(recipe)).stem}-sweep.png"), moves

    def packs(
        self, search: str = "", generator: str = "", where: Literal["bundled", "hub"] = "bundled"
    ) -> list[PackFacts]:
        """List direction packs: those that come with the app, or those that people have published on the Hub.

        Args:
            search: a word that the pack's name holds; left out, any pack
            generator: the generator that the packs are for, such as user/name; left out, any
            where: bundled, or hub to search the Hugging Face Hub

        Returns:
            the packs, each with the name to open it by
        """
        asked = checked(Search, search=search, generator=generator, where=where)
        if asked.where == "hub":
            return [
                PackFacts(
                    pack=source_of(found),
                    name=found.repo_id,
                    version=found.version,
                    generator=found.generator,
                    directions=list(found.directions),
                    presets=[],
                    licence=found.license,
                    description="",
                )
                for found in self.finder.find_packs(asked.search, asked.generator)
            ]
        found = (pack_facts(sources.load_pack(name)) for name in sources.bundled_packs())
        word, base = asked.search.strip().casefold(), asked.generator.strip()
        return [facts for facts in found if word in facts["name"].casefold() and base in ("", facts["generator"])]

    def directions(self, pack: str) -> tuple[list[DirectionFacts], list[PresetFacts]]:
        """List what a pack can move: its directions, with their ranges, and its presets.

        Args:
            pack: a bundled pack's name, such as heads, or a Hub id such as user/name@v1.0.0; `packs` lists them

        Returns:
            the directions, in the pack's order
            the presets: several directions moved at once
        """
        opened = self.studios.load_pack(self.studios.check_source(checked(Opening, pack=pack).pack))
        presets = [PresetFacts(name=p.name, amounts=dict(p.amounts), description=p.description) for p in opened.presets]
        return [direction_facts(direction) for direction in opened], presets

    def _open(self, source: str, further: list[str]) -> Studio:
        try:
            return self.studios.open(source, further)
        except HubError as error:
            raise HubError(f"{error} The bundled packs go on working: {list_names(sources.bundled_packs())}.") from None

    def _file(self, data: bytes, name: str) -> gr.FileData:
        return gr.FileData(path=self._shelf.put(data, name), orig_name=name, mime_type="image/png", size=len(data))


def add_endpoints(studios: Studios, finder: Finder) -> None:
    """Put the endpoints into the current `gr.Blocks`.

    They have no limit of Gradio's: its queue is one for the page and all endpoints, and calls that wait in it would
    fill it for everybody. At most MAX_INSIDE of them wait for each other instead, in threads of their own.
    """
    endpoints, doorway = Endpoints(studios, finder), Doorway(MAX_INSIDE)
    for endpoint in (endpoints.edit, endpoints.sweep, endpoints.packs, endpoints.directions):
        name: str = endpoint.__name__
        gr.api(announced(endpoint, doorway), api_name=name, concurrency_id="api", concurrency_limit=None)


def wants_mcp(asked: bool | None, environ: Mapping[str, str]) -> bool:
    """Whether the endpoints are to be tools of an MCP server: as asked, else as $GRADIO_MCP_SERVER says.

    Raises:
        EiganError: they are, and the package for it is not installed.
    """
    wanted = environ.get("GRADIO_MCP_SERVER", "").lower() == "true" if asked is None else asked
    if wanted and find_spec("mcp") is None:
        raise EiganError('the MCP server needs one more package; install it with: pip install "mcp>=1.30,<2"')
    return wanted


class Doorway:
    """Lets so many in at a time, and tells the others at once that they must come back."""

    def __init__(self, most: int):
        self._places = BoundedSemaphore(most)

    @contextmanager
    def entered(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise gr.Error(BUSY, print_exception=False, title="Busy")
        try:
            yield
        finally:
            self._places.release()


def announced(endpoint: Callable[P, R], doorway: Doorway) -> Callable[P, R]:
    """`endpoint` as Gradio takes it: types spelt out, one sentence for what goes wrong, no more at once than fit in."""

    @functools.wraps(endpoint)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with doorway.entered():
            try:
                return endpoint(*args, **kwargs)
            except EiganError as error:
                raise gr.Error(str(error), print_exception=False) from None

    hints = get_type_hints(endpoint)  # Gradio reads the result's type from the signature, where it would be text
    signature = inspect.signature(endpoint)
    parameters = [one.replace(annotation=hints[name]) for name, one in signature.parameters.items()]
    called.__signature__ = signature.replace(parameters=parameters, return_annotation=hints["return"])  # type: ignore[attr-defined]
    return called


M = TypeVar("M", bound=StrictModel)


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


def pack_facts(pack: DirectionPack) -> PackFacts:
    return PackFacts(
        pack=pack.source,
        name=pack.name,
        version=pack.version,
        generator=pack.made_for.source,
        directions=list(pack.names),
        presets=[preset.name for preset in pack.presets],
        licence=pack.license,
        description=pack.description,
    )


def direction_facts(direction: Direction) -> DirectionFacts:
    negative, positive = direction.poles
    low, high = direction.amount_range
    return DirectionFacts(
        name=direction.name,
        negative=negative,
        positive=positive,
        low=low,
        high=high,
        layers=str(direction.layers),
        description=direction.description,
    )
