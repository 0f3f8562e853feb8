"""The app in a process of its own, a fake Hub it talks to, and Chromium to look at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eigan import sources
from eigan.pack import DirectionPack
from tests.fakehub.server import FakeHub
from tests.toys import toy_generator
from tests.ui.bundles import hostile_pack, write_bundles

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 90
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """A running app: its address, the bundles and Hub it sees, and what it printed so far."""

    url: str
    bundles: Path
    hub: FakeHub
    log: Path


@pytest.fixture
def toy_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Throw-away bundles, in this process too."""
    root = write_bundles(tmp_path / "bundles")
    monkeypatch.setenv(sources.BUNDLE_ENV, str(root))
    return root


@pytest.fixture(scope="session")
def bundle_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's own bundles if a pack with presets is there, else throw-away ones."""
    shipped = REPOSITORY / "directions"
    folders = [folder for folder in shipped.iterdir() if sources.is_pack(folder)] if shipped.is_dir() else []
    has_presets = any(sources.read_pack(folder).presets for folder in folders)
    return shipped if has_presets else write_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack folder full of hostile text, beside the generator it was made for (loadable where paths may be opened)."""
    from eigan.readers.safetensors import save_generator

    root = tmp_path_factory.mktemp("hostile")
    generator = toy_generator(5)
    save_generator(generator, root / "generator", dtype="fp32")
    generator.source = str(root / "generator")
    hostile_pack(generator).save(root / "pack")
    return root / "pack"


@pytest.fixture(scope="session")
def served(bundle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`python app.py` as a person would start it, on a free port, with a Hub and cache of its own."""
    home = tmp_path_factory.mktemp("served")
    hub = FakeHub().start()
    port = free_port()
    environ = os.environ | {
        sources.BUNDLE_ENV: str(bundle_root),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
    }
    for name in ("SPACE_ID", "SYSTEM", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        environ.pop(name, None)
    log = home / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=REPOSITORY, env=environ, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for_server(url, process, log)
        yield Served(url, bundle_root, hub, log)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium: Debian's, or the one on the path."""
    found = str(CHROMIUM) if CHROMIUM.exists() else shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and not os.environ.get("CI"):
        pytest.skip("no Chromium here (apt-get install chromium); CI has one")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def packs(served: Served, monkeypatch: pytest.MonkeyPatch) -> list[DirectionPack]:
    """The bundled packs as the app sees them, the one shown first first."""
    monkeypatch.setenv(sources.BUNDLE_ENV, str(served.bundles))
    return [sources.load_pack(name) for name in sources.bundled_packs()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_server(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the app answers. Fails with what it printed if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url + "config", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    process.terminate()
    raise AssertionError(f"the app did not start:\n{log.read_text()}")
