"""Files of torch.save that lie: pickles that run, archives whose directory is wrong, tensors that cannot be."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError, UnsafeCheckpoint
from eigan.readers import archive, read_checkpoint
from eigan.readers.torch_file import read_tree
from tests.readers.makers import Call, dumps, short_text
from tests.readers.torch_makers import (
    legacy,
    refuse,
    state,
    storage,
    tensor,
    zipped,
)

MARKER = Path("/tmp/eigan-pwned/own-torch")
COMMAND = f"mkdir -p {MARKER.parent}; touch {MARKER}"


@pytest.fixture(autouse=True)
def nothing_runs() -> Iterator[None]:
    MARKER.unlink(missing_ok=True)
    yield
    assert not MARKER.exists()


def test_the_makers_make_good_files(tmp_path: Path) -> None:
    for data in (zipped(state(tensor())), legacy(state(tensor(stored=storage("0", 4, "FloatStorage", "torch", None))))):
        (tmp_path / "x.pt").write_bytes(data)
        assert torch.equal(read_checkpoint(tmp_path / "x.pt").weights["w0"], torch.tensor([1.0, 2, 3, 4]))
        assert torch.equal(torch.load(tmp_path / "x.pt", weights_only=False)["w0"], torch.tensor([1.0, 2, 3, 4]))


# Pickles


def plain(pickled: bytes) -> dict[str, bytes]:
    return {"zip": zipped(pickled), "legacy": legacy(pickled)}


RUN = b"cos\nsystem\n" + short_text(COMMAND) + b"\x85R"
UNSAFE = {
    "call": b"\x80\x02" + RUN + b".",
    "in the state": state(RUN),
    "as a storage type": state(tensor(stored=storage(kind="system", module="os"))),
    "in OrderedDict's attributes": b"\x80\x02ccollections\nOrderedDict\n)R}" + short_text("_metadata") + RUN + b"sb.",
    "in a Namespace": b"\x80\x02cargparse\nNamespace\n)\x81}" + short_text("a") + RUN + b"sb.",
    "as a Namespace's state": b"\x80\x02cargparse\nNamespace\n)\x81" + short_text("a") + b"b.",
    "a Namespace with arguments": b"\x80\x02cargparse\nNamespace\n" + short_text("a") + b"\x85\x81.",
    "a class near an allowed one": b"\x80\x02cargparse\nArgumentParser\n)\x81.",
    "a config class elsewhere": b"\x80\x02cmodels.utils.config\nConfig\n)\x81.",
    "torch.load": b"\x80\x02ctorch\nload\n" + short_text("x") + b"\x85R.",
    "tensors of storages inside the pickle": dumps(Call("torch.storage", "_load_from_bytes", b"x"), 2),
    "NVIDIA's persistence": dumps(Call("torch_utils.persistence", "_reconstruct_persistent_obj", {}), 2),
    "a called storage type": b"\x80\x02ctorch\nFloatStorage\nK\x04\x85R.",
    "defaultdict of a function": b"\x80\x02ccollections\ndefaultdict\nccollections\nOrderedDict\n\x85R.",
    "Counter of a list": b"\x80\x02ccollections\nCounter\n]\x85R.",
    "Size of text": b"\x80\x02ctorch\nSize\n(" + short_text("x") + b"t\x85R.",
    "device of a dict": b"\x80\x02ctorch\ndevice\n}\x85R.",
    "a persistent id of text": b"\x80\x02" + short_text("storage") + b"Q.",
    "a persistent id of another kind": b"\x80\x02(" + short_text("module") + b"NtQ.",
    "a persistent id whose type is text": b"\x80\x02(" + short_text("storage") * 4 + b"K\x01tQ.",
    "a persistent id with a number as key": b"\x80\x02("
    + short_text("storage") + b"ctorch\nFloatStorage\nK\x00" + short_text("cpu") + b"K\x01tQ.",
    "a persistent id that is true elements long": state(tensor(stored=storage(numel="x"))),
    "complex numbers": state(tensor(stored=storage(kind="ComplexFloatStorage"))),
    "quantised numbers": state(tensor(stored=storage(kind="QInt8Storage"))),
}  # fmt: skip


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("name", UNSAFE)
def test_what_could_run_is_refused_by_name(name: str, form: str, tmp_path: Path) -> None:
    error = refuse(plain(UNSAFE[name])[form], tmp_path)
    assert isinstance(error, UnsafeCheckpoint)
    with pytest.raises(UnsafeCheckpoint):
        read_tree(tmp_path / "x.pt")


@pytest.mark.parametrize("place", ["magic", "version", "system", "keys"])
def test_every_pickle_of_a_legacy_file_is_watched(place: str, tmp_path: Path) -> None:
    evil = Call("os", "system", COMMAND)
    made = legacy(state(), **{place: evil}) if place != "keys" else legacy(state(), keys=evil)
    assert isinstance(refuse(made, tmp_path, "refused os.system"), UnsafeCheckpoint)


TENSORS = {
    "outside": (tensor(offset=1), "outside its storage"),
    "negative offset": (tensor((2,), offset=-1), "outside its storage"),
    "huge": (tensor((10**9, 10**9), (1, 1)), "outside its storage"),
    "overflow": (tensor((2**31,) * 3, (1, 1, 1)), "wanted sizes"),
    "negative": (tensor((-4,)), "wanted sizes"),
    "repeated": (tensor((4, 4), (0, 1)), "outside its storage"),
    "skipping": (tensor((2,), (2,)), "repeats or skips"),
    "backwards": (tensor((4,), (-1,)), "repeats or skips"),
    "lopsided": (tensor((4,), (1, 1)), "1 dimensions and 2 strides"),
    "deep": (tensor((1,) * 100, (1,) * 100), "100 dimensions"),
    "fractions": (tensor((4.0,)), "refused torch._utils._rebuild_tensor_v2"),
    "more numbers than there are": (tensor(stored=storage(numel=5)), "wants 20 bytes|4 elements at byte"),
    "fewer numbers than there are": (tensor((3,), stored=storage(numel=3)), "wants 12 bytes|4 elements at byte"),
    "wider numbers": (tensor(stored=storage(kind="DoubleStorage")), "wants 32 bytes|bytes|more are wanted"),
    "another key": (tensor(stored=storage(key="1")), "no such member|not that of the tensors"),
    "a path as key": (tensor(stored=storage(key="../data.pkl")), "no such member|not that of the tensors"),
    "a long key": (tensor(stored=storage(key="0" * 200)), "no such member|4 elements is described"),
    "negative count": (tensor((0,), stored=storage(numel=-1)), "no |wants|of -1 elements"),
}


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_lie(name: str, form: str, tmp_path: Path) -> None:
    made, message = TENSORS[name]
    if form == "legacy":
        made = made.replace(b"tQ", b"NtQ")
    refuse(plain(state(made))[form], tmp_path, message)


def test_one_storage_under_two_types(tmp_path: Path) -> None:
    both = state(tensor(), tensor(stored=storage(kind="IntStorage")))
    refuse(zipped(both), tmp_path, "described twice, differently")
    refuse(legacy(both.replace(b"tQ", b"NtQ")), tmp_path, "described twice, differently")


def laughs() -> list[Any]:
    """A list that would take for ever to walk or to print."""
    made: list[Any] = ["x"] * 10
    for _ in range(30):
        made = [made] * 10
    return [made]


LEGACY = {
    "version": (legacy(state(), version=7), "goes on otherwise"),
    "big-endian": (legacy(state(), system={"little_endian": False}), "big-endian"),
    "no system": (legacy(state(), system=[]), "big-endian"),
    "no list": (legacy(state(), keys=7), "list of storages"),
    "a list of lists": (legacy(state(), keys=[["0"]]), "list of storages"),
    "a key twice": (legacy(state(tensor()).replace(b"tQ", b"NtQ"), keys=["0", "0"]), "list of storages"),
    "a number as key": (legacy(state(tensor()).replace(b"tQ", b"NtQ"), keys=[0]), "list of storages"),
    "a list of lists of lists": (legacy(state(tensor()).replace(b"tQ", b"NtQ"), keys=laughs()), "list of storages"),
    "storages that nobody wants": (legacy(state()), "list of storages"),
    "bytes after the end": (legacy(state(), keys=[], stored=b"\0"), "1 bytes follow"),
    "a count of 2^63": (
        legacy(state(tensor(stored=storage("0", 4, "FloatStorage", "torch", None))), stored=bytes(7) + b"\x80"),
        "has 9,223,372,036,854,775,808 elements",
    ),
    "no numbers": (
        legacy(state(tensor(stored=storage("0", 4, "FloatStorage", "torch", None))), stored=struct.pack("<q", 4)),
        "16 more are wanted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_files_that_lie(name: str, tmp_path: Path) -> None:
    data, message = LEGACY[name]
    refuse(data, tmp_path, message)


# Files that are none


@pytest.mark.parametrize("read", [Checkpoint.open, read_tree])
def test_special_files_are_refused_without_waiting(read: Callable[[Path], Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pt")
    for path in (tmp_path / "w.pt", Path("/dev/zero"), Path("/dev/stdin"), tmp_path):
        with pytest.raises(CheckpointError):
            read(path)


def test_a_bomb_of_views_fits_into_little_memory(tmp_path: Path) -> None:
    """Ten thousand views of one storage of 64 MB, under an address space that holds a few of them."""
    shared = torch.zeros(2**24)
    rows = {f"w{i}": shared[i : i + 2**23] for i in range(10_000)}
    torch.save(rows, tmp_path / "x.pt")
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from eigan.readers import read_checkpoint\n"
        "from eigan.errors import CheckpointError\n"
        "pages = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages + 2**28,) * 2)\n"
        "try:\n"
        "    read_checkpoint(Path(sys.argv[1]))\n"
        "except CheckpointError as error:\n"
        "    raise SystemExit(0 if 'unfold' in str(error) else 2)\n"
        "raise SystemExit(3)\n"
    )
    environment = {**os.environ, "PYTHONPATH": "."}
    subprocess.run([sys.executable, "-c", code, tmp_path / "x.pt"], check=True, timeout=60, env=environment)


def test_limits_leave_room_for_genuine_files() -> None:
    assert archive.MAX_MEMBERS * 100 < archive.MAX_DIRECTORY  # an entry takes 46 bytes and the name
