"""What the server keeps between two moves of a slider: open packs, their generators, the last pictures.

Everything heavy lives here, process-wide and bounded; a browser session holds only keys and plain values.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from PIL import Image

from eigan import sources
from eigan.combine import combine
from eigan.errors import PackMismatch, UnknownName, list_names
from eigan.format import MANIFEST, pack_files
from eigan.generators.base import Generator
from eigan.hub import parse_ref
from eigan.model_file import describe_model
from eigan.pack import DirectionPack
from eigan.pose import STILL
from eigan.recipe import MAX_SOURCE, PictureRecipe, write_png
from eigan.render import Pictures, Renderer, grid
from eigan.reproduce import draw, recipe_codes, recipe_edit, seed_codes
from eigan.ui.disk import HubCache, cache_budget
from eigan.ui.fitting import MAX_HOSTED_BYTES, fit_pack, is_fixed, open_generator, parse_fit, pinned
from eigan.ui.hints import hints_of

if TYPE_CHECKING:
    from hub_export.methods.base import Progress

MAX_PACKS = 16
MAX_GENERATORS = 3  # the heavy ones: up to a few hundred MB each
MAX_PICTURES = 48
SLOW = 0.2  # seconds
GAP = 2  # pixels between pictures of a sheet

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The last `capacity` values made, by key. Safe between threads; a value in the making is waited for, not made
    twice, and does not hold up other keys."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._lock = Lock()
        self._values: OrderedDict[K, Future[V]] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value under `key`, made by `make` if it is not there. What `make` raises is raised, and not kept."""
        with self._lock:
            found = self._values.get(key)
            future: Future[V] = found or Future()
            self._values[key] = future
            self._values.move_to_end(key)
            while len(self._values) > self.capacity:
                self._values.popitem(last=False)
        if found is None:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    if self._values.get(key) is future:
                        del self._values[key]
                future.set_exception(error)  # for everyone who waits
                raise
        return future.result()

    def peek(self, key: K) -> V | None:
        """The value under `key`, or None when it is not there."""
        with self._lock:
            found = self._values.get(key)
        return found.result() if found else None

    def values(self) -> list[V]:
        """All that are made."""
        with self._lock:
            futures = list(self._values.values())
        return [future.result() for future in futures if future.done() and not future.exception()]


