"""NVIDIA snapshots: genuine ones in both layouts, and those that lack what a generator needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError, UnknownArchitecture
from eigan.generators.layers import fir_filter
from eigan.readers import nvidia
from tests.parity.folders import folders
from tests.readers.makers import Call, dumps, module, nest, snapshot
from tests.toys import toy_generator

FOLDERS = folders("sg2ada-*", "sg3repo-sg2-*")


def opened(value: Any, tmp_path: Path) -> Checkpoint:
    path = tmp_path / "network.pkl"
    path.write_bytes(value if isinstance(value, bytes) else dumps(value))
    return Checkpoint.open(path)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_genuine_snapshots(folder: Path) -> None:
    raw = nvidia.read(folder / "network.pkl")
    assert raw.container == "nvidia" and raw.source["file"] == "network.pkl"
    assert raw.hints["class_name"] == "Generator" and isinstance(raw.hints["mapping.fc0.bias_gain"], float)
    assert all(t.dtype == torch.float32 and t.is_contiguous() for t in raw.weights.values())


@pytest.mark.parametrize("folder", FOLDERS[:1], ids=lambda p: p.name)
def test_only_the_averaged_generator_is_read(folder: Path) -> None:
    data = (folder / "network.pkl").stat().st_size
    weights = nvidia.read(folder / "network.pkl").weights
    assert sum(t.numel() * 4 for t in weights.values()) < data / 2  # G and D are in the file too, with other weights


def test_a_pickled_generator_alone_is_taken(tmp_path: Path) -> None:
    generator = toy_generator()
    checkpoint = opened(nest(dict(generator.weights())), tmp_path)
    assert checkpoint.build().fingerprint == generator.fingerprint


def test_half_and_double_precision_become_float32(tmp_path: Path) -> None:
    generator = toy_generator()
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        stored = {name: t.to(dtype) for name, t in generator.weights().items()}
        weights = opened({"G_ema": nest(stored)}, tmp_path).weights
        assert all(torch.equal(weights[name], t.float()) for name, t in stored.items())


def test_permuted_weights_keep_their_values(tmp_path: Path) -> None:
    generator = toy_generator()
    stored = dict(generator.weights())
    for name, tensor in stored.items():
        if tensor.ndim == 4:
            stored[name] = tensor.contiguous(memory_format=torch.channels_last)
        elif tensor.ndim == 2:
            stored[name] = tensor.t().contiguous().t()
    assert opened({"G_ema": nest(stored)}, tmp_path).build().fingerprint == generator.fingerprint


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_among_the_attributes_are_passed_over(protocol: int, tmp_path: Path) -> None:
    """StyleGAN3's layers have some (in_size); protocol 5 writes them in a way of its own."""
    generator = toy_generator()
    made = nest(dict(generator.weights()))
    made.args[0]["state"] |= {"size": np.full(2, 36), "spread": np.broadcast_to(np.asarray(36), [2])}
    path = tmp_path / "network.pkl"
    path.write_bytes(dumps({"G_ema": made}, protocol))
    checkpoint = Checkpoint.open(path)
    assert checkpoint.build().fingerprint == generator.fingerprint


@pytest.mark.parametrize("taps", [(1,), (1, 2, 1), (1, 4, 6, 4, 1)], ids=str)
def test_filters_of_other_lengths_leave_the_unused_ones_at_four_taps(taps: tuple[int, ...], tmp_path: Path) -> None:
    """NVIDIA's blocks hand `resample_filter` to their conv0 alone; conv1 keeps a filter that nothing uses."""
    stored = dict(toy_generator().weights())
    for name in stored:
        if name.endswith("resample_filter") and not name.endswith("conv1.resample_filter"):
            stored[name] = fir_filter(taps)
    generator = opened({"G_ema": nest(stored)}, tmp_path).build()
    codes = generator.mapping(torch.randn(1, 16, generator=torch.Generator().manual_seed(0)))
    image = generator.synthesis(codes)
    unused = {n: t + 1 for n, t in generator.weights().items() if n.endswith("conv1.resample_filter")}
    generator.load_weights({**generator.weights(), **unused})
    assert len(unused) == 4 and torch.equal(generator.synthesis(codes), image)


def broken(**changes: Any) -> Call:
    made = module("Generator", {}, {})
    made.args[0]["state"].update(changes)
    return made


