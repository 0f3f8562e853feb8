"""Packs whose directions have models: round trip, determinism, the frozen v2 pack, and every way they can be wrong."""

from __future__ import annotations

import hashlib
import json
import os
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

from eigan import format as pack_format
from eigan.edit import unit_move
from eigan.errors import PackFormatError
from eigan.format import pack_files, read_extras, read_pack, save_pack
from eigan.model_file import MODELS
from eigan.pack import DirectionPack
from eigan.plain_files import file_digest
from tests.toys_models import toy_model, varying_direction, varying_pack

FROZEN = Path(__file__).parent / "data" / "packs" / "v2"
CODES = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_pack(varying_pack(), tmp_path / "pack")
    return tmp_path / "pack"


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads((folder / "config.json").read_text())
    change(value)
    (folder / "config.json").write_text(json.dumps(value))


def put_models(folder: Path, data: bytes) -> None:
    """Other bytes of models, and a manifest that agrees, so that only the models' own check can object."""
    (folder / MODELS).write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    rewrite_manifest(folder, lambda m: m["files"].update({MODELS: entry}))


def same_moves(pack: DirectionPack, other: DirectionPack) -> bool:
    """Whether all weights are the same bits, and move codes alike."""
    for a, b in zip(pack, other, strict=True):
        if a.model is not None and b.model is not None:
            own, found = a.model.tensors(), b.model.tensors()
            assert own.keys() == found.keys() and all(torch.equal(own[name], found[name]) for name in own)
        torch.testing.assert_close(unit_move(CODES, a), unit_move(CODES, b))
    return [d.model is None for d in pack] == [d.model is None for d in other]


def test_round_trip(folder: Path) -> None:
    pack, back = varying_pack(), read_pack(folder)
    assert [d.model is not None for d in back] == [True, False, True]
    assert same_moves(pack, back)
    assert back.directions[0].model is not None and back.directions[0].model.kind == "nonlinear"
    assert pack_files(back, {}) == pack_files(pack, {}) == {p.name: p.read_bytes() for p in folder.iterdir()}
    assert read_extras(folder) == {}


def test_it_states_format_2_and_a_fixed_direction_says_nothing_of_models(folder: Path) -> None:
    manifest = json.loads((folder / "config.json").read_text())
    assert manifest["format_version"] == 2
    assert manifest["directions"][0]["model"] == {"size": 16, "relu": [True, True, False]}
    assert "model" not in manifest["directions"][1]
    assert manifest["files"][MODELS]["sha256"] == file_digest(folder / MODELS)
    fixed = replace(varying_pack(), directions=(varying_pack()["smile"],), presets=())
    assert json.loads(pack_files(fixed, {})["config.json"])["format_version"] == 1
    assert MODELS not in pack_files(fixed, {})


def test_an_eigan_of_before_asks_for_an_upgrade(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_format, "FORMAT_VERSION", 1)
    with pytest.raises(PackFormatError, match="written in pack format 2; this eigan .* reads up to 1. Upgrade eigan"):
        read_pack(folder)


def test_the_frozen_v2_pack_reads_and_moves_for_ever() -> None:
    pack = read_pack(FROZEN)
    expected = json.loads((FROZEN.parent / "v2.moves.json").read_text())
    codes = torch.linspace(-1, 1, 8 * 16).view(1, 8, 16)
    assert pack.names == list(expected) == ["turn", "smile", "tilt"]
    for direction in pack:
        moved = unit_move(codes, direction)
        torch.testing.assert_close(moved, torch.tensor(expected[direction.name]), atol=2e-6, rtol=2e-5)
    assert pack.preset("both").amounts == {"turn": 1.5, "tilt": -1.0}
    assert file_digest(FROZEN / MODELS) == json.loads((FROZEN / "config.json").read_text())["files"][MODELS]["sha256"]


@given(st.integers(1, 4), st.integers(1, 16), st.integers(1, 24), st.integers(0, 99))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_model_keeps_its_bytes(tmp_path: Path, depth: int, size: int, width: int, seed: int) -> None:
    model = toy_model(depth, size=size, width=width, seed=seed)
    pack = varying_pack()
    pack = replace(pack, directions=(replace(pack["turn"], model=model), *pack.directions[1:]))
    save_pack(pack, tmp_path / "any")
    back = read_pack(tmp_path / "any")
    assert same_moves(pack, back) and pack_files(back, {}) == pack_files(pack, {})