@dataclass(frozen=True, eq=False)
class Studio:
    """Packs of one generator, ready to render. `source` and `further` are what opens the same ones again.

    pack: all of them as one (`eigan.combine`). hints: direction -> what else it moves, where that was measured.
    """

    key: str
    source: str
    further: tuple[str, ...]
    pack: DirectionPack
    generator: Generator
    renderer: Renderer
    hints: Mapping[str, str] = field(default_factory=dict)
    pictures: Recent[str, bytes] = field(default_factory=lambda: Recent(MAX_PICTURES))

    @property
    def origins(self) -> list[str]:
        """Everything that was opened for it: packs, and their generator."""
        fits = (parse_fit(text) for text in (self.source, *self.further))
        return [self.source, *self.further, self.pack.made_for.source, *(fit.generator for fit in fits if fit)]

    @property
    def has_truncation(self) -> bool:
        return self.generator.truncation != "none"

    @property
    def is_slow(self) -> bool:
        """Whether a picture takes too long to be drawn while a slider is dragged."""
        return self.is_slow_for(1)

    def is_slow_for(self, count: int) -> bool:
        """Whether `count` pictures take too long to be drawn while a slider is dragged."""
        return (self.renderer.expected_seconds(count) or 0.0) > SLOW

    def allowed_psi(self, psi: float) -> float:
        """`psi` as this generator takes it: 1 where there is no truncation, 0 to 1 where it is a threshold of z."""
        if not self.has_truncation:
            return 1.0
        return min(max(psi, 0.0), 1.0) if self.generator.truncation == "threshold" else psi

    def complete(self, recipe: PictureRecipe) -> PictureRecipe:
        """`recipe` as one of these packs and this generator; psi, class and pose are left out where it has none.

        Raises:
            UnknownName: a direction the packs do not have. PackFormatError, InvalidCodes: layers or a latent that do
                not fit.
        """
        recipe_edit(recipe, self.pack)
        if recipe.latent is not None:
            recipe.latent.for_generator(self.generator)
        return replace(
            recipe,
            pack=self.source,
            further=self.further,
            truncation_psi=self.allowed_psi(recipe.truncation_psi),
            class_index=(recipe.class_index or 0) if self.generator.c_dim else None,
            generator=self.pack.made_for.source,
            fingerprint=self.generator.fingerprint,
            pose=recipe.pose if self.generator.has_pose else STILL,
        )

    def render(self, recipe: PictureRecipe, seeds: Sequence[int] = ()) -> Image.Image:
        """The picture of `recipe`, (resolution, resolution) RGB: a function of the recipe alone; or, with `seeds`, the
        same edit of each of them, as a sheet.

        Raises:
            InvalidCodes: the generator refuses a value (a class it does not have).
        """
        if not seeds:
            return Image.fromarray(draw(recipe, self.pack, self.renderer)[0])
        return grid(self._draw_seeds(recipe, seeds), columns=columns_for(len(seeds)), gap=GAP)

    def preview(self, recipe: PictureRecipe) -> Image.Image | None:
        """A smaller picture, quickly, while something is dragged; None where the picture itself is quick."""
        with torch.inference_mode():
            codes = recipe_codes(recipe, self.generator)
        edit = recipe_edit(recipe, self.pack)
        found = self.renderer.preview(codes, edit, noise_mode=recipe.noise_mode, pose=recipe.pose)
        return None if found is None else Image.fromarray(found[0])

    def png(self, recipe: PictureRecipe, seeds: Sequence[int] = ()) -> bytes:
        """The picture as PNG with its recipe inside (of the first seed, where there are several); the last are kept."""
        return self.pictures.get(f"{recipe.to_json()}{list(seeds)}", lambda: self._encode(recipe, seeds))

    def _encode(self, recipe: PictureRecipe, seeds: Sequence[int]) -> bytes:
        buffer = BytesIO()
        write_png(self.render(recipe, seeds), recipe, buffer)
        return buffer.getvalue()

    def _draw_seeds(self, recipe: PictureRecipe, seeds: Sequence[int]) -> Pictures:
        with torch.inference_mode():
            codes = seed_codes(recipe, self.generator, seeds)
        edit = recipe_edit(recipe, self.pack)
        return self.renderer.render(codes, edit, noise_mode=recipe.noise_mode, pose=recipe.pose)


