"""The one door to the Hugging Face Hub: references, and downloads pinned to a commit, bounded and checked by hash.

Checked against huggingface_hub 1.16 and 2.4, which retry and time out little of what is called here.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import io
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeAlias, TypeVar

import huggingface_hub
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError
from huggingface_hub.file_download import repo_folder_name

import eigan
from eigan.errors import EiganError, HubError, list_names
from eigan.hub_errors import explain, is_transient, wait_seconds

T = TypeVar("T")
Token: TypeAlias = str | bool | None  # a token; None: the one this machine is signed in with; False: none
log = logging.getLogger(__name__)

ATTEMPTS = 4
DEADLINE = 20.0  # seconds for one small call; huggingface_hub itself would wait for ever
MAX_WAIT = 30.0  # seconds; a rate limit longer than this is told to the person instead
MAX_FILES = 2500
COMMIT = re.compile(r"[0-9a-f]{40}")
VERSION_TAG = re.compile(r"v?(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")
TOKEN = re.compile(r"[!-~]{1,500}")

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REF = re.compile(
    rf"(?P<repo>{_PART}/{_PART})"
    r"(?:@(?P<revision>[A-Za-z0-9_][A-Za-z0-9._+/-]{0,99}))?"
    r"(?::(?P<filename>[A-Za-z0-9_][A-Za-z0-9._+=,/ -]{0,199}))?"
)
_FORBIDDEN = re.compile(r"\.\.|//|/\.|/$|\.git$|\.lock$")

sleep = time.sleep  # the pause between attempts; tests put their own here


@dataclass(frozen=True)
class HubRef:
    """A repository on the Hub, maybe at a revision (tag, branch or commit), maybe one file of it."""

    repo_id: str
    revision: str | None = None
    filename: str | None = None

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return self.repo_id + at + (f":{self.filename}" if self.filename else "")

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a full commit id, which names the same bytes for ever."""
        return bool(self.revision and COMMIT.fullmatch(self.revision))


@dataclass(frozen=True)
class HubFolder:
    """A downloaded revision: its folder in the Hub's cache (to be read only) and the commit it is."""

    path: Path
    commit: str


def parse_ref(text: str) -> HubRef | None:
    """The reference that 'org/name', 'org/name@v1.2.0' or 'org/name@<commit>:file.pkl' spells; None for all else."""
    match = _REF.fullmatch(text)
    if match is None or "--" in match["repo"] or any(_FORBIDDEN.search(part or "") for part in match.groups()):
        return None
    return HubRef(match["repo"], match["revision"], match["filename"])


def hub_api(token: Token = None) -> HfApi:
    """The client that asks under eigan's name. Raises HubError for a token that no server could accept."""
    if isinstance(token, str) and not TOKEN.fullmatch(token):  # an HTTP library would quote it in its error
        raise HubError("the Hub token holds a space, a line break or the like; copy it again, without quotes")
    return HfApi(token=token, library_name="eigan", library_version=eigan.__version__)


def download(
    ref: HubRef,
    patterns: Sequence[str],
    *,
    max_bytes: int,
    lone: Sequence[str] = (),
    token: Token = None,
    offline: bool = False,
    mend: bool = False,
) -> HubFolder:
    """The files of `ref` that match `patterns` (fnmatch), from the Hub's cache or the Hub: all of one commit.

    lone: patterns of files of which a person wants one; when several match, none is downloaded and they are named.
    mend: hash what is cached too, and download again what is not what the Hub lists.

    Sizes are looked at before the download, hashes after it. A full commit that is cached costs no request (one before
    huggingface_hub 2.0), a cached tag one. When the Hub cannot be reached a cached copy is used and a warning logged.
    `offline`, or HF_HUB_OFFLINE=1, uses the cache alone. Other files of the commit may lie in the folder too.

    Raises:
        HubError: unreachable, not found, private, gated, no such revision or file, not cached, more than `max_bytes`,
            rate limited, damaged on the way, disk full. The message says what to do.
    """
    api = hub_api(token)
    spare = _cached(ref, patterns)
    mend = mend and spare is not None
    if offline or huggingface_hub.is_offline_mode():
        if spare is None:
            raise HubError(
                f"{ref} is not in the cache and eigan is offline; download it once while online, "
                "with HF_HUB_OFFLINE unset, or use a bundled pack"
            )
        return spare
    if spare and ref.is_pinned and _is_surely_whole(spare) and not mend:
        return spare
    try:
        info = ask(
            lambda: api.model_info(ref.repo_id, revision=ref.revision, files_metadata=True),
            attempts=1 if spare else ATTEMPTS,
        )
        _check_lone(ref, info.siblings or [], lone)
        wanted = _choose(ref, info.siblings or [], patterns, max_bytes)
        return _fetch(ref, str(info.sha), wanted, token, mend=mend)
    except EiganError:
        raise
    except RevisionNotFoundError as error:
        raise explain(error, ref, _name_versions(ref.repo_id, token)) from error
    except Exception as error:
        reason = explain(error, ref)
        if spare is None or not is_transient(error):
            raise reason from error
        log.warning("%s. Using the cached copy, commit %s", reason, spare.commit[:8])
        return spare


