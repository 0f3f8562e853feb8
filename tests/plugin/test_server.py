"""ComfyUI as a person starts it: what its page is told, over HTTP and websocket."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eigan import PictureRecipe, draw
from tests.plugin.comfyui import Server
from tests.plugin.conftest import Toys
from tests.plugin.test_nodes import prompt


def test_it_started_with_our_nodes(server: Server) -> None:
    log = server.log.read_text()
    assert "IMPORT FAILED" not in log and "custom_nodes/eigan" in log
    assert server.get("/object_info/EiganRender")["EiganRender"]["display_name"] == "Render"


def test_a_prompt_gives_eigans_picture(server: Server, toys: Toys) -> None:
    run = server.run(prompt(l_seed=12, e_amount=-2.5))
    recipe = PictureRecipe("toy", 12, 0.7, amounts={"smile": -2.5})
    assert np.array_equal(run.pictures("s"), draw(recipe, toys.pack, toys.renderer))


def test_only_what_follows_a_slider_runs_again(server: Server) -> None:
    server.run(prompt(e_amount=0.1))
    run = server.run(prompt(e_amount=0.2))
    assert run.executed == ["e", "r", "s"]
    assert set(run.cached) == {"g", "p", "l"}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"g_generator_name": "../x.pkl"}, "no file '../x.pkl' in models/gan_generators"),
        ({"e_amount": 1e9}, "amount"),
        ({"r_latent": ("g", 0)}, "received_type(GAN_GENERATOR) mismatch input_type(GAN_LATENT)"),
    ],
)
def test_what_is_wrong_before_it_runs_is_told_by_node(server: Server, changes: dict[str, Any], words: str) -> None:
    run = server.run(prompt(**changes))
    assert list(run.node_errors) == [next(iter(changes))[0]]
    assert words in run.message


def test_what_is_wrong_while_it_runs_is_told_by_node(server: Server) -> None:
    run = server.run(prompt(e_amount=float("nan")))
    assert run.error is not None and run.error["node_id"] == "e"
    assert run.error["exception_message"].startswith("amount of 'smile' is nan; wanted a finite number")


def test_cancel_stops_between_pictures(server: Server) -> None:
    """Progress comes after each picture; the first one is answered with Cancel."""
    given = prompt(g_generator_name="heads-64", p_pack_name="heads", l_batch=200, l_seed=1000)
    with server.listening() as (client, events):
        reply = server.queue(given, client)
        seen = []
        for event, data in events:
            if event == "progress":
                seen.append((data["value"], data["max"], data["node"]))
                break
        server.post("/interrupt", {})
        run = server.finish(reply, events)
    assert seen[0] == (1, 200, "r")
    assert run.is_interrupted and run.error is None
    assert "r" in [data["node_id"] for event, data in run.events if event == "execution_interrupted"]
    assert server.run(prompt(e_amount=0.7)).files("s")  # and goes on afterwards