class Studios:
    """Every open pack of the process, by key. `hosted`: strangers use it, so no path of this machine is opened and
    the machine's own Hub token is not used."""

    def __init__(self, *, hosted: bool = False):
        self.hosted = hosted
        self._studios: Recent[str, Studio] = Recent(MAX_PACKS)
        self._fitted: Recent[str, DirectionPack] = Recent(MAX_PACKS)
        self._generators: Recent[str, Generator] = Recent(MAX_GENERATORS)
        self._renderers: Recent[str, Renderer] = Recent(MAX_GENERATORS)
        self._cache = HubCache(cache_budget(os.environ), keep=self._repositories)

    def open(self, source: str, further: Sequence[str] = (), report: Progress | None = None) -> Studio:
        """The studio of the packs that are named now (a folder or branch may have changed since the last time).

        report: of a fit, (done, total, what).

        Raises:
            EiganError: a pack or its generator cannot be opened; the message says why.
        """
        texts = [self.check_source(text) for text in dict.fromkeys((source, *further))]
        packs = [self.load_pack(text, report) for text in texts]
        key = "-".join(pack_key(pack) for pack in packs)
        return self._studios.get(key, lambda: self._build(key, texts, packs))

    def reopen(self, key: str, source: str, further: Sequence[str] = ()) -> Studio:
        """The studio under `key`; if it was dropped for newer ones, opened again from its sources.

        Raises:
            PackMismatch: a source holds another pack by now.
        """
        studio = self._studios.peek(key) or self.open(source, further)
        if studio.key != key:
            raise PackMismatch(f"{source} has changed since it was opened; press Load to open it as it is now")
        return studio

    def load_pack(self, source: str, report: Progress | None = None) -> DirectionPack:
        """The pack that a checked source names, or is fitted to. report: (done, total, what). Raises EiganError."""
        fit = parse_fit(source)
        if fit is None:
            with self._room_for(source) as offline:
                return sources.load_pack(source, token=self.token, offline=offline)
        if is_fixed(fit) and (known := self._fitted.peek(str(fit))):
            return known
        with self._room_for(fit.generator) as offline:
            opened = open_generator(fit.generator, hosted=self.hosted, token=self.token, offline=offline)
        generator = self._generators.get(opened.fingerprint, lambda: opened)
        fit = pinned(fit, opened)
        key = str(fit) if is_fixed(fit) else f"{fit} {opened.fingerprint}"
        return self._fitted.get(key, lambda: fit_pack(fit, generator, report))

    def check_source(self, source: str) -> str:
        """`source`, stripped, if it may be opened here.

        Raises:
            UnknownName: nothing was given, or it is not a bundled name or Hub id and visitors may open nothing else.
        """
        text = source.strip()
        if not text:
            raise UnknownName("no pack was named; choose one of the list, or type a Hub id like org/name@v1.0.0")
        if text in sources.bundled_packs() or parse_fit(text):  # what a fit may open is for `open_generator` to say
            return text
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
        if not self.hosted:
            _check_reachable(path)
            return str(path) if text.startswith("~") else text
        ref = parse_ref(text)
        if ref is None or ref.filename or path.exists():
            known = list_names(sources.bundled_packs())
            raise UnknownName(
                f"{text[:MAX_SOURCE]!r} is not a bundled pack ({known}) nor a Hub id like org/name@v1.0.0. "
                "Folders can be opened only where the app runs on your own machine."
            )
        return text

    @property
    def token(self) -> bool | None:
        """What the Hub is asked with: nothing where strangers ask, else this machine's own."""
        return False if self.hosted else None

    def _build(self, key: str, texts: Sequence[str], packs: Sequence[DirectionPack]) -> Studio:
        pack, fingerprint = combine(packs), packs[0].made_for.fingerprint
        generator = self._generators.get(fingerprint, lambda: self._load_generator(packs[0]))
        pack.check_fits(generator)
        renderer = self._renderers.get(fingerprint, lambda: Renderer(generator))
        source, *further = (
            one.source if parse_fit(text) else pin(text, one.revision) for text, one in zip(texts, packs, strict=True)
        )
        return Studio(key, source, tuple(further), pack, generator, renderer, hints_of(packs, pack))

    def _load_generator(self, pack: DirectionPack) -> Generator:
        most = MAX_HOSTED_BYTES if self.hosted else None
        with self._room_for(pack.made_for.source) as offline:
            return sources.generator_for(
                pack, token=self.token, allow_paths=not self.hosted, offline=offline, max_bytes=most
            )

    def _room_for(self, source: str) -> AbstractContextManager[bool]:
        """Around what may download `source`; gives whether the Hub's cache alone is to be used."""
        ref = parse_ref(source) if self.hosted else None
        return self._cache.opening(ref.repo_id) if ref else nullcontext(False)

    def _repositories(self) -> set[str]:
        """Those on the Hub that open studios came from."""
        refs = (parse_ref(text) for studio in self._studios.values() for text in studio.origins)
        return {ref.repo_id for ref in refs if ref}


def columns_for(count: int) -> int:
    """Columns of a sheet of `count` pictures: as square as it gets."""
    return math.ceil(math.sqrt(count))


def _check_reachable(path: Path) -> None:
    try:
        path.exists()
    except (OSError, ValueError) as error:  # too long for a path, not permitted, a zero byte
        raise UnknownName(f"{str(path)[:MAX_SOURCE]!r} cannot be opened: {error.__class__.__name__}") from None


def pin(source: str, revision: str) -> str:
    """`source` with the commit it came from, unless it names a revision already: a link must not drift with main."""
    return f"{source}@{revision}" if revision and "@" not in source else source


def pack_key(pack: DirectionPack) -> str:
    """Short name of a pack's exact content, whatever it was loaded from. Models are hashed where they lie: no copy."""
    fixed = tuple(replace(direction, model=None) for direction in pack)
    manifest = pack_files(replace(pack, source="", revision="", directions=fixed), {})[MANIFEST]
    found = hashlib.sha256(manifest + pack.source.encode())
    for index, direction in enumerate(pack):
        if direction.model is not None:
            found.update(f"{index}: {describe_model(direction.model)}".encode())
            for name, tensor in direction.model.tensors().items():
                found.update(name.encode())
                found.update(tensor.numpy().reshape(-1).data)
    return found.hexdigest()[:16]
