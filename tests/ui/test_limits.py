"""Sizes of requests, sessions and uploads; which of Gradio's doors stay shut. The running app: tests/ui/security."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio import state_holder
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from eigan.ui import build_app, limits
from eigan.ui.limits import SHUT, Limits, check_body, forget_callers, forget_files, tidy, trim_uploads
from eigan.ui.served import SHELVES


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://x",
        "/gradio_api/file=http://x",
        "/gradio_api/file=HTTPS://x",
        "/gradio_api/file/http://x",
        "/gradio_api/deep_link",
        "/monitoring/key",
        "/gradio_api/component_server/",
        "/gradio_api/stream/x",
    ],
)
def test_doors_that_are_shut(path: str) -> None:
    assert SHUT.match(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/theme.css",
        "/gradio_api/file=/tmp/gradio/shelves/lasting/0a/heads-seed-65.png",
        "/gradio_api/queue/join",
        "/gradio_api/queue/data",
        "/gradio_api/upload",
        "/gradio_api/call/v2/edit",
        "/gradio_api/mcp/",
        "/gradio_api/heartbeat/x",
        "/gradio_api/startup-events",
        "/login/huggingface",
        "/assets/index.js",
        "/static/img/logo.svg",
    ],
)
def test_doors_that_the_page_uses(path: str) -> None:
    assert not SHUT.match(path)


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": [{"path": "http://inside/x", "meta": {"_type": "gradio.FileData"}}]}',
        b'{"data": [[[{"a": {"path": "https://inside/x"}}]]]}',
        b'{"data": [{"\\u0070ath": "\\u0068ttp://inside/x"}]}',
        b'{"data": [{"path": "file:///etc/passwd"}]}',
    ],
)
def test_a_file_at_an_address_is_refused_however_it_is_spelt(body: bytes) -> None:
    with pytest.raises(HTTPException) as caught:
        check_body(body)
    assert caught.value.status_code == 403


def test_a_file_that_was_uploaded_passes_and_so_does_text_that_holds_an_address() -> None:
    check_body(
        b'{"data": [{"path": "/tmp/gradio/0a/x.png", "url": "http://here/gradio_api/file=/tmp/gradio/0a/x.png"}]}'
    )
    check_body(b'{"data": ["the path of http://a/b"]}')
    check_body(b"")


def test_too_many_values_and_broken_json_are_refused() -> None:
    with pytest.raises(HTTPException, match="100,000 values"):
        check_body(b"[" + b"1," * 100_001 + b"1]")
    for body in (b'{"path":', b'{"path": ' + b"[" * 50_000, b"path"):
        with pytest.raises(HTTPException) as caught:
            check_body(body)
        assert caught.value.status_code == 400


def run(app: Any, chunks: list[bytes], *, path: str = "/gradio_api/queue/join", headers: Any = ()) -> list[Message]:
    """What `app` sends for a POST of `chunks`."""
    scope: Scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    with ThreadPoolExecutor(1) as elsewhere:  # where no loop runs, whatever other tests have left in this thread
        elsewhere.submit(lambda: asyncio.run(app(scope, receive, send))).result(30)
    return sent


def test_the_app_behind_reads_the_same_body() -> None:
    got = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            got.append(message["body"])
            more = message["more_body"]

    for path in ("/gradio_api/queue/join", "/gradio_api/upload"):
        got.clear()
        assert run(Limits(inner), [b'{"a"', b": 1}"], path=path) == []
        assert b"".join(got) == b'{"a": 1}'


def test_a_body_is_not_read_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it got through")

    monkeypatch.setattr(limits, "MAX_BODY_BYTES", 10)
    sent = run(Limits(inner), [b"12345678"] * 1000)
    assert sent[0]["status"] == 413
    assert run(Limits(inner), [], headers=[(b"content-length", b"11")])[0]["status"] == 413
    assert run(Limits(inner), [], path="/gradio_api/deep_link")[0]["status"] == 404


def test_a_session_holds_little_and_still_works(toy_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in limits.NO_STATISTICS:
        monkeypatch.delenv(name, raising=False)
    app = build_app()
    session: Any = state_holder.SessionState(app)
    button, state = (next(c for c in app.blocks.values() if isinstance(c, kind)) for kind in (gr.Button, gr.State))
    assert len(app.blocks) > 50
    assert isinstance(session, limits.Session)
    session[state._id] = {"key": "a"}
    assert session[state._id] == {"key": "a"}
    assert session[button._id] is button
    session._update_value_in_config(button._id, "x")
    session._update_config(button._id)
    assert len(list(session.components)) <= 1
    assert app._queue.ANALYTICS_MAX_EVENTS == 100
    assert app._queue.compute_analytics_summary([{"function": "a"}] * 5) == {"functions": {}}


def test_programs_that_are_gone_are_forgotten_and_pages_are_not() -> None:
    now = datetime.now()
    holder = SimpleNamespace(
        session_data={
            "gone": SimpleNamespace(state_data={}),
            "calling": SimpleNamespace(state_data={}),
            "page": SimpleNamespace(state_data={3: "opened"}),
        },
        time_last_used={"gone": now - timedelta(minutes=1), "calling": now, "page": now - timedelta(hours=5)},
    )
    assert forget_callers(holder) == 1
    assert set(holder.session_data) == {"calling", "page"} == set(holder.time_last_used)


def test_files_that_are_no_more_are_forgotten(tmp_path: Path) -> None:
    here = tmp_path / "here.png"
    here.write_bytes(b"x")
    sets = [{str(here), str(tmp_path / "gone.png")}, set()]
    assert forget_files(sets) == 1
    assert sets == [{str(here)}, set()]


def test_the_oldest_uploads_go_first_and_the_shelves_stay(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "middle", "old"]):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "x.png").write_bytes(bytes(100))
        os.utime(folder / "x.png", (1000 - age, 1000 - age))
    shelf = tmp_path / SHELVES / "lasting"
    shelf.mkdir(parents=True)
    (shelf / "y.png").write_bytes(bytes(1000))
    assert trim_uploads(tmp_path, 300) == 0
    assert trim_uploads(tmp_path, 200) == 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle", "new", SHELVES]
    assert trim_uploads(tmp_path, 0) == 200
    assert (shelf / "y.png").exists()
    assert trim_uploads(tmp_path / "nothing", 0) == 0


def test_tidying_up_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    tidy(None)
    assert "could not tidy up" in caplog.text
