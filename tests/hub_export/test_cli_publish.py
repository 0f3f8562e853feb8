"""The publish and card commands: what they print, and that they hand their options on."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from eigan.errors import PackFormatError, PublishError
from eigan.format import read_extras, read_pack, save_pack
from eigan.sources import load_pack
from hub_export.cli import app
from tests.fakehub.server import FakeHub
from tests.toys import toy_pack

REPO = "alice/smiles"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_pack(
        toy_pack(), tmp_path / "pack", {"previews/smile.webp": b"RIFF", "CHANGELOG.md": b"## Unreleased\n- first\n"}
    )
    return tmp_path / "pack"


def run(*arguments: object, token: str | None = "hf_alice") -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"HF_TOKEN": token}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_publish_shows_what_goes_and_how_to_load_it(hub: FakeHub, folder: Path) -> None:
    output = run("publish", folder, "--repo", REPO, "--version", "1.0.0", "--private", "--message", "one\ntwo")
    for wanted in ("previews/smile.webp", "4 bytes", "alice/smiles 1.0.0 published:", f"{hub.url}/{REPO}/tree/v1.0.0"):
        assert wanted in output
    assert 'eigan.DirectionPack.load("alice/smiles@v1.0.0")' in output
    assert "hf_alice" not in output
    assert hub.store.repos[REPO].private
    pack = load_pack(f"{REPO}@v1.0.0", token="hf_alice")
    assert pack.version == "1.0.0"
    assert b"## 1.0.0\n\none\ntwo\n" in hub.store.repos[REPO].files["CHANGELOG.md"].data
    assert "was published before" in run(
        "publish", folder, "--repo", REPO, "--version", "1.0.0", "--message", "one\ntwo"
    )


def test_dry_run(hub: FakeHub, folder: Path) -> None:
    output = run("publish", folder, "--repo", REPO, "--version", "1.0.0", "--dry-run", token=None)
    assert "directions.safetensors" in output
    assert "nothing was written" in output
    assert not hub.store.repos


def test_refusals_are_publish_errors(hub: FakeHub, folder: Path) -> None:
    with pytest.raises(PublishError, match="may only read"):
        run("publish", folder, "--repo", REPO, "--version", "1.0.0", token="hf_reader")


def test_card_is_written_anew_in_place(folder: Path) -> None:
    before = read_extras(folder)
    run("card", folder, "--repo", REPO)
    after = read_extras(folder)
    assert after.pop("README.md").decode().count(f'load("{REPO}")') == 1
    assert after == before
    assert read_pack(folder).names == toy_pack().names
    run("card", folder)
    assert b"- first" in read_extras(folder)["README.md"]


def test_card_of_nothing_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(PackFormatError):
        run("card", tmp_path / "x")
    with pytest.raises(PublishError):
        save_pack(toy_pack(), tmp_path / "p")
        run("card", tmp_path / "p", "--repo", "not a repo")
    assert list((tmp_path / "x").iterdir()) == []
