"""The Hub's cache of a hosted page: what is deleted, what never is, and what is told when there is no room."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, scan_cache_dir

from eigan import hub as eigan_hub
from eigan.errors import HubError
from eigan.hub import HubRef
from eigan.ui import disk
from eigan.ui.disk import GB, HubCache, cache_budget, cache_folder, check_room, free_bytes, mark_used, trim_cache
from tests.fakehub.server import FakeHub

KB = 1000
HOUR = 3600.0


def fetch(hub: FakeHub, repo_id: str, size: int = 10 * KB, *, age: float = 0.0, shared: bytes = b"") -> str:
    """A repository of one file downloaded into the cache, last used `age` hours ago; the commit."""
    files = {"model.safetensors": repo_id.encode() + os.urandom(size - len(repo_id)), "shared.bin": shared or b"-"}
    commit = hub.store.push(repo_id, files)
    eigan_hub.download(HubRef(repo_id), ["model.safetensors", "shared.bin"], max_bytes=10**9, token=False)
    for path in (cache_folder(repo_id) / "snapshots" / commit).iterdir():
        before = time.time() - age * HOUR
        os.utime(path.resolve(), (before, before))
    return commit


def cached() -> set[str]:
    return {f"{repo.repo_id}@{rev.commit_hash}" for repo in scan_cache_dir().repos for rev in repo.revisions}


@pytest.fixture(autouse=True)
def scanned_cache(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scan_cache_dir()` without an argument looks at the test's cache."""
    monkeypatch.setattr("huggingface_hub.utils._cache_manager.HF_HUB_CACHE", constants.HF_HUB_CACHE)
    Path(constants.HF_HUB_CACHE).mkdir(parents=True)


def test_what_was_not_used_for_longest_goes_first(hub: FakeHub) -> None:
    ages = {"a/old": 30.0, "a/new": 1.0, "a/older": 40.0, "a/middle": 10.0}
    names = {repo_id: f"{repo_id}@{fetch(hub, repo_id, age=age)}" for repo_id, age in ages.items()}
    assert trim_cache(50 * KB) == 0
    assert cached() == set(names.values())
    assert trim_cache(25 * KB) >= 15 * KB
    assert cached() == {names["a/new"], names["a/middle"]}
    assert trim_cache(0) >= 20 * KB
    assert cached() == set()


def test_what_is_in_use_is_never_deleted(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    old, new = fetch(hub, "a/old", age=30), fetch(hub, "a/new", age=1)
    trim_cache(0, {"a/old"})
    assert cached() == {f"a/old@{old}"}
    assert "all of it in use" in caplog.text
    assert (cache_folder("a/old") / "snapshots" / old / "model.safetensors").is_file()
    assert f"a/new@{new}" not in cached()


def test_an_old_revision_goes_and_what_it_shares_stays(hub: FakeHub) -> None:
    first = fetch(hub, "a/b", age=30, shared=b"s" * 5 * KB)
    second = fetch(hub, "a/b", age=1, shared=b"s" * 5 * KB)
    blob = (cache_folder("a/b") / "snapshots" / first / "model.safetensors").resolve()
    assert trim_cache(16 * KB) == pytest.approx(10 * KB, abs=100)
    assert cached() == {f"a/b@{second}"}
    assert not blob.exists()
    assert (cache_folder("a/b") / "snapshots" / second / "shared.bin").read_bytes() == b"s" * 5 * KB


def test_what_was_deleted_is_downloaded_again(hub: FakeHub) -> None:
    commit = fetch(hub, "a/b")
    trim_cache(0)
    ref = HubRef("a/b", commit)
    with pytest.raises(HubError, match="not in the cache"):
        eigan_hub.download(ref, ["*"], max_bytes=10**9, token=False, offline=True)
    folder = eigan_hub.download(ref, ["*.safetensors"], max_bytes=10**9, token=False)
    assert (folder.path / "model.safetensors").stat().st_size == 10 * KB


def test_using_it_makes_it_the_newest(hub: FakeHub) -> None:
    one, two = fetch(hub, "a/one", age=30), fetch(hub, "a/two", age=10)
    mark_used("a/one")
    mark_used("nobody/nothing")
    trim_cache(15 * KB)
    assert cached() == {f"a/one@{one}"}, f"not {two}"


def test_halves_of_downloads_are_swept_once_they_are_left(hub: FakeHub) -> None:
    commit = fetch(hub, "a/whole")
    going_on, left = (cache_folder("a/whole") / "blobs" / f"{name}.incomplete" for name in ("1", "2"))
    lone, busy = cache_folder("a/lone") / "blobs" / "3.incomplete", cache_folder("a/busy") / "blobs" / "4.incomplete"
    for path in (going_on, left, lone, busy):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(KB))
    long_ago = time.time() - 2 * HOUR
    for path in (left, lone, lone.parent, lone.parent.parent, busy, busy.parent, busy.parent.parent):
        os.utime(path, (long_ago, long_ago))
    assert trim_cache(GB, {"a/busy"}) == 2 * KB
    assert going_on.exists() and busy.exists() and not left.exists()
    assert not cache_folder("a/lone").exists()
    assert cached() == {f"a/whole@{commit}"}


