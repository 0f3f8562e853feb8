"""Conversion: the same pixels, a card, where it came from; nothing half done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from eigan import load_generator
from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError, InvalidCodes
from eigan.readers.safetensors import save_generator
from hub_export.cli import app
from hub_export.cli_convert import compare, describe_origin
from tests.toys_fastgan import toy_fastgan

OFFICIAL = Path(__file__).parent.parent / "data" / "parity"


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return " ".join(done.output.split())


@pytest.fixture
def official() -> Path:
    return next(OFFICIAL.glob("*/network.pkl"))


@pytest.mark.parametrize(("dtype", "said"), [("fp32", "the same pixels"), ("fp16", "on average (fp16)")])
def test_an_official_pickle_becomes_safetensors(official: Path, tmp_path: Path, dtype: str, said: str) -> None:
    out = tmp_path / "converted"
    assert said in run(official, "--out", out, "--license", "mit", "--dtype", dtype)
    before, after = load_generator(official), load_generator(out)
    assert before.fingerprint == after.fingerprint
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert names == {"config.json", "model.safetensors", "README.md", "previews/samples.webp"}
    size = load_generator(out).resolution
    assert Image.open(out / "previews/samples.webp").size == (4 * size + 3 * 2, 2 * size + 2)
    config = json.loads((out / "config.json").read_text())
    assert config["source"]["sha256"] == hashlib.sha256(official.read_bytes()).hexdigest()
    assert str(tmp_path) not in (out / "config.json").read_text()
    card = (out / "README.md").read_text()
    assert "license: mit" in card
    assert 'load_generator("converted")' in card and "](previews/samples.webp)" in card


def test_converting_twice_gives_the_same_bytes(official: Path, tmp_path: Path) -> None:
    for place in ("a", "b", "a"):  # the second "a" replaces the first
        run(official, "--out", tmp_path / place / "faces", "--license", "mit")
    for file in ("config.json", "model.safetensors", "README.md", "previews/samples.webp"):
        assert (tmp_path / "a/faces" / file).read_bytes() == (tmp_path / "b/faces" / file).read_bytes()


def test_the_licence_must_be_said(official: Path, tmp_path: Path) -> None:
    assert "--license" in run(official, "--out", tmp_path / "x")
    with pytest.raises(CheckpointError, match="say the weights' licence"):
        run(official, "--out", tmp_path / "x", "--license", " ")
    assert not (tmp_path / "x").exists()


def test_other_peoples_folders_are_left_alone(official: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="other files"):
        run(official, "--out", tmp_path, "--license", "mit")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_what_draws_otherwise_is_not_called_the_same() -> None:
    a = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)
    assert compare(a, a.clone()).describe("fp32") == "the same pixels"
    moved = a.clone()
    moved[0, 0, 0, 0] += 0.5
    assert compare(a, moved).levels == 64
    assert "at most 64 of 255 levels" in compare(a, moved).describe("fp16")
    assert not compare(a, a + 1e-7).identical


def test_the_origin_names_the_repository_or_the_address(official: Path) -> None:
    checkpoint = Checkpoint.open(official)
    assert describe_origin(checkpoint).keys() == {"container", "file", "sha256"}
    hub = replace(checkpoint, source="acme/faces@v1", revision="c" * 40)
    assert describe_origin(hub)["repository"] == "acme/faces@v1"
    assert (
        describe_origin(replace(checkpoint, source="https://a.example/x.pkl"))["address"] == "https://a.example/x.pkl"
    )


def test_batch_norm_is_recalibrated_on_demand_and_recorded(tmp_path: Path) -> None:
    save_generator(toy_fastgan(), tmp_path / "fast", dtype="fp32")
    said = run(
        tmp_path / "fast", "--out", tmp_path / "new", "--license", "mit", "--dtype", "fp32", "--recalibrate-bn", 5
    )
    assert "the same pixels" in said and "before recalibration" in said
    config = json.loads((tmp_path / "new/config.json").read_text())
    assert config["source"]["bn_recalibration"] == {"num_samples": 5, "seed": 0}
    assert load_generator(tmp_path / "new").fingerprint != load_generator(tmp_path / "fast").fingerprint
    with pytest.raises(InvalidCodes, match="no batch norm"):
        run(next(OFFICIAL.glob("sg2ada*/*.pkl")), "--out", tmp_path / "x", "--license", "mit", "--recalibrate-bn", 8)
    assert not (tmp_path / "x").exists()
