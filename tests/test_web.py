"""Checkpoints at an address, against a server that answers in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from eigan import web
from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError
from tests.readers.makers import snapshot
from tests.toys import toy_generator

URL = "https://models.example/nets/ffhq.pkl?token=secret"
LIMIT = 1000
Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers requests with `answer`, and keeps them."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Answer = lambda request: httpx.Response(404)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    server, make = Server(), web.make_client

    def make_client() -> httpx.Client:
        client = make()
        client._transport = httpx.MockTransport(server)
        client._mounts = {}
        return client

    monkeypatch.setattr(web, "make_client", make_client)
    monkeypatch.setenv("EIGAN_CACHE", str(tmp_path / "cache"))
    return server


def kept(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_a_file_is_downloaded_once_while_it_stays_the_same(server: Server) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("If-None-Match") == '"1"':
            return httpx.Response(304)
        return httpx.Response(200, content=b"weights", headers={"ETag": '"1"'})

    server.answer = answer
    first = web.fetch_url(URL, max_bytes=LIMIT)
    assert first.read_bytes() == b"weights" and first.name == "ffhq.pkl"
    assert web.fetch_url(URL, max_bytes=LIMIT) == first
    assert len(server.requests) == 2 and "Authorization" not in server.requests[0].headers
    assert web.fetch_url(URL, max_bytes=LIMIT, offline=True) == first
    assert len(server.requests) == 2


def test_a_changed_file_is_taken_anew(server: Server) -> None:
    server.answer = lambda request: httpx.Response(200, content=b"old", headers={"Last-Modified": "then"})
    web.fetch_url(URL, max_bytes=LIMIT)
    server.answer = lambda request: httpx.Response(200, content=b"fresh")
    assert web.fetch_url(URL, max_bytes=LIMIT).read_bytes() == b"fresh"
    assert server.requests[1].headers["If-Modified-Since"] == "then"


def test_a_server_that_is_gone_leaves_the_cached_copy(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    server.answer = gone
    with pytest.raises(CheckpointError, match=r"models\.example/nets/ffhq\.pkl cannot be reached"):
        web.fetch_url(URL, max_bytes=LIMIT)
    server.answer = lambda request: httpx.Response(200, content=b"weights")
    web.fetch_url(URL, max_bytes=LIMIT)
    server.answer = gone
    assert web.fetch_url(URL, max_bytes=LIMIT).read_bytes() == b"weights"
    assert "cached copy" in caplog.text and "secret" not in caplog.text


def endless(chunk: bytes) -> Iterator[bytes]:
    while True:
        yield chunk


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: httpx.Response(200, content=bytes(LIMIT + 1)),
        lambda request: httpx.Response(200, content=endless(bytes(64))),
        lambda request: httpx.Response(200, headers={"Content-Length": "9" * 15}, content=endless(b"x")),
    ],
    ids=["stated", "endless", "boasted"],
)
def test_too_much_is_refused_and_not_kept(server: Server, tmp_path: Path, answer: Answer) -> None:
    server.answer = answer
    with pytest.raises(CheckpointError, match="at most 1,000"):
        web.fetch_url(URL, max_bytes=LIMIT)
    assert kept(tmp_path) == []


def test_a_download_that_breaks_off_keeps_nothing(server: Server, tmp_path: Path) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        def body() -> Iterator[bytes]:
            yield b"half"
            raise httpx.ReadError("reset", request=request)

        return httpx.Response(200, content=body())

    server.answer = broken
    with pytest.raises(CheckpointError, match="cannot be reached"):
        web.fetch_url(URL, max_bytes=LIMIT)
    assert kept(tmp_path) == []


def test_a_full_disk_is_told(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    server.answer = lambda request: httpx.Response(200, content=b"weights")
    monkeypatch.setattr(web, "save", full)
    with pytest.raises(CheckpointError, match="No space left"):
        web.fetch_url(URL, max_bytes=LIMIT)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_refusal_is_said_without_the_secret(server: Server, status: int) -> None:
    server.answer = lambda request: httpx.Response(status)
    with pytest.raises(CheckpointError, match=f"answers {status}") as refused:
        web.fetch_url(URL, max_bytes=LIMIT)
    assert "secret" not in str(refused.value)


def test_redirects_are_followed_to_https_alone(server: Server) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "models.example":
            return httpx.Response(302, headers={"Location": "https://mirror.example/ffhq.pkl"})
        return httpx.Response(200, content=b"weights")

    server.answer = answer
    assert web.fetch_url(URL, max_bytes=LIMIT).read_bytes() == b"weights"
    server.answer = lambda request: httpx.Response(302, headers={"Location": "http://mirror.example/ffhq.pkl"})
    with pytest.raises(CheckpointError, match="not https"):
        web.fetch_url(f"{URL}2", max_bytes=LIMIT)
    server.answer = lambda request: httpx.Response(302, headers={"Location": URL})
    with pytest.raises(CheckpointError, match="TooManyRedirects"):
        web.fetch_url(f"{URL}3", max_bytes=LIMIT)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/x",
        "file:///etc/passwd",
        "ftp://a/b",
        "https://",
        "https://[x",
        "https://a/\n",
        "https://a/" + "x" * 3000,
    ],
)
def test_other_addresses_are_refused(server: Server, url: str) -> None:
    with pytest.raises(CheckpointError, match="no https address"):
        Checkpoint.open(url)
    assert not server.requests


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a/b/ffhq%20config.pkl?x=1", "ffhq-config.pkl"),
        ("https://a", "checkpoint"),
        ("https://a/..", "checkpoint"),
        ("https://a/%2e%2e%2fpasswd", "passwd"),
        ("https://a/note.json", "checkpoint"),
        ("https://a/" + "n" * 300, "n" * 80),
    ],
)
def test_file_names_are_harmless(url: str, name: str) -> None:
    assert web.file_name(url) == name


def test_a_generator_opens_from_an_address_and_forgets_the_token(server: Server) -> None:
    data = snapshot(toy_generator())
    server.answer = lambda request: httpx.Response(200, content=data)
    generator = Checkpoint.open(URL).build()
    assert generator.fingerprint == toy_generator().fingerprint
    assert generator.source == "https://models.example/nets/ffhq.pkl"


def test_a_damaged_note_is_no_cache(server: Server) -> None:
    server.answer = lambda request: httpx.Response(200, content=b"weights")
    file = web.fetch_url(URL, max_bytes=LIMIT)
    for note in (b"{", b"[]", b'{"file": "../x", "size": 7}', b'{"file": "ffhq.pkl", "size": 8}'):
        (file.parent / web.NOTE).write_bytes(note)
        with pytest.raises(CheckpointError, match="offline"):
            web.fetch_url(URL, max_bytes=LIMIT, offline=True)
