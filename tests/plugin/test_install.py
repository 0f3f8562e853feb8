"""Each way of installing the nodes into an empty ComfyUI: packed, linked (all other tests), as a clone; and without."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import eigan
from eigan import PictureRecipe, draw
from tests.plugin.comfyui import PLUGIN, REPOSITORY, Worker, make_base, person_environ
from tests.plugin.conftest import Toys, fill_models
from tests.plugin.test_nodes import prompt

IGNORED = shutil.ignore_patterns("__pycache__")


@contextmanager
def started(core: Path, base: Path, *flags: str, **environ: str) -> Iterator[Worker]:
    worker = Worker(core, base, person_environ(**environ), *flags)
    try:
        yield worker
    finally:
        worker.stop()


def packed(target: Path) -> Path:
    """What `comfy node pack` makes: a zip of the folder's tracked files."""
    listed = subprocess.run(["git", "ls-files"], cwd=PLUGIN, capture_output=True, text=True).stdout.split()
    found = listed or [str(path.relative_to(PLUGIN)) for path in PLUGIN.rglob("*") if "__pycache__" not in path.parts]
    with zipfile.ZipFile(target, "w") as archive:
        for name in found:
            if (PLUGIN / name).is_file():
                archive.write(PLUGIN / name, name)
    return target


def installed(folder: Path) -> str:
    """A site-packages with eigan in it, as pip lays it: hub_export beside it, the bundled data inside."""
    shutil.copytree(REPOSITORY / "eigan", folder / "eigan", ignore=IGNORED)
    (folder / "eigan" / "bundled").symlink_to(REPOSITORY / "directions")
    (folder / "hub_export").symlink_to(REPOSITORY / "hub_export")
    return str(folder)


def check(worker: Worker, toys: Toys) -> None:
    """The nodes are there and draw."""
    wanted = draw(PictureRecipe("toy", 7, 0.7, amounts={"smile": 2.0}), toys.pack, toys.renderer)
    assert np.array_equal(worker.run(prompt()).pictures("s"), wanted)
    assert worker.run(prompt(g_generator_name="heads-64", p_pack_name="heads")).files("s")


def test_packed_with_eigan_from_pip(core: Path, tmp_path: Path, toys: Toys) -> None:
    """Unpacked under the very name of the library, which must not be taken for it."""
    base = make_base(tmp_path / "base")
    fill_models(base, toys)
    with zipfile.ZipFile(packed(tmp_path / "node.zip")) as archive:
        archive.extractall(base / "custom_nodes" / "eigan")
    with started(core, base, EIGAN_TEST_SITE=installed(tmp_path / "site")) as worker:
        check(worker, toys)
        assert Path(worker.call("inside.py", "where")["eigan"]) == tmp_path / "site" / "eigan" / "__init__.py"


def test_packed_without_eigan_says_what_to_install(core: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    with zipfile.ZipFile(packed(tmp_path / "node.zip")) as archive:
        archive.extractall(base / "custom_nodes" / "comfyui-eigan")
    with started(core, base) as worker:
        assert not [name for name in worker.nodes if name.startswith("Eigan")]
        log = worker.log.read_text()
        assert "ImportError: eigan is not installed; run: " in log
        assert f" -m pip install -r {base}/custom_nodes/comfyui-eigan/requirements.txt" in log


def test_a_clone(core: Path, tmp_path: Path, toys: Toys) -> None:
    """The repository's own door, its own eigan, and nothing of it on the import path. Models lie on another disk."""
    base, disk = make_base(tmp_path / "base"), make_base(tmp_path / "disk")
    fill_models(disk, toys)
    for name in ("gan_generators", "gan_directions"):
        (base / "models" / name).rmdir()
    paths = tmp_path / "extra.yaml"
    paths.write_text(
        f"disk:\n  base_path: {disk}/models\n  gan_generators: gan_generators\n  gan_directions: gan_directions\n"
    )
    clone = base / "custom_nodes" / "a.clone"
    clone.mkdir()
    shutil.copy(REPOSITORY / "__init__.py", clone)
    for name in ("eigan", "hub_export", "plugin"):
        shutil.copytree(REPOSITORY / name, clone / name, ignore=IGNORED)
    (clone / "directions").symlink_to(REPOSITORY / "directions")
    with started(core, base, "--extra-model-paths-config", str(paths)) as worker:
        check(worker, toys)
        assert (base / "models" / "gan_generators").is_dir()
        found = worker.call("inside.py", "where")
        assert Path(found["eigan"]) == clone / "eigan" / "__init__.py"
        assert Path(found["hub_export"]) == clone / "hub_export" / "__init__.py"
        assert not [path for path in found["path"] if path.startswith(os.fspath(clone))]


def test_the_doors_are_shut_outside_comfyui() -> None:
    """pytest runs a root __init__.py; a search for packages imports anything."""
    assert "folder_paths" not in sys.modules
    assert "comfy_entrypoint" not in runpy.run_path(str(REPOSITORY / "__init__.py"))
    assert "comfy_entrypoint" not in runpy.run_path(str(PLUGIN / "__init__.py"))


def test_versions_agree() -> None:
    project = (PLUGIN / "pyproject.toml").read_text()
    assert f'\nversion = "{eigan.__version__}"\n' in project
    assert f'\ndependencies = ["eigan>={eigan.__version__}"]\n' in project
    assert f"\neigan>={eigan.__version__}\n" in (PLUGIN / "requirements.txt").read_text()
