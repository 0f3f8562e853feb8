"""No request takes more of the memory or the disk than its share, whatever numbers and sizes it is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from PIL import Image

from benchmarks.page_client import PageClient, PageError
from eigan.format import pack_files
from eigan.pack import DirectionPack
from eigan.recipe import PictureRecipe
from eigan.ui.history import MAX_BYTES, History
from tests.ui.security.attempts import MIB, attempt, call, events
from tests.ui.serving import Running

JSON = {"Content-Type": "application/json"}
NUMBERS = [math.nan, -math.inf, -1, 10**30, 1e308, "x", None, True, [1]]
PANELS: list[dict[str, Any]] = [
    {"amounts": {"smile": math.nan}},
    {"amounts": {"smile": 1e308}},
    {"amounts": {"smile": "1"}},
    {"amounts": {str(i): 1.0 for i in range(2000)}},
    {"amounts": {"x" * 10_000: 1.0}},
    {"amounts": [1] * 1000},
    {"layers": {"smile": "0-99999999999"}, "amounts": {"smile": 1.0}},
    {"layers": {"smile": "-1-5"}, "amounts": {"smile": 1.0}},
    {"keep": ["smile"] * 5000},
    {"keep": [["smile"]]},
    {"pose": [math.inf, 0, 0]},
    {"pose": [0] * 1000},
    {"pressed": {str(i): 1.0 for i in range(5000)}},
    {"turn": "x" * 10_000},
    {"moving": "yes"},
    {"amounts": None},
]


def test_numbers_of_every_kind_are_answered(space: Running, stranger: PageClient) -> None:
    before = space.memory()
    for event, places in events(stranger, "number", "slider"):
        for value in NUMBERS:
            attempt(stranger, event, places, value)
    assert space.memory() - before < 300 * MIB


def test_what_is_no_number_gets_into_no_picture(stranger: PageClient) -> None:
    for event, places in events(stranger, "slider"):
        for place in places:
            said = attempt(stranger, event, [place], math.nan)
            assert "NaN" not in said, event["api_name"]
    for psi in (math.nan, math.inf, 10**30):
        stranger["psi"] = psi
        with pytest.raises(PageError):
            stranger.move(amounts={})


@pytest.mark.parametrize("sent", PANELS, ids=lambda sent: str(sent)[:30])
def test_a_panel_that_lies_is_told(stranger: PageClient, sent: dict[str, Any]) -> None:
    with pytest.raises(PageError) as caught:
        stranger.move(**sent)
    assert 0 < len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"fn_index": 0, "data": ["' + b"x" * (3 * MIB) + b'"]}', 413),
        (b'{"fn_index": 0, "data": [' + b"[]," * 150_000 + b"1]}", 413),
        (b'{"fn_index": 0, "path": ' + b"[" * 40_000 + b"]" * 40_000 + b"}", 400),
        (b'{"fn_index": 0, "path": ', 400),
    ],
    ids=["long", "of many values", "deep", "broken"],
)
def test_a_request_is_of_bounded_size(app: Running, body: bytes, status: int) -> None:
    for route in ("queue/join", "call/edit", "call/v2/edit"):
        answer = httpx.post(f"{app.url}gradio_api/{route}", content=body, headers=JSON)
        assert answer.status_code == status


def test_a_request_without_a_length_is_cut_off(app: Running) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b"x" * MIB

    multipart = {"Content-Type": "multipart/form-data; boundary=b"}
    before = app.memory()
    for route, headers in (("queue/join", JSON), ("call/v2/edit", JSON), ("upload", multipart)):
        try:
            answer = httpx.post(f"{app.url}gradio_api/{route}", content=endless(), headers=headers, timeout=60)
        except httpx.TransportError:  # hung up before all of it was sent
            continue
        assert answer.status_code in (400, 413)
    assert app.memory() - before < 100 * MIB


def test_uploads_are_of_bounded_size_and_number(space: Running) -> None:
    def stored() -> int:
        return sum(path.stat().st_size for path in space.cache.rglob("*") if path.is_file())

    before = stored()
    one = {"files": ("x.png", bytes(17 * MIB))}
    many = [("files", (f"{i}.png", bytes([i]) * MIB)) for i in range(30)]
    for files in (one, many):
        answer = httpx.post(f"{space.url}gradio_api/upload", files=files, timeout=60)  # type: ignore[arg-type]
        assert answer.status_code == 413
    assert stored() - before < MIB


def test_many_packs_are_not_all_kept(space: Running, pack: DirectionPack) -> None:
    for number in range(40):
        files = pack_files(replace(pack, name=f"heads {number}", source="", revision=""), {})
        space.hub.store.push(f"many/p{number}", files, tag="v1.0.0")
    for number in range(20):
        call(space, "edit", pack=f"many/p{number}@v1.0.0", seed=1)
    before = space.memory()
    for number in range(20, 40):
        assert call(space, "edit", pack=f"many/p{number}@v1.0.0", seed=1)[0] == "complete"
    assert space.memory() - before < 60 * MIB


def test_programs_that_come_once_are_forgotten(space: Running, pack: DirectionPack) -> None:
    for seed in range(20):
        call(space, "edit", pack=pack.source, seed=seed)
    before = space.memory()
    for seed in range(120):
        call(space, "edit", pack=pack.source, seed=seed % 20)
    assert space.memory() - before < 40 * MIB


def test_a_history_of_large_recipes_is_short() -> None:
    history, picture = History(), Image.new("RGB", (8, 8))
    for seed in range(30):
        amounts = {f"{'x' * 70} {number}": 1.0 for number in range(512)}
        history = history.add(PictureRecipe("heads", seed, amounts=amounts), picture)
    assert 2 <= len(history.steps) < 30
    assert sum(len(step.recipe) for step in history.steps) <= MAX_BYTES
    assert '"seed": 29' in history.here


def test_whoever_opens_what_is_slow_holds_up_nobody_else(
    space: Running, stranger: PageClient, pack: DirectionPack
) -> None:
    stranger.move(moving=False, amounts={pack.names[0]: 1.0})
    space.hub.store.push("slow/pack", pack_files(replace(pack, source="", revision=""), {}), tag="v1.0.0")
    space.hub.fault("slow/pack", delay=20.0, times=8)
    others = [PageClient(space.url, config=stranger.config) for _ in range(4)]
    for other in others:
        other.arrive()
        other["picker"] = "slow/pack@v1.0.0"
    try:
        with ThreadPoolExecutor(len(others)) as pool:
            opening = [pool.submit(other.run, other.event_of("load", "click")) for other in others]
            somebody = PageClient(space.url, config=stranger.config)
            somebody.arrive()
            stranger.run(stranger.event_of("undo", "click"))
            stranger.move(moving=False, amounts={pack.names[0]: 2.0})
            assert call(space, "edit", pack=pack.source, seed=3)[0] == "complete"
            assert not any(future.done() for future in opening), "they came first all the same"
            for other in others:
                other.http.close()
            for future in opening:
                future.exception(60)
    finally:
        space.hub.faults.clear()
