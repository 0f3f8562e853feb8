"""TensorFlow-era pickles: genuine ones, every protocol, and what a hostile one could try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError, UnsafeCheckpoint
from eigan.readers import READERS, tensorflow
from eigan.readers.base import RawCheckpoint
from tests.dialects.stylegan2_exports import to_tensorflow, toy
from tests.parity.folders import folders
from tests.readers.makers import Call, GlobalName
from tests.readers.tensorflow_makers import Network, dumps, nest, network, snapshot

FOLDERS = folders("sg2tf-*", "sg2adatf-*")
MARKER = Path("/tmp/eigan-pwned")
ARRAY = np.ones(3, np.float32)


def read(value: Any, tmp_path: Path) -> RawCheckpoint:
    path = tmp_path / "network.pkl"
    path.write_bytes(value if isinstance(value, bytes) else dumps(value))
    assert tensorflow.sniff(path.read_bytes()[:512], path)
    return tensorflow.read(path)


def gs(arrays: dict[str, Any] | None = None, **changes: Any) -> Network:
    return network("Gs", arrays or {"dlatent_avg": ARRAY}, **changes)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_genuine_snapshots(folder: Path) -> None:
    raw = tensorflow.read(folder / "network.pkl")
    assert raw.container == "tensorflow" and raw.source == {"file": "network.pkl"}
    assert raw.hints["name"] == "Gs" and raw.hints["static_kwargs.resolution"] == 32
    assert raw.hints["mapping.static_kwargs.dlatent_broadcast"] == 8
    assert all(t.dtype == torch.float32 and t.is_contiguous() for t in raw.weights.values())
    assert sum(t.numel() * 4 for t in raw.weights.values()) < (folder / "network.pkl").stat().st_size / 2  # Gs alone


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_gives_the_same_network(protocol: int, tmp_path: Path) -> None:
    generator = toy(resolution=8)
    path = tmp_path / "network.pkl"
    path.write_bytes(snapshot(generator, protocol, resolution=8))
    checkpoint = Checkpoint.open(path)
    assert checkpoint.container == "tensorflow" and checkpoint.build().fingerprint == generator.fingerprint
    assert not MARKER.exists()


def test_a_lone_network_is_taken(tmp_path: Path) -> None:
    assert read(gs(), tmp_path).weights.keys() == {"dlatent_avg"}


def test_the_source_it_carries_is_never_run_nor_kept(tmp_path: Path) -> None:
    for source in ("1/0", "x = 1\n" * 5000):
        assert not any("src" in name for name in read(gs(build_module_src=source), tmp_path).hints)


def test_components_nest(tmp_path: Path) -> None:
    inner = network("inner", {"a/b": ARRAY}, static_kwargs={"size": 3})
    outer = network("outer", {"c": np.float32(2.5)}, {"in": inner})
    raw = read(gs(components={"out": outer}), tmp_path)
    assert raw.weights.keys() == {"dlatent_avg", "out/c", "out/in/a/b"}
    assert raw.weights["out/c"].shape == () and raw.weights["out/c"] == 2.5
    assert raw.hints["out.in.static_kwargs.size"] == 3


def test_numbers_of_every_kind_keep_their_values(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = {
        "f2": values.astype(np.float16),
        "f8": values.astype(np.float64),
        "big": values.astype(">f4"),
        "fortran": np.asfortranarray(values),
        "step": values[::-1],
        "scalar": np.float64(1.5),
        "no_axes": np.array(1.5, np.float32),
        "whole": np.int64(7),
    }
    weights = read(gs(arrays), tmp_path).weights
    for name in ("f2", "f8", "big", "fortran"):
        assert torch.equal(weights[name], torch.from_numpy(values)), name
    assert torch.equal(weights["step"], torch.from_numpy(values[::-1].copy()))
    assert weights["no_axes"] == 1.5 and weights["no_axes"].shape == ()
    assert weights["scalar"] == 1.5 and weights["whole"] == 7 and weights["whole"].dtype == torch.float32
    assert read(gs({"ints": np.arange(3)}), tmp_path).weights["ints"].dtype == torch.int64  # refused by name later


def test_static_arguments_become_hints(tmp_path: Path) -> None:
    arguments = {"taps": [1, 3, 3, 1], "clamp": None, "name": "x" * 500, "nested": {"a": 1}, "nan": float("nan")}
    hints = read(gs(static_kwargs=arguments), tmp_path).hints
    assert hints["static_kwargs.taps"] == (1, 3, 3, 1) and hints["static_kwargs.clamp"] is None
    assert hints["static_kwargs.name"] == "x" * 200
    assert hints["static_kwargs.nested"] == "<dict>" and hints["static_kwargs.nan"] == "<float>"


def test_easy_dicts_are_dicts(tmp_path: Path) -> None:
    """stylegan2-ada keeps its arguments in dnnlib's own dict."""
    data = dumps(gs(static_kwargs={"resolution": 8})).replace(b"}", b"cdnnlib.util\nEasyDict\n)\x81")
    assert read(data, tmp_path).hints["static_kwargs.resolution"] == 8


