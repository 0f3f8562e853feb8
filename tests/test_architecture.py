"""The arrows of the house hold: plugin -> hub_export -> eigan; only eigan/ui imports gradio; one file unpickles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import eigan

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "eigan").rglob("*.py"), *(ROOT / "hub_export").rglob("*.py"), ROOT / "app.py"])
MAX_LINES = 400


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            yield node.module or ""


def touches(path: Path, package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in imports(path))


def inside(path: Path, folder: str) -> bool:
    return (ROOT / folder) in path.parents


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    if inside(path, "eigan") and not inside(path, "eigan/ui"):
        for package in ("gradio", "hub_export", "plugin", "app"):
            assert not touches(path, package), f"{path} imports {package}"
    if inside(path, "hub_export"):
        for package in ("gradio", "plugin", "app", "eigan.ui"):
            assert not touches(path, package), f"{path} imports {package}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_one_file_touches_pickle(path: Path) -> None:
    if path.name != "unpickler.py":
        assert not any(touches(path, package) for package in ("pickle", "pickletools", "dill", "cloudpickle", "joblib"))
        assert not re.search(r"torch\.load\(", path.read_text())
    assert "trust_remote_code" not in path.read_text()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_short_and_say_what_they_own(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)), f"{path} has no module docstring"


def test_the_version_stands_in_one_place() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", eigan.__version__)
    assert f"[{eigan.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_public_names_exist() -> None:
    for name in eigan.__all__:
        assert hasattr(eigan, name)


def test_space_requirements_are_the_packages_own() -> None:
    """requirements.txt repeats pyproject's lower bounds, the app's with them, without torch and gradio, which its
    readers bring."""
    project = (ROOT / "pyproject.toml").read_text()
    declared = set(re.findall(r'^  "(.+)",$', project.split("dependencies = [")[1].split("]")[0], re.M))
    declared |= set(re.findall(r'"(.+?)"', project.split("\napp = [")[1].split("]\n")[0]))
    declared = {line.split(",")[0] for line in declared if not line.startswith(("torch", "tomli", "gradio"))}
    listed = {
        line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")
    }
    assert listed == declared
