"""Pickles put together by hand to run code or to exhaust the machine: each is refused, by name, quickly, unrun."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError, UnknownArchitecture, UnsafeCheckpoint
from eigan.readers.allowed import NVIDIA
from eigan.readers.source import Source
from eigan.readers.unpickler import OPCODES, Machine
from tests.readers.makers import Call, dumps, long_bytes, module, nest, short_text, snapshot
from tests.toys import toy_generator

MARKER = Path("/tmp/eigan-pwned/own")
COMMAND = f"mkdir -p {MARKER.parent}; touch {MARKER}"
RUN = short_text(COMMAND)
PROTO = b"\x80\x04"


@pytest.fixture(autouse=True)
def nothing_runs() -> Iterator[None]:
    MARKER.unlink(missing_ok=True)
    yield
    assert not MARKER.exists()


def opened(data: bytes, tmp_path: Path) -> Checkpoint:
    path = tmp_path / "network.pkl"
    path.write_bytes(data)
    return Checkpoint.open(path)


def torch_stream(inner: bytes, numel: int = 4) -> bytes:
    """A legacy torch stream whose object pickle is `inner`."""
    pickles = [
        dumps(0x1950A86A20F9469CFC6C, 2),
        dumps(1001, 2),
        dumps({"little_endian": True}, 2),
        inner,
        dumps(["0"], 2),
    ]
    return b"".join(pickles) + struct.pack("<q", numel) + bytes(4 * numel)


def floats(numel: int) -> Call:
    """A genuine storage of that many zeros."""
    described = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ" + struct.pack("<i", numel) + b"NtQ."
    )
    return Call("torch.storage", "_load_from_bytes", torch_stream(b"\x80\x02" + described, numel))


def rebuilt(size: tuple[int, ...], stride: tuple[int, ...], offset: object = 0) -> bytes:
    """A snapshot whose only weight is a view of a storage of four floats."""
    view = Call("torch._utils", "_rebuild_tensor_v2", floats(4), offset, size, stride, False, OrderedDict())
    state = {"_parameters": {"weight": view}, "_buffers": {}, "_modules": {}}
    meta = {"type": "class", "version": 6, "module_src": "", "class_name": "G", "state": state}
    return dumps({"G_ema": Call("torch_utils.persistence", "_reconstruct_persistent_obj", meta)})


EVIL_SOURCE = f"import os\nos.system({COMMAND!r})\n"

REFUSED = {
    "global": b"cos\nsystem\n(" + b"S'" + COMMAND.encode() + b"'\ntR.",
    "stack global": PROTO + short_text("os") + short_text("system") + b"\x93" + RUN + b"\x85R.",
    "stack global from memo": PROTO
    + short_text("os")
    + b"\x940"
    + short_text("system")
    + b"\x940h\x00h\x01\x93"
    + RUN
    + b"\x85R.",
    "inst": b"(S'" + COMMAND.encode() + b"'\nios\nsystem\n.",
    "obj": b"\x80\x02(cos\nsystem\nS'x'\no.",
    "newobj": PROTO + b"cos\nsystem\n" + RUN + b"\x85\x81.",
    "build": PROTO + b"cos\nsystem\n}b.",
    "builtins under the old name": b"c__builtin__\neval\n(S'1'\ntR.",
    "dotted name": PROTO + short_text("torch._utils") + short_text("torch.hub.os.system") + b"\x93.",
    "dotted module": PROTO + short_text("os.path") + short_text("os.system") + b"\x93.",
    "attribute of an allowed module": PROTO + short_text("collections") + short_text("namedtuple") + b"\x93.",
    "same name elsewhere": PROTO + short_text("evil") + short_text("OrderedDict") + b"\x93.",
    "name with a look-alike letter": PROTO + short_text("collections") + short_text("OrderedDiсt") + b"\x93.",
    "name with escapes": PROTO + short_text("os\n\x1b[31m") + short_text("system\0") + b"\x93.",
    "extension code": b"\x80\x02\x82\x05.",
    "extension code, long": b"\x80\x02\x84\x01\x00\x00\x00.",
    "persistent id": PROTO + short_text("x") + b"Q.",
    "state of a foreign object": PROTO + b"c_codecs\nencode\n}b.",
    "call of a value": PROTO + short_text("os") + b")R.",
    "call with no tuple": PROTO + b"ccollections\nOrderedDict\n]R.",
    "codec that runs": PROTO + b"c_codecs\nencode\n" + short_text("x") + short_text("zip") + b"\x86R.",
    "nested torch stream": dumps(
        Call("torch.storage", "_load_from_bytes", torch_stream(b"\x80\x02cposix\nsystem\n" + b"X\x01\0\0\0x\x85R."))
    ),
    "nested torch stream, storage type": dumps(
        Call("torch.storage", "_load_from_bytes", torch_stream(b"\x80\x02(X\x07\0\0\0storagecos\nsystem\ntQ."))
    ),
    "object dtype": dumps(Call("numpy", "dtype", "O8", False, True)),
    "structured dtype": dumps(Call("numpy", "dtype", "V16", False, True)),
    "array of objects": dumps(Call("numpy.core.multiarray", "_reconstruct", Call("numpy", "dtype", "f8"), (0,), b"b")),
    "set of a dict": dumps(Call("builtins", "set", {})),
    "bytes of a number": dumps(Call("builtins", "bytes", 10**12)),
    "reconstructor of another class": dumps(Call("copyreg", "_reconstructor", 1, 2, 3)),
    "persistent object without a class": dumps(
        Call("torch_utils.persistence", "_reconstruct_persistent_obj", {"type": "x"})
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_code_is_refused_by_name_and_not_run(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match="refused") as caught:
        opened(REFUSED[name], tmp_path)
    message = str(caught.value)
    assert len(message) < 600 and message.isprintable()


def test_a_genuine_view_is_taken(tmp_path: Path) -> None:
    """What the tensor bombs below differ from."""
    with pytest.raises(UnknownArchitecture, match="weight"):
        opened(rebuilt((2, 2), (1, 2)), tmp_path)


def test_the_refusal_names_what_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        UnsafeCheckpoint, match=r"refused os\.system: not on the weights allow-list; nothing in the file was run"
    ):
        opened(REFUSED["stack global"], tmp_path)
    with pytest.raises(UnsafeCheckpoint, match=r"refused posix\.system"):
        opened(REFUSED["nested torch stream"], tmp_path)


def test_module_source_is_never_run(tmp_path: Path) -> None:
    generator = toy_generator()
    root = nest(dict(generator.weights()))
    root.args[0]["module_src"] = EVIL_SOURCE * 200  # long enough to stay in the file
    checkpoint = opened(dumps({"G_ema": root}), tmp_path)
    assert checkpoint.build().fingerprint == generator.fingerprint
    root.args[0]["module_src"] = EVIL_SOURCE
    assert opened(dumps({"G_ema": root}), tmp_path).build().fingerprint == generator.fingerprint


def laughs() -> bytes:
    return PROTO + b"]" + b"".join(b"\x94(" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"l" for i in range(60)) + b"."


def colliding_keys() -> bytes:
    """Integers that all have one hash: inserting n of them takes n² steps."""
    step = 2**61 - 1
    keys = (b"\x8a\x0a" + (i * step).to_bytes(10, "little") + b"N" for i in range(1, 50_000))
    return PROTO + b"}(" + b"".join(keys) + b"u."


def repeated_copies() -> bytes:
    """One call copies a list of 50,000 pairs; 50,000 calls would copy 2.5 billion."""
    pairs = b"](" + (short_text("k") + b"N\x86") * 50_000 + b"e\x85\x94"
    return PROTO + b"ccollections\nOrderedDict\n" + pairs + b"R0" + b"ccollections\nOrderedDict\nh\x00R" * 50_000 + b"."


def repeated_streams() -> bytes:
    """One tensor's stream, itself of many steps, read 100,000 times."""
    call = b"ctorch.storage\n_load_from_bytes\n\x940"
    return (
        PROTO
        + call
        + long_bytes(b"\x80\x02" + b"N0" * 40 + floats(4).args[0][2:])
        + b"\x85\x940"
        + b"h\x00h\x01R0" * 100_000
        + b"."
    )


