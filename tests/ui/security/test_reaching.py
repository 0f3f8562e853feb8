"""No visitor makes the app talk to anything but the Hub, nor use what Gradio offers beside the page."""

from __future__ import annotations

import httpx
import pytest

from benchmarks.page_client import PageClient, PageError
from eigan.pack import DirectionPack
from tests.ui.security.attempts import Trap, attempt, call, events, get, inner_addresses
from tests.ui.serving import Running

SHUT = [
    "gradio_api/file=http://127.0.0.1:{port}/x",
    "gradio_api/file=HTTP://127.0.0.1:{port}/x",
    "gradio_api/file/http://127.0.0.1:{port}/x",
    "gradio_api/proxy=http://127.0.0.1:{port}/x",
    "gradio_api/deep_link?session_hash=x",
    "monitoring",
    "monitoring/summary",
    "gradio_api/runs",
    "gradio_api/run-history/buckets",
    "gradio_api/dev/reload",
    "gradio_api/vibe-code",
    "gradio_api/profiling/traces",
]


def strange_requests(space: Running, trap: Trap) -> list[str]:
    """What the Hub was asked that no Hub id asks for."""
    return [one.path for one in space.hub.log if str(trap.port) in one.path or ".." in one.path or "etc" in one.path]


def test_no_box_of_a_space_reaches_inside(space: Running, stranger: PageClient, trap: Trap) -> None:
    for event, places in events(stranger, "textbox", "dropdown"):
        for value in inner_addresses(trap)[::4]:
            attempt(stranger, event, places, value)
    assert trap.seen == []
    assert strange_requests(space, trap) == []


def test_the_pack_and_generator_boxes_say_so(space: Running, stranger: PageClient, trap: Trap) -> None:
    for box, button in (("picker", "load"), ("fit-generator", "fit")):
        try:
            event = stranger.event_of(button, "click")
        except KeyError:
            assert box != "picker"
            continue
        for value in inner_addresses(trap):
            stranger[box] = value
            with pytest.raises(PageError):
                stranger.run(event)
    assert trap.seen == []
    assert strange_requests(space, trap) == []


def test_the_endpoints_of_a_space_ask_nobody_else(space: Running, trap: Trap, pack: DirectionPack) -> None:
    for value in inner_addresses(trap):
        assert call(space, "directions", pack=value)[0] == "error", value[:80]
    for value in inner_addresses(trap)[::4]:
        assert call(space, "edit", pack=value, seed=1)[0] == "error"
        assert call(space, "edit", pack=pack.source, seed=1, further=[value])[0] == "error"
        assert call(space, "sweep", pack=value, seed=1, direction=pack.names[0])[0] == "error"
        assert call(space, "packs", generator=value, where="hub")[0] == "error"
    assert trap.seen == []
    assert strange_requests(space, trap) == []


def test_a_link_to_elsewhere_is_told_and_not_followed(space: Running, trap: Trap, pack: DirectionPack) -> None:
    for value in inner_addresses(trap)[::3]:
        client = PageClient(space.url)
        client.http.params = httpx.QueryParams({"pack": value[:400], "seed": "3"})
        client.arrive()
        assert f"pack={pack.source}" in client["link"]
        client.close()
    assert trap.seen == []
    assert strange_requests(space, trap) == []


@pytest.mark.parametrize("path", SHUT)
def test_what_the_page_does_not_need_is_shut(app: Running, trap: Trap, path: str) -> None:
    assert get(app, path.format(port=trap.port)).status_code == 404
    assert trap.seen == []


def test_functions_of_components_and_calls_beside_the_queue_are_shut(app: Running) -> None:
    body = {"data": "/", "component_id": 1, "session_hash": "x", "fn_name": "ls"}
    assert httpx.post(f"{app.url}gradio_api/component_server", json=body).status_code == 404
    for route in ("run", "api"):
        for name in ("edit", "follow", "arrive"):
            answer = httpx.post(f"{app.url}gradio_api/{route}/{name}", json={"data": ["heads", 1]})
            assert answer.status_code == 404
