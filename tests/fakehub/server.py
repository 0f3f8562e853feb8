"""The HTTP side of the fake Hub: routes, faults on demand and a log of requests. It speaks no Xet.

hub = FakeHub().start()
hub.fault(r"^POST .*/tag/", status=503)         # once; times=-1 for ever, after=2 lets two pass first
hub.fault(r"^POST .*/commit/", status=503, late=True)    # does the work, then answers 503
hub.fault(r"^GET .*/resolve/", corrupt=True)    # or drop=True, delay=0.5, headers={...}
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakehub.listing import history, list_models, settings
from tests.fakehub.store import Account, File, Refused, Repo, Store, card_problems

REGULAR_BYTES = 10_000_000


@dataclass
class Fault:
    """What goes wrong with requests whose 'METHOD /path' matches."""

    match: str
    times: int = 1
    after: int = 0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    late: bool = False
    drop: bool = False
    corrupt: bool = False
    delay: float = 0.0


@dataclass(frozen=True)
class Request:
    """One line of the log."""

    method: str
    path: str
    status: int
    agent: str
    token: str


class FakeHub:
    """The server: its address, store, log, and the faults still to come."""

    def __init__(self) -> None:
        self.store = Store()
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.pauses: list[float] = []
        self.lock = threading.RLock()
        handler = type("HubHandler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.reset()

    def start(self) -> FakeHub:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def reset(self) -> None:
        """As on the first day: four tokens, no repositories, no faults, an empty log."""
        with self.lock:
            self.store.__init__()  # type: ignore[misc]
            self.store.tokens |= {
                "hf_alice": Account("alice", orgs=("acme",)),
                "hf_bob": Account("bob"),
                "hf_reader": Account("alice", role="read", orgs=("acme",)),
            }
            self.log.clear()
            self.faults.clear()

    def fault(self, match: str, **how: Any) -> None:
        self.faults.append(Fault(match, **how))

    def requests(self, match: str = "") -> list[str]:
        """'METHOD /path' of what was asked so far and matches."""
        lines = (f"{r.method} {r.path}" for r in self.log)
        return [line for line in lines if re.search(match, line)]

    def take_fault(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and re.search(fault.match, line):
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: Any) -> None:
        """Silent: the log is hub.log."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self.query, self.route = parse_qs(url.query, keep_blank_values=True), unquote(url.path)
        self.body = self._read_body()
        fault = self.hub.take_fault(f"{self.command} {self.route}") or Fault("")
        time.sleep(fault.delay)
        if fault.drop:
            self._record(-1)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault.status and not fault.late:
            self._send(fault.status, {"error": "injected"}, fault.headers)
        else:
            self._answer(fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 (the standard library's names)

    def _answer(self, fault: Fault) -> None:
        try:
            with self.hub.lock:
                answer, headers = self._dispatch()
        except Refused as refused:
            code = {"X-Error-Code": refused.code} if refused.code else {}
            self._send(refused.status, refused.body, {**code, "X-Error-Message": str(refused)})
            return
        if fault.late:
            self._send(fault.status, {"error": "injected, after the work was done"}, fault.headers)
            return
        if fault.corrupt and isinstance(answer, bytes):
            answer = answer[:-1] + bytes([answer[-1] ^ 0xFF])
        self._send(200, answer, headers)

    def _dispatch(self) -> tuple[Any, dict[str, str]]:
        for methods, pattern, handle in ROUTES:
            match = re.fullmatch(pattern, self.route)
            if match and self.command in methods.split():
                answer = handle(self, **match.groupdict())
                return answer if isinstance(answer, tuple) else (answer, {})
        raise Refused(404, f"fake Hub: no route {self.command} {self.route}")

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, status: int, answer: Any, headers: dict[str, str]) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self._record(status)
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _record(self, status: int) -> None:
        agent, token = self.headers.get("User-Agent", ""), self.headers.get("Authorization", "")
        self.hub.log.append(Request(self.command, self.route, status, agent, token.removeprefix("Bearer ")))

    # what the routes stand on

    @property
    def account(self) -> Account | None:
        return self.hub.store.account(self.headers.get("Authorization"))

    def json(self) -> dict[str, Any]:
        value = json.loads(self.body or b"{}")
        assert isinstance(value, dict)
        return value

    def readable(self, repo: str, *, files: bool = False) -> Repo:
        return self.hub.store.readable(repo, self.account, files=files)

    def writable(self, repo: str) -> Repo:
        return self.hub.store.writable(repo, self.account)


# routes: each gets the handler and the named parts of the path


def whoami(h: Handler) -> Any:
    account = h.account
    if account is None:
        raise Refused(401, "Invalid username or password.")
    orgs = [{"type": "org", "name": name} for name in account.orgs]
    token = {"displayName": "test", "role": account.role}
    return {"type": "user", "name": account.name, "orgs": orgs, "auth": {"accessToken": token}}


def validate_yaml(h: Handler) -> Any:
    if problems := card_problems(h.json()["content"]):
        raise Refused(400, problems[0], body={"errors": [{"message": p} for p in problems], "warnings": []})
    return {"errors": [], "warnings": []}


def create_repo(h: Handler) -> Any:
    account, wanted = h.account, h.json()
    if account is None:
        raise Refused(401, "Invalid username or password.")
    repo_id = f"{wanted.get('organization') or account.name}/{wanted['name']}"
    answer = {"url": f"{h.hub.url}/{repo_id}", "name": repo_id}
    if account.role != "write" or not account.belongs_to(repo_id.split("/")[0]):
        raise Refused(403, "You don't have the rights to create a model under this namespace")
    if repo_id in h.hub.store.repos:
        raise Refused(409, "You already created this model repo", body={"error": "exists", **answer})
    h.hub.store.create(repo_id, private=wanted.get("visibility") == "private" or wanted.get("private") is True)
    return answer


def repo_info(h: Handler, repo: str, revision: str = "main") -> Any:
    found = h.readable(repo)
    commit = found.resolve(revision or "main")
    info = {
        "id": repo,
        "private": found.private,
        "gated": found.gate,
        "sha": commit,
        "tags": found.card_tags,
        "cardData": found.card,
    }
    return {**info, "siblings": [sibling(path, file) for path, file in sorted(found.commits[commit].items())]}


def sibling(path: str, file: File) -> dict[str, Any]:
    lfs = {"lfs": {"sha256": file.sha256, "size": len(file.data), "pointerSize": 130}} if file.is_lfs else {}
    return {"rfilename": path, "size": len(file.data), "blobId": file.blob_id, **lfs}


def tree_entry(path: str, file: File) -> dict[str, Any]:
    lfs = {"lfs": {"oid": file.sha256, "size": len(file.data), "pointerSize": 130}} if file.is_lfs else {}
    return {"type": "file", "path": path, "size": len(file.data), "oid": file.blob_id, **lfs}


def tree(h: Handler, repo: str, revision: str) -> Any:
    found = h.readable(repo)
    return [tree_entry(path, file) for path, file in sorted(found.commits[found.resolve(revision)].items())]


def paths_info(h: Handler, repo: str, revision: str) -> Any:
    found = h.readable(repo)
    files = found.commits[found.resolve(revision)]
    return [tree_entry(path, files[path]) for path in parse_qs(h.body.decode())["paths"] if path in files]


def refs(h: Handler, repo: str) -> Any:
    found = h.readable(repo)
    tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in found.tags.items()]
    return {
        "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": found.head}],
        "tags": tags,
        "converts": [],
    }


