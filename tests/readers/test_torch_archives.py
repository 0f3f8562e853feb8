"""Zip archives that lie: about names, sizes, places, checksums and what they are."""

from __future__ import annotations

import io
import struct
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
import torch

from eigan.errors import CheckpointError
from eigan.readers import read_checkpoint, torch_legacy, torch_zip
from eigan.readers.torch_file import read_tree
from tests.readers.torch_makers import (
    FOUR,
    STATE,
    refuse,
    state,
    storage,
    tensor,
    zipped,
)

# Archives


GOOD = zipped(state(tensor()))


def directory_at(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, len(data) - 6)[0])


def entry_at(data: bytes, name: bytes) -> int:
    """Where the directory's entry of a member begins."""
    return data.index(name, directory_at(data)) - 46


def patched(name: bytes, place: int, form: str, value: int, *, local: bool = False) -> bytes:
    """GOOD with a field of a member's entry in the directory, or of its local header, replaced."""
    data = bytearray(GOOD)
    begin = data.index(name) - 30 if local else entry_at(GOOD, name)
    struct.pack_into(form, data, begin + place, value)
    return bytes(data)


def ended(place: int, form: str, value: int, data: bytes = GOOD) -> bytes:
    """`data` with a field of its last record replaced."""
    changed = bytearray(data)
    struct.pack_into(form, changed, len(data) - 22 + place, value)
    return bytes(changed)


def deflated() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/data.pkl", state(tensor(stored=storage(numel=2**24))))
        made.writestr("a/data/0", bytes(2**26))
    return file.getvalue()


def twice() -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as made:
        warnings.simplefilter("ignore")
        for name in ("a/data.pkl", "a/data/0", "a/data/0"):
            made.writestr(name, state(tensor()) if name.endswith("pkl") else FOUR)
    return file.getvalue()


def two_roots() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in ("a/data.pkl", "b/data.pkl"):
            made.writestr(name, state())
    return file.getvalue()


def wide(count: int, length: int, offset: int) -> bytes:
    """GOOD with a 64-bit directory record that says so."""
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, offset)
    return GOOD[:-22] + record + struct.pack("<4sIQI", b"PK\x06\x07", 0, len(GOOD) - 22, 1) + GOOD[-22:]