def test_a_model_under_two_names_is_written_twice(tmp_path: Path) -> None:
    pack = varying_pack()
    twins = (pack["turn"], replace(pack["turn"], name="twin"))
    pack = replace(pack, directions=twins, presets=())
    save_pack(pack, tmp_path / "twins")
    assert same_moves(pack, read_pack(tmp_path / "twins"))
    both = toy_model(2, count=2)  # two views of one piece of memory
    views = tuple(replace(d, model=both.only(i)) for i, d in enumerate(twins))
    save_pack(replace(pack, directions=views), tmp_path / "views")
    assert same_moves(replace(pack, directions=views), read_pack(tmp_path / "views"))


def test_half_precision_is_read_and_kept(folder: Path) -> None:
    put_models(folder, save({name: t.half() for name, t in load_file(folder / MODELS).items()}))
    pack = read_pack(folder)
    model = pack["turn"].model
    assert model is not None and {t.dtype for t in model.tensors().values()} == {torch.float16}
    found, wanted = unit_move(CODES, pack["turn"]), unit_move(CODES, varying_pack()["turn"])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)
    assert pack_files(pack, {})[MODELS] == (folder / MODELS).read_bytes()


def test_models_are_mapped_and_outlive_the_folder(folder: Path) -> None:
    """Saving a pack over the folder that it was read from is what `hub-export card` does."""
    pack = read_pack(folder)
    save_pack(replace(pack, description="second"), folder)
    assert same_moves(pack, read_pack(folder))
    shutil.rmtree(folder)
    assert same_moves(pack, varying_pack())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["files"].pop(MODELS), "lists no models.safetensors, which holds the models of 2 directions"),
        (lambda m: [d.pop("model", None) for d in m["directions"]], "no direction that has a model"),
        (lambda m: m["directions"][0].pop("model"), r"holds '0\..*no direction of the pack"),
        (
            lambda m: m["directions"][1].update(model={"size": 16, "relu": [False]}),
            r"direction 1: 0\.weight is missing",
        ),
        (lambda m: m["directions"][0]["model"].update(size=15), "wanted 15"),
        (lambda m: m["directions"][0]["model"].update(size=10**9), "size"),
        (lambda m: m["directions"][0]["model"].update(size=True), "size"),
        (lambda m: m["directions"][0]["model"].update(relu=[]), "relu"),
        (lambda m: m["directions"][0]["model"].update(relu=[False] * 10), "relu"),
        (lambda m: m["directions"][0]["model"].update(relu=[0, 0, 0]), "relu"),
        (lambda m: m["directions"][0]["model"].update(relu=[True, True, True]), "after a ReLU"),
        (lambda m: m["directions"][0]["model"].update(relu=[False, False]), "has no 2.bias, 2.weight"),
        (lambda m: m["directions"][0]["model"].update(relu=[False] * 4), r"3\.weight is missing"),
        (lambda m: m["directions"][0]["model"].update(tanh=True), "tanh"),
        (lambda m: m["files"][MODELS].update(size=2**30 + 1), "size"),
        (lambda m: m["files"][MODELS].update(size=5), "is not the file that config.json lists"),
        (lambda m: m["files"][MODELS].update(sha256="0" * 64), "is not the file that config.json lists"),
    ],
)
def test_bad_manifests_have_their_own_sentence(folder: Path, change: Callable[[Any], object], message: str) -> None:
    rewrite_manifest(folder, change)
    with pytest.raises(PackFormatError, match=message):
        read_pack(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({"7.0.weight": torch.eye(16)}), r"'7\.0\.weight'; no direction"),
        (lambda t: t.update({"02.0.weight": torch.eye(16)}), r"'02\.0\.weight'; no direction"),
        (lambda t: t.update({"0": torch.eye(16)}), "direction 0: .* has no"),
        (lambda t: t.update({"0.1.weight": torch.eye(16)[:5]}), "direction 0: a layer's bias has shape"),
        (lambda t: t.update({"2.0.weight": torch.zeros(16)}), "direction 2: a layer's weight has shape"),
        (lambda t: t.update({"2.0.weight": torch.eye(16).double()}), "float64; wanted float32 or float16"),
        (lambda t: t.update({"2.0.weight": torch.eye(16).bfloat16()}), "bfloat16; wanted float32 or float16"),
        (lambda t: t.update({"2.0.weight": torch.zeros(16, 16, dtype=torch.int32)}), "I32"),
        (lambda t: t["2.0.weight"].__setitem__((1, 1), float("nan")), "direction 2: .*NaN"),
        (lambda t: t.pop("2.0.weight"), r"direction 2: 0\.weight is missing"),
    ],
)
def test_bad_models_have_their_own_sentence(folder: Path, change: Callable[[Any], object], message: str) -> None:
    tensors = load_file(folder / MODELS)
    change(tensors)
    put_models(folder, save(tensors))
    with pytest.raises(PackFormatError, match=message):
        read_pack(folder)


