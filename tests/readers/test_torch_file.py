"""Files of torch.save: official ones of every family, what is chosen in them, and the whole tree for importers."""

from __future__ import annotations

import argparse
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError
from eigan.readers import read_checkpoint, torch_file
from eigan.readers.stored import NumpyArray, Record, StoredTensor
from eigan.readers.torch_file import read_tree
from tests.parity.folders import folders
from tests.readers.makers import dumps
from tests.readers.torch_makers import (
    FORMATS,
    STATE,
    same,
    save,
    weights_of,
)
from tests.toys import toy_generator

SUFFIXES = ("*.pt", "*.pth", "*.bin")
FILES = [path for folder in folders("*") for suffix in SUFFIXES for path in sorted(folder.glob(suffix))]
GENERATORS = [path for path in FILES if (path.parent / "generator.safetensors").is_file() and path.name != "factor.pt"]


# What official code wrote


@pytest.mark.parametrize("path", GENERATORS, ids=lambda p: p.parent.name)
def test_official_files(path: Path) -> None:
    raw = torch_file.read(path)
    wanted = {
        name.removeprefix("module."): tensor
        for name, tensor in load_file(path.parent / "generator.safetensors").items()
        if not name.endswith("num_batches_tracked")
    }
    found = {name: t for name, t in raw.weights.items() if name in wanted or name != "latent_avg"}
    assert raw.container == "torch" and raw.source == {"file": path.name}
    assert found.keys() == wanted.keys() and all(torch.equal(found[n], t) for n, t in wanted.items())
    assert all(t.dtype == torch.float32 and t.is_contiguous() for t in raw.weights.values())


@pytest.mark.parametrize(
    "path", [p for p in GENERATORS if p.parent.name.startswith("zoo-")], ids=lambda p: p.parent.name
)
def test_settings_are_hints(path: Path) -> None:
    hints = read_checkpoint(path).hints
    assert hints["entry"] == "avgG" and type(hints["config.depthScale0"]) is int
    assert type(hints["config.depthOtherScales"]) is tuple and hints["config.noiseVectorDim"]


@pytest.mark.parametrize("path", [p for p in FILES if p.stem in ("best_model", "factor")], ids=lambda p: p.parent.name)
def test_directions_are_sent_to_their_own_door(path: Path) -> None:
    with pytest.raises(CheckpointError, match="it holds directions .*, not a generator; `hub-export import` takes it"):
        read_checkpoint(path)
    tree = read_tree(path)
    if path.stem == "factor":
        wanted = torch.load(path, weights_only=True)
        assert torch.equal(tree["eigvec"].read(), wanted["eigvec"]) and tree["ckpt"] == wanted["ckpt"]
    else:
        wanted = torch.load(path, weights_only=True)["model"]
        assert {name: t.size for name, t in tree["model"].items()} == {n: tuple(t.shape) for n, t in wanted.items()}
        assert all(torch.equal(t.read().to(wanted[n].dtype), wanted[n]) for n, t in tree["model"].items())


# How tensors are stored


