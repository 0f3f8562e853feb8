"""What a client says of itself is not believed: whose session it is, what is open in it, whose machine it sits at."""

from __future__ import annotations

import json

import numpy as np

from benchmarks.page_client import PageClient, PageError
from eigan.pack import DirectionPack
from eigan.recipe import PictureRecipe
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from tests.ui.security.attempts import Trap, attempt, types_of
from tests.ui.serving import Running
from tests.ui.visitor import render_directly

LIES = {
    "key": "0" * 16,
    "source": "/etc",
    "further": [],
    "turn": "a",
    "recipe": PictureRecipe("/etc", 3).to_json(),
    "step": None,
    "path": "/etc",
}


def test_state_that_a_client_sends_is_not_believed(space: Running, stranger: PageClient, trap: Trap) -> None:
    nobody = PageClient(space.url, config=stranger.config)  # never loaded the page: nothing is open in this session
    types, said = types_of(nobody), []
    nobody["panel"] = {**stranger["panel"], "turn": "a"}
    for event in nobody.config["dependencies"]:
        if event["backend_fn"] and any(types[number] == "state" for number in event["inputs"]):
            data = [LIES if types[number] == "state" else nobody.values[number] for number in event["inputs"]]
            try:
                said.append(json.dumps(nobody.join({"fn_index": event["id"], "data": data})))
            except PageError as error:
                said.append(str(error))
    assert len(said) > 5
    assert [text for text in said if "/etc" in text or "0" * 16 in text] == []
    assert trap.seen == []
    nobody.close()


def test_one_visitor_does_not_see_into_another(space: Running, stranger: PageClient, pack: DirectionPack) -> None:
    other = PageClient(space.url, config=stranger.config)
    other.arrive()
    name = pack.names[0]
    stranger.move(moving=False, amounts={name: 2.0})
    other.move(moving=False, amounts={name: -2.0})
    assert ":2.0" in stranger["link"]
    assert ":-2.0" in other["link"]
    assert np.array_equal(stranger.picture(), render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {name: 2.0}))
    assert np.array_equal(other.picture(), render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {name: -2.0}))
    other.close()


def test_a_space_writes_no_folder_and_publishes_for_nobody(space: Running, stranger: PageClient) -> None:
    target = space.cache.parent / "written"
    types, asked = types_of(stranger), len(space.hub.log)
    for name in ("save-pack", "publish", "look"):
        try:
            event = stranger.event_of(name, "click")
        except (KeyError, StopIteration):
            continue
        texts = [i for i, number in enumerate(event["inputs"]) if types[number] == "textbox"]
        assert attempt(stranger, event, texts, str(target)).startswith("refused"), name
    assert not target.exists()
    assert [entry.method for entry in space.hub.log[asked:] if entry.method != "GET"] == []