def test_nothing_but_the_hubs_cache_is_touched(hub: FakeHub, tmp_path: Path) -> None:
    fetch(hub, "a/b", age=30)
    outside = tmp_path / "outside"
    (outside / "blobs").mkdir(parents=True)
    (outside / "blobs" / "x.incomplete").write_bytes(b"mine")
    root = Path(constants.HF_HUB_CACHE)
    (root / "models--evil--link").symlink_to(outside)
    (root / "notes.txt").write_text("mine")
    long_ago = time.time() - 2 * HOUR
    os.utime(outside / "blobs" / "x.incomplete", (long_ago, long_ago))
    os.utime(outside, (long_ago, long_ago))
    trim_cache(0)
    assert (outside / "blobs" / "x.incomplete").read_bytes() == b"mine"
    assert (root / "notes.txt").read_text() == "mine"


def test_trimming_never_raises(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(constants.HF_HUB_CACHE)
    assert trim_cache(0) == 0

    def broken(*_: object) -> None:
        raise PermissionError("no")

    Path(constants.HF_HUB_CACHE).mkdir()
    monkeypatch.setattr(disk, "scan_cache_dir", broken)
    assert trim_cache(0) == 0
    assert "could not be trimmed" in caplog.text


# openings


def full(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def test_without_room_what_is_cached_opens_and_the_rest_is_refused(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = fetch(hub, "a/cached")
    hub.store.push("a/other", {"model.safetensors": b"x"})
    full(monkeypatch, 3 * GB)
    cache = HubCache(GB, keep=lambda: {"a/cached"})
    hub.log.clear()
    with cache.opening("a/cached") as offline:
        ref = HubRef("a/cached", commit)
        assert eigan_hub.download(ref, ["*.safetensors"], max_bytes=GB, token=False, offline=offline).commit == commit
    with pytest.raises(HubError, match=r"has 3\.0 GB left.*[Bb]undled packs"), cache.opening("a/other") as offline:
        eigan_hub.download(HubRef("a/other"), ["*"], max_bytes=GB, token=False, offline=offline)
    assert not hub.log
    with pytest.raises(HubError, match="too little to download"):
        check_room()


def test_with_room_errors_stay_what_they_are(hub: FakeHub) -> None:
    cache = HubCache(GB, floor_bytes=0)
    with pytest.raises(HubError, match="is not on"), cache.opening("a/nothing") as offline:
        assert not offline
        eigan_hub.download(HubRef("a/nothing"), ["*"], max_bytes=GB, token=False)


def test_room_is_made_before_a_download_is_refused(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(hub, "a/old", age=30)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(free=GB if "a/old" in str(cached()) else 9 * GB)
    )
    with HubCache(0).opening("a/new") as offline:
        assert not offline
    assert cached() == set()


def test_what_is_being_opened_is_not_deleted_from_under_it(hub: FakeHub) -> None:
    cache = HubCache(0, floor_bytes=0)
    inside, done = threading.Event(), threading.Event()

    def open_it() -> None:
        with cache.opening("a/slow"):
            fetch(hub, "a/slow")
            inside.set()
            assert done.wait(20)

    thread = threading.Thread(target=open_it)
    thread.start()
    assert inside.wait(20)
    with cache.opening("a/quick"):
        fetch(hub, "a/quick")
    cache.trim(at_once=True)
    assert {name.split("@")[0] for name in cached()} == {"a/slow"}
    done.set()
    thread.join(20)
    cache.trim(at_once=True)
    assert cached() == set()


def test_the_cache_is_looked_at_now_and_then(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Collection[str]] = []
    monkeypatch.setattr(disk, "trim_cache", lambda _, keep: looks.append(set(keep)))
    cache = HubCache(0, keep=lambda: {"a/open"}, floor_bytes=0)
    for _ in range(5):
        with cache.opening("a/b"):
            pass
    assert looks == [{"a/open"}]
    cache.trim(at_once=True)
    assert len(looks) == 2


def test_a_failed_opening_is_forgotten_too(hub: FakeHub) -> None:
    cache = HubCache(0, floor_bytes=0)
    fetch(hub, "a/b")
    with pytest.raises(HubError), cache.opening("a/b"):
        raise HubError("no")
    cache.trim(at_once=True)
    assert cached() == set()


@pytest.mark.parametrize(("said", "wanted"), [("", 10), ("2.5", 2.5), ("0", 0), ("ten", 10), ("-1", 10), ("nan", 10)])
def test_the_budget(said: str, wanted: float, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert cache_budget({disk.BUDGET_ENV: said}) == int(wanted * GB)
    assert bool(caplog.records) == (said in ("ten", "-1", "nan"))


def test_free_bytes_of_a_cache_that_is_not_there_yet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "not" / "yet"))
    assert abs(free_bytes() - shutil.disk_usage(tmp_path).free) < GB