DIRECTORY = directory_at(GOOD)
ARCHIVES = {
    "empty": (GOOD[-22:], "an empty zip archive"),
    "cut": (GOOD[:-1], "no directory at its end"),
    "cut in half": (GOOD[: len(GOOD) // 2], "no directory at its end"),
    "head alone": (GOOD[:50], "no directory at its end"),
    "four bytes": (GOOD[:4], "no directory at its end"),
    "more after the end": (GOOD + b"\0", "no directory at its end"),
    "something before": (b"PK\x03\x04" + GOOD, "not where its end says|no torch|cannot be read"),
    "a comment": (ended(20, "<H", 3) + b"abc", "no directory at its end"),
    "directory too early": (ended(16, "<I", DIRECTORY - 1), "not where its end says"),
    "directory too long": (ended(12, "<I", 2**32 - 1), "wanted at most"),
    "count too high": (ended(10, "<H", 2**16 - 1), "wanted at most"),
    "wide: count": (wide(2**40, len(GOOD) - 22 - DIRECTORY, DIRECTORY), "lists 1,099,511,627,776 members"),
    "wide: length": (wide(3, 2**63, DIRECTORY), "wanted at most"),
    "wide: place": (wide(3, len(GOOD) - 22 - DIRECTORY, 2**63), "not where its end says"),
    "wide: no record": (GOOD[:-22] + struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1) + GOOD[-22:], "64-bit directory"),
    "garbage in the directory": (GOOD[:DIRECTORY] + b"x" + GOOD[DIRECTORY + 1 :], "directory cannot be read"),
    "encrypted": (patched(b"archive/data/0", 8, "<H", 1), "encrypted"),
    "encrypted, locally": (patched(b"archive/data/0", 6, "<H", 1, local=True), "contradict"),
    "compressed, locally": (patched(b"archive/data/0", 8, "<H", 8, local=True), "contradict"),
    "another compression": (patched(b"archive/data/0", 10, "<H", 99), "compressed"),
    "size": (patched(b"archive/data/0", 24, "<I", 15), "compressed"),
    "declared huge": (patched(b"archive/data/0", 24, "<I", 2**32 - 16), "compressed"),
    "place": (patched(b"archive/data/0", 42, "<I", 1), "not where the directory says"),
    "place at the end": (patched(b"archive/data/0", 42, "<I", len(GOOD) - 1), "claims 16 bytes"),
    "place far off": (patched(b"archive/data/0", 42, "<I", 2**32 - 2), "claims 16 bytes"),
    "the pickle's place is the tensor's": (
        patched(b"archive/data/0", 42, "<I", 0), "not where the directory says",
    ),
    "local name": (patched(b"archive/data/0", 30, "<B", ord("x"), local=True), "contradict"),
    "local name's length": (patched(b"archive/data/0", 26, "<H", 2**16 - 1, local=True), "not where the directory"),
    "local extra": (patched(b"archive/data/0", 28, "<H", 2**16 - 1, local=True), "not where the directory"),
    "CRC": (patched(b"archive/data/0", 16, "<I", 7), "do not match their CRC"),
    "CRC of the pickle": (patched(b"archive/data.pkl", 16, "<I", 7), "do not match their CRC"),
    "flipped": (GOOD.replace(FOUR, FOUR[:-1] + b"\0"), "do not match their CRC"),
    "deflated bomb": (deflated(), "is compressed"),
    "a name twice": (twice(), "names a member twice"),
    "two pickles": (zipped(state(tensor()), {"data/0": FOUR, "../b/data.pkl": b"N."}), "outside itself"),
    "two roots": (two_roots(), "has not one folder with a data.pkl"),
    "absolute": (zipped(state(tensor()), root="/archive"), "outside itself"),
    "up": (zipped(state(tensor()), {"data/0": FOUR, "../../x": b""}), "outside itself"),
    "drive": (zipped(state(tensor()), root="C:"), "outside itself"),
    "backslash": (zipped(state(tensor()), {"data/0": FOUR, "..\\x": b""}), "outside itself"),
    "control characters": (zipped(state(tensor()), {"data/0": FOUR, "\x1b[31m": b""}), "member named"),
    "a long name": (zipped(state(tensor()), {"data/0": FOUR, "x" * 600: b""}), "member named"),
    "big-endian": (zipped(state(tensor()), byteorder=b"big"), "big-endian"),
    "long byteorder": (zipped(state(tensor()), byteorder=b"little" * 9), "wanted at most 16"),
    "TorchScript": (zipped(state(tensor()), {"data/0": FOUR, "constants.pkl": b"N."}), "TorchScript"),
    "TorchScript's code": (zipped(state(tensor()), {"data/0": FOUR, "code/__torch__.py": b""}), "TorchScript"),
    "after the pickle": (zipped(state(tensor()) + b"N."), "2 bytes follow"),
    "a deep pickle": (zipped(b"\x80\x02" + b"(" * 1000), "nested deeper"),
    "many members": (zipped(state(tensor()), {f"data/{i}": b"" for i in range(21_000)}), "lists 21,002"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_lie(name: str, tmp_path: Path) -> None:
    data, message = ARCHIVES[name]
    began = time.process_time()
    refuse(data, tmp_path, message)
    assert time.process_time() - began < 2


def test_a_64_bit_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(wide(3, len(GOOD) - 22 - DIRECTORY, DIRECTORY))
    assert torch.equal(read_checkpoint(tmp_path / "x.pt").weights["w0"], torch.tensor([1.0, 2, 3, 4]))


def test_a_large_pickle_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_zip, "MAX_PICKLE", 100)
    refuse(zipped(state(tensor())), tmp_path, "wanted at most 100")


def test_many_storages_of_a_legacy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_legacy, "MAX_STORAGES", 3)
    torch.save({f"w{i}": torch.ones(1) for i in range(4)}, tmp_path / "x", _use_new_zipfile_serialization=False)
    refuse((tmp_path / "x").read_bytes(), tmp_path, "too many")


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "part"])
def test_a_part_of_a_member_is_checked_with_all_of_it(whole: bool, tmp_path: Path) -> None:
    """A flipped byte outside the part that is read is found too."""
    stored = torch.arange(1000.0)
    torch.save({"w": stored if whole else stored[:10]}, tmp_path / "x.pt")
    data = bytearray((tmp_path / "x.pt").read_bytes())
    data[data.index(struct.pack("<f", 999.0))] ^= 1
    refuse(bytes(data), tmp_path, "do not match their CRC")


def test_members_that_overlap_cost_no_more_than_the_file(tmp_path: Path) -> None:
    """A thousand storages at one place of the file: refused before any is read."""
    member = bytes(2**20)
    made, count = zipped(state(*(tensor((262144,), stored=storage(f"{i}", 2**18)) for i in range(500))), {}), 500
    file = io.BytesIO(made)
    with zipfile.ZipFile(file, "a") as opened:
        opened.writestr("archive/data/0", member)
        first = opened.infolist()[-1]
        for i in range(1, count):
            info = zipfile.ZipInfo(f"archive/data/{i}")
            info.header_offset, info.file_size, info.compress_size = first.header_offset, 2**20, 2**20
            info.CRC = zlib.crc32(member)
            opened.filelist.append(info)
    refuse(file.getvalue(), tmp_path, "unfold to")


def test_d_and_optimizers_are_never_read(tmp_path: Path) -> None:
    torch.save({"g_ema": STATE, "d": {"x": torch.full((1000,), 7.0)}}, tmp_path / "x.pt")
    data = (tmp_path / "x.pt").read_bytes().replace(struct.pack("<f", 7.0), b"\xff" * 4)
    (tmp_path / "x.pt").write_bytes(data)  # its CRC is wrong now, and nobody looks
    assert torch.equal(read_checkpoint(tmp_path / "x.pt").weights["a.weight"], STATE["a.weight"])
    with pytest.raises(CheckpointError, match="CRC"):
        read_tree(tmp_path / "x.pt")["d"]["x"].read()


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("up", "absolute", "a name twice", "TorchScript's code"):
        refuse(ARCHIVES[name][0], tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["here", "x.pt"]
