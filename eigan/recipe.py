"""PictureRecipe: what made a picture. JSON, PNG metadata and share link, and back."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, unquote, urlencode

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import Field

from eigan.errors import InvalidCodes, PackFormatError
from eigan.latents import MAX_SEED
from eigan.pack import MAX_AMOUNT, MAX_NAME, check_number, check_text
from eigan.plain_files import read_plain
from eigan.pose import STILL, Pose
from eigan.strict_json import StrictModel, dump_json, parse_model

PNG_KEY = "eigan"
MAX_RECIPE_BYTES = 256 * 1024
MAX_PNG_BYTES = 64 * 2**20
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNK_FRAME = 12  # length, type and CRC of a chunk
CHUNK_NAMES = 1024  # bytes that an iTXt chunk's language and translated key may take
MAX_CHUNKS = 100_000
MAX_SOURCE = 500
MAX_MOVES = 512


@dataclass(frozen=True)
class PictureRecipe:
    """Everything a picture depends on. amounts: direction name -> sigmas; class_index None for no class; pose: where
    StyleGAN3 draws it.

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

    def __post_init__(self) -> None:
        check_text(self.pack, "pack", MAX_SOURCE, allow_empty=True)
        check_text(self.generator, "generator", MAX_SOURCE, allow_empty=True)
        check_text(self.fingerprint, "fingerprint", 64, allow_empty=True)
        _check_whole(self.seed, "seed", MAX_SEED)
        if self.class_index is not None:
            _check_whole(self.class_index, "class", 10**6)
        psi = check_number(self.truncation_psi, "truncation psi", -5.0, 5.0)
        if len(self.amounts) > MAX_MOVES:
            raise PackFormatError(f"the recipe moves {len(self.amounts)} directions; at most {MAX_MOVES}")
        amounts = {}
        for name, amount in self.amounts.items():
            check_text(name, "direction name", MAX_NAME)
            amounts[name] = check_number(amount, f"amount of {name!r}", -MAX_AMOUNT, MAX_AMOUNT)
        object.__setattr__(self, "truncation_psi", psi)
        object.__setattr__(self, "amounts", {n: a for n, a in amounts.items() if a})

    def to_json(self) -> str:
        """One JSON object, the same recipe always the same text."""
        entry = _RecipeEntry(
            eigan_recipe=1,
            generator=self.generator,
            fingerprint=self.fingerprint,
            pack=self.pack,
            seed=self.seed,
            truncation_psi=self.truncation_psi,
            class_index=self.class_index,
            amounts=dict(self.amounts),
            pose=None if self.pose.is_still else (self.pose.x, self.pose.y, self.pose.angle),
        )
        return dump_json(entry.model_dump(exclude={"pose"} if self.pose.is_still else None)).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> PictureRecipe:
        """The recipe that `text` holds. Raises PackFormatError."""
        data = text.encode(errors="surrogatepass") if isinstance(text, str) else text  # which no UTF-8 is: refused
        values = parse_model(_RecipeEntry, data, "the recipe", MAX_RECIPE_BYTES).model_dump()
        values.pop("eigan_recipe")
        values["pose"] = _read_pose(values["pose"] or ())
        return cls(**values)

    def to_query(self) -> str:
        """The query string of a share link: pack=...&seed=...&psi=...&edit=name:amount,..."""
        values = {"pack": self.pack, "seed": str(self.seed), "psi": repr(self.truncation_psi)}
        if self.class_index is not None:
            values["class"] = str(self.class_index)
        if not self.pose.is_still:
            values["pose"] = f"{self.pose.x!r},{self.pose.y!r},{self.pose.angle!r}"
        if self.amounts:
            # names are quoted on their own first, so that their commas and colons survive the split
            values["edit"] = ",".join(f"{quote(name, safe='')}:{amount!r}" for name, amount in self.amounts.items())
        return urlencode(values, safe=":,/@", quote_via=quote)

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> PictureRecipe:
        """The recipe of a share link's query (already split into decoded values). Raises PackFormatError."""
        text = query.get("edit", "")
        if len(text) > MAX_RECIPE_BYTES:
            raise PackFormatError("the link's edit is too long")
        moves = [move.rpartition(":") for move in text.split(",") if move]
        return cls(
            pack=query.get("pack", ""),
            seed=_read_int(query.get("seed", "0"), "seed"),
            truncation_psi=_read_float(query.get("psi", "1"), "psi"),
            class_index=_read_int(query["class"], "class") if "class" in query else None,
            amounts={unquote(name): _read_float(amount, f"amount of {unquote(name)!r}") for name, _, amount in moves},
            pose=_read_pose([_read_float(part, "pose") for part in query.get("pose", "").split(",")[:4] if part]),
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


class _RecipeEntry(StrictModel):
    eigan_recipe: Literal[1]
    generator: Annotated[str, Field(max_length=MAX_SOURCE)]
    fingerprint: Annotated[str, Field(max_length=64)]
    pack: Annotated[str, Field(max_length=MAX_SOURCE)]
    seed: int
    truncation_psi: float
    class_index: int | None
    amounts: Annotated[dict[str, float], Field(max_length=MAX_MOVES)]
    pose: tuple[float, float, float] | None = None


def _read_pose(parts: Sequence[float]) -> Pose:
    """The pose of x, y and angle; the still one of nothing."""
    if len(parts) not in (0, 3):
        raise PackFormatError(f"the pose has {len(parts)} numbers; wanted three: x, y, angle")
    try:
        return Pose(*parts)
    except InvalidCodes as error:
        raise PackFormatError(str(error)) from None


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
