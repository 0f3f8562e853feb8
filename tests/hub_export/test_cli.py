"""The command's front door: foreseen failures are one sentence and an exit status, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hub_export import cli


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["hub-export", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_every_command_is_there_and_explained() -> None:
    done = subprocess.run([sys.executable, "-m", "hub_export", "--help"], capture_output=True, text=True, check=True)
    for command in ("fit", "name", "card", "publish"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--method", "pcaa"], "unknown method 'pcaa'; known: "),
        (["--method", "sefa", "--layers", "50-60"], "layers"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    toy_folder: Path,
    arguments: list[str],
    sentence: str,
) -> None:
    out = tmp_path / "out"
    assert run_main(monkeypatch, "fit", "--generator", str(toy_folder), "--out", str(out), *arguments) == 1
    error = capsys.readouterr().err
    assert sentence in " ".join(error.split())
    assert "Traceback" not in error
    assert not out.exists()


def test_a_text_file_is_not_a_generator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "network.pkl"
    fake.write_text("these are not the weights you are looking for")
    out = tmp_path / "out"
    assert run_main(monkeypatch, "fit", "--generator", str(fake), "--method", "pca", "--out", str(out)) == 1
    assert "text" in capsys.readouterr().err
    assert not out.exists()


def test_interruption_has_the_shells_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    assert run_main(monkeypatch) == 130