@pytest.mark.parametrize(
    "data", [b"", b"cos\nsystem\n(S'true'\ntR.", b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{"]
)
def test_models_that_are_something_else_are_refused(folder: Path, data: bytes) -> None:
    put_models(folder, data)
    with pytest.raises(PackFormatError, match=r"models\.safetensors cannot be read"):
        read_pack(folder)


def test_a_header_that_claims_more_than_there_is_allocates_nothing(folder: Path) -> None:
    header = json.dumps({"2.0.weight": {"dtype": "F32", "shape": [2**30, 2**30], "data_offsets": [0, 2**62]}}).encode()
    put_models(folder, len(header).to_bytes(8, "little") + header + bytes(64))
    with pytest.raises(PackFormatError, match=r"models\.safetensors cannot be read"):
        read_pack(folder)


def test_files_that_are_missing_too_large_or_no_files(folder: Path) -> None:
    listed = (folder / MODELS).stat().st_size
    os.truncate(folder / MODELS, 2**30 + 1)  # sparse
    with pytest.raises(PackFormatError, match="at most 1,073,741,824 are read"):
        read_pack(folder)
    os.truncate(folder / MODELS, listed - 1)
    with pytest.raises(PackFormatError, match="is not the file"):
        read_pack(folder)
    (folder / MODELS).unlink()
    with pytest.raises(PackFormatError, match=r"models\.safetensors of .* cannot be read: No such file"):
        read_pack(folder)
    os.mkfifo(folder / MODELS)
    with pytest.raises(PackFormatError, match="not a regular file"):
        read_pack(folder)


def test_more_than_a_pack_holds_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eigan.model_file.MAX_MODEL_TENSORS", 11)
    with pytest.raises(PackFormatError, match="12 arrays .* several packs"):
        save_pack(varying_pack(), tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_unaligned_weights_are_read(folder: Path) -> None:
    data = (folder / MODELS).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].rstrip()
    header += b" " * (1 + (-len(header)) % 4)
    put_models(folder, len(header).to_bytes(8, "little") + header + data[8 + length :])
    assert same_moves(read_pack(folder), varying_pack())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), agree=st.booleans())
def test_any_mutation_reads_or_is_refused(folder: Path, data: st.DataObject, agree: bool) -> None:
    """Flipped or cut bytes, with a manifest that agrees or not: a pack whose moves are finite, or PackFormatError."""
    copy = folder.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    target = copy / data.draw(st.sampled_from(["config.json", MODELS]))
    content = bytearray(target.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(1, len(content))))]
    target.write_bytes(content)
    if agree and target.name == MODELS:
        put_models(copy, bytes(content))
    try:
        pack = read_pack(copy)
    except PackFormatError as error:
        assert str(error)
    else:
        assert all(bool(unit_move(CODES, d).isfinite().all()) for d in pack if d.layers.stop <= 8)


def test_only_first_numbers_may_move() -> None:
    direction = varying_direction(dim=16, size=12)
    assert not unit_move(CODES, direction)[..., 12:].any()
    with pytest.raises(PackFormatError, match="of at most 16"):
        replace(direction, model=toy_model(1, size=17))
