"""hub-export isolate: a fitted pack in, a pack with a direction for each attribute out, or one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from eigan.errors import EiganError, FitError, PackFormatError, UnknownName
from eigan.format import read_extras, read_pack, save_pack
from hub_export.cli import app
from hub_export.staging import README
from tests.toys import toy_generator, toy_pack

QUICK = ["--num-seeds", "2", "--num-pictures", "20", "--scorer", f"{__name__}:shades"]


def shades(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """A scorer of one's own: mean brightness, and how red pictures are."""
    brightness = pictures.mean(axis=(1, 2, 3))
    return {"brightness": brightness, "redness": pictures[..., 0].mean(axis=(1, 2)) - brightness}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    save_pack(toy_pack(toy_generator()), tmp_path / "fitted", {README: b"# toy\n"})
    return tmp_path


def run(work: Path, toy_folder: Path, *more: str) -> Result:
    words = ["isolate", str(work / "fitted"), "--generator", str(toy_folder), "--out", str(work / "out"), *QUICK, *more]
    done = CliRunner().invoke(app, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_a_pack_of_attributes_shows_itself(work: Path, toy_folder: Path) -> None:
    output = run(work, toy_folder).output
    assert "hub-export evaluate" in output
    pack = read_pack(work / "out")
    assert pack.name == "out"
    assert pack.names == ["brightness", "redness"]
    assert pack.method["name"] == "isolate"
    assert pack.method["basis"]["toy"]["name"] == "pca"
    extras = read_extras(work / "out")
    assert {"previews/brightness.webp", "previews/redness.webp", "README.md", "CHANGELOG.md"} <= extras.keys()
    assert "sums of another pack" in extras["README.md"].decode()
    assert run(work, toy_folder, "--no-previews", "--attributes", "redness").exit_code == 0  # replaces its own
    assert read_pack(work / "out").names == ["redness"]


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["--attributes", "smile"], UnknownName, "brightness, redness"),
        (["--seeds", "one"], FitError, "whole numbers"),
        (["--name", "\x00"], PackFormatError, "control character"),
        (["--scorer", "nonsense"], UnknownName, "unknown scorer"),
    ],
)
def test_mistakes_are_told_and_write_nothing(
    work: Path, toy_folder: Path, more: list[str], error: type[EiganError], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(work, toy_folder, *more)
    assert not (work / "out").exists()


def test_another_pack_is_not_replaced(work: Path, toy_folder: Path) -> None:
    with pytest.raises(FitError, match="holds the pack 'toy'"):
        run(work, toy_folder, "--out", str(work / "fitted"), "--name", "other")
