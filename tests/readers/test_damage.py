"""Damaged copies of good files: they load, or they end in a CheckpointError; nothing else."""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError
from eigan.readers.safetensors import CONFIG, WEIGHTS, save_generator
from eigan.readers.torch_file import read_tree
from tests.parity.folders import OWN
from tests.readers.makers import snapshot
from tests.toys import toy_generator

DAMAGE = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)


def saved(form: str, **how: Any) -> bytes:
    """A training snapshot: the toy generator beside an optimizer's state, settings, and tensors of several kinds."""
    state = dict(toy_generator().weights())
    value = {
        "g_ema": state,
        "latent_avg": next(iter(state.values())).half(),
        "g_optim": {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": [{"betas": (0.0, 0.99)}]},
        "args": argparse.Namespace(size=16, lr=0.002, path="x"),
        "rest": [torch.ones(2, 3).t(), torch.ones(4)[1:3], torch.tensor(3)],
    }
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=form == "zip", **how)
    return file.getvalue()


TORCH = {
    "zip": lambda: saved("zip"),
    "zip, protocol 4": lambda: saved("zip", pickle_protocol=4),
    "legacy": lambda: saved("legacy"),
}
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


def try_to_read_all(path: Path) -> None:
    """Every tensor of a file's tree, as importers would."""
    try:
        for leaf in leaves(read_tree(path), 0):
            leaf.read()
    except CheckpointError as error:
        assert len(str(error)) < 1500


def leaves(tree: Any, depth: int) -> Iterator[Any]:
    if hasattr(tree, "read"):
        yield tree
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    for value in inner if depth < 5 else ():
        yield from leaves(value, depth + 1)


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_snapshots(name: str, tmp_path: Path) -> None:
    data, path = SNAPSHOTS[name](), tmp_path / "network.pkl"

    @DAMAGE
    @given(flips, st.none() | st.floats(0, 1))
    def check(places: list[tuple[float, int]], cut: float | None) -> None:
        path.write_bytes(damaged(data, places, cut))
        try_to_load(path)

    check()


@pytest.mark.parametrize("place", ["anywhere", "in the object's pickle", "at the end"])
@pytest.mark.parametrize("name", TORCH)
def test_files_of_torch(name: str, place: str, tmp_path: Path) -> None:
    """Numbers fill most of such a file; the pickle and the zip directory are damaged for themselves too."""
    data, path = TORCH[name](), tmp_path / "model.pt"
    pickled = max(0, data.index(b"g_ema") - 100), data.index(b"rest") + 1500
    part = {"anywhere": (0, len(data)), "in the object's pickle": pickled, "at the end": (len(data) - 6000, len(data))}
    begin, end = part[place]

    @DAMAGE
    @given(flips, st.none() | st.floats(0, 1))
    def check(places: list[tuple[float, int]], cut: float | None) -> None:
        changed = damaged(data[begin:end], places, None)
        whole = data[:begin] + changed + data[end:]
        path.write_bytes(whole if cut is None else whole[: begin + int(cut * (len(whole) - begin))])
        try_to_load(path)
        try_to_read_all(path)

    check()


@pytest.mark.parametrize("name", ["zip", "zip, protocol 4"])
def test_pickles_of_torch_under_good_checksums(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(TORCH[name]())) as made:
        members = {member: made.read(member) for member in made.namelist()}
    path = tmp_path / "model.pt"

    @DAMAGE
    @given(flips)
    def check(places: list[tuple[float, int]]) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in members.items():
                archive.writestr(member, damaged(data, places, None) if member.endswith("data.pkl") else data)
        try_to_load(path)
        try_to_read_all(path)

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