@pytest.mark.parametrize("form", FORMATS)
def test_views_permutations_and_precisions(form: str, tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    state = {
        "transposed": base.t(),
        "part": base[1:3],
        "same": base,
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "scalar": base[2, 3],
        **{str(d).split(".")[1]: torch.randn(3).to(d) for d in (torch.float16, torch.bfloat16, torch.float64)},
        "parameter": nn.Parameter(torch.ones(2)),
        "shared": torch.ones(1000),
    }
    state["tied"] = state["shared"]
    assert same(weights_of(state, tmp_path, form), {n: t.detach() for n, t in state.items()})


@pytest.mark.parametrize("form", FORMATS)
def test_tied_weights_get_memory_of_their_own(form: str, tmp_path: Path) -> None:
    shared = torch.randn(50_000)
    found = weights_of({"a": shared, "b": shared}, tmp_path, form)
    assert torch.equal(found["a"], shared) and torch.equal(found["b"], shared)
    assert found["a"].data_ptr() != found["b"].data_ptr()


@pytest.mark.parametrize("form", FORMATS)
def test_views_that_unfold_to_more_than_the_file_are_refused(form: str, tmp_path: Path) -> None:
    shared = torch.zeros(200_000)
    state = {f"view{i}": shared[i : i + 100_000] for i in range(100)}
    with pytest.raises(CheckpointError, match="unfold to 40,000,000 bytes"):
        weights_of(state, tmp_path, form)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("protocol", range(2, 6))
def test_every_pickle_protocol(form: str, protocol: int, tmp_path: Path) -> None:
    path = save({"g_ema": STATE}, tmp_path / "x.pt", form, pickle_protocol=protocol)
    assert same(read_checkpoint(path).weights, STATE)


def test_files_without_crcs(tmp_path: Path) -> None:
    if not hasattr(torch.serialization, "set_crc32_options"):
        pytest.skip("this PyTorch always writes them")
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        assert same(weights_of(STATE, tmp_path), STATE)
    finally:
        torch.serialization.set_crc32_options(before)


def old_text(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode()


def old_file(numbers: bytes, view: bytes) -> bytes:
    """{"w": a 2 x 2 tensor} as Python 2 and PyTorch 0.1 wrote it: byte strings, _rebuild_tensor, a storage's view."""
    storage = b"(" + old_text("storage") + b"ctorch\nFloatStorage\n" + old_text("7") + old_text("cuda:0")
    shape = b"(K\x02K\x02t(K\x02K\x01t"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + storage + b"K\x05" + view + b"tQK\x00" + shape + b"tR"
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    return b"".join(
        [
            dumps(0x1950A86A20F9469CFC6C, 2),
            dumps(1001, 2),
            dumps(system, 2),
            b"\x80\x02ccollections\nOrderedDict\n]](" + old_text("w") + tensor + b"ea\x85R.",
            b"\x80\x02](" + old_text("7") + b"e.",
            numbers,
        ]
    )


NUMBERS = struct.pack("<q5f", 5, 9, 1, 2, 3, 4)


@pytest.mark.parametrize("view", [b"(" + old_text("8") + b"K\x01K\x04t", b"N"], ids=["view", "whole"])
def test_files_of_python_2(view: bytes, tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    path.write_bytes(old_file(NUMBERS, view))
    wanted = torch.tensor([[1.0, 2], [3, 4]] if view != b"N" else [[9.0, 1], [2, 3]])
    assert torch.equal(read_checkpoint(path).weights["w"], wanted)


@pytest.mark.parametrize("first,count", [(2, 4), (0, 6), (-1, 2), (0, -1)])
def test_a_storage_view_outside_its_storage_is_refused(first: int, count: int, tmp_path: Path) -> None:
    view = b"(" + old_text("8") + b"J" + struct.pack("<i", first) + b"J" + struct.pack("<i", count) + b"t"
    (tmp_path / "old.pth").write_bytes(old_file(NUMBERS, view))
    with pytest.raises(CheckpointError, match="outside it"):
        read_checkpoint(tmp_path / "old.pth")


# The whole tree


@pytest.mark.parametrize("form", FORMATS)
def test_trees(form: str, tmp_path: Path) -> None:
    value = {
        "comp": torch.randn(3, 1, 4),
        "nested": [{"a": (1, 2.5, None, "t")}, torch.ones(2)],
        "settings": argparse.Namespace(n=3),
        "mask": torch.tensor([True, False]),
        "numbers": np.arange(3000.0),
    }
    path = save(value, tmp_path / "pca.pt", form)
    tree = read_tree(path)
    assert type(tree["comp"]) is StoredTensor and torch.equal(tree["comp"].read(), value["comp"])
    assert tree["nested"][0] == value["nested"][0] and torch.equal(tree["nested"][1].read(), torch.ones(2))
    assert torch.equal(tree["mask"].read(), value["mask"])
    assert type(tree["settings"]) is Record and tree["settings"].state == {"n": 3}
    assert type(tree["numbers"]) is NumpyArray and np.array_equal(tree["numbers"].read(), value["numbers"])


@pytest.mark.parametrize("form", FORMATS)
def test_a_tensor_alone(form: str, tmp_path: Path) -> None:
    path = save(torch.ones(1, 4), tmp_path / "smile.pt", form)
    assert torch.equal(read_tree(path).read(), torch.ones(1, 4))
    with pytest.raises(CheckpointError, match=r"of shape \(1, 4\); if it is a direction, `hub-export import` takes it"):
        read_checkpoint(path)


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_changed_after_its_tree_was_read_is_refused(form: str, tmp_path: Path) -> None:
    path = save(STATE, tmp_path / "x.pt", form)
    tree = read_tree(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="changed since it was opened"):
        tree["a.weight"].read()
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read again"):
        tree["a.weight"].read()


def test_trees_of_other_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_tree(tmp_path / "gone.pt")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_tree(tmp_path)
    (tmp_path / "x.pt").write_bytes(b"words")
    with pytest.raises(CheckpointError, match=r"x\.pt: it is no file of torch\.save"):
        read_tree(tmp_path / "x.pt")


# Files by content


def test_files_are_known_by_content(tmp_path: Path) -> None:
    for form in FORMATS:
        for suffix in (".pkl", ".safetensors", ""):
            path = save({"g": STATE}, tmp_path / f"model{suffix}", form)
            assert read_checkpoint(path).container == "torch"


@pytest.mark.parametrize("form", FORMATS)
def test_a_generator_of_our_own_names_is_loaded(form: str, tmp_path: Path) -> None:
    generator = toy_generator()
    path = save({"g_ema": dict(generator.weights())}, tmp_path / "network.pt", form)
    checkpoint = Checkpoint.open(path)
    assert checkpoint.container == "torch" and checkpoint.build().fingerprint == generator.fingerprint


def test_sniffing_tells_other_zip_files_apart() -> None:
    assert not torch_file.sniff(b"PK\x03\x04", Path("/dev/null"))
    assert not torch_file.sniff(b"", Path("/dev/null"))


def test_repacked_archives_are_read(tmp_path: Path) -> None:
    path = save({"g": STATE}, tmp_path / "a.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for name in reversed(old.namelist()):
            new.writestr(name.replace("a/", "some other root/", 1), old.read(name))
    assert same(read_checkpoint(tmp_path / "b.pt").weights, STATE)
