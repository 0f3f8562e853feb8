"""eigan's own folders: written whole and the same every time, read without trusting the header or the config."""

from __future__ import annotations

import errno
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError, UnknownArchitecture
from eigan.readers.safetensors import CONFIG, WEIGHTS, save_generator
from tests.toys import toy_generator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_generator(toy_generator(), tmp_path / "g", license="cc0-1.0", source={"made": "in a test"}, description="toy")
    return tmp_path / "g"


def test_a_folder_keeps_what_it_was_given(folder: Path) -> None:
    generator, checkpoint = toy_generator(), Checkpoint.open(folder)
    assert (checkpoint.license, checkpoint.origin) == ("cc0-1.0", {"made": "in a test"})
    assert checkpoint.fingerprint == generator.fingerprint == checkpoint.verify()
    assert checkpoint.config == generator.config()
    assert all(torch.equal(checkpoint.weights[n], t.half().float()) for n, t in generator.weights().items())
    built = checkpoint.build()
    assert built.source == str(folder) and not built.training
    assert Checkpoint.open(folder / WEIGHTS).config == checkpoint.config


def test_float32_folders_are_exact(tmp_path: Path) -> None:
    generator = toy_generator()
    save_generator(generator, tmp_path / "g", dtype="fp32")
    weights = Checkpoint.open(tmp_path / "g").weights
    assert all(torch.equal(weights[name], tensor) for name, tensor in generator.weights().items())


def test_the_same_generator_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_generator(toy_generator(), tmp_path / name)
    for file in (WEIGHTS, CONFIG):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_generator_folder_is_replaced_and_others_are_kept(folder: Path, tmp_path: Path) -> None:
    save_generator(toy_generator(seed=5), folder)
    assert Checkpoint.open(folder).verify() == toy_generator(seed=5).fingerprint
    (folder / "README.md").write_text("mine")
    save_generator(toy_generator(), folder)
    assert (folder / "README.md").read_text() == "mine"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="holds other files"):
        save_generator(toy_generator(seed=5), folder)
    assert (folder / "notes.txt").read_text() == "mine"
    assert Checkpoint.open(folder).verify() == toy_generator().fingerprint
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="is a file"):
        save_generator(toy_generator(), tmp_path / "file")


def test_a_full_disk_leaves_the_folder_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / WEIGHTS).read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        save_generator(toy_generator(seed=5), folder)
    assert (folder / WEIGHTS).read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == ["g"]


def test_weights_too_large_for_half_precision_are_named(tmp_path: Path) -> None:
    generator = toy_generator()
    with torch.no_grad():
        generator.mapper.w_avg[0] = 1e6
    with pytest.raises(CheckpointError, match=r'mapping\.w_avg.*dtype="fp32"'):
        save_generator(generator, tmp_path / "g")
    with pytest.raises(CheckpointError, match="unknown dtype"):
        save_generator(generator, tmp_path / "g", dtype="int8")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_bare_files_are_recognised_by_their_names(tmp_path: Path) -> None:
    generator = toy_generator(c_dim=3)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        path = tmp_path / "any.name"
        save_file({n: t.to(dtype).contiguous() for n, t in generator.weights().items()}, path)
        checkpoint = Checkpoint.open(path)
        assert checkpoint.config == generator.config()
        assert all(t.dtype == torch.float32 for t in checkpoint.weights.values())


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not an eigan generator"),
        ({"format_version": 2}, "Upgrade eigan"),
        ({"format_version": "1"}, "format_version"),
        ({"config": []}, "config"),
        ({"fingerprint": "zz"}, "fingerprint"),
        ({"license": "x" * 100}, "license"),
        ({"auto_map": {"AutoModel": "evil.py"}}, "auto_map"),
    ],
)
def test_malformed_configs_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "NaN", '{"format": 1, "format": 2}', "[" * 100_000, "\ud800"])
def test_configs_that_are_no_json_objects_are_refused(folder: Path, text: str) -> None:
    (folder / CONFIG).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError):
        Checkpoint.open(folder)


