"""Checkpoints at an https address: downloaded once, within a size, into eigan's own cache; never half kept."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx
from huggingface_hub import is_offline_mode
from huggingface_hub.utils import tqdm

import eigan
from eigan.errors import CheckpointError

CACHE_ENV = "EIGAN_CACHE"
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
MAX_URL = 2000
MAX_REDIRECTS = 5
NOTE = "note.json"
VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
log = logging.getLogger(__name__)


def is_url(text: str) -> bool:
    """Whether `text` is written as a web address (of any scheme; only https is followed)."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]{1,15}://", text) is not None


def without_secrets(url: str) -> str:
    """`url` without user, query and fragment, where people's access tokens stand: fit for messages and records."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def cache_root() -> Path:
    """Where downloads are kept: $EIGAN_CACHE, else $XDG_CACHE_HOME/eigan, else ~/.cache/eigan."""
    if chosen := os.environ.get(CACHE_ENV):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "eigan"


def fetch_url(url: str, *, max_bytes: int, offline: bool = False) -> Path:
    """The file at an https `url`, from the cache when the server says that it has not changed.

    No token is ever sent. When the server cannot be reached a cached copy is used and a warning logged.

    Raises:
        CheckpointError: not https, unreachable, refused, larger than `max_bytes`, cut short, or the disk is full; the
            cache is as it was.
    """
    check_url(url)
    folder = cache_root() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:32]
    cached, validators = read_note(folder)
    shown = without_secrets(url)
    if offline or is_offline_mode():
        if cached is None:
            raise CheckpointError(f"{shown} is not in the cache and eigan is offline; download it once while online")
        return cached
    try:
        return download(url, folder, cached, validators, max_bytes)
    except (httpx.TransportError, httpx.TooManyRedirects) as error:
        reason = f"{shown} cannot be reached ({type(error).__name__}); check the address and the network"
        if cached is None:
            raise CheckpointError(reason) from error
        log.warning("%s. Using the cached copy", reason)
        return cached
    except OSError as error:
        raise CheckpointError(f"{shown} cannot be kept in {folder}: {error.strerror or error}") from error


def check_url(url: str) -> None:
    """Raise CheckpointError unless `url` is a plain https address."""
    try:
        parts = urlsplit(url)
        fine = len(url) <= MAX_URL and parts.scheme == "https" and bool(parts.hostname) and url.isprintable()
    except ValueError:
        fine = False
    if not fine:
        raise CheckpointError(f"{url[:100]!r} is no https address; only https:// is followed")


def read_note(folder: Path) -> tuple[Path | None, Mapping[str, str]]:
    """The cached file, and the headers that ask whether it is still current; None and nothing when there is none."""
    try:
        note = json.loads((folder / NOTE).read_bytes())
        file = folder / str(note["file"])
        if file.parent == folder and file.is_file() and file.stat().st_size == note["size"]:
            return file, {asked: note[said] for said, asked in VALIDATORS.items() if isinstance(note.get(said), str)}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None, {}


def make_client() -> httpx.Client:
    """A client that follows redirects to https alone."""

    def require_https(request: httpx.Request) -> None:
        if request.url.scheme != "https":
            raise CheckpointError(
                f"the server sends on to {request.url.scheme}://{request.url.host}, which is not https"
            )

    return httpx.Client(
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        timeout=TIMEOUT,
        headers={"User-Agent": f"eigan/{eigan.__version__}", "Accept-Encoding": "identity"},
        event_hooks={"request": [require_https]},
    )


def download(url: str, folder: Path, cached: Path | None, validators: Mapping[str, str], max_bytes: int) -> Path:
    """Fetch into `folder`; the file and its note replace older ones only when complete."""
    headers = validators if cached else {}
    with make_client() as client, client.stream("GET", url, headers=dict(headers)) as response:
        if response.status_code == httpx.codes.NOT_MODIFIED and cached:
            return cached
        if response.status_code != httpx.codes.OK:
            raise CheckpointError(
                f"{without_secrets(url)} answers {response.status_code} {response.reason_phrase}; "
                "open it in a browser: is it the file itself, and public?"
            )
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / file_name(url)
        size = save(response, file, max_bytes)
        said = {name: response.headers[name] for name in VALIDATORS if name in response.headers}
        write_whole(folder / NOTE, json.dumps({"file": file.name, "size": size, **said}).encode())
        return file


def save(response: httpx.Response, file: Path, max_bytes: int) -> int:
    """Stream the body to `file` through a draft beside it; its size in bytes."""
    stated = response.headers.get("content-length", "")
    total = int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 20 else None
    size = 0
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".draft-", delete=False) as draft:
        try:
            with tqdm(total=total, unit="B", unit_scale=True, desc=file.name[:40]) as bar:
                if (total or 0) > max_bytes:
                    raise too_large(total or 0, max_bytes)
                for chunk in response.iter_bytes(2**20):
                    size += len(chunk)
                    if size > max_bytes:
                        raise too_large(size, max_bytes)
                    draft.write(chunk)
                    bar.update(len(chunk))
            draft.close()
            Path(draft.name).replace(file)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
    return size


def too_large(size: int, max_bytes: int) -> CheckpointError:
    return CheckpointError(f"the file is {size:,} bytes or more; at most {max_bytes:,} are taken. Nothing was kept")


def write_whole(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.write_bytes(data)
    draft.replace(path)


def file_name(url: str) -> str:
    """A harmless name for the file at `url`, for people; what it holds is known by its content."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", unquote(Path(urlsplit(url).path).name)).strip(".-")[:80]
    return name if name and name != NOTE else "checkpoint"
