"""The Hub's cache of a page that strangers use: kept under a budget, and no download while the disk is nearly full.

Only hosted pages do this; on a person's own machine the cache is theirs. No Gradio.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from huggingface_hub import constants, scan_cache_dir
from huggingface_hub.file_download import repo_folder_name

from eigan.errors import HubError

log = logging.getLogger(__name__)

BUDGET_ENV = "EIGAN_CACHE_GB"
GB = 10**9
DEFAULT_GB = 10.0
FLOOR_BYTES = 4 * GB  # free at least, before a download starts: more than the few that may run at once can take
LEFT_SECONDS = 3600.0  # half a download that nobody has touched for so long is not going on
TRIM_SECONDS = 20.0  # between two looks at the cache


def cache_budget(environ: Mapping[str, str]) -> int:
    """Bytes that the Hub's cache may take: $EIGAN_CACHE_GB, else 10 GB."""
    said = environ.get(BUDGET_ENV, "")
    try:
        gigabytes = float(said or DEFAULT_GB)
    except ValueError:
        gigabytes = math.nan
    if not (math.isfinite(gigabytes) and gigabytes >= 0):
        log.warning("%s is %r, which is no number of gigabytes; %g is used", BUDGET_ENV, said[:40], DEFAULT_GB)
        gigabytes = DEFAULT_GB
    return int(gigabytes * GB)


class HubCache:
    """The budget, and the repositories that are being opened at the moment: nothing of theirs is deleted.

    keep: names the repositories of what visitors have open; nothing of theirs is deleted either.
    """

    def __init__(
        self, budget_bytes: int, keep: Callable[[], Collection[str]] = frozenset, floor_bytes: int = FLOOR_BYTES
    ):
        self.budget_bytes, self.floor_bytes, self._keep = budget_bytes, floor_bytes, keep
        self._opening: Counter[str] = Counter()
        self._lock = Lock()
        self._trimmed = -math.inf

    @contextmanager
    def opening(self, repo_id: str) -> Iterator[bool]:
        """Around whatever may download `repo_id`: with cache.opening(id) as offline: load_pack(id, offline=offline).

        Gives whether the cache alone is to be used, because the disk has no room for a download. The cache is trimmed
        after it, and before it where room is short.

        Raises:
            HubError: instead of that of an offline `download`, when room is what it lacked.
        """
        with self._lock:
            self._opening[repo_id] += 1
        try:
            offline = not self._has_room()
            try:
                yield offline
            except HubError:
                if offline:
                    check_room(self.floor_bytes)
                raise
            mark_used(repo_id)
        finally:
            with self._lock:
                self._opening[repo_id] -= 1
                self._opening += Counter()  # those at 0 are forgotten
            self.trim()

    def trim(self, *, at_once: bool = False) -> None:
        """Bring the cache under its budget, unless that was just done. Never raises."""
        with self._lock:
            now = time.monotonic()
            if at_once or now - self._trimmed >= TRIM_SECONDS:
                self._trimmed = now
                trim_cache(self.budget_bytes, {*self._opening, *self._keep()})

    def _has_room(self) -> bool:
        if free_bytes() < self.floor_bytes:
            self.trim(at_once=True)
        return free_bytes() >= self.floor_bytes


def check_room(floor_bytes: int = FLOOR_BYTES) -> None:
    """Raise HubError when less than `floor_bytes` of the disk under the Hub's cache are free."""
    free = free_bytes()
    if free < floor_bytes:
        raise HubError(
            f"this page's disk has {free / GB:.1f} GB left, too little to download anything now; try again later. "
            "Bundled packs, and those that were opened before, still work"
        )


def free_bytes() -> int:
    """Bytes free on the disk of the Hub's cache."""
    folder = Path(constants.HF_HUB_CACHE).expanduser()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def mark_used(repo_id: str) -> None:
    """Note that the cached files of `repo_id` were used now: file systems seldom keep the time of reading."""
    for blob in (cache_folder(repo_id) / "blobs").glob("*"):
        try:
            os.utime(blob, (time.time(), blob.stat().st_mtime))
        except OSError as error:  # deleted meanwhile, or not ours to touch
            log.debug("%s could not be marked as used: %s", blob, error)


def trim_cache(budget_bytes: int, keep: Collection[str] = ()) -> int:
    """Delete the revisions not used for longest until the Hub's cache takes at most `budget_bytes`; bytes freed.

    Nothing of the repositories `keep` is deleted. What went wrong is logged, never raised.
    """
    try:
        if not Path(constants.HF_HUB_CACHE).expanduser().is_dir():
            return 0
        freed = sweep_leftovers(keep)
        return freed + _trim(budget_bytes, keep)
    except Exception:  # whatever it is, the visitor's picture is not to suffer
        log.warning("the Hub's cache could not be trimmed", exc_info=True)
        return 0


def _trim(budget_bytes: int, keep: Collection[str]) -> int:
    info = scan_cache_dir(constants.HF_HUB_CACHE)
    excess = info.size_on_disk - budget_bytes
    if excess <= 0:
        return 0
    found = [revision for repo in info.repos if repo.repo_id not in keep for revision in repo.revisions]
    chosen: list[str] = []
    freed = 0
    for revision in sorted(found, key=last_used):
        chosen.append(revision.commit_hash)
        freed = info.delete_revisions(*chosen).expected_freed_size
        if freed >= excess:
            break
    if chosen:
        info.delete_revisions(*chosen).execute()
        log.info("%d revisions were deleted from the Hub's cache, %.2f GB", len(chosen), freed / GB)
    if freed < excess:
        log.warning("the Hub's cache takes %.2f GB more than its budget, all of it in use", (excess - freed) / GB)
    return freed


def last_used(revision: Any) -> float:
    """When a file of the cached revision was last read or written, in seconds since 1970."""
    times = [max(file.blob_last_accessed, file.blob_last_modified) for file in revision.files]
    return float(max(times, default=revision.last_modified))


def sweep_leftovers(keep: Collection[str]) -> int:
    """Delete halves of downloads that were given up, and what they leave of a repository; bytes freed."""
    root, freed = Path(constants.HF_HUB_CACHE).expanduser(), 0
    kept = {cache_folder(repo_id) for repo_id in keep}
    for folder in root.glob("models--*"):
        if folder in kept or folder.is_symlink():
            continue
        if not any(folder.glob("snapshots/*/**/*")) and _is_left(folder):
            freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
            shutil.rmtree(folder, ignore_errors=True)
        for part in [path for path in folder.glob("blobs/*.incomplete") if _is_left(path)]:
            freed += part.stat().st_size
            part.unlink(missing_ok=True)
    return freed


def _is_left(path: Path) -> bool:
    """Whether nothing at `path`, or in it, was changed for an hour."""
    newest = max((p.lstat().st_mtime for p in (path, *path.rglob("*"))), default=0.0)
    return time.time() - newest >= LEFT_SECONDS


def cache_folder(repo_id: str) -> Path:
    """Where the Hub's cache keeps the repository."""
    return Path(constants.HF_HUB_CACHE).expanduser() / str(repo_folder_name(repo_id=repo_id, repo_type="model"))
