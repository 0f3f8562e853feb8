"""Presets of one's own: named once, bounded, and the same after a way through a file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eigan.errors import PackFormatError
from eigan.pack import Preset
from eigan.recipe import MAX_MOVES
from eigan.ui.own import (
    MAX_OWN,
    MAX_OWN_BYTES,
    add_preset,
    read_presets,
    take_presets,
    without,
    write_presets,
)
from tests.toys import toy_generator
from tests.ui.bundles import HOSTILE, words_pack

HAPPY = Preset("happy", {"smile": 1.5}, "a smile")
names = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=80).filter(str.strip)
amounts = st.dictionaries(names, st.floats(-100, 100, allow_nan=False), min_size=1, max_size=5)


def test_a_preset_is_added_once_and_can_be_removed() -> None:
    own = add_preset([], HAPPY, [])
    assert own == [{"name": "happy", "amounts": {"smile": 1.5}, "description": "a smile", "own": True}]
    with pytest.raises(PackFormatError, match="'happy' already; choose another name"):
        add_preset(own, HAPPY, [])
    with pytest.raises(PackFormatError, match="'happy' already"):
        add_preset([], HAPPY, ["happy"])
    assert without(own, "happy") == [] and without(own, "sad") == own


def test_there_is_room_for_so_many() -> None:
    own = []
    for i in range(MAX_OWN):
        own = add_preset(own, Preset(f"number {i}", {"smile": 1.0}), [])
    with pytest.raises(PackFormatError, match="no room for more; remove one"):
        add_preset(own, HAPPY, [])
    with pytest.raises(PackFormatError, match=f"moves 513 sliders; at most {MAX_MOVES}"):
        add_preset([], Preset("all", {f"slider {i}": 1.0 for i in range(MAX_MOVES + 1)}), [])


def test_presets_of_a_file_come_in_but_for_those_that_do_not_fit() -> None:
    pack = words_pack(toy_generator())
    presets = [
        HAPPY,
        Preset("odd", {"smile": 1.0, "nose": 2.0, "<b>ears</b>": 1.0}),
        Preset(pack.presets[0].name, {"age": 1.0}),
        Preset("old", {"age": 3.0}),
    ]
    taken = take_presets([], presets, pack)
    assert taken.added == ("happy", "old")
    assert [preset["name"] for preset in taken.own] == ["happy", "old"]
    odd, double = taken.refused
    assert "'odd' moves" in odd and "nose" in odd and "which no open pack has" in odd
    assert repr(pack.presets[0].name) in double
    again = take_presets(taken.own, presets, pack)
    assert again.own == taken.own and again.added == () and len(again.refused) == 4


@given(st.dictionaries(names, amounts, min_size=1, max_size=6))
def test_through_a_file_and_back(presets: dict[str, dict[str, float]]) -> None:
    own = []
    for name, moves in presets.items():
        own = add_preset(own, Preset(name, moves, "words"), [])
    assert read_presets(write_presets(own)) == [Preset(name, moves, "words") for name, moves in presets.items()]


def test_the_file_is_that_of_packs() -> None:
    own = add_preset([], Preset(HOSTILE["preset"], {HOSTILE["direction"]: 1.0}), [])
    entry = json.loads(write_presets(own))["presets"][0]
    assert entry == {"name": HOSTILE["preset"], "amounts": {HOSTILE["direction"]: 1.0}, "description": ""}
    with pytest.raises(PackFormatError, match="no preset of your own yet"):
        write_presets([])


def entry(**changes: object) -> dict[str, object]:
    return {"name": "a", "amounts": {"smile": 1.0}} | changes


@pytest.mark.parametrize(
    "value",
    [
        {"presets": [entry(amounts={})]},
        {"presets": [entry(amounts={"smile": 1e9})]},
        {"presets": [entry(amounts={"smile": "1"})]},
        {"presets": [entry(amounts={"smile": True})]},
        {"presets": [entry(name="")]},
        {"presets": [entry(name="a\x00b")]},
        {"presets": [entry(name="x" * 81)]},
        {"presets": [entry(own=True)]},
        {"presets": "all"},
        {"presets": [[]]},
        [],
    ],
)
def test_damaged_presets_are_refused(value: object) -> None:
    with pytest.raises(PackFormatError):
        read_presets(json.dumps(value).encode())


def test_a_file_too_large_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(PackFormatError, match="at most 1,048,576 are read"):
        read_presets(b"[" * (MAX_OWN_BYTES + 1))