def list_versions(repo_id: str, *, token: Token = None) -> list[str]:
    """Tags of the repository that are versions ('v1.2.0'), newest first. Raises HubError."""
    api = hub_api(token)
    try:
        refs = ask(lambda: api.list_repo_refs(repo_id))
    except Exception as error:
        raise explain(error, HubRef(repo_id)) from error
    return sort_versions(tag.name for tag in refs.tags)


def sort_versions(tags: Iterable[str]) -> list[str]:
    """Those of `tags` that are semantic versions, newest first."""
    return sorted((tag for tag in tags if VERSION_TAG.fullmatch(tag)), key=version_key, reverse=True)


def version_key(version: str) -> tuple[int, int, int]:
    """'v1.2.0' or '1.2.0' as numbers, which compare as versions do."""
    major, minor, patch = version.removeprefix("v").split(".")
    return int(major), int(minor), int(patch)


def ask(call: Callable[[], T], *, attempts: int = ATTEMPTS, deadline: float | None = DEADLINE) -> T:
    """What `call` answers; a busy or unreachable Hub is asked again, after 1, 2, 4 s or when it says."""
    for attempt in range(attempts - 1):
        try:
            return _within(deadline, call)
        except Exception as error:
            pause = wait_seconds(error) or 2.0**attempt
            if not is_transient(error) or pause > MAX_WAIT:
                raise
            log.info("the Hub did not answer (%s); asking again in %g s", type(error).__name__, pause)
            sleep(pause)
    return _within(deadline, call)


