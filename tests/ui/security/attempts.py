"""What a stranger with a raw HTTP client tries: calls, files that are not theirs, addresses inside; and a trap."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

import httpx

from benchmarks.page_client import PageClient, PageError, file_data
from tests.ui.serving import Running

CANARY = "canary-5b1f0c7d"  # in files and in the environment; in no answer
TOKEN = "hf_alice"  # of the machine's owner
MARKERS = Path("/tmp/eigan-pwned")  # where the shared set of hostile files leaves its own, if they run
OWN_MARKER = Path(tempfile.gettempdir()) / f"eigan-pwned-{os.getpid()}"  # where this process's files do
SECRETS = (CANARY, TOKEN, "root:x:0", "[build-system]")
MIB = 2**20


class Trap:
    """A server inside, that nobody outside may make the app talk to. seen: what it was told."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            with caller:
                caller.settimeout(2)
                try:
                    self.seen.append(caller.recv(200))
                except OSError:
                    self.seen.append(b"")

    def close(self) -> None:
        self._socket.close()


def get(app: Running, path: str) -> httpx.Response:
    """The path as it is written: no client in between tidies it up."""
    host = app.url.removeprefix("http://").rstrip("/")
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), 20) as line:
        line.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return httpx.Response(int(head.split()[1]), content=body)


def call(app: Running, endpoint: str, **asked: Any) -> tuple[str, str]:
    """("complete" or "error", data) of an endpoint, as curl would ask it."""
    with httpx.Client(base_url=app.url, timeout=120) as http:
        joined = http.post(f"gradio_api/call/v2/{endpoint}", json=asked)
        if joined.status_code != 200:
            return "error", joined.text
        told = http.get(f"gradio_api/call/v2/{endpoint}/{joined.json()['event_id']}").text
    last = [block for block in told.split("\n\n") if block.startswith("event:") and "heartbeat" not in block][-1]
    kind, _, data = last.removeprefix("event: ").partition("\ndata: ")
    assert not any(secret in data for secret in SECRETS)
    return kind, data


def types_of(client: PageClient) -> dict[int, str]:
    return {one["id"]: one["type"] for one in client.config["components"]}


def events(client: PageClient, *kinds: str) -> list[tuple[dict[str, Any], list[int]]]:
    """Events of the page's own, and the places among their inputs that take such components."""
    types, found = types_of(client), []
    for event in client.config["dependencies"]:
        places = [i for i, number in enumerate(event["inputs"]) if types[number] in kinds]
        if event["backend_fn"] and event["api_visibility"] != "public" and places:
            found.append((event, places))
    assert found
    return found


def attempt(client: PageClient, event: dict[str, Any], places: list[int], value: Any) -> str:
    """What the app says to `value` in those places, all else being as the page has it. Nothing secret may be in it."""
    data = [value if i in places else client.values.get(number) for i, number in enumerate(event["inputs"])]
    try:
        said = json.dumps(client.join({"fn_index": event["id"], "data": data}))
    except PageError as error:
        said = f"refused: {error}"
    for secret in SECRETS:
        assert secret not in said, f"{event['api_name']} tells of what {str(value)[:80]} holds"
    return said


def foreign_files(app: Running, trap: Trap) -> list[Any]:
    """Files that were never uploaded, in every way that a component may be told of a file."""
    home = app.cache.parent
    return [
        file_data(f"{home}/secret.txt"),
        file_data(f"{app.cache}/../secret.txt"),
        file_data("/etc/passwd"),
        file_data("/proc/self/environ"),
        file_data("pyproject.toml"),
        {"path": f"{home}/secret.txt"},
        [file_data(f"{home}/hf/token")],
        file_data(f"file://{home}/secret.txt"),
        file_data("x.png", url=f"http://127.0.0.1:{trap.port}/x.png"),
        file_data(f"http://127.0.0.1:{trap.port}/x.png"),
        file_data(f"https://127.0.0.1:{trap.port}/x.png", url="x"),
        f"{home}/secret.txt",
    ]


def inner_addresses(trap: Trap) -> list[str]:
    """Everything that is neither a bundled name nor a Hub id: paths, hosts inside, nonsense."""
    at = f"127.0.0.1:{trap.port}"
    return [
        f"http://{at}/model.pkl",
        f"https://{at}/model.pkl",
        f"http://localhost:{trap.port}/model.pkl",
        f"http://[::1]:{trap.port}/model.pkl",
        f"http://2130706433:{trap.port}/model.pkl",
        f"http://user@{at}/model.pkl",
        f"user@{at}/model",
        f"user/name@http://{at}",
        f"org/name@../../{at}",
        f"//{at}/share",
        f"\\\\127.0.0.1@{trap.port}\\share\\model",
        f"hf://{at}/model",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "/etc",
        "~/.ssh",
        ".",
        "..",
        "directions/heads",
        "C:\\Windows",
        "../org",
        "org/name:../../etc/passwd",
        "a" * 100_000,
        "org/name\x00",
        "org/na\nme@v1",
    ]
