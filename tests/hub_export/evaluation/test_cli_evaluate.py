"""hub-export evaluate: the folder gets its measurements, all at once or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from eigan.format import read_extras, read_pack, save_pack
from eigan.sources import load_generator
from hub_export import cli_evaluate
from hub_export.cli import app
from hub_export.fit import fit
from hub_export.metrics import METRICS, read_metrics
from hub_export.previews import CONTACT_SHEET
from hub_export.recipe import Recipe
from hub_export.staging import README

QUICK = ["--num-seeds", "2", "--num-pictures", "20"]


@pytest.fixture
def folder(tmp_path: Path, toy_folder: Path) -> Path:
    generator = load_generator(toy_folder)
    pack = fit(generator, Recipe("sefa", num_directions=2, num_samples=1100, layers="6-7"), name="toy")
    save_pack(pack, tmp_path / "toy", {README: b"# toy\n"})
    return tmp_path / "toy"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_folder_gets_its_measurements(folder: Path) -> None:
    before = read_pack(folder)
    result = run(folder, *QUICK, "--keep-ranges")
    assert result.exit_code == 0, result.output
    extras = read_extras(folder)  # checks every sha256
    metrics = read_metrics(extras[METRICS])
    assert [entry.name for entry in metrics.directions] == before.names
    assert metrics.generator == before.made_for.fingerprint
    assert metrics.frechet is not None
    assert metrics.frechet.num_images == 20
    assert metrics.scorer == ""  # the bundled one cannot read these pictures
    assert "sefa-00" in result.output
    assert "not FID" in result.output
    assert [d.amount_range for d in read_pack(folder)] == [d.amount_range for d in before]


@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_ranges_are_set_where_nobody_named_the_sliders(folder: Path, is_named: bool, asked: bool) -> None:
    before = read_pack(folder)
    if is_named:
        before = replace(before, directions=tuple(replace(d, name=f"my {d.name}") for d in before))
    save_pack(before, folder, {CONTACT_SHEET: b"over the old ranges"})
    result = run(folder, *QUICK, "--no-frechet", *["--set-ranges"] * asked)
    assert result.exit_code == 0, result.output
    extras, after = read_extras(folder), read_pack(folder)
    metrics = read_metrics(extras[METRICS])
    is_set = asked or not is_named
    wanted = [entry.range for entry in metrics.directions] if is_set else [d.amount_range for d in before]
    assert [d.amount_range for d in after] == wanted
    assert (extras[CONTACT_SHEET] != b"over the old ranges") is is_set
    assert metrics.frechet is None


def test_a_copy_leaves_the_pack_alone(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    result = run(folder, *QUICK, "--no-frechet", "--out", tmp_path / "copy", "--scorer", "heads-attributes")
    assert result.exit_code == 0, result.output
    assert contents(folder) == before
    metrics = read_metrics(read_extras(tmp_path / "copy")[METRICS])
    assert metrics.scorer == "heads-attributes"
    assert all(entry.main and entry.identity for entry in metrics.directions)
    assert set(before) <= set(contents(tmp_path / "copy"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["heads"], "say with --out"),
        (["org/pack"], "say with --out"),
        (["FOLDER", "--scorer", "nonsense"], "unknown scorer"),
        (["FOLDER", "--features", "vgg"], "unknown feature network"),
        (["FOLDER", "--num-seeds", "0"], "num_seeds is 0"),
    ],
)
def test_refusals_leave_everything_as_it_was(words: list[str], message: str, folder: Path) -> None:
    before = contents(folder)
    result = run(*[folder if word == "FOLDER" else word for word in words])
    assert result.exit_code != 0
    assert message in str(result.exception)
    assert contents(folder) == before


def test_stopping_leaves_everything_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, asked = contents(folder.parent), []

    def stopped(*args: object, **settings: object) -> None:
        asked.append(settings["num_seeds"])
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_evaluate, "measure", stopped)
    assert run(folder, *QUICK).exit_code == 130
    assert asked == [2]
    assert contents(folder.parent) == before
