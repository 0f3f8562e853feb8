"""The import command: another tool's file in, a pack for people out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from eigan import LayerRange, load_pack
from eigan.errors import EiganError, FitError, PackFormatError, PackMismatch, UnknownName
from eigan.format import read_extras, save_pack
from hub_export.cli import app
from tests.importers.makers import components, edit_fields, pickled, saved, unit_rows
from tests.toys import toy_pack


def run(file: Path, toy_folder: Path, out: Path, *more: str) -> str:
    arguments = ["import", str(file), "--generator", str(toy_folder), "--out", str(out), *more]
    done = CliRunner().invoke(app, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_an_imported_pack_shows_itself(tmp_path: Path, toy_folder: Path, one_thread: None) -> None:
    shown = run(components(tmp_path), toy_folder, tmp_path / "out", "--license", "mit", "--num-directions", "2")
    assert "out: 2 directions" in shown and "pc-00" in shown and "2.02" in shown
    assert "ganspace-npz: directions in w (the file says so)" in shown and "hub-export publish" in shown
    pack = load_pack(tmp_path / "out")
    assert pack.names == ["pc-00", "pc-01"] and pack.license == "mit" and pack.name == "out"
    extras = read_extras(tmp_path / "out")
    assert {"previews/pc-00.webp", "previews/contact-sheet.webp", "README.md", "CHANGELOG.md"} <= extras.keys()
    card = extras["README.md"].decode()
    assert "converted from another tool's file" in card and "ganspace-npz" in card


def test_options_reach_the_importer(tmp_path: Path, toy_folder: Path) -> None:
    path = pickled(tmp_path / "edit.pkl", edit_fields())
    shown = run(path, toy_folder, tmp_path / "out", "--layers", "1-2", "--psi", "0.5", "--no-previews")
    assert "scaled by psi 0.5" in shown and "'Light direction as saved'" in shown
    (direction,) = load_pack(tmp_path / "out")
    assert direction.layers == LayerRange(1, 3)
    rows = saved(tmp_path / "rows.npy", unit_rows(8))
    run(rows, toy_folder, tmp_path / "rows", "--rows", "directions", "--space", "w", "--no-previews")
    assert len(load_pack(tmp_path / "rows")) == 8


def test_an_earlier_import_is_replaced_and_nothing_else(tmp_path: Path, toy_folder: Path) -> None:
    path = components(tmp_path)
    run(path, toy_folder, tmp_path / "out", "--no-previews")
    run(path, toy_folder, tmp_path / "out", "--no-previews", "--num-directions", "1")
    assert len(load_pack(tmp_path / "out")) == 1
    save_pack(toy_pack(), tmp_path / "fitted")
    with pytest.raises(FitError, match="no unpublished import"):
        run(path, toy_folder, tmp_path / "fitted")
    assert load_pack(tmp_path / "fitted").name == "toy"


@pytest.mark.parametrize(
    ("changes", "more", "error", "message"),
    [
        ({}, ["--space", "q"], FitError, "--space"),
        ({}, ["--rows", "columns"], FitError, "--rows"),
        ({}, ["--layers", "90"], PackFormatError, "do not exist"),
        ({}, ["--names", "nobody"], UnknownName, "unknown names"),
        ({}, ["--seeds", "one"], FitError, "whole numbers"),
        ({"lat_comp": unit_rows(4, 8)[:, None], "lat_mean": None}, [], PackMismatch, "8 numbers"),
        ({"lat_comp": None, "act_comp": None}, [], PackFormatError, "What eigan reads"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(
    tmp_path: Path, toy_folder: Path, changes: dict[str, Any], more: list[str], error: type[EiganError], message: str
) -> None:
    path = components(tmp_path, **changes)
    with pytest.raises(error, match=message):
        run(path, toy_folder, tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()
