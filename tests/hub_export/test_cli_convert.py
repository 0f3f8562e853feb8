"""Conversion: the same pixels, a card, where it came from; nothing half done."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eigan import load_generator
from eigan.errors import CheckpointError
from hub_export.cli import app

OFFICIAL = Path(__file__).parent.parent / "data" / "parity"


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return " ".join(done.output.split())


@pytest.fixture
def official() -> Path:
    return next(OFFICIAL.glob("*/network.pkl"))


@pytest.mark.parametrize(("dtype", "said"), [("fp32", "the same pixels"), ("fp16", "levels (fp16)")])
def test_an_official_pickle_becomes_safetensors(official: Path, tmp_path: Path, dtype: str, said: str) -> None:
    out = tmp_path / "converted"
    assert said in run(official, "--out", out, "--license", "mit", "--dtype", dtype)
    before, after = load_generator(official), load_generator(out)
    assert before.fingerprint == after.fingerprint
    assert {p.name for p in out.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    config = json.loads((out / "config.json").read_text())
    assert config["source"]["sha256"] == hashlib.sha256(official.read_bytes()).hexdigest()
    assert str(tmp_path) not in (out / "config.json").read_text()
    card = (out / "README.md").read_text()
    assert "license: mit" in card
    assert 'load_generator("converted")' in card


def test_converting_twice_gives_the_same_bytes(official: Path, tmp_path: Path) -> None:
    for place in ("a", "b", "a"):  # the second "a" replaces the first
        run(official, "--out", tmp_path / place / "faces", "--license", "mit")
    for file in ("config.json", "model.safetensors", "README.md"):
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
