"""The name command: packs and a names file in, a pack for people out."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from eigan import load_pack
from eigan.errors import EiganError, FitError, PackFormatError
from eigan.format import read_extras, save_pack
from hub_export.cli import app
from tests.toys import NAMES, toy_generator, toy_pack


@pytest.fixture
def work(tmp_path: Path) -> Path:
    save_pack(toy_pack(toy_generator()), tmp_path / "fitted")
    (tmp_path / "names.toml").write_text(NAMES)
    return tmp_path


def run(work: Path, toy_folder: Path, *more: str) -> str:
    paths = [str(work / "fitted"), "--names", str(work / "names.toml"), "--generator", str(toy_folder)]
    arguments = ["name", *paths, "--out", str(work / "out"), *more]
    done = CliRunner().invoke(app, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return " ".join(done.output.split())


def test_a_named_pack_shows_itself(work: Path, toy_folder: Path) -> None:
    assert "2 directions and 1 presets written" in run(work, toy_folder, "--seeds", "3,4")
    pack = load_pack(work / "out")
    assert pack.names == ["youth", "joy"]
    extras = read_extras(work / "out")
    assert {"previews/youth.webp", "previews/joy.webp", "README.md", "CHANGELOG.md"} <= extras.keys()
    assert "young and happy" in extras["README.md"].decode()


def test_naming_again_replaces_and_keeps_the_changelog(work: Path, toy_folder: Path) -> None:
    run(work, toy_folder, "--no-previews")
    extras = read_extras(work / "out") | {"CHANGELOG.md": b"# Changelog\n\n## Unreleased\n\n- By hand.\n"}
    save_pack(load_pack(work / "out"), work / "out", extras)
    run(work, toy_folder, "--no-previews")
    assert b"By hand" in read_extras(work / "out")["CHANGELOG.md"]


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["--seeds", "one"], FitError, "whole numbers"),
        (["--names", "/no/such/names.toml"], PackFormatError, "cannot be read"),
    ],
)
def test_mistakes_are_told(
    work: Path, toy_folder: Path, more: list[str], error: type[EiganError], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(work, toy_folder, *more)
    assert not (work / "out").exists()


def test_another_pack_is_not_replaced(work: Path, toy_folder: Path) -> None:
    save_pack(toy_pack(), work / "out")
    with pytest.raises(FitError, match="'toy'"):
        run(work, toy_folder)
    assert load_pack(work / "out").name == "toy"
