"""The app's page without a browser: what it would send to the server, over Gradio's own queue, and what comes back.

One `PageClient` is one visitor: a session of its own, the values of all components as the page would hold them, and the
events that follow from an event. Nothing is drawn.
"""

from __future__ import annotations

import io
import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
SECONDS = 120.0
PREFIX = "gradio_api/"


class PageError(Exception):
    """What the server answered instead: the sentence of a toast."""


class PageClient:
    """A visitor. `values` is what every component holds, by number; `called` finds a component by its elem_id."""

    def __init__(self, url: str, *, config: Mapping[str, Any] | None = None, session: str = ""):
        self.http = httpx.Client(base_url=url, timeout=SECONDS)
        self.session = session or secrets.token_hex(8)
        self.config = self.http.get("config").json() if config is None else config
        self.events = {event["api_name"]: event for event in self.config["dependencies"]}
        self.values: dict[int, Any] = {one["id"]: one["props"].get("value") for one in self.config["components"]}
        self._numbers = {one["props"].get("elem_id"): one["id"] for one in self.config["components"]}

    def called(self, elem_id: str) -> int:
        """The number of the component that has this elem_id."""
        return int(self._numbers[elem_id])

    def __getitem__(self, elem_id: str) -> Any:
        return self.values[self.called(elem_id)]

    def __setitem__(self, elem_id: str, value: Any) -> None:
        self.values[self.called(elem_id)] = value

    def event_of(self, elem_id: str, kind: str) -> dict[str, Any]:
        """What happens when `kind` ("click", "input") happens to the component."""
        wanted = [self.called(elem_id), kind]
        return next(e for e in self.config["dependencies"] if wanted in e["targets"] and e["backend_fn"])

    def arrive(self) -> list[Any]:
        """The page loads."""
        return self.run(next(e for e in self.config["dependencies"] if e["targets"][0][1] == "load"))

    def move(self, *, moving: bool = True, **sent: Any) -> list[Any]:
        """Sliders move, as the panel tells it: amounts={"smile": 1.5}, layers, keep, pose."""
        standing = {"locked": [], "pressed": {}, "keep": [], "layers": {}, "pose": [0, 0, 0], "amounts": {}}
        self["panel"] = standing | {"turn": self["panel"]["turn"], "moving": moving} | sent
        return self.run(self.event_of("panel", "input"))

    def run(self, event: Mapping[str, Any], data: list[Any] | None = None, **more: Any) -> list[Any]:
        """What the event answers, once the events that follow from it are over, too. data: None for the page's values.

        Raises:
            PageError: any of them failed.
        """
        given = [self.values.get(number) for number in event["inputs"]] if data is None else data
        answer = self.join({"fn_index": event["id"], "data": given, **more})
        for number, value in zip(event["outputs"], answer, strict=True):
            if not isinstance(value, dict) or value.get("__type__") != "update":
                self.values[number] = value
            elif "value" in value:
                self.values[number] = value["value"]
        for after in self.config["dependencies"]:
            if after["trigger_after"] == event["id"] and after["backend_fn"] and not after["trigger_only_on_failure"]:
                self.run(after)
        return answer

    def join(self, body: Mapping[str, Any]) -> list[Any]:
        """Stand in the queue with this very body, and wait for the answer. Raises PageError."""
        text = json.dumps({"session_hash": self.session, **body})  # NaN and all, if that is what is to be sent
        joined = self.http.post(f"{PREFIX}queue/join", content=text, headers={"Content-Type": "application/json"})
        if joined.status_code != 200:
            raise PageError(f"{joined.status_code}: {joined.json().get('detail', joined.text)}")
        return self._completed(joined.json()["event_id"])

    def _completed(self, event: str) -> list[Any]:
        """The event's answer. The stream is read to its end: who hangs up before is taken to have left the page."""
        found: Mapping[str, Any] = {"success": False, "output": {"error": "the server said nothing more"}}
        with self.http.stream("GET", f"{PREFIX}queue/data", params={"session_hash": self.session}) as stream:
            for message in _messages(stream):
                if message["msg"] == "unexpected_error":
                    found = {"success": False, "output": {"error": message["message"]}}
                elif message["msg"] == "process_completed" and message["event_id"] == event:
                    found = message
        if not found["success"]:
            raise PageError(str(found["output"].get("error")))
        return list(found["output"]["data"])

    def picture(self, elem_id: str = "picture") -> Pixels:
        """The picture that the page shows, decoded."""
        return self.fetch(self[elem_id])

    def fetch(self, file: Mapping[str, Any]) -> Pixels:
        """The picture in a file that the server told of."""
        got = self.http.get(file["url"])
        got.raise_for_status()
        with Image.open(io.BytesIO(got.content)) as image:
            return np.asarray(image.convert("RGB"))

    def upload(self, path: Path | str, data: bytes) -> dict[str, Any]:
        """A file, uploaded: what a component that takes files holds then."""
        answer = self.http.post(f"{PREFIX}upload", files={"files": (str(path), data)})
        if answer.status_code != 200:
            raise PageError(f"{answer.status_code}: {answer.text}")
        return file_data(answer.json()[0])

    def close(self) -> None:
        self.http.close()


class Presence(threading.Thread):
    """The open line by which the server knows that a page is still there. Close the client to end it."""

    def __init__(self, client: PageClient):
        super().__init__(daemon=True)
        self._client = client

    def run(self) -> None:
        try:
            with self._client.http.stream("GET", f"{PREFIX}heartbeat/{self._client.session}") as line:
                for _ in line.iter_lines():
                    pass
        except (httpx.HTTPError, RuntimeError):  # closed, here or there
            return


def file_data(path: str, **more: Any) -> dict[str, Any]:
    """A file as Gradio's components speak of it."""
    return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}, **more}


def _messages(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in stream.iter_lines():
        if line.startswith("data:"):
            yield json.loads(line[5:])