def loop() -> Network:
    made = gs()
    made.state["components"] = {"again": made}
    return made


def bushy() -> Network:
    made = gs()
    for _ in range(3):
        made = gs(components={f"c{i}": made for i in range(9)})
    return made


BROKEN = {
    "a list of networks": ([gs(), gs(), gs()], r"holds a \(Record, Record, Record\); a TensorFlow snapshot is three"),
    "two networks": ((gs(), gs()), "is three networks"),
    "a network among others": ((gs(), gs(), 5), r"\(Record, Record, int\)"),
    "no state": (Network({}), "Gs states no version"),
    "a version that is text": (gs(version="4"), "Gs states no version"),
    "before StyleGAN": (gs(version=2), "network version 2, as before StyleGAN; eigan reads 3 and later"),
    "no variables": (gs(variables=None), "Gs has no variables"),
    "variables in a dict": (gs(variables={"a": ARRAY}), "Gs has no variables"),
    "a variable that is no pair": (gs(variables=[("a", ARRAY, 1)]), "no .name, value. pair"),
    "a name that is a number": (gs(variables=[(3, ARRAY)]), "entry named 'int'"),
    "a name with dots and slashes": (gs(variables=[("../../a b", ARRAY)]), "no variable's name"),
    "a variable twice": (gs(variables=[("a", ARRAY), ("a", ARRAY)]), "a is in the file twice"),
    "a variable that is text": (gs({"a": "hello"}), "a is a str; wanted an array"),
    "a variable that is true": (gs({"a": True}), "a is a bool; wanted an array"),
    "a variable that is a list": (gs({"a": [1.0]}), "a is a list; wanted an array"),
    "a component that is none": (gs(components={"mapping": None}), "Gs/mapping is a NoneType; wanted a network"),
    "components in a list": (gs(components=[1]), "Gs has no components"),
    "a component with a bad name": (gs(components={"a\nb": gs()}), "no variable's name"),
    "a discriminator": (gs({"4x4/FromRGB/weight": ARRAY}), "Gs is a discriminator"),
    "itself inside": (loop(), "nested deeper than 4"),
    "too many": (bushy(), "number over 64|nested deeper"),
    "one array many times": (gs({f"v{i}": np.zeros(0, np.float32) for i in range(20_000)}), "steps|unfold"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_snapshots_have_their_own_sentence(name: str, tmp_path: Path) -> None:
    value, message = BROKEN[name]
    with pytest.raises(CheckpointError, match=message):
        read(value, tmp_path)


def test_reading_one_array_over_and_over_is_refused(tmp_path: Path) -> None:
    array = np.ones(10_000, np.float32)
    with pytest.raises(CheckpointError, match="unfold to more than the file's"):
        read(gs({f"v{i}": array for i in range(50)}), tmp_path)


REFUSED = {
    "a call of the network": Call("dnnlib.tflib.network", "Network", "argument"),
    "another class of its module": gs({"a": Call("dnnlib.tflib.network", "exec")}),
    "the same class of another module": gs({"a": Call("my.network", "Network")}),
    "a torch tensor": gs({"a": torch.ones(2)}),
    "a function": gs({"a": Call("os", "system", "touch /tmp/eigan-pwned")}),
    "objects of numpy": gs({"a": np.array([{"x": 1}], dtype=object)}),
    "a structured array": gs({"a": np.zeros(2, dtype=[("x", "f4")])}),
    "an array of text": gs({"a": np.array(["x"])}),
    "an instance of a plain class": gs({"a": Call("copyreg", "_reconstructor", GlobalName("builtins", "object"))}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_else_is_called(name: str, tmp_path: Path) -> None:
    value = REFUSED[name]
    with pytest.raises(UnsafeCheckpoint, match="refused"):
        read(value, tmp_path)
    assert not MARKER.exists()


def test_a_state_that_is_no_dict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match="refused to set the state"):
        read(b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81]b.", tmp_path)


def test_bytes_after_the_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="3 bytes follow the end"):
        read(dumps(gs()) + b"abc", tmp_path)


def test_nan_and_integer_weights_are_named(tmp_path: Path) -> None:
    for bad, message in ((torch.full((12,), torch.nan), "NaN"), (torch.ones(12).int(), "int32")):
        path = tmp_path / "network.pkl"
        path.write_bytes(dumps(nest({**to_tensorflow(toy(resolution=8)), "dlatent_avg": bad})))
        with pytest.raises(CheckpointError, match=rf"mapping\.w_avg .*{message}"):
            Checkpoint.open(path).build()


def test_the_sniffer_takes_tensorflow_pickles_alone(tmp_path: Path) -> None:
    path, first = tmp_path / "x", b"dnnlib.tflib.network"
    for data, known in (
        (dumps(gs()), True),
        (dumps({"G_ema": 1}), False),
        (first, False),
        (b"PK\x03\x04" + first, False),
    ):
        path.write_bytes(data)
        assert tensorflow.sniff(data[:512], path) is known
    names = list(READERS)
    assert names.index("tensorflow") < names.index("nvidia")  # which takes any pickle