def nested(depth: int) -> Call:
    made = module("Generator", {}, {})
    for _ in range(depth):
        made = module("Part", {}, {"inner": made})
    return made


BROKEN = {
    "a list": ([1], "holds a list"),
    "no generator": ({"G": None, "D": None}, "no G_ema; it has G, D"),
    "an empty dict": ({}, "it has nothing"),
    "a generator that is text": ({"G_ema": "hello"}, "G_ema is a str"),
    "a discriminator": ({"G_ema": module("Discriminator", {}, {})}, "holds a discriminator"),
    "a discriminator by its weights": (
        {"G_ema": module("X", {}, {"b4": module("Y", {}, {"out": module("Z", {"weight": torch.ones(1)}, {})})})},
        "holds a discriminator",
    ),
    "a state without parameters": ({"G_ema": broken(_parameters=None)}, "no _parameters"),
    "modules in a list": ({"G_ema": broken(_modules=[1])}, "no _modules"),
    "a module that is a number": ({"G_ema": broken(_modules={"a": 1})}, "a is a int; wanted a module"),
    "a parameter that is a list": ({"G_ema": broken(_parameters={"w": [1.0]})}, "w is a list; wanted a tensor"),
    "a name with a dot": ({"G_ema": broken(_parameters={"a.b": None})}, "no module's name"),
    "a name with a slash": ({"G_ema": broken(_buffers={"../a": None})}, "no module's name"),
    "a number for a name": ({"G_ema": broken(_modules={5: None})}, "no module's name"),
    "too deep": ({"G_ema": nested(20)}, "nested deeper"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_snapshots_have_their_own_sentence(name: str, tmp_path: Path) -> None:
    value, message = BROKEN[name]
    with pytest.raises(CheckpointError, match=message):
        opened(value, tmp_path)


def test_a_module_that_holds_itself_ends(tmp_path: Path) -> None:
    # a dict m is put under _modules; once the record of it exists, m["a"] becomes that record
    loop = (
        b"\x80\x02}q\x00X\x05\x00\x00\x00G_emactorch_utils.persistence\n_reconstruct_persistent_obj\n"
        b"}(X\x04\x00\x00\x00typeX\x05\x00\x00\x00classX\x0a\x00\x00\x00class_nameX\x01\x00\x00\x00G"
        b"X\x05\x00\x00\x00state}(X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules}q\x01uu"
        b"\x85Rq\x02s0h\x01X\x01\x00\x00\x00ah\x02s0h\x00."
    )
    with pytest.raises(CheckpointError, match="nested deeper"):
        opened(loop, tmp_path)


def test_modules_that_share_children_without_end_are_counted(tmp_path: Path) -> None:
    made = module("Part", {}, {})
    for _ in range(12):
        made = module("Part", {}, {f"m{i}": made for i in range(10)})  # 10^12 paths, 13 modules
    with pytest.raises(CheckpointError, match="number over|entries"):
        opened({"G_ema": made}, tmp_path)


def test_weights_of_no_known_family(tmp_path: Path) -> None:
    with pytest.raises(UnknownArchitecture, match=r"weight.*stylegan2"):
        opened({"G_ema": module("Generator", {"weight": torch.ones(2)}, {})}, tmp_path)


def test_nan_weights_are_named(tmp_path: Path) -> None:
    generator = toy_generator()
    weights = {name: t.clone() for name, t in generator.weights().items()}
    weights["mapping.w_avg"][3] = float("nan")
    with pytest.raises(CheckpointError, match=r"mapping\.w_avg holds NaN"):
        opened({"G_ema": nest(weights)}, tmp_path).build()


def test_integer_weights_are_named(tmp_path: Path) -> None:
    weights = dict(toy_generator().weights())
    made = nest(weights)
    made.args[0]["state"]["_modules"]["mapping"].args[0]["state"]["_parameters"]["w_avg"] = torch.ones(16).int()
    with pytest.raises(CheckpointError, match=r"mapping\.w_avg is torch.int32"):
        opened({"G_ema": made}, tmp_path).build()


def test_the_sniffer_knows_pickles(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(snapshot(toy_generator()))
    assert nvidia.sniff(path.read_bytes()[:512], path)
    for other in (b"PK\x03\x04", b"(c) 2020 by nobody\nc", b"Look at this.", b"I am text.\n", b"{}"):
        path.write_bytes(other)
        assert not nvidia.sniff(other, path)
