"""Doors that read a whole file: pipes, devices and bombs are refused at once, and nothing but eigan's errors comes."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import eigan
from eigan.errors import CheckpointError, EiganError, PackFormatError
from eigan.format import MANIFEST, PRESETS, VECTORS
from eigan.plain_files import expanded, read_plain
from eigan.recipe import MAX_RECIPE_BYTES, PictureRecipe, read_png
from hub_export.naming import read_names
from tests.toys import toy_generator, toy_pack

DOORS: list[Callable[[Path], Any]] = [read_png, read_names, lambda path: read_plain(path, 100)]
SPECIAL = ("/dev/zero", "/dev/full", "/proc/self/mem", "/proc/self/maps", "pipe", "loop", "nowhere")


def special(folder: Path, name: str, kind: str) -> Path:
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "loop" else kind)
    return path


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files_are_refused_without_waiting(door: Callable[[Path], Any], kind: str, tmp_path: Path) -> None:
    with pytest.raises(PackFormatError):
        door(special(tmp_path, "x", kind))


@pytest.mark.parametrize("name", [MANIFEST, VECTORS, PRESETS])
@pytest.mark.parametrize("kind", SPECIAL)
def test_packs_with_special_files(name: str, kind: str, tmp_path: Path) -> None:
    toy_pack().save(tmp_path / "pack")
    special(tmp_path / "pack", name, kind)
    with pytest.raises(PackFormatError):
        eigan.DirectionPack.load(tmp_path / "pack")


def test_paths_that_are_none(tmp_path: Path) -> None:
    assert str(expanded("~nosuchuser/x")) == "~nosuchuser/x"
    for path in ("~nosuchuser/x", "\ud800", "x" * 10_000, "a\0b"):
        with pytest.raises(CheckpointError):
            eigan.Checkpoint.open(path)
        with pytest.raises(EiganError):
            eigan.import_directions(path, toy_generator())


# Packs


def saved(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda m: None, **files: bytes) -> Path:
    """A pack with other bytes in its files, which the manifest lists, and a changed manifest."""
    toy_pack().save(folder / "pack")
    path = folder / "pack" / MANIFEST
    manifest = json.loads(path.read_text())
    for name, data in {VECTORS: files.get("vectors"), PRESETS: files.get("presets")}.items():
        if data is not None:
            (folder / "pack" / name).write_bytes(data)
            manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    change(manifest)
    path.write_text(json.dumps(manifest))
    return folder / "pack"


def vectors(dtype: str, item_bits: int) -> bytes:
    size = 16 * item_bits // 8
    header = json.dumps({"0": {"dtype": dtype, "shape": [16], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


@pytest.mark.parametrize(("dtype", "bits"), [("F8_E4M3", 8), ("F8_E8M0", 8), ("F4", 4), ("C64", 64), ("U16", 16)])
def test_vectors_of_other_kinds(dtype: str, bits: int, tmp_path: Path) -> None:
    with pytest.raises(PackFormatError, match=f"dtype {dtype}"):
        eigan.DirectionPack.load(saved(tmp_path, vectors=vectors(dtype, bits)))


def test_hundreds_of_thousands_of_vectors(tmp_path: Path) -> None:
    entries = {str(i): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
    header = json.dumps(entries).encode()
    with pytest.raises(PackFormatError, match="20,000 tensors"):
        eigan.DirectionPack.load(saved(tmp_path, vectors=struct.pack("<Q", len(header)) + header))


def test_millions_of_presets(tmp_path: Path) -> None:
    with pytest.raises(PackFormatError, match="at most"):
        eigan.DirectionPack.load(saved(tmp_path, presets=b'{"presets":[' + b"{}," * 5_000_000 + b"{}]}"))
    with pytest.raises(PackFormatError, match="at most 512"):
        eigan.DirectionPack.load(saved(tmp_path, presets=b'{"presets":[' + b"{}," * 100_000 + b"{}]}"))


@pytest.mark.parametrize("place", ["version", "license", "generator.source", "generator.architecture", "name"])
def test_names_that_steer_a_terminal(place: str, tmp_path: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        owner = manifest["generator"] if "." in place else manifest
        owner[place.rpartition(".")[2]] = "\x1b[31mx"

    with pytest.raises(PackFormatError, match=r"control character U\+001B") as error:
        eigan.DirectionPack.load(saved(tmp_path, change))
    assert str(error.value).isprintable()


def test_a_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path)
    os.truncate(path / VECTORS, 500 * 2**20)
    with pytest.raises(PackFormatError, match="not the file that"):
        eigan.DirectionPack.load(path)


# Pictures


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(*chunks: bytes, size: tuple[int, int] = (1, 1)) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")
    )


def text(content: bytes, *, packed: bool = False, language: bytes = b"") -> bytes:
    content = zlib.compress(content) if packed else content
    return chunk(b"iTXt", b"eigan\0" + bytes([packed, 0]) + language + b"\0\0" + content)


RECIPE = PictureRecipe("heads", 7, amounts={"smile, wide": 2.0})
GOOD = RECIPE.to_json().encode()


@pytest.mark.parametrize(
    "chunks",
    [
        [text(GOOD)],
        [text(GOOD, packed=True)],
        [text(GOOD, language=b"en")],
        [chunk(b"tEXt", b"Title\0x"), chunk(b"iTXt", b"other\0\0\0\0\0x"), text(GOOD)],
        [chunk(b"iCCP", b"n\0\0" + zlib.compress(bytes(10**7))), text(GOOD)],
        [chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), text(GOOD)],
        [text(GOOD), text(b"{}")],
    ],
)
def test_recipes_are_found_among_anything(chunks: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture(*chunks, size=(100_000, 100_000)))
    assert read_png(tmp_path / "x.png") == RECIPE
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))  # cut short before its pixels
    assert read_png(tmp_path / "x.png") == RECIPE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a readable PNG"),
        (picture()[:40], "carries no recipe"),
        (picture(text(b"x" * (50 * 2**20), packed=True)), f"at most {MAX_RECIPE_BYTES:,}"),
        (picture(text(b"x" * (2 * MAX_RECIPE_BYTES))), f"at most {MAX_RECIPE_BYTES:,}"),
        (picture(chunk(b"iTXt", b"eigan\0\1\0\0\0never packed")), "cannot be unpacked"),
        (picture(chunk(b"iTXt", b"eigan\0")), "carries no recipe"),
        (picture(*[chunk(b"tEXt", b"a\0b")] * 1_000_000), "carries no recipe"),
        (picture(struct.pack(">I", 2**32 - 1) + b"iTXteigan\0\0\0\0\0{}"), "the recipe"),
        (picture(text(b'{"\x1b[31m":1}')), "the recipe"),
        (picture(text(b"[" * 100_000)), "nested deeper"),
        (picture(text(b"\xff\xfe{}")), "not UTF-8"),
        (picture(size=(13_000, 13_000)), "carries no recipe"),
    ],
)
def test_pictures_that_lie(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(PackFormatError, match=message) as error:
        read_png(tmp_path / "x.png")
    assert str(error.value).isprintable()


def test_recipes_of_lone_surrogates() -> None:
    with pytest.raises(PackFormatError, match="not UTF-8"):
        PictureRecipe.from_json('{"pack": "\ud800"}')


# Names


@pytest.mark.parametrize(
    "data",
    [
        b"a=" + b"[" * 100_000,
        b"a=" + b"{a=" * 50_000,
        b"a." * 100_000 + b"a=1",
        b"'a' . " * 10_000 + b"a=1",
        b"[" + b"a." * 400_000 + b"a]",
        b"\n".join(b"[a" + b".a" * i + b"]" for i in range(1_200)),
        b"x={" + b"a." * 10_000 + b"a=1}",
        b"x=" + b"9" * 500_000,
        b"x=" + b"1_" * 300_000 + b"1",
        b"[[direction]]\n" * 50_000,
        b'name="x"\n"\\u001b<script>' + b"y" * 5_000 + b'"=1',
        b"\xff",
        b"#" * (2**20 + 1),
    ],
)
def test_files_of_names_that_are_bombs(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(data)
    with pytest.raises(PackFormatError) as error:
        read_names(tmp_path / "x.toml")
    assert str(error.value).isprintable() and len(str(error.value)) < 1500
