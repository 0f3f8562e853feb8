"""Nothing of a stranger's file is run, and none of them takes all of the memory: weights on the Hub, uploads."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.page_client import PageClient, PageError
from eigan.format import pack_files
from eigan.pack import DirectionPack
from eigan.recipe import PNG_KEY
from tests.ui.conftest import REPOSITORY
from tests.ui.security.attempts import MIB, OWN_MARKER, attempt, call, events
from tests.ui.serving import Running

STRANGERS = Path(os.environ.get("EIGAN_HOSTILE", REPOSITORY.parent / "shared/hostile"))
WEIGHTS = (".pkl", ".pt", ".pth")
MOST = 4 * MIB  # of a file that is tried


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{OWN_MARKER}'",)


def hostile_files(*suffixes: str) -> list[tuple[str, bytes]]:
    """(name, bytes) of files that would run something, or take all the memory, if they were trusted."""
    mine = [("own.pkl", pickle.dumps(Bomb())), ("own.pt", pickle.dumps({"g_ema": Bomb()}))]
    files = sorted(STRANGERS.rglob("*")) if STRANGERS.is_dir() else []
    theirs = [path for path in files if path.is_file() and path.suffix in suffixes and path.stat().st_size < MOST]
    return mine + [(path.name, path.read_bytes()) for path in theirs]


def test_the_marker_appears_where_the_pickle_is_trusted() -> None:
    pickle.loads(pickle.dumps(Bomb()))
    assert OWN_MARKER.exists()
    OWN_MARKER.unlink()


def test_weights_on_the_hub_run_nothing(space: Running, stranger: PageClient, pack: DirectionPack) -> None:
    before = space.memory()
    for number, (name, data) in enumerate(hostile_files(*WEIGHTS)[::2]):
        generator = f"evil/g{number}@v1.0.0:{name}"
        space.hub.store.push(f"evil/g{number}", {name: data}, tag="v1.0.0")
        space.hub.store.push(f"evil/p{number}", pack_for(generator, pack), tag="v1.0.0")
        kind, told = call(space, "edit", pack=f"evil/p{number}@v1.0.0", seed=1)
        assert kind == "error", name
        assert "null" not in told, f"{name}: a sentence says why"
    assert space.memory() - before < 400 * MIB


def test_a_generator_that_is_named_to_be_fitted_runs_nothing(space: Running, stranger: PageClient) -> None:
    try:
        fit = stranger.event_of("fit", "click")
    except KeyError:
        pytest.skip("the page fits no generators")
    for number, (name, data) in enumerate(hostile_files(*WEIGHTS)[::5]):
        space.hub.store.push(f"evil/f{number}", {name: data}, tag="v1.0.0")
        stranger["fit-generator"] = f"evil/f{number}@v1.0.0:{name}"
        with pytest.raises(PageError):
            stranger.run(fit)


def pack_for(generator: str, pack: DirectionPack) -> dict[str, bytes]:
    """The files of a pack that says it was made for `generator`."""
    made_for = replace(pack.made_for, source=generator, fingerprint="0" * len(pack.made_for.fingerprint))
    return pack_files(replace(pack, made_for=made_for, source="", revision=""), {})


def test_uploads_that_would_run_or_burst_are_told(space: Running, stranger: PageClient) -> None:
    before = space.memory()
    files = [*hostile_files(*WEIGHTS, ".npy", ".npz", ".safetensors", ".json")[::3], *bombs()]
    for event, places in events(stranger, "uploadbutton", "file"):
        for name, data in files:
            uploaded = stranger.upload(name, data)
            assert attempt(stranger, event, places, uploaded).startswith("refused"), f"{event['api_name']} took {name}"
    assert space.memory() - before < 300 * MIB


def bombs() -> list[tuple[str, bytes]]:
    """Small files that become large ones where they are believed."""
    many = json.dumps({"eigan_recipe": 2} | {str(i): 1 for i in range(10**5)})
    return [
        ("pixels.png", png(40_000, zlib.compress(bytes(10**6), 9))),
        ("recipe.png", png(8, zlib.compress(bytes(8 * 25)), packed_text(200))),
        ("deep.json", b"[" * 500_000),
        ("many.json", many.encode()),
        ("huge.npy", huge_array()),
    ]


def packed_text(mib: int) -> bytes:
    """A recipe of so many MiB in a few KB, as a PNG's text chunk holds it."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(MIB)) for _ in range(mib)) + packer.flush()
    return PNG_KEY.encode() + b"\0\x01\0\0\0" + packed


def png(size: int, pixels: bytes, text: bytes = b"") -> bytes:
    """A picture that says it is `size` pixels wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
    texts = chunk(b"iTXt", text) if text else b""
    return b"\x89PNG\r\n\x1a\n" + header + texts + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def huge_array() -> bytes:
    """An array that says it has 10^12 numbers."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    return buffer.getvalue() + bytes(64)
