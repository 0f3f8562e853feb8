"""The list, versions and diff commands: what they print, in plain text, whatever strangers wrote."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from eigan.errors import HubError
from eigan.format import save_pack
from hub_export import cli
from hub_export.cli import app
from hub_export.publish import publish
from tests.fakehub.server import FakeHub
from tests.hub_export.test_catalogue import push
from tests.toys import toy_direction, toy_pack


def run(*arguments: object) -> str:
    environment = {"HF_TOKEN": None, "COLUMNS": "160"}
    result = CliRunner().invoke(app, list(map(str, arguments)), env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def folder(hub: FakeHub, tmp_path: Path) -> Path:
    """alice/smiles with v1.0.0 and v2.0.0, and the folder of the newer."""
    folder = tmp_path / "pack"
    save_pack(toy_pack(), folder)
    publish(folder, "alice/smiles", "1.0.0", token="hf_alice")
    fewer = replace(toy_pack(), directions=toy_pack().directions[:2], presets=())
    save_pack(replace(fewer, license="[bold]mine"), folder)
    publish(folder, "alice/smiles", "2.0.0", token="hf_alice")
    return folder


def test_list(hub: FakeHub) -> None:
    push(hub, "alice/smiles", generator="acme/faces")
    push(hub, "bob/hats", tag="")
    hub.store.repos["alice/smiles"].downloads = 12345
    output = run("list")
    for wanted in ("alice/smiles", "1.0.0", "acme/faces", "cc0-1.0", "12,345", "bob/hats", "smile"):
        assert wanted in output
    assert 'eigan.DirectionPack.load("alice/smiles@v1.0.0")' in output
    assert "bob/hats" not in run("list", "--generator", "acme/faces", "--limit", 5)
    assert run("list", "--author", "eve", "--search", "x") == "no direction packs by eve named x on the Hub\n"


def test_what_strangers_write_steers_no_terminal(hub: FakeHub) -> None:
    card = '---\ntags: [eigan, latent-directions]\nlicense: other\nlicense_name: "[red]\\e[31m\\nx"\n'
    card += 'widget: [{text: "\\e]0;title\\a[bold]d"}, {text: b}, {text: c}, {text: d}, {text: e}]\n---\n'
    hub.store.push("eve/pack", {"README.md": card.encode(), "config.json": b"{}"}, "v1.0.0")
    output = run("list")
    assert "\x1b" not in output and "\a" not in output
    assert "[red] [31m x" in output and "[bold]d, b, c, d, …" in output


def test_versions(folder: Path) -> None:
    output = run("versions", "alice/smiles")
    lines = {line.split()[0]: line for line in output.splitlines() if line.strip()}
    first, second = lines["2.0.0"], lines["1.0.0"]
    assert "(newest)" in first and "2026-01-03" in first and "breaking: light: direction removed" in first
    assert "(newest)" not in second and "First version." in second
    assert 'eigan.DirectionPack.load("alice/smiles@v2.0.0")' in output


def test_versions_of_what_has_none(hub: FakeHub) -> None:
    hub.store.create("alice/new")
    assert run("versions", "alice/new") == "alice/new has no versions; hub-export publish makes them\n"


def test_long_changelogs_are_cut(hub: FakeHub) -> None:
    changes = "# Changelog\n\n## 1.0.0\n\n" + "".join(f"- change {i}\n" for i in range(40))
    files = {"CHANGELOG.md": changes.encode(), "directions.safetensors": b"x"}
    hub.store.push("alice/smiles", files, "v1.0.0")
    output = run("versions", "alice/smiles")
    assert "- change 7" in output and "- change 8" not in output and "… and 32 more" in output


def test_diff(folder: Path) -> None:
    lines = run("diff", "alice/smiles@v1.0.0", folder).splitlines()
    assert lines[0] == f"alice/smiles@v1.0.0 -> {folder}"
    assert "breaking: light: direction removed" in lines
    assert "licence: cc0-1.0 -> [bold]mine" in lines
    assert "as versions: a major step" in lines
    assert lines[-1].startswith("files: 2 changed (directions.safetensors, presets.json), 2 deleted (")
    assert run("diff", folder, folder).splitlines()[1:] == [
        "no difference in what the direction packs say",
        "files: 2 the same",
    ]


def test_diff_shows_everything(tmp_path: Path) -> None:
    many = tuple(toy_direction(f"d{i}", seed=i) for i in range(60))
    save_pack(toy_pack(), tmp_path / "few")
    save_pack(replace(toy_pack(), directions=(*toy_pack().directions, *many)), tmp_path / "many")
    assert run("diff", tmp_path / "few", tmp_path / "many").count("direction added") == 60


@pytest.mark.parametrize(
    "command", [["versions", "alice/none"], ["diff", "alice/none", "alice/none"], ["list", "--generator", "x"]]
)
def test_failures_are_one_sentence(
    hub: FakeHub, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hub-export", *command])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert "error: " in capsys.readouterr().err


def test_a_token_reaches_the_hub_and_nothing_else(hub: FakeHub, folder: Path) -> None:
    hub.store.repos["alice/smiles"].private = True
    with pytest.raises(HubError, match="or it is private"):
        run("versions", "alice/smiles")
    for command in (["versions", "alice/smiles"], ["diff", "alice/smiles@v1.0.0", "alice/smiles"], ["list"]):
        output = run(*command, "--token", "hf_alice")
        assert "alice/smiles" in output and "hf_alice" not in output


@pytest.mark.parametrize(("command", "what"), [(["list"], "the list of packs"), (["versions", "a/b"], "a/b")])
def test_offline_is_said_in_one_sentence(
    hub: FakeHub, command: list[str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        HubError, match=f"^{what} was asked for while HF_HUB_OFFLINE=1; unset it, or use what is cached"
    ):
        run(*command)
    assert hub.log == []
