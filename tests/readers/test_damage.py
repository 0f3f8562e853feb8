"""Damaged copies of good files: they load, or they end in a CheckpointError; nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError
from eigan.readers.safetensors import CONFIG, WEIGHTS, save_generator
from tests.parity.folders import OWN
from tests.readers.makers import snapshot
from tests.toys import toy_generator

DAMAGE = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)
SNAPSHOTS = {
    "protocol 2": lambda: snapshot(toy_generator(), 2),
    "protocol 4": lambda: snapshot(toy_generator(), 4),
    "genuine": (OWN / "sg2ada-orig-gray-32/network.pkl").read_bytes,
}


def damaged(data: bytes, places: list[tuple[float, int]], cut: float | None) -> bytes:
    """`data` with bytes replaced at the given fractions of its length, and cut at one."""
    changed = bytearray(data)
    for place, byte in places:
        changed[int(place * len(changed))] = byte
    return bytes(changed if cut is None else changed[: int(cut * len(changed))])


def try_to_load(path: Path) -> None:
    try:
        Checkpoint.open(path).build()
    except CheckpointError as error:
        assert len(str(error)) < 1500


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_snapshots(name: str, tmp_path: Path) -> None:
    data, path = SNAPSHOTS[name](), tmp_path / "network.pkl"

    @DAMAGE
    @given(flips, st.none() | st.floats(0, 1))
    def check(places: list[tuple[float, int]], cut: float | None) -> None:
        path.write_bytes(damaged(data, places, cut))
        try_to_load(path)

    check()


@pytest.mark.parametrize("file", [WEIGHTS, CONFIG])
def test_folders(file: str, tmp_path: Path) -> None:
    save_generator(toy_generator(), tmp_path / "g")
    path = tmp_path / "g" / file
    data = path.read_bytes()
    part = 1.0 if file == CONFIG else 0.05  # most of the header, where damage matters

    @DAMAGE
    @given(flips, st.none() | st.floats(0, 1))
    def check(places: list[tuple[float, int]], cut: float | None) -> None:
        path.write_bytes(damaged(data, [(place * part, byte) for place, byte in places], cut))
        try_to_load(tmp_path / "g")

    check()


@given(st.binary(max_size=200))
@DAMAGE
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    for start in (b"", b"\x80\x04", b"\x80\x02}"):
        (tmp_path / "x").write_bytes(start + data)
        try_to_load(tmp_path / "x")
