"""Run in a process of its own, as a script: makes ComfyUI's core importable as it is for a person, then starts it.

Its top-level modules (app, nodes, server, utils, ...) would collide with ours in the tests' own process.

`launch.py CORE serve ...` is `python main.py ...`; `launch.py CORE FILE ...` runs FILE after the same preparations.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import runpy
import sys
import types
from collections.abc import Sequence
from pathlib import Path

STOOD_IN = (  # what the core imports for other models and nodes than ours; none of it is ever called here
    *("torchvision", "torchaudio", "torchsde", "spandrel", "kornia"),
    *("transformers", "tokenizers", "sentencepiece"),
)
ABSENT = ("gradio", "matplotlib", "sklearn", "playwright")  # the tests have them, ComfyUI's users do not
REPOSITORY = Path(__file__).parents[2]


class StandIn(types.ModuleType):
    """A module of which every name is an empty class."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        found = type(name, (), {})
        setattr(self, name, found)
        return found


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for the packages of STOOD_IN, and hides those of ABSENT."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        top = name.partition(".")[0]
        if top in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if top in STOOD_IN else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


def prepare(core: Path) -> None:
    """The import path of a person's ComfyUI: its own folder first, this repository not at all."""
    sys.meta_path.insert(0, Finder())
    here = {str(REPOSITORY), str(Path(__file__).parent), ""}
    extra = [path for path in os.environ.get("EIGAN_TEST_SITE", "").split(os.pathsep) if path]
    sys.path[:] = [str(core), *(path for path in sys.path if path not in here), *extra]


if __name__ == "__main__":
    _, folder, action, *rest = sys.argv
    prepare(Path(folder))
    script = str(Path(folder) / "main.py") if action == "serve" else action
    sys.argv = [script, *rest]
    runpy.run_path(script, run_name="__main__")
