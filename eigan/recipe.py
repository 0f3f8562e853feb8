"""PictureRecipe: what made a picture. JSON, PNG metadata and share link, and back."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote, urlencode

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from eigan.errors import InvalidCodes, PackFormatError
from eigan.generators.base import NOISE_MODES, NoiseMode
from eigan.latent_files import MAX_NUMBERS, Latent
from eigan.latents import MAX_SEED
from eigan.layers import MAX_LAYERS, LayerRange
from eigan.pack import MAX_AMOUNT, MAX_NAME, check_number, check_text
from eigan.plain_files import read_plain
from eigan.pose import STILL, Pose
from eigan.strict_json import StrictModel, dump_json, parse_model

PNG_KEY = "eigan"
RECIPE_VERSION = 2
"""1: one pack, a seed. 2: further packs, layers, directions kept, the noise mode, a latent. A recipe that uses none of
these is written as version 1, for every eigan; one that does is refused by an older eigan, which could not draw it."""

ADDED = ("further", "layers", "keep", "noise_mode", "latent")  # by version 2; written where they are used
MAX_RECIPE_BYTES = 2**20  # the longest names that a recipe takes, three times over, and the largest latent
MAX_PNG_BYTES = 64 * 2**20
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNK_FRAME = 12  # length, type and CRC of a chunk
CHUNK_NAMES = 1024  # bytes that an iTXt chunk's language and translated key may take
MAX_CHUNKS = 100_000
MAX_SOURCE = 500
MAX_MOVES = 512
MAX_FURTHER = 8


@dataclass(frozen=True)
class PictureRecipe:
    """Everything a picture depends on. amounts: direction name -> sigmas; class_index None for no class; pose: where
    StyleGAN3 draws it.

    further: sources of packs of the same generator; names are those of `eigan.combine` of `pack` and them, in order.
    layers: direction name -> the layers that it moves, or is kept on, in place of its own; names that the recipe
    neither moves nor keeps are dropped. keep: directions whose coordinates the edit leaves alone (`eigan.keep`).
    latent: codes to start from; seed, psi and class then mean nothing.

    Raises:
        PackFormatError: a value out of range, or text that is too long or not printable.
    """

    pack: str
    seed: int
    truncation_psi: float = 1.0
    class_index: int | None = None
    amounts: Mapping[str, float] = field(default_factory=dict)
    generator: str = ""
    fingerprint: str = ""
    pose: Pose = STILL
    further: tuple[str, ...] = ()
    layers: Mapping[str, LayerRange] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    noise_mode: NoiseMode = "const"
    latent: Latent | None = None

    def __post_init__(self) -> None:
        check_text(self.pack, "pack", MAX_SOURCE, allow_empty=True)
        check_text(self.generator, "generator", MAX_SOURCE, allow_empty=True)
        check_text(self.fingerprint, "fingerprint", 64, allow_empty=True)
        _check_whole(self.seed, "seed", MAX_SEED)
        if self.class_index is not None:
            _check_whole(self.class_index, "class", 10**6)
        if self.noise_mode not in NOISE_MODES:
            raise PackFormatError(f"noise mode is {self.noise_mode!r}; wanted {' or '.join(NOISE_MODES)}")
        _check_count(self.amounts, "moves", "directions", MAX_MOVES)
        amounts = {}
        for name, amount in self.amounts.items():
            check_text(name, "direction name", MAX_NAME)
            amounts[name] = check_number(amount, f"amount of {name!r}", -MAX_AMOUNT, MAX_AMOUNT)
        checked = {
            "truncation_psi": check_number(self.truncation_psi, "truncation psi", -5.0, 5.0),
            "amounts": {n: a for n, a in amounts.items() if a},
            "further": _check_texts(self.further, "opens", "further packs", MAX_FURTHER, "further pack", MAX_SOURCE),
            "keep": _check_texts(self.keep, "keeps", "directions", MAX_MOVES, "direction name", MAX_NAME),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "layers", self._checked_layers())

    def _checked_layers(self) -> dict[str, LayerRange]:
        _check_count(self.layers, "sets the layers of", "directions", MAX_MOVES)
        for name, layers in self.layers.items():
            check_text(name, "direction name", MAX_NAME)
            if not isinstance(layers, LayerRange):
                raise PackFormatError(f"layers of {name!r} are {type(layers).__name__}; wanted a LayerRange")
        return {name: layers for name, layers in self.layers.items() if name in self.amounts or name in self.keep}

    @property
    def version(self) -> int:
        """Of the JSON that this recipe is written as: the lowest that says all of it."""
        return 2 if any(getattr(self, name) not in ((), {}, "const", None) for name in ADDED) else 1

    def to_json(self) -> str:
        """One JSON object, the same recipe always the same text."""
        entry = _RecipeEntry(
            eigan_recipe=self.version,
            generator=self.generator,
            fingerprint=self.fingerprint,
            pack=self.pack,
            seed=self.seed,
            truncation_psi=self.truncation_psi,
            class_index=self.class_index,
            amounts=dict(self.amounts),
            pose=None if self.pose.is_still else (self.pose.x, self.pose.y, self.pose.angle),
            further=self.further or None,
            layers={name: (layers.start, layers.stop) for name, layers in self.layers.items()} or None,
            keep=self.keep or None,
            noise_mode=None if self.noise_mode == "const" else self.noise_mode,
            latent=None if self.latent is None else _LatentEntry.of(self.latent),
        )
        unused = {name for name in ("pose", *ADDED) if getattr(entry, name) is None}
        return dump_json(entry.model_dump(exclude=unused)).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> PictureRecipe:
        """The recipe that `text` holds, of any version. Raises PackFormatError."""
        data = text.encode(errors="surrogatepass") if isinstance(text, str) else text  # which no UTF-8 is: refused
        entry = parse_model(_RecipeEntry, data, "the recipe", MAX_RECIPE_BYTES)
        added = [name for name in ADDED if name in entry.model_fields_set]
        if entry.eigan_recipe == 1 and added:
            raise PackFormatError(f"the recipe is of version 1, which has no {added[0]!r}; the file is damaged")
        return cls(
            pack=entry.pack,
            seed=entry.seed,
            truncation_psi=entry.truncation_psi,
            class_index=entry.class_index,
            amounts=entry.amounts,
            generator=entry.generator,
            fingerprint=entry.fingerprint,
            pose=_read_pose(entry.pose or ()),
            further=entry.further or (),
            layers={name: LayerRange(*ends) for name, ends in (entry.layers or {}).items()},
            keep=entry.keep or (),
            noise_mode=entry.noise_mode or "const",
            latent=None if entry.latent is None else entry.latent.read(),
        )

    def to_query(self) -> str:
        """The query string of a share link: pack=...&seed=...&psi=...&edit=name:amount,...&layers=name:8-9,...

        Raises:
            PackFormatError: the recipe starts from a latent, which no link is long enough for.
        """
        if self.latent is not None:
            raise PackFormatError(
                "this picture starts from a latent of its own, which no link can hold; share the PNG, which has the "
                "recipe in it, or the .json"
            )
        values = {"pack": self.pack, "seed": str(self.seed), "psi": repr(self.truncation_psi)}
        if self.class_index is not None:
            values["class"] = str(self.class_index)
        if not self.pose.is_still:
            values["pose"] = f"{self.pose.x!r},{self.pose.y!r},{self.pose.angle!r}"
        # names are quoted on their own first, so that their commas and colons survive the split
        if self.amounts:
            values["edit"] = ",".join(f"{quote(name, safe='')}:{amount!r}" for name, amount in self.amounts.items())
        if self.further:
            values["with"] = ",".join(quote(source, safe="/@") for source in self.further)
        if self.layers:
            values["layers"] = ",".join(f"{quote(name, safe='')}:{layers}" for name, layers in self.layers.items())
        if self.keep:
            values["keep"] = ",".join(quote(name, safe="") for name in self.keep)
        if self.noise_mode != "const":
            values["noise"] = self.noise_mode
        return urlencode(values, safe=":,/@", quote_via=quote)

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> PictureRecipe:
        """The recipe of a share link's query (already split into decoded values). Raises PackFormatError."""
        return cls(
            pack=query.get("pack", ""),
            seed=_read_int(query.get("seed", "0"), "seed"),
            truncation_psi=_read_float(query.get("psi", "1"), "psi"),
            class_index=_read_int(query["class"], "class") if "class" in query else None,
            amounts={name: _read_float(text, f"amount of {name!r}") for name, text in _read_pairs(query, "edit")},
            pose=_read_pose([_read_float(part, "pose") for part in query.get("pose", "").split(",")[:4] if part]),
            further=tuple(unquote(source) for source in _read_parts(query, "with")),
            layers={name: _read_layers(text, name) for name, text in _read_pairs(query, "layers")},
            keep=tuple(unquote(name) for name in _read_parts(query, "keep")),
            noise_mode=query.get("noise", "const"),  # type: ignore[arg-type]  # checked when it is made
        )