@pytest.mark.parametrize(
    "changes",
    [{"resolution": 2**20}, {"resolution": 64}, {"w_dim": 17}, {"num_mapping_layers": 10**9}, {"c_dim": 5}],
    ids=str,
)
def test_configs_that_do_not_fit_the_weights_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    edit_config(folder, config=toy_generator().config() | changes)
    with pytest.raises(CheckpointError):
        Checkpoint.open(folder).build()


def test_unknown_architectures_are_named(folder: Path) -> None:
    edit_config(folder, architecture="stylegan9")
    with pytest.raises(UnknownArchitecture, match="stylegan9.*stylegan2"):
        Checkpoint.open(folder)


def test_a_wrong_fingerprint_is_found_when_asked_for(folder: Path) -> None:
    edit_config(folder, fingerprint="0" * 64)
    checkpoint = Checkpoint.open(folder)
    with pytest.raises(CheckpointError, match="states the fingerprint 000000000000"):
        checkpoint.verify()


def entry(shape: Any = (1,), offsets: Any = (0, 4), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HEADERS: dict[str, tuple[Any, int, str]] = {  # header, bytes of data, message
    "overlap": ({"a": entry(), "b": entry(offsets=(0, 4))}, 4, "overlap"),
    "gap": ({"a": entry(), "b": entry(offsets=(8, 12))}, 12, "gap"),
    "gap at the start": ({"a": entry(offsets=(4, 8))}, 8, "gap"),
    "data left over": ({"a": entry()}, 8, "gap"),
    "data missing": ({"a": entry()}, 0, "cut short"),
    "backwards": ({"a": entry(offsets=(4, 0))}, 4, "takes 4 bytes"),
    "negative": ({"a": entry(offsets=(-4, 0))}, 4, "takes 4 bytes"),
    "bool offset": ({"a": entry(offsets=(False, 4))}, 4, "takes 4 bytes"),
    "wrong size": ({"a": entry(shape=(2,))}, 4, "takes 8 bytes"),
    "huge": ({"a": entry(shape=(10**9, 10**9))}, 4, "bytes"),
    "zero times huge": ({"a": entry(shape=(0, 2**40), offsets=(0, 0))}, 0, "sizes"),
    "negative sizes": ({"a": entry(shape=(-1, -1))}, 4, "sizes"),
    "bool size": ({"a": entry(shape=(True,))}, 4, "sizes"),
    "many dimensions": ({"a": entry(shape=(1,) * 1000)}, 4, "1000 sizes"),
    "integers": ({"a": entry(dtype="I32")}, 4, "dtype I32"),
    "unknown dtype": ({"a": entry(dtype="F99")}, 4, "dtype F99"),
    "dtype with escapes": ({"a": entry(dtype="\x1b[31m")}, 4, r"\\x1b"),
    "no dtype": ({"a": {"shape": [1], "data_offsets": [0, 4]}}, 4, "other fields"),
    "more fields": ({"a": entry() | {"x": 1}}, 4, "other fields"),
    "an entry that is a list": ({"a": [1]}, 4, "other fields"),
    "empty": ({}, 0, "0 tensors"),
    "only metadata": ({"__metadata__": {"a": "b"}}, 0, "0 tensors"),
    "many": ({f"t{i}": entry(offsets=(4 * i, 4 * i + 4)) for i in range(20_000)}, 80_000, "20,000 tensors"),
    "a name with a NUL": ({"a\0b": entry()}, 4, "printable"),
    "a long name": ({"a" * 1000: entry()}, 4, "printable"),
    "a name of no characters": ({"": entry()}, 4, "printable"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_do_not_describe_the_file_are_refused(name: str, tmp_path: Path) -> None:
    header, data, message = HEADERS[name]
    text = json.dumps(header).encode()
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(tmp_path / "x")


@pytest.mark.parametrize("length", [0, 10**6, 2**32, 2**63, 2**64 - 1])
def test_header_lengths_are_checked_before_anything_is_read(length: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(struct.pack("<Q", length) + b"{}" + bytes(100))
    with pytest.raises(CheckpointError):
        Checkpoint.open(tmp_path / "x")


def test_paths_in_names_never_leave_the_weights(tmp_path: Path) -> None:
    save_file({"../../x": torch.zeros(1), "/etc/passwd": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(UnknownArchitecture):
        Checkpoint.open(tmp_path / "x")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
