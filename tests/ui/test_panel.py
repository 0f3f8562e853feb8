"""What the panel of sliders sends and is filled with. Nothing that comes from a browser is trusted."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eigan.errors import InvalidCodes, PackFormatError
from eigan.layers import LayerRange
from eigan.recipe import MAX_MOVES
from eigan.ui.panel import Sent, make_panel, make_strip, panel_value, read_sent, script, standing

REST = {
    "turn": "ab12",
    "moving": False,
    "amounts": {"smile": 1.5},
    "layers": {"smile": "2-4"},
    "keep": ["age"],
    "locked": ["hair"],
    "pose": [0.0, 0.25, 90.0],
    "pressed": {"happy": 0.8},
}
names = st.text(max_size=80)
numbers = st.floats(allow_nan=False, allow_infinity=False)
sent = st.builds(
    Sent,
    turn=st.text(max_size=40),
    moving=st.booleans(),
    amounts=st.dictionaries(names, numbers, max_size=5),
    layers=st.dictionaries(names, st.text(max_size=9), max_size=5),
    keep=st.lists(names, max_size=5),
    locked=st.lists(names, max_size=5),
    pose=st.lists(numbers, max_size=3),
    pressed=st.dictionaries(names, numbers, max_size=5),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def filled(standing_at: Sent) -> dict[str, Any]:
    plans = [{"name": "smile", "low": -3.0, "high": 3.0}]
    return panel_value(key="k", turn="t1", plans=plans, poses=[], presets=[], num_layers=8, sent=standing_at)


@given(sent)
def test_what_was_sent_is_read(value: Sent) -> None:
    assert read_sent(json.loads(json.dumps(value.model_dump()))) == value


def test_an_untouched_panel_sends_what_it_was_filled_with() -> None:
    at = standing(
        amounts={"smile": 1.0}, layers={"smile": LayerRange(2, 5)}, keep=["age"], pose=(0, 0, 0), locked=["hair"]
    )
    value = filled(at)
    assert value["layers"] == {"smile": "2-4"} and value["turn"] == "t1" and not value["moving"]
    read = read_sent(json.loads(json.dumps(value)))
    assert read == at.model_copy(update={"turn": "t1"})
    assert read.layer_ranges(8) == {"smile": LayerRange(2, 5)}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("turn", 7),
        ("turn", "x" * 41),
        ("moving", "yes"),
        ("moving", 1),
        ("amounts", [1.0]),
        ("amounts", {"smile": "1"}),
        ("amounts", {"smile": float("nan")}),
        ("amounts", {"smile": float("inf")}),
        ("amounts", {"smile": True}),
        ("amounts", {"smile": None}),
        ("amounts", {"x" * 81: 1.0}),
        ("amounts", {f"slider {i}": 1.0 for i in range(MAX_MOVES + 1)}),
        ("layers", {"smile": [2, 5]}),
        ("layers", {"smile": "0" * 10}),
        ("keep", "age"),
        ("keep", ["age"] * (MAX_MOVES + 1)),
        ("locked", [["hair"]]),
        ("pose", [0.0] * 4),
        ("pose", [float("nan")] * 3),
        ("pressed", {"happy": "on"}),
        *((part, None) for part in Sent.model_fields),
    ],
)
def test_what_is_malformed_is_refused_in_a_sentence(part: str, value: object) -> None:
    assert read_sent(REST).keep == ["age"]
    with pytest.raises(PackFormatError, match=f"what the page sent: {part}.*Reload the page") as caught:
        read_sent(REST | {part: value})
    assert len(str(caught.value)) < 300, "it does not repeat what it was given"


@given(anything)
def test_nothing_else_gets_through(value: object) -> None:
    with pytest.raises(PackFormatError, match="Reload the page"):
        read_sent(value)


@given(st.sampled_from(sorted(Sent.model_fields)), anything)
def test_every_part_is_as_it_should_be_or_refused(part: str, value: object) -> None:
    try:
        read = read_sent(REST | {part: value})
    except PackFormatError as error:
        assert "Reload the page" in str(error)
    else:
        assert json.loads(json.dumps(read.model_dump())) == json.loads(json.dumps(REST | {part: value}))


@pytest.mark.parametrize(("text", "rows"), [("4-7", (4, 8)), ("0", (0, 1)), ("all", (0, 8)), (" 2 - 3 ", (2, 4))])
def test_layers_are_written_as_people_do(text: str, rows: tuple[int, int]) -> None:
    assert read_sent(REST | {"layers": {"smile": text}}).layer_ranges(8) == {"smile": LayerRange(*rows)}


@pytest.mark.parametrize("text", ["8", "7-9", "5-4", "-1", "a", "", "1,2", "0-7;"])
def test_layers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises((PackFormatError, InvalidCodes)):
        read_sent(REST | {"layers": {"smile": text}}).layer_ranges(8)


def test_strangers_words_are_written_as_text_by_the_scripts() -> None:
    for name in ("panel.js", "strip.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script(name))
    for component in (make_panel(), make_strip("history")):
        assert component.html_template == "", "Gradio fills templates by putting values into code"