def write_png(image: Image.Image, recipe: PictureRecipe, target: Path | BytesIO) -> None:
    """`image` as PNG with the recipe in its metadata (iTXt chunk "eigan")."""
    info = PngInfo()
    info.add_itxt(PNG_KEY, recipe.to_json())
    image.save(target, format="PNG", pnginfo=info)


def read_png(path: Path) -> PictureRecipe:
    """The recipe inside a PNG that `write_png` wrote; the pixels are not decoded.

    Raises:
        PackFormatError: not a PNG, too large, or it carries no recipe.
    """
    data = read_plain(path, MAX_PNG_BYTES)
    if not data.startswith(PNG_SIGNATURE):
        raise PackFormatError(f"{path.name} is not a readable PNG; give a picture as it was downloaded from eigan")
    text = next((found for kind, chunk in png_chunks(data) if (found := recipe_text(kind, chunk)) is not None), None)
    if text is None:
        raise PackFormatError(f"{path.name} carries no recipe; only pictures downloaded from eigan do")
    return PictureRecipe.from_json(text)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """(type, contents) of a PNG's chunks; a damaged end ends them (PNG specification, section 5.3)."""
    view, place = memoryview(data), len(PNG_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if place + CHUNK_FRAME > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, view[place + 8 : place + 8 + length]
        place += CHUNK_FRAME + length


def recipe_text(kind: bytes, chunk: memoryview) -> bytes | None:
    """The recipe's JSON in an iTXt chunk (section 11.3.4.5); None in any other.

    Raises:
        PackFormatError: compressed text that is damaged, or larger than any recipe.
    """
    start = PNG_KEY.encode() + b"\0"
    if kind != b"iTXt" or chunk[: len(start)] != start:
        return None
    head = bytes(chunk[len(start) : len(start) + MAX_RECIPE_BYTES + CHUNK_NAMES])  # two flags, two names with a 0 each
    parts = head[2:].split(b"\0", 2)
    if len(parts) < 3:
        return None
    if not head[0]:
        return parts[2]
    try:
        return zlib.decompressobj().decompress(parts[2], MAX_RECIPE_BYTES + 1)
    except zlib.error as error:
        raise PackFormatError(f"the recipe in the picture cannot be unpacked ({error}); download it again") from None


def _check_version(version: int) -> int:
    if not 1 <= version <= RECIPE_VERSION:
        raise PydanticCustomError(
            "version",
            "the recipe is of another version; this eigan reads 1 to {newest}. Upgrade eigan.",
            {"newest": RECIPE_VERSION},
        )
    return version


class _LatentEntry(StrictModel):
    shape: tuple[int, int]
    data: Annotated[str, Field(max_length=4 * (4 * MAX_NUMBERS // 3 + 1))]

    @classmethod
    def of(cls, latent: Latent) -> _LatentEntry:
        return cls(shape=latent.shape, data=base64.b64encode(latent.data).decode())

    def read(self) -> Latent:
        try:
            data = base64.b64decode(self.data.encode(), validate=True)
        except (binascii.Error, ValueError):
            raise PackFormatError("the recipe's latent is not base64; the file is damaged") from None
        return Latent(self.shape, data)


class _RecipeEntry(StrictModel):
    eigan_recipe: Annotated[int, AfterValidator(_check_version)]
    generator: Annotated[str, Field(max_length=MAX_SOURCE)]
    fingerprint: Annotated[str, Field(max_length=64)]
    pack: Annotated[str, Field(max_length=MAX_SOURCE)]
    seed: int
    truncation_psi: float
    class_index: int | None
    amounts: Annotated[dict[str, float], Field(max_length=MAX_MOVES)]
    pose: tuple[float, float, float] | None = None
    further: Annotated[tuple[str, ...], Field(max_length=MAX_FURTHER)] | None = None
    layers: Annotated[dict[str, tuple[int, int]], Field(max_length=MAX_MOVES)] | None = None  # half-open, as in packs
    keep: Annotated[tuple[str, ...], Field(max_length=MAX_MOVES)] | None = None
    noise_mode: NoiseMode | None = None
    latent: _LatentEntry | None = None


def _read_pose(parts: Sequence[float]) -> Pose:
    """The pose of x, y and angle; the still one of nothing."""
    if len(parts) not in (0, 3):
        raise PackFormatError(f"the pose has {len(parts)} numbers; wanted three: x, y, angle")
    try:
        return Pose(*parts)
    except InvalidCodes as error:
        raise PackFormatError(str(error)) from None


def _read_parts(query: Mapping[str, str], key: str) -> list[str]:
    """The parts of a query's value that commas separate, still quoted; none of an empty one."""
    text = query.get(key, "")
    if len(text) > MAX_RECIPE_BYTES:
        raise PackFormatError(f"the link's {key} is too long")
    return [part for part in text.split(",") if part]


def _read_pairs(query: Mapping[str, str], key: str) -> list[tuple[str, str]]:
    """name:value,name:value -> the pairs, names unquoted."""
    moves = [part.rpartition(":") for part in _read_parts(query, key)]
    return [(unquote(name), value) for name, _, value in moves]


def _read_layers(text: str, name: str) -> LayerRange:
    if text.strip().lower() == "all":  # of how many, a link does not know
        raise PackFormatError(f"layers of {name!r} are 'all'; say them in numbers, as in '0-17', or leave them out")
    return LayerRange.parse(text, MAX_LAYERS)


def _check_count(values: Sized, verb: str, noun: str, most: int) -> None:
    if len(values) > most:
        raise PackFormatError(f"the recipe {verb} {len(values)} {noun}; at most {most}")


def _check_texts(values: Sequence[str], verb: str, nouns: str, most: int, noun: str, longest: int) -> tuple[str, ...]:
    """`values` without repetitions, checked: a pack opened twice or a direction kept twice adds nothing."""
    if isinstance(values, str):
        raise PackFormatError(f"{nouns} are given as one text, {values[:40]!r}; give a list of them")
    _check_count(values, verb, nouns, most)
    return tuple(dict.fromkeys(check_text(value, noun, longest) for value in values))


def _check_whole(value: object, noun: str, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= high:
        raise PackFormatError(f"{noun} is {value!r}; wanted a whole number from 0 to {high}")


def _read_int(text: str, noun: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise PackFormatError(f"{noun} is {text[:40]!r}; wanted a whole number")
    return int(text)


def _read_float(text: str, noun: str) -> float:
    try:
        return check_number(float(text[:40]), noun, -1e6, 1e6)
    except ValueError:
        raise PackFormatError(f"{noun} is {text[:40]!r}; wanted a number") from None