def create_tag(h: Handler, repo: str, revision: str) -> Any:
    found, name = h.writable(repo), h.json()["tag"]
    if name in found.tags:
        raise Refused(409, f"Tag reference exists already: refs/tags/{name}")
    found.tags[name] = found.resolve(revision)
    return {}


def preupload(h: Handler, repo: str, revision: str) -> Any:
    found = h.writable(repo)
    files = found.commits[found.resolve(revision)]
    answers = []
    for wanted in h.json()["files"]:
        sample, old = base64.b64decode(wanted.get("sample") or ""), files.get(wanted["path"])
        is_lfs = wanted["path"].endswith(".safetensors") or wanted["size"] > REGULAR_BYTES or b"\0" in sample
        answer = {"path": wanted["path"], "uploadMode": "lfs" if is_lfs else "regular", "shouldIgnore": False}
        answers.append(answer | ({"oid": old.etag} if old else {}))
    return {"files": answers, "commitOid": found.head}


def lfs_batch(h: Handler, repo: str) -> Any:
    h.writable(repo)
    objects = []
    for wanted in h.json()["objects"]:
        oid = wanted["oid"]
        upload = {"upload": {"href": f"{h.hub.url}/lfs/{oid}"}, "verify": {"href": f"{h.hub.url}/lfs/{oid}/verify"}}
        actions = {} if oid in h.hub.store.objects else {"actions": upload}
        objects.append({"oid": oid, "size": wanted["size"], **actions})
    return {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"}


def lfs_put(h: Handler, oid: str) -> Any:
    if hashlib.sha256(h.body).hexdigest() != oid:
        raise Refused(400, "BadDigest")
    h.hub.store.objects[oid] = h.body
    return b""


def lfs_verify(h: Handler, oid: str) -> Any:
    if oid not in h.hub.store.objects:
        raise Refused(404, "Object not found")
    return {}


def commit(h: Handler, repo: str, revision: str) -> Any:
    found = h.writable(repo)
    if revision != "main":
        raise Refused(400, "You can only commit to a branch")
    files, title, description = dict(found.files), "", ""
    for key, value in commit_lines(h.body):
        if key == "header" and value.get("parentCommit", found.head) != found.head:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        if key == "header":
            title, description = value["summary"], value.get("description", "")
        if key == "file":
            files[value["path"]] = File(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if value["oid"] not in h.hub.store.objects:
                raise Refused(400, f"an LFS pointer pointed to a file that does not exist: {value['path']}")
            files[value["path"]] = File(h.hub.store.objects[value["oid"]], is_lfs=True)
        elif key == "deletedFile" and files.pop(value["path"], None) is None:
            raise Refused(404, f"A file with this name doesn't exist: {value['path']}", "EntryNotFound")
    oid = h.hub.store.commit(found, files)
    found.messages[oid] = title, description
    return {"success": True, "commitOid": oid, "commitUrl": f"{h.hub.url}/{repo}/commit/{oid}"}


def commit_lines(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in body.splitlines():
        if line.strip():
            entry = json.loads(line)
            yield entry["key"], entry["value"]


def resolve(h: Handler, repo: str, revision: str, path: str) -> Any:
    found = h.readable(repo, files=True)
    oid = found.resolve(revision)
    file = found.commits[oid].get(path)
    if file is None:
        raise Refused(404, "Entry not found", "EntryNotFound")
    headers = {"X-Repo-Commit": oid, "ETag": f'"{file.etag}"', "Content-Type": "application/octet-stream"}
    return file.data, headers


REPO = r"(?P<repo>[^/]+/[^/]+)"
REV = r"(?P<revision>.+)"
ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", r"/api/whoami-v2", whoami),
    ("POST", r"/api/validate-yaml", validate_yaml),
    ("POST", r"/api/repos/create", create_repo),
    ("GET", r"/api/models", list_models),
    ("GET", rf"/api/models/{REPO}", repo_info),
    ("PUT", rf"/api/models/{REPO}/settings", settings),
    ("GET", rf"/api/models/{REPO}/commits/{REV}", history),
    ("GET", rf"/api/models/{REPO}/revision/{REV}", repo_info),
    ("GET", rf"/api/models/{REPO}/tree/(?P<revision>[^/]+)", tree),
    ("POST", rf"/api/models/{REPO}/paths-info/{REV}", paths_info),
    ("GET", rf"/api/models/{REPO}/refs", refs),
    ("POST", rf"/api/models/{REPO}/tag/{REV}", create_tag),
    ("POST", rf"/api/models/{REPO}/preupload/{REV}", preupload),
    ("POST", rf"/api/models/{REPO}/commit/{REV}", commit),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", lfs_put),
    ("POST", r"/lfs/(?P<oid>[0-9a-f]{64})/verify", lfs_verify),
    ("HEAD GET", rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
]