BOMBS = {
    "memo": b"\x80\x02Nr\xf0\xff\xff\x7f.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"x.",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"x.",
    "integer": b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\x01" * 64 + b".",
    "negative length": b"\x80\x02\x8b\xff\xff\xff\xff" + b"\x01" * 64 + b".",
    "decimal": b"L" + b"9" * 400_000 + b"L\n.",
    "decimal memo": b"Np" + b"9" * 400_000 + b"\n.",
    "no newline": b"\x80\x02c" + b"a" * 3_000_000,
    "deep lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "deep marks": b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b".",
    "deep tuples": b"\x80\x02)" + b"\x85" * 1_000_000 + b".",
    "many steps": b"\x80\x02" + b"N0" * 3_000_000 + b".",
    "many values": b"\x80\x02" + b"N" * 1_000_000 + b".",
    "laughs": laughs(),
    "tuple as key": b"\x80\x02})" + b"2\x86" * 63 + b"Ns.",
    "colliding keys": colliding_keys(),
    "float as key": PROTO + b"}G" + bytes(8) + b"Ns.",
    "list in a set": PROTO + b"\x8f(]\x90.",
    "repeated copies": repeated_copies(),
    "repeated streams": repeated_streams(),
    "stride 0": rebuilt((100_000, 100_000, 64), (0, 0, 0)),
    "stride 0, small": rebuilt((2, 2), (0, 0)),
    "overlap": rebuilt((2, 2), (1, 1)),
    "gaps": rebuilt((2,), (2,)),
    "negative stride": rebuilt((2, 2), (-1, -2)),
    "negative size": rebuilt((-1, 4), (4, 1)),
    "negative sizes": rebuilt((-2, -2), (2, 1)),
    "negative offset": rebuilt((2,), (1,), -2),
    "offset past the end": rebuilt((2,), (1,), 3),
    "huge offset": rebuilt((2,), (1,), 2**63),
    "overflowing product": rebuilt((2**33, 2**33), (2**33, 1)),
    "zero times huge": rebuilt((0, 2**62, 8), (1, 1, 1)),
    "many dimensions": rebuilt((1,) * 5000, (1,) * 5000),
    "strides missing": rebuilt((2, 2), (1,)),
    "bool as size": rebuilt((True, 2), (1, 1)),
    "float as offset": rebuilt((2,), (1,), 0.5),
    "huge numpy array": dumps(Call("numpy.core.multiarray", "_reconstruct", 0, (10**9, 10**9), b"b")),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_quickly_in_a_sentence(name: str, tmp_path: Path) -> None:
    began = time.process_time()  # of this process: what else the machine does is not the file's doing
    with pytest.raises(CheckpointError) as caught:
        opened(BOMBS[name], tmp_path)
    assert time.process_time() - began < 5
    assert len(str(caught.value)) < 600


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set from /proc")
def test_bombs_stay_within_memory(tmp_path: Path) -> None:
    """All of the above, and tensors that share a storage, in a process that may use 1.5 GB more than it begins with."""
    paths = []
    view = Call("torch._utils", "_rebuild_tensor_v2", floats(2**18), 0, (2**18,), (1,), False, OrderedDict())
    many = module("G", {}, {})
    many.args[0]["state"]["_parameters"] = {f"w{i}": view for i in range(10_000)}  # 10 GB out of 1 MB
    for i, data in enumerate([*BOMBS.values(), dumps({"G_ema": many})]):
        (tmp_path / f"{i}.pkl").write_bytes(data)
        paths.append(str(tmp_path / f"{i}.pkl"))
    code = (
        "import sys, resource\n"
        "from eigan.checkpoint import Checkpoint\n"
        "from eigan.errors import CheckpointError\n"
        "pages = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages + 3 * 2**29,) * 2)\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        Checkpoint.open(path)\n"
        "    except CheckpointError:\n"
        "        continue\n"
        "    raise SystemExit(path)\n"
    )
    subprocess.run([sys.executable, "-c", code, *paths], check=True, timeout=60, env={**os.environ, "PYTHONPATH": "."})


MALFORMED = {
    b"": "empty file",
    PROTO: "ends at byte 2",
    b"\x80\x63N.": "protocol 99",
    b"\x80\x02\xff.": "no pickle opcode",
    b"\x80\x02R.": "never put there",
    b"\x80\x02t.": "never put there",
    b"\x80\x02h\x07.": "does not fit",
    b"\x80\x02Na.": "never put there",
    b"\x80\x02NNa.": "as if it were a list",
    b"\x80\x02N.": "holds a NoneType",
    b"\x80\x02}.": "no G_ema",
    b"\x80\x02}X\x05\x00\x00\x00G_emaNs.": "G_ema is a NoneType",
    b"\x80\x02}X\x01\x00\x00\x00GNs.": "it has G",
    b"\x80\x02}.cos\nsystem\n": "bytes follow the end",
    b"\x80\x02(X\x01\x00\x00\x00Gd.": "does not fit",
}


@pytest.mark.parametrize("data", MALFORMED, ids=repr)
def test_malformed_files_have_their_own_sentence(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=MALFORMED[data]):
        opened(data, tmp_path)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_every_protocol_gives_the_same_weights(protocol: int, tmp_path: Path) -> None:
    generator = toy_generator()
    assert opened(snapshot(generator, protocol), tmp_path).build().fingerprint == generator.fingerprint


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol_are_read_alike(protocol: int) -> None:
    value = {
        "a": [1, -1, 255, 65536, -(2**31), 2**31, 2**70, True, False, None, 0.1, float("inf")],
        "é\n\\": (1, (2,), (3, 4), (), (5, 6, 7, 8), "x" * 300),
        7: {"set": {"p", "q"}, "ordered": OrderedDict([("k", 1), ("l", OrderedDict())]), "empty": b""},
        "bytes": b"\x00\xff\n'",
        "numbers": [np.float64(1.5), np.int64(-3), np.bool_(True), np.float32(0.25)],
    }
    data = pickle.dumps(value, protocol)
    found = Machine(Source(BytesIO(data), 0, len(data)), NVIDIA).load()
    assert found == value
    assert type(found["numbers"][0]) is float and type(found["numbers"][2]) is bool


def test_every_opcode_is_read_refused_or_unknown_on_purpose() -> None:
    left_out = {op.name for op in pickletools.opcodes if ord(op.code) not in OPCODES}
    assert left_out == {
        "STOP", "OBJ", "NEWOBJ_EX", "FROZENSET", "NEXT_BUFFER", "READONLY_BUFFER",  # handled apart, or never in weights
    }  # fmt: skip
