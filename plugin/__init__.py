"""eigan's nodes for ComfyUI: sliders for GANs. V3 (`comfy_entrypoint`); inert wherever ComfyUI is not running."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

WEB_DIRECTORY = "./web"
REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = {"eigan": "pack.py", "hub_export": "fit.py"}  # with a file that tells them from this folder, however called


class _FromRepository(importlib.abc.MetaPathFinder):
    """Finds eigan and hub_export in the repository that this folder lies in. sys.path is left alone: everything else
    beside them (app.py, tests) would get in the way of ComfyUI's own modules."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in PACKAGES:
            return None
        folder = REPOSITORY / name
        return importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def _bind() -> None:
    """Where this folder is part of a clone (or a link into one), its own eigan is used; else the installed one."""
    if all((REPOSITORY / package / file).is_file() for package, file in PACKAGES.items()):
        sys.meta_path.insert(0, _FromRepository())
        return
    found = importlib.util.find_spec("eigan")
    if found is None or found.origin is None:  # the latter: an empty folder of that name
        requirements = Path(__file__).with_name("requirements.txt")
        raise ImportError(f"eigan is not installed; run: {sys.executable} -m pip install -r {requirements}")


if "folder_paths" in sys.modules:
    _bind()

    from .comfy import ComfyExtension, register_folders
    from .nodes import NODES

    register_folders()

    class EiganExtension(ComfyExtension):
        """The nodes of the table."""

        async def get_node_list(self) -> list[Any]:
            return list(NODES.values())

    async def comfy_entrypoint() -> EiganExtension:
        """ComfyUI's entry to V3 nodes."""
        return EiganExtension()
