"""Pack bytes: round trip, determinism, the frozen v1 pack, and every way a pack can be wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from eigan.errors import PackFormatError
from eigan.format import is_pack, pack_files, read_extras, read_pack, save_pack
from tests.toys import toy_pack

FROZEN = Path(__file__).parent / "data" / "packs" / "v1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_pack(toy_pack(), tmp_path / "pack", {"previews/smile.webp": b"RIFF", "README.md": b"# toy\n"})
    return tmp_path / "pack"


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads((folder / "config.json").read_text())
    change(value)
    (folder / "config.json").write_text(json.dumps(value))


def rewrite_vectors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the vectors and make the manifest agree, so that only the vectors' own check can object."""
    tensors = load_file(folder / "directions.safetensors")
    change(tensors)
    data = save(tensors)
    (folder / "directions.safetensors").write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    rewrite_manifest(folder, lambda m: m["files"].update({"directions.safetensors": entry}))


def test_round_trip(folder: Path) -> None:
    pack, back = toy_pack(), read_pack(folder)
    assert back.made_for == pack.made_for
    assert (back.presets, back.method, back.license) == (pack.presets, pack.method, pack.license)
    for old, new in zip(pack, back, strict=True):
        assert torch.equal(old.vector, new.vector)
        assert {**vars(old), "vector": None} == {**vars(new), "vector": None}
    assert read_extras(folder) == {"previews/smile.webp": b"RIFF", "README.md": b"# toy\n"}


def test_a_vector_under_two_names_is_written_twice(tmp_path: Path) -> None:
    smile = toy_pack()["smile"]
    save_pack(replace(toy_pack(), directions=(smile, replace(smile, name="grin")), presets=()), tmp_path / "twins")
    assert all(torch.equal(d.vector, smile.vector) for d in read_pack(tmp_path / "twins"))


def test_the_same_pack_is_the_same_bytes() -> None:
    assert pack_files(toy_pack(), {}) == pack_files(toy_pack(), {})


