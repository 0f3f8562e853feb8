"""The two components of the app's own: the panel of sliders and the history strip. What they show and what they send.

Both are Gradio's HTML component with a script of ours (assets/*.js), whose value is JSON. All of a pack's sliders are
one component: a hundred of them cost the page no more than one event, and setting them is setting one value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
from pydantic import Field, ValidationError

from eigan.errors import PackFormatError
from eigan.layers import LayerRange
from eigan.pack import MAX_NAME
from eigan.recipe import MAX_MOVES
from eigan.strict_json import StrictModel

ASSETS = Path(__file__).parent / "assets"

Name = Annotated[str, Field(max_length=MAX_NAME)]


def script(name: str) -> str:
    """The text of a script or style sheet of the page's."""
    return (ASSETS / name).read_text(encoding="utf-8")


def make_panel() -> gr.HTML:
    """Presets, search, and a row for every direction. Its value goes down as `panel_value`, and comes up as Sent.

    Not a subclass: for those, Gradio writes a .pyi file beside the source.
    """
    return gr.HTML(None, html_template="", js_on_load=script("panel.js"), apply_default_css=False, elem_id="panel")


def make_strip(elem_id: str) -> gr.HTML:
    """Small pictures in a row. Value: {items: [{src, words}], at, label}; a click is the event `select` with index."""
    return gr.HTML(None, html_template="", js_on_load=script("strip.js"), apply_default_css=False, elem_id=elem_id)


class Sent(StrictModel):
    """Where the panel's controls stand, as the browser tells it.

    turn: the opening that the panel was filled for. moving: something is being dragged this moment. layers: as people
    write them, "4-7". pressed: presets that are on, and how strongly; the amounts hold what they add.
    """

    turn: Annotated[str, Field(max_length=40)]
    moving: bool
    amounts: Annotated[dict[Name, float], Field(max_length=MAX_MOVES)]
    layers: Annotated[dict[Name, Annotated[str, Field(max_length=9)]], Field(max_length=MAX_MOVES)]
    keep: Annotated[list[Name], Field(max_length=MAX_MOVES)]
    locked: Annotated[list[Name], Field(max_length=MAX_MOVES)]
    pose: Annotated[list[float], Field(max_length=3)]
    pressed: Annotated[dict[Name, float], Field(max_length=MAX_MOVES)]

    def layer_ranges(self, num_layers: int) -> dict[str, LayerRange]:
        """The layers asked for, by direction. Raises PackFormatError."""
        return {name: LayerRange.parse(text, num_layers) for name, text in self.layers.items()}


def panel_value(
    *,
    key: str,
    turn: str,
    plans: Sequence[Mapping[str, Any]],
    poses: Sequence[Mapping[str, Any]],
    presets: Sequence[Mapping[str, Any]],
    num_layers: int,
    sent: Sent,
) -> dict[str, Any]:
    """What fills the panel: the rows to build, and where everything stands at first.

    key: of the pack; with the same key and names the rows stay, and only their values change.
    """
    return sent.model_dump() | {
        "key": key,
        "turn": turn,
        "plans": list(plans),
        "poses": list(poses),
        "presets": list(presets),
        "num_layers": num_layers,
    }


def standing(
    *,
    amounts: Mapping[str, float],
    layers: Mapping[str, LayerRange],
    keep: Sequence[str],
    pose: Sequence[float],
    locked: Sequence[str] = (),
) -> Sent:
    """A panel at rest at these values."""
    return Sent(
        turn="",
        moving=False,
        amounts=dict(amounts),
        layers={name: str(rows) for name, rows in layers.items()},
        keep=list(keep),
        locked=list(locked),
        pose=list(pose),
        pressed={},
    )


def read_sent(value: object) -> Sent:
    """What the browser sent. Raises PackFormatError when it is malformed; nothing in it is trusted.

    A panel that nobody has touched still sends what the server filled it with: more than Sent, which is left aside.
    """
    if not isinstance(value, dict):
        raise PackFormatError("the page sent no sliders. Reload the page.")
    try:
        return Sent.model_validate({name: value.get(name) for name in Sent.model_fields})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"])
        raise PackFormatError(f"what the page sent: {place}: {first['msg']}. Reload the page.") from None
