"""What the server keeps between two moves of a slider: open packs, their generators, the last pictures.

Everything heavy lives here, process-wide and bounded; a browser session holds only keys and plain values.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import torch
from PIL import Image

from eigan import sources
from eigan.errors import PackMismatch, UnknownName, list_names
from eigan.format import MANIFEST, pack_files
from eigan.generators.base import Generator
from eigan.hub import parse_ref
from eigan.latents import seeded_z
from eigan.model_file import describe_model
from eigan.pack import DirectionPack
from eigan.pose import STILL, Pose
from eigan.recipe import MAX_SOURCE, PictureRecipe, write_png
from eigan.render import Renderer

MAX_PACKS = 16
MAX_GENERATORS = 3  # the heavy ones: up to a few hundred MB each
MAX_PICTURES = 48

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


@dataclass(frozen=True, eq=False)
class Studio:
    """A pack with its generator, ready to render. `source` is what opens the same pack again."""

    key: str
    source: str
    pack: DirectionPack
    generator: Generator
    renderer: Renderer
    pictures: Recent[str, bytes] = field(default_factory=lambda: Recent(MAX_PICTURES))

    @property
    def has_truncation(self) -> bool:
        return self.generator.truncation != "none"

    def allowed_psi(self, psi: float) -> float:
        """`psi` as this generator takes it: 1 where there is no truncation, 0 to 1 where it is a threshold of z."""
        if not self.has_truncation:
            return 1.0
        return min(max(psi, 0.0), 1.0) if self.generator.truncation == "threshold" else psi

    def recipe(
        self,
        seed: int,
        truncation_psi: float,
        class_index: int | None,
        amounts: Mapping[str, float],
        pose: Pose = STILL,
    ) -> PictureRecipe:
        """The recipe of this pack's picture; psi, class and pose are left out where the generator has none.

        Raises:
            PackFormatError, UnknownName: a value out of range, or a direction the pack does not have.
        """
        for name in amounts:
            self.pack[name]
        return PictureRecipe(
            pack=self.source,
            seed=seed,
            truncation_psi=self.allowed_psi(truncation_psi),
            class_index=(class_index or 0) if self.generator.c_dim else None,
            amounts=dict(amounts),
            generator=self.pack.made_for.source,
            fingerprint=self.generator.fingerprint,
            pose=pose if self.generator.has_pose else STILL,
        )

    def render(self, recipe: PictureRecipe) -> Image.Image:
        """The picture, (resolution, resolution) RGB: a function of the recipe alone.

        Raises:
            InvalidCodes: the generator refuses a value (a class it does not have).
        """
        generator = self.generator
        with torch.inference_mode():
            z = seeded_z([recipe.seed], generator.z_dim)
            c = generator.class_codes(recipe.class_index, 1)
            codes = generator.mapping(z, c, truncation_psi=recipe.truncation_psi)
        return Image.fromarray(self.renderer.render(codes, self.pack.edit(recipe.amounts), pose=recipe.pose)[0])

    def png(self, recipe: PictureRecipe) -> bytes:
        """The picture as PNG with its recipe inside; the last ones are kept."""
        return self.pictures.get(recipe.to_json(), lambda: self._encode(recipe))

    def _encode(self, recipe: PictureRecipe) -> bytes:
        buffer = BytesIO()
        write_png(self.render(recipe), recipe, buffer)
        return buffer.getvalue()


class Studios:
    """Every open pack of the process, by key. `hosted`: strangers use it, so no path of this machine is opened and
    the machine's own Hub token is not used."""

    def __init__(self, *, hosted: bool = False):
        self.hosted = hosted
        self._studios: Recent[str, Studio] = Recent(MAX_PACKS)
        self._generators: Recent[str, Generator] = Recent(MAX_GENERATORS)
        self._renderers: Recent[str, Renderer] = Recent(MAX_GENERATORS)

    def open(self, source: str) -> Studio:
        """The studio of the pack that `source` names now (a folder or branch may have changed since the last time).

        Raises:
            EiganError: the pack or its generator cannot be opened; the message says why.
        """
        text = self.check_source(source)
        pack = sources.load_pack(text, token=self._token)
        key = pack_key(pack)
        return self._studios.get(key, lambda: self._build(key, text, pack))

    def reopen(self, key: str, source: str) -> Studio:
        """The studio under `key`; if it was dropped for newer ones, opened again from `source`.

        Raises:
            PackMismatch: the source holds another pack by now.
        """
        studio = self._studios.peek(key) or self.open(source)
        if studio.key != key:
            raise PackMismatch(f"{source} has changed since it was opened; press Load to open it as it is now")
        return studio

    def check_source(self, source: str) -> str:
        """`source`, stripped, if it may be opened here.

        Raises:
            UnknownName: nothing was given, or it is not a bundled name or Hub id and visitors may open nothing else.
        """
        text = source.strip()
        if not text:
            raise UnknownName("no pack was named; choose one of the list, or type a Hub id like org/name@v1.0.0")
        if text in sources.bundled_packs():
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
    def _token(self) -> bool | None:
        return False if self.hosted else None

    def _build(self, key: str, source: str, pack: DirectionPack) -> Studio:
        fingerprint = pack.made_for.fingerprint
        generator = self._generators.get(fingerprint, lambda: self._load_generator(pack))
        pack.check_fits(generator)
        renderer = self._renderers.get(fingerprint, lambda: Renderer(generator))
        return Studio(key, pin(source, pack.revision), pack, generator, renderer)

    def _load_generator(self, pack: DirectionPack) -> Generator:
        return sources.generator_for(pack, token=self._token, allow_paths=not self.hosted)


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
