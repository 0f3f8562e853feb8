"""Small files that ask for much: memory, time, or a message that steers a terminal or a page."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from eigan.checkpoint import Checkpoint
from eigan.dialects import average
from eigan.errors import CheckpointError
from eigan.generators import ARCHITECTURES
from eigan.readers import read_checkpoint
from tests.readers import tensorflow_makers
from tests.readers.makers import Call, dumps
from tests.readers.torch_makers import refuse, state, tensor, zipped

EVIL = "\x1b[31m<script>alert(1)</script>\u202e"


def persistent(modules: dict[str, Any], **attributes: Any) -> Call:
    held = {"_parameters": {}, "_buffers": {}, "_modules": modules, **attributes}
    meta = {"type": "class", "version": 6, "module_src": "", "class_name": "G", "state": held}
    return Call("torch_utils.persistence", "_reconstruct_persistent_obj", meta)


def peak(data: bytes, tmp_path: Path) -> float:
    """MiB that refusing the file takes."""
    (tmp_path / "x.pkl").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            Checkpoint.open(tmp_path / "x.pkl")
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_one_module_under_thousands_of_names_makes_no_thousands_of_long_hints(tmp_path: Path) -> None:
    leaf = persistent({}, **{f"k{i}" + "x" * 4000: "v" for i in range(47)})
    inner = persistent({f"m{i}": leaf for i in range(40)})
    assert peak(dumps({"G_ema": persistent({f"n{i}": inner for i in range(40)})}), tmp_path) < 64
    long_names = persistent({"y" * 100: persistent({f"w{i}" + "z" * 90: leaf for i in range(2000)})})
    assert peak(dumps({"G_ema": long_names}), tmp_path) < 64


def test_one_dict_of_arguments_in_many_networks_makes_no_many_hints(tmp_path: Path) -> None:
    shared = {f"k{i}" + "x" * 4000: "v" for i in range(1000)}
    part = {"version": 4, "name": "c", "static_kwargs": shared, "components": {}, "variables": []}
    parts = {f"c{i}": tensorflow_makers.Network(dict(part)) for i in range(60)}
    other = tensorflow_makers.network("D", {})
    data = tensorflow_makers.dumps((other, other, tensorflow_makers.network("Gs", {}, parts)))
    assert peak(data, tmp_path) < 64


def test_a_directory_of_more_members_than_it_states(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", state())
        for i in range(25_000):
            made.writestr(f"{i}", b"")
    data = bytearray(file.getvalue())
    struct.pack_into("<HH", data, data.rindex(b"PK\5\6") + 8, 5, 5)
    refuse(bytes(data), tmp_path, "more members than the 5|wanted at most")


@pytest.mark.parametrize("place", [5, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
def test_members_that_lie_elsewhere(place: int, tmp_path: Path) -> None:
    refuse(zip64("archive/data.pkl", b"\x80\x02}.", place), tmp_path)


def zip64(name: str, content: bytes, place: int) -> bytes:
    """An archive of one member, whose place is told by 64-bit fields."""
    crc, size = zlib.crc32(content), len(content)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 0, crc, size, size, len(name), 0) + name.encode() + content
    extra = struct.pack("<2H3Q", 1, 24, size, size, place)
    many = 2**32 - 1
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 0, crc, many, many, len(name), 28, 0, 0, 0, 0, many)
    directory = entry + name.encode() + extra
    return local + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(local), 0)


def test_a_mapping_too_large_to_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(average, "MAX_NUMBERS", 2 * 8 * 8 - 1)
    weights = {f"mapping.fc{i}.{part}": torch.zeros(*shape) for i in range(2) for part, shape in SHAPES.items()}
    with pytest.raises(CheckpointError, match="too large to estimate it"):
        average.average_w(weights)


SHAPES = {"weight": (8, 8), "bias": (8,)}


# Messages


def folder(path: Path, config: object, weights: dict[str, torch.Tensor] | None = None, **more: object) -> Path:
    settings = {"format": "eigan-generator", "format_version": 1, "architecture": "stylegan2", "config": config, **more}
    save_file(weights or {"a": torch.zeros(1)}, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(settings))
    return path


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "config",
    [
        {EVIL * 50: 1},
        {"z_dim": EVIL * 50},
        {"channels": {EVIL * 50: 1}},
        {"channels": {str(i): 1 for i in range(80_000)}, "z_dim": 1, "resolution": 64},
        {"layers": [[EVIL * 50]] * 3},
        {"z_dim": [[[[EVIL]]]] * 1000},
    ],
)
def test_settings_that_steer_a_terminal(architecture: str, config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        Checkpoint.open(folder(tmp_path, config, architecture=architecture)).build()
    check_message(error.value)


def check_message(error: CheckpointError) -> None:
    message = str(error)
    assert message.isprintable() and len(message) < 1500 and "<s" not in message and "</" not in message


@pytest.mark.parametrize("field", ["license", "description", "architecture", "fingerprint", EVIL * 9])
def test_fields_that_steer_a_terminal(field: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        Checkpoint.open(folder(tmp_path, {}, **{field: EVIL * 99})).build()
    check_message(error.value)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>" + "x" * 150, "synthesis." + "y" * 180])
def test_weights_whose_names_are_too_much(name: str, tmp_path: Path) -> None:
    weights = {f"{name}{i}": torch.zeros(1) for i in range(20)}
    (tmp_path / "x.safetensors").write_bytes(save(weights))
    for path in (tmp_path / "x.safetensors", folder(tmp_path, None, weights)):
        with pytest.raises(CheckpointError) as error:
            Checkpoint.open(path).build()
        check_message(error.value)


def test_a_class_name_that_steers_a_terminal(tmp_path: Path) -> None:
    meta = {"type": "class", "version": 6, "module_src": "", "class_name": EVIL * 50, "state": {}}
    call = dumps(Call("torch_utils.persistence", "_reconstruct_persistent_obj", meta))
    check_message(refuse(call[:-1] + b"]b.", tmp_path))


@pytest.mark.parametrize("name", ["a\x1b[31m\u202eb.pt", "<script>.pkl", "n\n.pt", "z" * 240 + ".pkl"])
def test_the_name_of_the_file_itself(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x02N.")
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(tmp_path / name)
    check_message(error.value)


# What is never allocated

LARGEST: dict[str, dict[str, Any]] = {
    "stylegan": {"z_dim": 16384, "c_dim": 163840, "w_dim": 16384, "num_mapping_layers": 64},
    "stylegan2": {"z_dim": 16384, "c_dim": 163840, "w_dim": 16384, "num_mapping_layers": 64, "filter_taps": 16384},
    "stylegan3": {
        "z_dim": 16384,
        "c_dim": 163840,
        "w_dim": 16384,
        "resolution": 4096,
        "channels": [16384] * 65,
        "filter_size": 64,
        "lrelu_upsampling": 8,
        "use_radial_filters": True,
        "conv_kernel": 15,
    },
    "pggan": {"z_dim": 16384, "c_dim": 163840},
    "fastgan": {"z_dim": 16384, "resolution": 1024, "channels": {str(2**i): 16384 for i in range(2, 11)}},
    "biggan": {
        "output_dim": 64,
        "z_dim": 16384,
        "class_embed_dim": 16384,
        "channel_width": 1024,
        "num_classes": 163840,
        "layers": [[True, 16, 8], [True, 8, 4], [True, 4, 2], [True, 2, 1]],
        "attention_layer_position": 2,
        "n_stats": 10_001,
    },
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_largest_network_that_settings_can_ask_for(architecture: str, tmp_path: Path) -> None:
    """Hundreds of gigabytes, were it ever allocated; the weights that are missing are told instead."""
    square = {"resolution": 4096, "channels": {str(2**i): 16384 for i in range(2, 13)}}
    config = {**square, **LARGEST[architecture]} if architecture != "biggan" else LARGEST["biggan"]
    checkpoint = Checkpoint.open(folder(tmp_path, config, architecture=architecture))
    with pytest.raises(CheckpointError, match="weights do not fit"):
        checkpoint.build()


def test_the_makers_make_good_files(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(zipped(state(tensor())))
    assert list(read_checkpoint(tmp_path / "x.pt").weights) == ["w0"]
    data = zip64("archive/data.pkl", state(), 0)
    assert zipfile.ZipFile(io.BytesIO(data)).read("archive/data.pkl") == state()
