"""ComfyUI's core without its server, in a process of its own (run by launch.py): runs prompts and tests' functions.

Speaks lines of JSON over the socket whose number is in $EIGAN_TEST_SOCKET: {"prompt": ...} or {"call": file, name}.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import main as comfyui  # ComfyUI's main.py; this process has its folder first on the path  # isort: skip
import execution  # isort: skip
import nodes  # isort: skip
import server as comfy_server  # isort: skip

AUDITED = ("socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.Request", "subprocess.Popen", "os.system")

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)


class Worker:
    """The core with our nodes loaded, and one executor, whose cache lives from prompt to prompt."""

    def __init__(self) -> None:
        self.server = comfy_server.PromptServer(loop)
        self.server.client_id = self.server.last_prompt_id = "test"
        self.server.send_sync = self.note  # in place of the websocket
        self.events: list[tuple[str, Any]] = []
        self.imported = import_nodes()
        comfyui.hijack_progress(self.server)
        cache = {"lru": 0, "ram": 0}
        kind = execution.CacheType.CLASSIC
        self.executor = execution.PromptExecutor(self.server, cache_type=kind, cache_args=cache)

    def note(self, event: str, data: Any, sid: str | None = None) -> None:
        if isinstance(event, str):  # pictures for previews come under numbers
            self.events.append((event, data))

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if "call" in request:
            return {"value": call(Path(request["call"]), request["name"], request["arguments"])}
        if "info" in request:
            return {"value": {name: kind.GET_NODE_INFO_V1() for name, kind in ours().items()}}
        return self.run(request["prompt"], request.get("extra", {}))

    def run(self, prompt: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        prompt_id = str(uuid.uuid4())
        self.events = []
        valid, error, outputs, node_errors = loop.run_until_complete(execution.validate_prompt(prompt_id, prompt, None))
        if valid:
            self.executor.execute(prompt, prompt_id, {"client_id": "test", **extra}, outputs)
        return {"error": error, "node_errors": node_errors, "events": self.events}


def import_nodes() -> dict[str, Any]:
    """Load what is in custom_nodes; tells what that took, said and asked for."""
    noticed: list[str] = []
    watching = True

    def audit(event: str, details: tuple[Any, ...]) -> None:
        if watching and event in AUDITED:
            noticed.append(event)

    sys.addaudithook(audit)
    printed, start = StringIO(), time.process_time()
    with redirect_stdout(printed):
        loop.run_until_complete(nodes.init_external_custom_nodes())
    watching = False
    return {"seconds": time.process_time() - start, "printed": printed.getvalue(), "noticed": noticed}


def ours() -> dict[str, Any]:
    return {name: kind for name, kind in nodes.NODE_CLASS_MAPPINGS.items() if name.startswith("Eigan")}


def call(file: Path, name: str, arguments: Mapping[str, Any]) -> Any:
    """The function called `name` of a test file that is written for this process."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)(**arguments)


def serve() -> None:
    channel = socket.socket(fileno=int(os.environ["EIGAN_TEST_SOCKET"])).makefile("rw", encoding="utf-8")
    worker = Worker()
    greeting = {"nodes": sorted(nodes.NODE_CLASS_MAPPINGS), "imported": worker.imported}
    channel.write(json.dumps(greeting) + "\n")
    channel.flush()
    for line in channel:
        try:
            reply = worker.answer(json.loads(line))
        except Exception:  # noqa: BLE001  # whatever it is, the test that asked shall see it
            reply = {"traceback": traceback.format_exc()}
        channel.write(json.dumps(reply, default=repr) + "\n")
        channel.flush()


serve()