def hash_matches(content: Path | bytes, sibling: Any) -> bool:
    """Whether a file, or bytes, are what the Hub lists: by sha256 where it is kept as LFS, else by git's blob id."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    digest = hashlib.sha256() if sibling.lfs else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return bool(digest.hexdigest() == (sibling.lfs.sha256 if sibling.lfs else sibling.blob_id))


def _within(seconds: float | None, call: Callable[[], T]) -> T:
    """What `call` answers in time. Raises TimeoutError; the call is then left to end by itself."""
    if seconds is None:
        return call()
    answers: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def answer() -> None:
        try:
            answers.put((call(), None))
        except Exception as error:  # noqa: BLE001 (handed to the caller's thread, which raises it)
            answers.put((None, error))

    Thread(target=answer, daemon=True).start()
    try:
        result, error = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _choose(ref: HubRef, siblings: Sequence[Any], patterns: Sequence[str], max_bytes: int) -> list[Any]:
    """The listed files that match, refused when one is missing or odd, or when they are too many or too large."""
    names = [s.rfilename for s in siblings]
    wanted = [s for s in siblings if _matches(s.rfilename, patterns)]
    if ref.filename and ref.filename not in names:
        raise HubError(f"{ref.repo_id} has no file {ref.filename!r}; it has {list_names(names)}")
    if not wanted:
        raise HubError(
            f"{ref} holds none of {list_names(patterns)}; it has {list_names(names)}. Is it the right repository?"
        )
    if len(wanted) > MAX_FILES:
        raise HubError(f"{ref} has {len(wanted):,} files to download; at most {MAX_FILES:,} are taken")
    if (total := sum(s.size or 0 for s in wanted)) > max_bytes:
        raise HubError(f"{ref} is {total:,} bytes; at most {max_bytes:,} are taken here. Nothing was downloaded")
    for name in (s.rfilename for s in wanted):
        if "\\" in name or ".." in name.split("/") or name.startswith("/"):
            raise HubError(f"{ref} lists a file {name[:100]!r}, which would leave its folder; nothing was downloaded")
    return wanted


def _check_lone(ref: HubRef, siblings: Sequence[Any], lone: Sequence[str]) -> None:
    names = [s.rfilename for s in siblings if _matches(s.rfilename, lone)]
    if len(names) > 1:
        raise HubError(
            f"{ref} holds {len(names)} checkpoints, none was downloaded; name one, as {ref}:{names[0]}. "
            f"There are {list_names(names)}"
        )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _fetch(ref: HubRef, commit: str, wanted: Sequence[Any], token: Token, *, mend: bool = False) -> HubFolder:
    """`wanted` of `commit` in the cache. What arrives damaged is thrown away and asked for once more."""
    path = _cache_folder(ref) / "snapshots" / commit
    there = [s for s in wanted if (path / s.rfilename).is_file()]
    missing = [s for s in wanted if s not in there] + (_drop_damaged(path, there) if mend else [])
    for _ in range(2):
        if missing:
            _fetch_files(ref.repo_id, commit, [s.rfilename for s in missing], token)
        if not all((path / s.rfilename).is_file() for s in missing):
            raise ConnectionError("the Hub stopped answering")  # huggingface_hub then gives what it has, without a word
        missing = _drop_damaged(path, missing)
    if missing:
        names = list_names(s.rfilename for s in missing)
        raise HubError(
            f"{ref} arrived damaged twice ({names}), maybe changed by a proxy; none of that was kept. Try again"
        )
    _remember(ref, commit)
    return HubFolder(path, commit)


def _drop_damaged(path: Path, siblings: Sequence[Any]) -> list[Any]:
    """Those of the files in the snapshot `path` that are not what the Hub lists; they are deleted."""
    damaged = [s for s in siblings if not hash_matches(path / s.rfilename, s)]
    for sibling in damaged:
        (path / sibling.rfilename).resolve().unlink()
        (path / sibling.rfilename).unlink(missing_ok=True)
    return damaged


def _fetch_files(repo_id: str, commit: str, names: Sequence[str], token: Token) -> None:
    def fetch() -> None:
        snapshot_download(
            repo_id,
            revision=commit,
            allow_patterns=[glob.escape(name) for name in names],
            token=token,
            library_name="eigan",
            library_version=eigan.__version__,
        )

    ask(fetch, attempts=2, deadline=None)


def _cached(ref: HubRef, patterns: Sequence[str]) -> HubFolder | None:
    """The copy of `ref` in the cache; None when there is none, or when a file that matches is known to be missing."""
    try:
        found = snapshot_download(
            ref.repo_id, revision=ref.revision, local_files_only=True, allow_patterns=list(patterns)
        )
    except LocalEntryNotFoundError:
        return None
    path = Path(found)
    names = (p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return HubFolder(path, path.name) if any(_matches(name, patterns) for name in names) else None


def _is_surely_whole(folder: HubFolder) -> bool:
    """Whether huggingface_hub (from 2.0 on) kept the commit's list of files, so that it saw that none is missing."""
    return (folder.path.parent.parent / "trees" / f"{folder.commit}.json").is_file()


def _cache_folder(ref: HubRef) -> Path:
    return Path(constants.HF_HUB_CACHE) / str(repo_folder_name(repo_id=ref.repo_id, repo_type="model"))


def _remember(ref: HubRef, commit: str) -> None:
    """Note in the cache, as huggingface_hub does, which commit a tag or branch was, so that it is found offline."""
    if ref.is_pinned:
        return
    note = _cache_folder(ref) / "refs" / (ref.revision or constants.DEFAULT_REVISION)
    try:
        if not note.is_file() or note.read_text() != commit:
            note.parent.mkdir(parents=True, exist_ok=True)
            draft = note.with_name(f"{note.name}.{uuid.uuid4().hex}.tmp")
            draft.write_text(commit)
            draft.replace(note)
    except OSError as error:  # the files are there all the same
        log.warning("%s was downloaded, but will not be found offline: %s", ref, error)


def _name_versions(repo_id: str, token: Token) -> str:
    """For a message: the versions there are."""
    try:
        versions = list_versions(repo_id, token=token)
    except HubError as error:
        log.debug("versions of %s could not be listed: %s", repo_id, error)
        return "leave the revision out for the newest"
    return f"its versions: {list_names(versions)}" if versions else "it has no versions yet; leave the revision out"
