"""What strangers may use up: the size of a request, room on the disk, memory for sessions. And doors that stay shut.

Gradio bounds the size of an uploaded file, but not their number, nor any other request; what it remembers of a visit it
keeps until ten thousand others came. What a request calls a file, by an address, it fetches whole into memory. And it
offers much that this page does not use; a stranger has no business there.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio.to_thread
from gradio import state_holder
from gradio.state_holder import SessionState
from gradio.utils import get_upload_folder
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eigan.ui.served import SHELVES

log = logging.getLogger(__name__)

MAX_FILE = "16mb"  # one upload
MAX_UPLOAD_BYTES = 20 * 2**20  # one request that uploads
MAX_BODY_BYTES = 2 * 2**20  # any other: several times what the fullest page sends
MAX_VALUES = 100_000  # in one request: a small one can still become gigabytes of Python's lists
UPLOADS_BYTES = 2**30  # all that was uploaded and is still there
MAX_SESSIONS = 2000  # visits that are remembered; one takes 100 to 200 KB, and never more than about 2 MB
CALL_SECONDS = 10.0  # after its last call, a program that never saw the page is forgotten
TIDY_SECONDS = 5.0
NO_STATISTICS = {"GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**12), "GRADIO_ANALYTICS_MAX_EVENTS": "100"}
SHUT = re.compile(
    r"(?:/gradio_api)?/(?:proxy=|file[=/]https?:|component_server|custom_component|deep_link|dev/|monitoring|"
    r"process_recording|profiling|run-history|runs|stream|undo-vibe-edit|vibe-)",
    re.I,
)


class Session(SessionState):  # type: ignore[misc]  # Gradio has no types
    """One visit, without the copy of every component's settings that Gradio makes for links of its own (`deep_link`,
    which is shut here): for this page they are half a megabyte and 20 ms each time, also for one call by a program."""

    def __init__(self, blocks: Any):
        super().__init__(_WithoutBlocks(blocks))

    def _update_config(self, key: int) -> None:
        return

    def _update_value_in_config(self, key: int, value: object) -> None:
        return


class _WithoutBlocks:
    """An app that has no components to copy, and everything else."""

    blocks: Mapping[int, object] = MappingProxyType({})

    def __init__(self, app: Any):
        self._app = app

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)


def lighten_gradio() -> None:
    """Have Gradio, in this process, make sessions of this kind, and no statistics: of the last ten thousand events,
    after each, for its monitoring, which is shut here. To be called before the app is built."""
    state_holder.SessionState = Session
    for name, value in NO_STATISTICS.items():
        os.environ.setdefault(name, value)


def middleware() -> list[Middleware]:
    """For the server that runs the app."""
    return [Middleware(Limits)]


class Limits:
    """ASGI middleware: refuses what is too large or not offered, and tidies up now and then, between two requests."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self._tidied = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")).rstrip("/"))
        if SHUT.match(path):
            await _refuse(404, "This page does not offer that.")(scope, receive, send)
            return
        is_upload = path.rstrip("/").endswith("/upload")
        most = MAX_UPLOAD_BYTES if is_upload else MAX_BODY_BYTES
        if _stated_length(scope) > most:
            await _refuse(413, _too_large(most))(scope, receive, send)
            return
        try:
            receive = _counted(receive, most)
            if scope["method"] == "POST" and not is_upload:
                receive = await _read(receive)
        except HTTPException as error:
            await _refuse(error.status_code, error.detail)(scope, receive, send)
            return
        await self.app(scope, receive, send)
        now = time.monotonic()
        if now - self._tidied >= TIDY_SECONDS and "app" in scope:
            self._tidied = now
            await anyio.to_thread.run_sync(tidy, scope["app"])


def _refuse(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status)


def _too_large(most: int) -> str:
    return f"The request is too large: at most {most / 2**20:g} MiB."


def _stated_length(scope: Scope) -> int:
    """What the header says the body takes; 0 where it says nothing."""
    text = dict(scope["headers"]).get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0


def _counted(receive: Receive, most: int) -> Receive:
    """`receive`, for bodies that do not say how long they are."""
    total = 0

    async def limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise HTTPException(413, _too_large(most))
        return message

    return limited


async def _read(receive: Receive) -> Receive:
    """`receive`, once all of the body has come and was looked through. Raises HTTPException."""
    parts, is_open = [], True
    while is_open:
        message = await receive()
        if message["type"] != "http.request":
            return _again([message], receive)
        parts.append(message.get("body", b""))
        is_open = message.get("more_body", False)
    body = b"".join(parts)
    check_body(body)
    return _again([{"type": "http.request", "body": body, "more_body": False}], receive)


def _again(messages: list[Message], receive: Receive) -> Receive:
    """`messages`, and then what `receive` gives."""

    async def given() -> Message:
        return messages.pop(0) if messages else await receive()

    return given


def check_body(body: bytes) -> None:
    """Raise HTTPException for JSON of too many values, and where a file is said to lie at an address."""
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise HTTPException(413, f"The request holds too much: at most {MAX_VALUES:,} values.")
    if b"path" not in body and b"\\u" not in body:
        return
    try:
        found = [json.loads(body)]
    except (ValueError, RecursionError):
        raise HTTPException(400, "The request is not JSON that can be read.") from None
    while found:
        value = found.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and "://" in path:
                raise HTTPException(403, "Files are uploaded here, not fetched from elsewhere.")
            found += value.values()
        elif isinstance(value, list):
            found += value


def tidy(app: Any) -> None:
    """Forget programs that are gone and files that are no more; keep uploads within their bound. Never raises."""
    try:
        blocks = app.get_blocks()
        forget_callers(app.state_holder)
        forget_files(blocks.temp_file_sets)
        trim_uploads(Path(get_upload_folder()), UPLOADS_BYTES)
    except Exception:  # whatever it is, the visitor's picture is not to suffer
        log.warning("could not tidy up", exc_info=True)


def forget_callers(holder: Any, seconds: float = CALL_SECONDS) -> int:
    """Drop sessions that hold nothing: each call of an endpoint by curl makes one. How many were dropped."""
    before = datetime.now() - timedelta(seconds=seconds)
    idle = [
        name
        for name, session in list(holder.session_data.items())
        if not session.state_data and holder.time_last_used.get(name, before) <= before
    ]
    for name in idle:
        holder.session_data.pop(name, None)
        holder.time_last_used.pop(name, None)
    return len(idle)


def forget_files(sets: list[set[str]]) -> int:
    """Take out of Gradio's books the files that are no longer there. How many they were."""
    gone = [[path for path in list(files) if not Path(path).exists()] for files in sets]
    for files, lost in zip(sets, gone, strict=True):
        files.difference_update(lost)
    return sum(map(len, gone))


def trim_uploads(cache: Path, most_bytes: int) -> int:
    """Delete the oldest of what lies in Gradio's cache beside the shelves, until it takes no more. Bytes freed."""
    if not cache.is_dir():
        return 0
    found = []
    for entry in cache.iterdir():
        if entry.name != SHELVES:
            files = [path for path in (entry, *entry.rglob("*")) if path.is_file()]
            sizes = [path.lstat() for path in files]
            found.append((max((s.st_mtime for s in sizes), default=0.0), sum(s.st_size for s in sizes), entry))
    excess = sum(size for _, size, _ in found) - most_bytes
    freed = 0
    for _, size, entry in sorted(found, key=lambda each: each[0]):
        if freed >= excess:
            break
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
        freed += size
    return freed
