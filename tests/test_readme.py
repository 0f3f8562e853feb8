"""The README tells the truth: its example runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = next(block for block in blocks("python") if "edited.png" in block)
    exec(compile(example, "README.md", "exec"), {})
    assert Image.open(tmp_path / "edited.png").size == (64, 64)


def test_the_call_of_the_app_is_one_of_those_that_are_run() -> None:
    """tests/ui/test_api.py runs the examples of docs/api.md against the app."""
    call = next(block for block in blocks("python") if "gradio_client" in block)
    line = re.search(r"app\.predict\(.+?\)", call)
    assert line is not None and line[0] in (ROOT / "docs" / "api.md").read_text()


def test_the_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.M):
        assert re.search(rf"^{target}:", makefile, re.M)
    from hub_export.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(re.findall(r"^hub-export (\w+)", "\n".join(blocks("sh")), re.M)) <= known


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name)
def test_local_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_space_front_matter_is_complete() -> None:
    front = README.split("---")[1]
    for key in ("title:", "sdk: gradio", "sdk_version:", "app_file: app.py", "license: apache-2.0"):
        assert key in front
    assert (ROOT / "app.py").is_file()
