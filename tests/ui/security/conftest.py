"""Two running apps to be attacked, a Space and one on a machine of one's own, and what nobody is to see there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from benchmarks.page_client import PageClient
from eigan import sources
from eigan.pack import DirectionPack
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from tests.ui.security.attempts import CANARY, MARKERS, OWN_MARKER, TOKEN, Trap
from tests.ui.serving import SPACE, Running, serving
from tests.ui.visitor import render_directly


@pytest.fixture(scope="session")
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


def start(home: Path, bundles: Path, **environ: str) -> AbstractContextManager[Running]:
    """The app, in a home that holds secrets: a file, the Hub's cache and token, a variable."""
    (home / "hf" / "hub").mkdir(parents=True)
    (home / "hf" / "token").write_text(TOKEN)
    (home / "hf" / "hub" / "secret.txt").write_text(CANARY)
    (home / "secret.txt").write_text(CANARY)
    return serving(home, bundles, EIGAN_SECRET=CANARY, **environ)


@pytest.fixture(scope="session")
def space(bundle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start(tmp_path_factory.mktemp("space"), bundle_root, **SPACE) as running:
        yield running
        assert {entry.token for entry in running.hub.log} <= {"", None}, "the machine's own token was used"


@pytest.fixture(scope="session")
def own(bundle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start(tmp_path_factory.mktemp("own"), bundle_root) as running:
        yield running


@pytest.fixture(params=["space", "own"])
def app(request: pytest.FixtureRequest) -> Running:
    """Both ways to run it."""
    running: Running = request.getfixturevalue(request.param)
    return running


@pytest.fixture
def pack(bundle_root: Path, monkeypatch: pytest.MonkeyPatch) -> DirectionPack:
    """The one that the apps show first."""
    monkeypatch.setenv(sources.BUNDLE_ENV, str(bundle_root))
    return sources.load_pack(sources.bundled_packs()[0])


@pytest.fixture
def stranger(space: Running, pack: DirectionPack) -> Iterator[PageClient]:
    """Somebody whose page has loaded. Afterwards the next one still sees the right picture."""
    client = PageClient(space.url)
    client.arrive()
    yield client
    client.close()
    somebody = PageClient(space.url, config=client.config)
    somebody.arrive()
    assert np.array_equal(somebody.picture(), render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {}))
    somebody.close()


@pytest.fixture(autouse=True)
def nothing_runs() -> Iterator[None]:
    """No file of a stranger's is run, whatever the test tries."""
    shutil.rmtree(MARKERS, ignore_errors=True)
    OWN_MARKER.unlink(missing_ok=True)
    yield
    ran = sorted(path.name for path in MARKERS.iterdir()) if MARKERS.exists() else []
    assert ran == []
    assert not OWN_MARKER.exists()
