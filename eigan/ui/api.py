"""Typed endpoints for other programs, and the tools of the MCP server: /edit, /sweep, /packs, /directions.

They know nothing of the page. What they are asked is checked (`eigan.ui.asked`): Gradio passes on whatever arrives.
They take turns at drawing, and only so many may wait, so that programs leave the page its share of the machine.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Literal, ParamSpec, TypedDict, TypeVar, get_type_hints

import gradio as gr
import numpy as np

from eigan import sources
from eigan.errors import EiganError, HubError, PackFormatError, list_names
from eigan.pack import Direction, DirectionPack
from eigan.render import grid
from eigan.ui.asked import Opening, Scene, Search, Sweep, checked
from eigan.ui.finding import Finder, source_of
from eigan.ui.links import DEFAULT_PSI, file_name
from eigan.ui.served import Shelf
from eigan.ui.session import GAP, Studio, Studios

P = ParamSpec("P")
R = TypeVar("R")
MAX_INSIDE = 16  # calls that are answered or wait at any time; the next is told that the app is busy
MAX_STRIP_PIXELS = 16 * 2**20
SHELF_BYTES = 256 * 2**20  # of pictures made for programs: they do not push out those that people look at
PAGE_SECONDS = 1.0  # that a call waits, at most, for people who wait for pictures
LANE = "api"
BUSY = f"the app is busy: {MAX_INSIDE} other calls are being answered; call again in a few seconds"


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


class Endpoints:
    """The endpoints, as plain functions: their docstrings and types become the API's schema and the MCP tools."""

    def __init__(self, studios: Studios, finder: Finder, has_people: Callable[[], bool] = lambda: False):
        """has_people: whether somebody in front of the page waits for something."""
        self.studios, self.finder, self._has_people = studios, finder, has_people
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
        with self._turn():
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
        with self._turn():
            pictures = np.stack([np.asarray(studio.render(each)) for each in swept])
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

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One program draws at a time, and people go first."""
        with self._drawing:
            patience = time.monotonic() + PAGE_SECONDS
            while self._has_people() and time.monotonic() < patience:
                time.sleep(0.02)
            yield

    def _file(self, data: bytes, name: str) -> gr.FileData:
        return gr.FileData(path=self._shelf.put(data, name), orig_name=name, mime_type="image/png", size=len(data))


def add_endpoints(app: gr.Blocks, studios: Studios, finder: Finder) -> None:
    """Put the endpoints into `app`, whose context is open.

    They have no limit of Gradio's: its queue is one for the page and all endpoints, and calls that wait in it would
    fill it for everybody. At most MAX_INSIDE of them wait for each other instead, in threads of their own.
    """

    def has_people() -> bool:
        return any(lane.queue for name, lane in list(app._queue.event_queue_per_concurrency_id.items()) if name != LANE)

    endpoints, doorway = Endpoints(studios, finder, has_people), Doorway(MAX_INSIDE)
    for endpoint in (endpoints.edit, endpoints.sweep, endpoints.packs, endpoints.directions):
        name: str = endpoint.__name__
        gr.api(announced(endpoint, doorway), api_name=name, concurrency_id=LANE, concurrency_limit=None)


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
