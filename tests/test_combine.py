"""Packs of one generator as one: names stay or say where they come from, presets follow them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigan import DirectionPack, PackFormatError, PackMismatch, Preset, combine
from eigan.pack import MAX_DIRECTIONS, MAX_NAME, MadeFor
from tests.toys import toy_direction, toy_generator, toy_pack

MADE_FOR = MadeFor.describe(toy_generator())
short = st.sampled_from(["a", "b", "a (p)", "a (p 2)", "b (p)", "x" * MAX_NAME, "x" * (MAX_NAME - 4) + " (p)"])


def a_pack(names: list[str], name: str = "p", *, presets: dict[str, dict[str, float]] | None = None) -> DirectionPack:
    directions = tuple(toy_direction(n, seed=i) for i, n in enumerate(names))
    made = tuple(Preset(title, amounts) for title, amounts in (presets or {}).items())
    return DirectionPack(name, MADE_FOR, directions, {"name": "pca"}, made, "", "mit")


packs = st.lists(
    st.tuples(st.lists(short, min_size=1, max_size=5, unique=True), st.sampled_from(["p", "q", "n" * MAX_NAME])),
    min_size=1,
    max_size=4,
)


def test_one_pack_alone_is_itself() -> None:
    pack = toy_pack()
    assert combine([pack]) is pack


def test_a_name_that_is_taken_says_where_it_is_from_and_presets_follow() -> None:
    one = a_pack(["smile", "age"], "heads", presets={"happy": {"smile": 2.0}})
    two = a_pack(["smile", "hat"], "people", presets={"happy": {"smile": 1.0, "hat": 3.0}, "hatted": {"hat": 1.0}})
    both = combine([one, two])
    assert both.names == ["smile", "age", "smile (people)", "hat"]
    assert both.name == "heads + people" and both.description == "The directions of heads, people."
    assert [p.name for p in both.presets] == ["happy", "happy (people)", "hatted"]
    assert both.preset("happy").amounts == {"smile": 2.0}
    assert both.preset("happy (people)").amounts == {"smile (people)": 1.0, "hat": 3.0}
    codes = torch.randn(1, 8, 16)
    theirs = two.edit(two.preset("happy").amounts).apply(codes)
    assert torch.equal(both.edit(both.preset("happy (people)").amounts).apply(codes), theirs)
    assert both["smile"] is one["smile"] and both["hat"] is two["hat"]


def test_a_free_name_of_the_later_pack_stays_free() -> None:
    assert combine([a_pack(["a"]), a_pack(["a", "a (p)"])]).names == ["a", "a (p 2)", "a (p)"]


def test_copies_of_one_pack_are_numbered() -> None:
    assert combine([a_pack(["a"])] * 3).names == ["a", "a (p)", "a (p 2)"]


@given(packs)
@settings(deadline=None)
def test_names_are_unique_bounded_and_do_not_depend_on_what_comes_later(given: list[tuple[list[str], str]]) -> None:
    made = [a_pack(names, name) for names, name in given]
    names = combine(made).names
    assert len(set(names)) == len(names) == sum(map(len, made))
    assert all(len(name) <= MAX_NAME for name in names)
    for count in range(1, len(made)):
        assert combine(made[:count]).names == names[: sum(map(len, made[:count]))]
    free = [name for name in made[-1].names if not any(name in pack.names for pack in made[:-1])]
    assert set(free) <= set(names)
    assert names == combine(made).names


@given(packs)
@settings(deadline=None, max_examples=30)
def test_every_direction_is_there_unchanged_but_for_its_name(given: list[tuple[list[str], str]]) -> None:
    made = [a_pack(names, name) for names, name in given]
    for ours, theirs in zip(combine(made), [d for pack in made for d in pack], strict=True):
        assert torch.equal(ours.vector, theirs.vector) and (ours.sigma, ours.layers) == (theirs.sigma, theirs.layers)


@pytest.mark.parametrize(
    ("licenses", "joined"),
    [
        (["mit", "mit"], "mit"),
        (["mit", "cc0-1.0", "mit"], "mit AND cc0-1.0"),
        (["mit", ""], "mit AND unknown"),
        (["", ""], ""),
    ],
)
def test_licences_that_differ_are_joined(licenses: list[str], joined: str) -> None:
    assert combine([replace(a_pack([f"d{i}"]), license=text) for i, text in enumerate(licenses)]).license == joined


def test_it_can_be_saved_and_says_what_it_is_made_of(tmp_path: Path) -> None:
    both = combine([toy_pack(), replace(a_pack(["smile"]), source="org/p@v1.0.0", revision="abc")])
    both.save(tmp_path / "pack")
    again = DirectionPack.load(tmp_path / "pack")
    assert again.names == both.names == ["smile", "age", "light", "smile (p)"]
    assert again.method["packs"][1] == {"name": "p", "source": "org/p@v1.0.0", "revision": "abc", "version": ""}
    assert (both.source, both.revision, both.version) == ("", "", "")


def test_packs_that_cannot_be_combined() -> None:
    with pytest.raises(PackFormatError, match="no packs"):
        combine([])
    other = replace(a_pack(["a"]), made_for=replace(MADE_FOR, fingerprint="0" * 64))
    with pytest.raises(PackMismatch, match="packs of one generator"):
        combine([toy_pack(), other])
    half = MAX_DIRECTIONS // 2 + 1
    direction = toy_direction()
    large = replace(toy_pack(), directions=tuple(replace(direction, name=f"d{i}") for i in range(half)), presets=())
    with pytest.raises(PackFormatError, match=f"wanted 1 to {MAX_DIRECTIONS}"):
        combine([large, large])
