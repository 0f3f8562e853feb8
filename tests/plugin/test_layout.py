"""The arrows within plugin/ hold, whatever is added: one file knows ComfyUI, and nothing is done at import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.comfyui import PLUGIN

SOURCES = sorted(PLUGIN.rglob("*.py"))
COMFYUI = (
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfy_extras",
    "execution",
    "folder_paths",
    "nodes",
    "server",
    "app",
)
WITHOUT_COMFYUI = ("values", "recipe_text")
MAX_LINES = 400


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(level, module): level 0 is absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PLUGIN)))
def test_each_file_keeps_to_its_place(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(tree)
    absolute = [name for level, name in imports(tree) if level == 0]
    relative = [name for level, name in imports(tree) if level]
    if path != PLUGIN / "comfy.py":
        assert not [name for name in absolute if name.partition(".")[0] in COMFYUI]
    if path.stem in WITHOUT_COMFYUI:
        assert not set(relative) - {*WITHOUT_COMFYUI}
    assert not [name for name in absolute if name.partition(".")[0] in ("plugin", "gradio", "pickle", "tests")]
    for forbidden in (r"torch\.load\(", r"manual_seed\(", r"\.cuda\(", r"os\.environ", r"sys\.path\b(?! is left)"):
        assert not re.search(forbidden, text), forbidden


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PLUGIN)))
def test_what_is_heavy_is_imported_where_it_is_used(path: Path) -> None:
    """Every start of ComfyUI imports these files."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    first = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    early = [name for node in first for level, name in imports(node) if level == 0]
    assert not [name for name in early if name.startswith(("hub_export", "eigan.ui", "scipy", "sklearn", "httpx"))]
