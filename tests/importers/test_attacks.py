"""Small files of directions that ask for much: shared arrays, equal names, endless rows, members that lie elsewhere."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from eigan.errors import CheckpointError, PackFormatError, PackMismatch
from eigan.importers import import_directions, vectors
from eigan.importers.base import unique
from tests.importers.makers import torch_saved, unit_rows
from tests.readers.test_attacks import zip64
from tests.toys import toy_generator

GENERATOR = toy_generator()


def refuse(path: Path, message: str) -> None:
    with pytest.raises((PackFormatError, PackMismatch, CheckpointError), match=message) as error:
        import_directions(path, GENERATOR)
    assert str(error.value).isprintable() and len(str(error.value)) < 1500


@pytest.mark.parametrize("place", [5, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
def test_arrays_that_lie_elsewhere(place: int, tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, unit_rows(4)[:, None])
    (tmp_path / "x.npz").write_bytes(zip64("lat_comp.npy", array.getvalue(), place))
    refuse(tmp_path / "x.npz", "cannot be read|contradict|is not where|claims")


def test_tables_of_endless_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes((b"0," * (2**19 - 8) + b"1\n") * 50)
    refuse(path, "line 1 has 524,281 numbers")
    path.write_bytes((b"0," * 20_000 + b"1\n") * 1000)
    refuse(path, "so far; wanted at most 32,768 and 4,194,304")


def test_a_table_may_hold_as_many_directions_as_a_pack() -> None:
    assert vectors.MAX_TABLE_NUMBERS >= vectors.MAX_DIRECTIONS * 1024


def test_one_array_under_thousands_of_names(tmp_path: Path) -> None:
    walk = np.ones((4096, 512), np.float32)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({f"w_{i}": walk for i in range(1000)}))
    refuse(tmp_path / "x.pkl", "unfold to 8,388,608,000 bytes")


def test_one_network_under_a_thousand_numbers(tmp_path: Path) -> None:
    weight = torch.randn(512, 512)
    state = {f"nets.{i}.linear_1.weight": weight for i in range(1000)}
    refuse(torch_saved(tmp_path / "x.pt", {"model": state}), "unfold to")


def test_walks_of_thousands_of_equal_names(tmp_path: Path) -> None:
    names = ["w_" + "".join("\0\1"[int(bit)] for bit in f"{i:013b}") for i in range(8000)]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(dict.fromkeys(names, np.ones((1, 16), np.float32))))
    refuse(tmp_path / "x.pkl", "8,000 walks; at most 4,096|unfold to")


def test_equal_names_are_told_apart_in_little_time() -> None:
    found = unique(["walk"] * 100_000 + ["walk (2)", "walk"])
    assert found[:2] == ["walk", "walk (2)"] and len(set(found)) == len(found)
    assert max(map(len, unique(["x" * 80] * 1000))) == 80


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<i8"])
def test_arrays_are_read_as_they_are_and_are_the_readers_own(kind: str, fortran: bool, tmp_path: Path) -> None:
    rows = np.arange(1, 49).reshape(3, 16).astype(kind)
    np.savez_compressed(tmp_path / "x.npz", lat_comp=np.asfortranarray(rows) if fortran else rows)
    np.save(tmp_path / "x.npy", np.asfortranarray(rows) if fortran else rows)
    packs = [
        import_directions(tmp_path / name, GENERATOR, names="none" if "npz" in name else None)
        for name in ("x.npz", "x.npy")
    ]
    unit = rows.astype("f8") / np.linalg.norm(rows.astype("f8"), axis=1, keepdims=True)
    for pack in packs:
        assert np.allclose(torch.stack([d.vector for d in pack]).numpy(), unit, atol=1e-6)
