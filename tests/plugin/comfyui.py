"""A real ComfyUI for a test: a base folder of its own, and two ways to run prompts in it.

`Worker` is the core without a server, quick, and can call functions inside; `Server` is what a person starts, with HTTP
and websocket. Both are processes of their own, and answer with a `Run`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PLUGIN = REPOSITORY / "plugin"
START_SECONDS = 120
RUN_SECONDS = 120
FLAGS = ("--cpu", "--disable-api-nodes", "--database-url", "sqlite:///:memory:")

Prompt = dict[str, dict[str, Any]]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt; ("name", slot) among the inputs is a wire."""
    wired = {key: list(value) if isinstance(value, tuple) else value for key, value in inputs.items()}
    return {"class_type": kind, "inputs": wired}


@dataclass(frozen=True)
class Run:
    """What became of a prompt. events: the websocket's, in order. node_errors: why it was not run."""

    base: Path
    events: list[tuple[str, dict[str, Any]]]
    node_errors: dict[str, Any] = field(default_factory=dict)

    @property
    def executed(self) -> list[str]:
        """Nodes that were run, in order; not those whose outputs were cached."""
        started = [data["node"] for event, data in self.events if event == "executing" and data.get("node")]
        return [name for name in dict.fromkeys(started) if name not in self.cached]

    @property
    def cached(self) -> list[str]:
        return [name for event, data in self.events if event == "execution_cached" for name in data["nodes"]]

    @property
    def error(self) -> dict[str, Any] | None:
        """What a node raised: exception_message, exception_type, node_id."""
        return next((data for event, data in self.events if event == "execution_error"), None)

    @property
    def message(self) -> str:
        """The sentence that a person sees; empty when all went well."""
        if self.error:
            return str(self.error["exception_message"]).strip()
        return " ".join(one["details"] for found in self.node_errors.values() for one in found["errors"])

    @property
    def is_interrupted(self) -> bool:
        return any(event == "execution_interrupted" for event, _ in self.events)

    def ui(self, name: str) -> dict[str, Any]:
        """What the output node called `name` told the page."""
        found = [data["output"] for event, data in self.events if event == "executed" and data["node"] == name]
        assert found, f"{name} did not run: {self.message or self.events}"
        return dict(found[-1])

    def files(self, name: str) -> list[Path]:
        """The files that the output node called `name` saved."""
        return [self.base / one["type"] / one["subfolder"] / one["filename"] for one in self.ui(name)["images"]]

    def pictures(self, name: str) -> npt.NDArray[np.uint8]:
        """(N, H, W, 3): what it saved."""
        return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in self.files(name)])


class Worker:
    """The core in a process of its own, without a server."""

    def __init__(self, core: Path, base: Path, environ: Mapping[str, str], *flags: str):
        self.base = base
        self.log = base / "worker.log"
        ours, theirs = socket.socketpair()
        command = [sys.executable, str(HERE / "launch.py"), str(core), str(HERE / "worker.py"), *FLAGS]
        command += ["--base-directory", str(base), *flags]
        with self.log.open("wb") as log, closing(theirs):
            self.process = subprocess.Popen(
                command,
                cwd=base,
                env={**environ, "EIGAN_TEST_SOCKET": str(theirs.fileno())},
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
            )
        ours.settimeout(RUN_SECONDS)
        self._channel = ours.makefile("rw", encoding="utf-8")
        greeting = self._read()
        self.nodes: list[str] = greeting["nodes"]
        self.imported: dict[str, Any] = greeting["imported"]  # what loading our nodes took, said and asked for

    def run(self, prompt: Prompt, **extra: Any) -> Run:
        """Validate and run; `extra` as the page sends it (extra_pnginfo)."""
        reply = self._ask({"prompt": prompt, "extra": extra})
        return Run(self.base, [(event, data) for event, data in reply["events"]], reply["node_errors"])

    def call(self, file: str, function: str, /, **arguments: Any) -> Any:
        """What the `function` of tests/plugin/`file` returns inside, as JSON."""
        return self._ask({"call": str(HERE / file), "name": function, "arguments": arguments})["value"]

    def info(self) -> dict[str, Any]:
        """/object_info of our nodes."""
        return dict(self._ask({"info": True})["value"])

    def stop(self) -> None:
        self._channel.close()
        self.process.terminate()
        self.process.wait(20)

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._channel.write(json.dumps(request) + "\n")
        self._channel.flush()
        reply = self._read()
        assert "traceback" not in reply, reply["traceback"]
        return reply

    def _read(self) -> dict[str, Any]:
        line = self._channel.readline()
        assert line, f"ComfyUI's core ended:\n{self.log.read_text()[-4000:]}"
        return dict(json.loads(line))


class Server:
    """ComfyUI as a person starts it."""

    def __init__(self, core: Path, base: Path, environ: Mapping[str, str], *flags: str):
        self.base = base
        self.log = base / "server.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, str(HERE / "launch.py"), str(core), "serve", *FLAGS]
        command += ["--base-directory", str(base), "--port", str(self.port), *flags]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=base, env=dict(environ), stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/system_stats")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"ComfyUI did not start:\n{self.log.read_text()[-4000:]}")

    def get(self, path: str) -> Any:
        return json.loads(self.text(path))

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=30) as reply:
            return str(reply.read().decode())

    def post(self, path: str, value: Any) -> dict[str, Any]:
        """The JSON that answers; of a refusal, too."""
        data = json.dumps(value).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                text = reply.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return dict(json.loads(text)) if text.strip() else {}

    def run(self, prompt: Prompt, **extra: Any) -> Run:
        """Queue it and listen until it is done."""
        with self.listening() as (client, events):
            return self.finish(self.queue(prompt, client, **extra), events)

    def queue(self, prompt: Prompt, client: str, **extra: Any) -> dict[str, Any]:
        return self.post("/prompt", {"prompt": prompt, "client_id": client, "extra_data": extra})

    def finish(self, reply: Mapping[str, Any], events: Iterator[tuple[str, dict[str, Any]]]) -> Run:
        """The run that `queue` answered with `reply`, listened to until its end."""
        if reply.get("node_errors") or "prompt_id" not in reply:
            return Run(self.base, [], reply.get("node_errors") or {"": {"errors": [{"details": str(reply)}]}})
        seen = []
        for event, data in events:
            if data.get("prompt_id") == reply["prompt_id"]:
                seen.append((event, data))
            if seen and event in ("execution_success", "execution_error", "execution_interrupted"):
                break
        return Run(self.base, seen)

    @contextmanager
    def listening(self) -> Iterator[tuple[str, Iterator[tuple[str, dict[str, Any]]]]]:
        """A client's id, and what the websocket tells it from now on."""
        from tests.plugin.websocket import messages

        client = uuid.uuid4().hex
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=RUN_SECONDS)) as channel:
            found = messages(channel, f"/ws?clientId={client}")
            next(found)  # "status", which greets
            yield client, found

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_base(base: Path) -> Path:
    """An empty ComfyUI: custom_nodes and models, and a page that greets nobody."""
    for folder in ("custom_nodes", "models/gan_generators", "models/gan_directions", "input", "output", "user/default"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    settings = {"Comfy.TutorialCompleted": True}
    (base / "user/default/comfy.settings.json").write_text(json.dumps(settings))
    return base


def person_environ(**more: str) -> dict[str, str]:
    """Of a process that a person starts: nothing of pytest's; the Hub is the tests' own fake one."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
    return {**environ, **more}