def test_a_pack_without_models_is_written_as_it_always_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, so that every eigan reads it."""
    frozen = {p.relative_to(FROZEN).as_posix(): p.read_bytes() for p in FROZEN.rglob("*") if p.is_file()}
    monkeypatch.setattr("eigan.__version__", json.loads(frozen["config.json"])["eigan_version"])
    assert pack_files(read_pack(FROZEN), read_extras(FROZEN)) == frozen


def test_the_frozen_v1_pack_reads_for_ever() -> None:
    pack = read_pack(FROZEN)
    assert pack.names == ["smile", "age", "light"]
    assert pack["smile"].sigma == 0.5
    assert pack["light"].vector.shape == (2, 16)
    assert str(pack["age"].layers) == "0-7"
    assert pack.preset("older and happy").amounts == {"smile": 2.0, "age": 1.5}
    digest = hashlib.sha256(b"".join(d.vector.numpy().tobytes() for d in pack)).hexdigest()
    assert digest == (FROZEN.parent / "v1.vectors.sha256").read_text().strip()


def test_saving_replaces_a_pack_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    save_pack(replace(toy_pack(), description="second"), folder)
    assert read_pack(folder).description == "second"
    assert not (folder / "previews").exists()
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.tex").write_text("precious")
    with pytest.raises(PackFormatError, match="holds other files"):
        save_pack(toy_pack(), other)
    assert (other / "chapter1.tex").read_text() == "precious"
    with pytest.raises(PackFormatError, match="is a file"):
        save_pack(toy_pack(), other / "chapter1.tex")


def test_a_full_disk_leaves_the_old_pack(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "presets.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_pack(replace(toy_pack(), description="second"), folder)
    assert {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["files"].update({"../../etc/passwd": {"sha256": "0" * 64, "size": 1}}), "no file of that"),
        (lambda m: m["files"].update({"previews/../../x.png": {"sha256": "0" * 64, "size": 1}}), "no file of that"),
        (lambda m: m["files"].update({"C:\\x": {"sha256": "0" * 64, "size": 1}}), "no file of that"),
        (lambda m: m["files"].pop("directions.safetensors"), "lists no directions.safetensors"),
        (lambda m: m.update(format_version=3), "Upgrade eigan"),
        (lambda m: m.update(format_version=0), "wanted 1 to 2"),
        (lambda m: m.update(format_version=10**7), "wanted 1 to 2"),
        (lambda m: m["files"].update({"models.safetensors": {"sha256": "0" * 64, "size": 1}}), "has no models"),
        (lambda m: m["directions"][0].update(model={"size": 16, "relu": [False]}), "has no models"),
        (lambda m: m.update(format="something-else"), "format"),
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m["directions"][0].update(sigma=-1.0), "sigma of 'smile'"),
        (lambda m: m["directions"][0].update(sigma=True), "sigma"),
        (lambda m: m["directions"][0].update(layers=[5, 2]), "layer range"),
        (lambda m: m["directions"][0].update(layers=[0, 99]), "layers 0-98"),
        (lambda m: m["directions"][0].update(range=[1, 3]), "holds 0"),
        (lambda m: m["directions"][0].update(name="age"), "there twice"),
        (lambda m: m["directions"][0].update(name=""), "characters"),
        (lambda m: m["directions"][0].update(name="a\u202eb"), r"U\+202E"),
        (lambda m: m["directions"][0].update(name=7), "name"),
        (lambda m: m["generator"].update(code_dim=99), "16 numbers"),
        (lambda m: m["generator"].update(fingerprint="xyz"), "fingerprint"),
        (lambda m: m["directions"].extend([m["directions"][0]] * 5000), "directions"),
        (lambda m: m["directions"].append({**m["directions"][0], "name": "ghost"}), "no vector 3"),
    ],
)
def test_bad_manifests_have_their_own_sentence(folder: Path, change: Callable[[Any], object], message: str) -> None:
    rewrite_manifest(folder, change)
    with pytest.raises(PackFormatError, match=message):
        read_pack(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["0"].__setitem__(3, float("nan")), "NaN"),
        (lambda t: t["0"].mul_(2), "norm 2"),
        (lambda t: t["0"].zero_(), "norm 0"),
        (lambda t: t.update({"0": torch.zeros(16, dtype=torch.int64)}), "I64"),
        (lambda t: t.update({"0": torch.full((5, 16), 0.25)}), "shape"),
        (lambda t: t.update({"0": torch.full((25,), 0.2)}), "25 numbers"),
        (lambda t: t.update({"0": torch.zeros(0)}), "shape"),
    ],
)
def test_bad_vectors_have_their_own_sentence(folder: Path, change: Callable[[Any], object], message: str) -> None:
    rewrite_vectors(folder, change)
    with pytest.raises(PackFormatError, match=message):
        read_pack(folder)


def test_damaged_files_are_noticed(folder: Path) -> None:
    vectors = folder / "directions.safetensors"
    data = bytearray(vectors.read_bytes())
    data[-1] ^= 1
    vectors.write_bytes(data)
    with pytest.raises(PackFormatError, match="not the file that config.json lists"):
        read_pack(folder)
    vectors.unlink()
    with pytest.raises(PackFormatError, match="missing"):
        read_pack(folder)


def test_a_preset_of_unknown_directions_is_refused(folder: Path) -> None:
    data = (folder / "presets.json").read_bytes().replace(b'"age"', b'"ghost"')
    (folder / "presets.json").write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    rewrite_manifest(folder, lambda m: m["files"].update({"presets.json": entry}))
    with pytest.raises(PackFormatError, match="'older and happy' moves ghost"):
        read_pack(folder)


def test_vectors_that_are_a_pickle_are_refused(folder: Path) -> None:
    data = b"cos\nsystem\n(S'true'\ntR."
    (folder / "directions.safetensors").write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    rewrite_manifest(folder, lambda m: m["files"].update({"directions.safetensors": entry}))
    with pytest.raises(PackFormatError, match="cannot be read"):
        read_pack(folder)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe{", "UTF-8"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"format": "eigan-directions"', "not valid JSON"),
        (b" " * (4 * 2**20 + 1), "at most"),
    ],
)
def test_hostile_json_is_refused(folder: Path, data: bytes, message: str) -> None:
    (folder / "config.json").write_bytes(data)
    with pytest.raises(PackFormatError, match=message):
        read_pack(folder)
    assert not is_pack(folder)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_mutation_reads_or_is_refused(folder: Path, data: st.DataObject) -> None:
    """Flipped or cut bytes of any file: a pack, or PackFormatError; never another exception."""
    copy = folder.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    target = copy / data.draw(st.sampled_from(["config.json", "directions.safetensors", "presets.json"]))
    content = bytearray(target.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    target.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        read_pack(copy)
    except PackFormatError as error:
        assert str(error)


def test_an_empty_folder_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(PackFormatError, match="a direction pack is a folder with"):
        read_pack(tmp_path)


def test_a_generator_is_not_a_pack(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"format": "eigan-generator", "format_version": 1}')
    with pytest.raises(PackFormatError, match="holds a generator, not a direction pack"):
        read_pack(tmp_path)
