"""NumPy's containers: what numpy writes is read back bit for bit, what lies about itself is refused."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigan import import_directions
from eigan.errors import CheckpointError, PackFormatError
from eigan.importers import numpy_files
from eigan.importers.numpy_files import open_npy, open_npz
from tests.importers.makers import components, saved, unit_rows
from tests.toys import toy_generator

DTYPES = ["<f4", ">f4", "<f8", "<f2", "<i8", "<i4", "|i1", "|u1", ">u2"]
GENERATOR = toy_generator()


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    dtype=st.sampled_from(DTYPES),
    fortran=st.booleans(),
    compressed=st.booleans(),
)
def test_arrays_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], dtype: str, fortran: bool, compressed: bool
) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    array = np.asarray(np.random.default_rng(0).integers(0, 100, shape), order="F" if fortran else "C").astype(dtype)
    np.save(folder / "a.npy", array)
    (np.savez_compressed if compressed else np.savez)(folder / "a.npz", one=array, two=array)
    for found in (open_npy(folder / "a.npy"), *open_npz(folder / "a.npz").values()):
        assert found.shape == array.shape
        assert np.array_equal(found.read(), array) and found.read().dtype == array.dtype


def header(text: bytes, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"\x93NUMPY",
        header(b""),
        header(b"{"),
        header(b"(" * 900),
        header(b"[" * 60 + b"]" * 60),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", b"\0" * 8),
        header(b"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", b"\0" * 8),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}", b"\0" * 4),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", b"\0" * 4),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}", b"\0" * 8),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", b"\0" * 8),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", b"\0" * 8),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}", b"\0" * 4),
        header(b"{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}", b"\0" * 16),
        header(b"{'descr': '<f4\\n', 'fortran_order': False, 'shape': (1,)}", b"\0" * 4),
        header(b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", b"\0" * 4),
        header(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\0" * 8),
        header(b"{'descr': '<M8', 'fortran_order': False, 'shape': (1,)}", b"\0" * 8),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", b"\0" * 8, b"\4\0"),
    ],
    ids=range(19),
)
def test_headers_that_lie_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(PackFormatError):
        open_npy(tmp_path / "x.npy")


def test_more_members_than_directions_have_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{f"a{i}": np.zeros(1) for i in range(65)})
    with pytest.raises(PackFormatError, match="65 members"):
        open_npz(tmp_path / "x.npz")


def test_members_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    path = components(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(PackFormatError, match="readme"):
        open_npz(path)


def test_a_member_larger_than_any_array_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = components(tmp_path)
    monkeypatch.setattr(numpy_files, "MAX_ARRAY_BYTES", 8)
    monkeypatch.setattr(numpy_files, "MAX_HEADER", 8)
    with pytest.raises(PackFormatError, match="at most 8"):
        open_npz(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_numpy_does_not_use_is_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", method) as archive:
        archive.write(saved(tmp_path / "a.npy", unit_rows(1)), "lat_comp.npy")
    with pytest.raises(PackFormatError, match="compressed"):
        open_npz(tmp_path / "x.npz")


@settings(max_examples=150)
@given(data=st.data())
def test_any_damage_is_a_clean_error_or_none(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """One byte of a component file changed, or its end cut off: refused, or read as a pack that holds together."""
    folder = tmp_path_factory.mktemp("damage")
    good = components(folder).read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    changed = data.draw(st.one_of(st.just(None), st.integers(1, 255)))
    bad = good[:place] if changed is None else good[:place] + bytes([good[place] ^ changed]) + good[place + 1 :]
    (folder / "x.npz").write_bytes(bad)
    try:
        pack = import_directions(folder / "x.npz", GENERATOR)
    except (PackFormatError, CheckpointError):
        return
    assert len(pack) == 4
