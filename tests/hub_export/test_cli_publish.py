"""The publish and card commands: what they print, and that they hand their options on."""

from __future__ import annotations

from dataclasses import replace
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


def test_dry_run_shows_what_changed_since_the_newest_version(hub: FakeHub, folder: Path) -> None:
    run("publish", folder, "--repo", REPO, "--version", "1.0.0")
    pack = read_pack(folder)
    louder = replace(pack.directions[0], sigma=0.75)
    save_pack(replace(pack, directions=(louder, *pack.directions[1:]), license="[red]x"), folder, {})
    hub.log.clear()
    output = run("publish", folder, "--repo", REPO, "--version", "1.0.1", "--dry-run", token=None)
    rows = {line.split()[0]: line.split()[-1] for line in output.splitlines() if line.strip()}
    assert "since v1.0.0" in output
    assert (rows["previews/smile.webp"], rows["presets.json"], rows["config.json"]) == ("deleted", "same", "changed")
    assert "breaking: smile: sigma 0.5 -> 0.75, the same amount moves 1.5 times as far" in output
    assert "licence: cc0-1.0 -> [red]x" in output
    assert "mind: saved edits break since v1.0.0, which asks for version 2.0.0" in output
    assert not hub.requests("^(POST|PUT|DELETE) ")


def test_gated_and_new_repositories_are_announced(hub: FakeHub, folder: Path) -> None:
    output = run("publish", folder, "--repo", REPO, "--version", "1.0.0", "--gated", "manual", "--private")
    assert "readers will have to ask for access (manual)" in output
    assert "the repository will be made, private" in output
    assert (hub.store.repos[REPO].gated, hub.store.repos[REPO].private) == ("manual", True)
    assert "will" not in run("publish", folder, "--repo", REPO, "--version", "1.0.0", "--gated", "manual")


def test_a_half_done_publish_is_announced(hub: FakeHub, folder: Path) -> None:
    hub.fault("^POST .*/tag/", times=4, status=500)
    with pytest.raises(PublishError, match="only the tag v1.0.0 is not"):
        run("publish", folder, "--repo", REPO, "--version", "1.0.0")
    assert "there already" in (output := run("publish", folder, "--repo", REPO, "--version", "1.0.0"))
    assert "only the tag is missing" in output


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
