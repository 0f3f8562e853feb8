"""The same edit in another pack: which direction it is, how far it goes, and what holds where nothing was measured."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eigan import sources
from eigan.edit import overlap
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor
from eigan.ui.rivals import (
    Rival,
    chosen_edit,
    contender_of,
    default_amount,
    entry_of,
    method_words,
    methods_of,
    numbers_of,
    rival_of,
)
from hub_export.compare import Contender
from hub_export.metrics import METRICS, write_metrics
from tests.toys import toy_direction, toy_generator, toy_pack
from tests.toys_metrics import toy_metrics

GENERATOR = toy_generator()
PACK = toy_pack(GENERATOR)


def other_pack(*directions: Direction, name: str = "other") -> DirectionPack:
    return DirectionPack(name, MadeFor.describe(GENERATOR), directions, {"name": "sefa"}, license="cc0-1.0")


def measured(pack: DirectionPack, effects: dict[str, dict[str, float]], end: float = 5.0) -> Contender:
    """`pack` as measured, with these effects of its directions: attribute -> standard deviations per sigma."""
    entries = []
    for entry in toy_metrics(pack).directions:
        own = effects[entry.name]
        main = max(own, key=lambda name: abs(own[name]))
        entries.append(entry.model_copy(update={"effects": own, "main": main, "range": (-end, end)}))
    return Contender(pack, toy_metrics(pack).model_copy(update={"directions": entries}))


MINE = measured(
    PACK, {"smile": {"smile": 0.5, "age": 0.1}, "age": {"age": 0.4, "smile": 0.3}, "light": {"light": 1.0, "age": 0.2}}
)
THEIRS = measured(
    other_pack(
        replace(toy_direction("a", seed=7), amount_range=(-9.0, 9.0)),
        replace(toy_direction("b", seed=8), amount_range=(-9.0, 9.0)),
        replace(toy_direction("c", seed=9), amount_range=(-9.0, 9.0)),
    ),
    {"a": {"smile": 0.6, "age": 0.6}, "b": {"smile": -0.25, "age": 0.05}, "c": {"age": 0.9, "smile": 0.0}},
)


def moved(rival: Rival, attribute: str, at: int = 1) -> float:
    """Standard deviations that the rival moves `attribute` by, with the edit (1) or its opposite (0)."""
    entry = rival.contender.entry(rival.direction)
    assert entry is not None
    return entry.effects[attribute] * rival.amounts[at]


def test_the_same_edit_moves_the_same_attribute_equally_far() -> None:
    chosen = chosen_edit(MINE, PACK["smile"], 2.0)
    assert (chosen.reason, chosen.attribute, chosen.amounts) == ("chosen", "smile", (-2.0, 2.0))
    found = rival_of(chosen, THEIRS)
    assert (found.reason, found.direction.name) == ("effect", "b"), "the purest, though a moves it further per sigma"
    assert found.amounts == (4.0, -4.0), "the other way round, as its effect is negative"
    assert moved(found, "smile") == pytest.approx(moved(chosen, "smile"))
    assert moved(found, "smile", 0) == pytest.approx(moved(chosen, "smile", 0))
    assert found.reach == 1.0 and not found.is_short
    assert found.cosine == pytest.approx(overlap(PACK["smile"] * 2.0, found.direction * -4.0))


def test_a_slider_that_ends_is_told() -> None:
    found = rival_of(chosen_edit(MINE, PACK["smile"], 4.0), THEIRS)
    assert found.direction.name == "b" and found.amounts == (5.0, -5.0), "as far as it was measured to hold"
    assert found.is_short and found.reach == pytest.approx(5 / 8)
    ends = replace(THEIRS.pack, directions=tuple(replace(d, amount_range=(-1.0, 1.0)) for d in THEIRS.pack))
    assert rival_of(chosen_edit(MINE, PACK["smile"], 4.0), replace(THEIRS, pack=ends)).amounts == (1.0, -1.0)
    one_way = replace(THEIRS.pack, directions=tuple(replace(d, amount_range=(0.0, 9.0)) for d in THEIRS.pack))
    stuck = rival_of(chosen_edit(MINE, PACK["smile"], 2.0), replace(THEIRS, pack=one_way))
    assert (stuck.amounts, stuck.reach, stuck.cosine) == ((4.0, 0.0), 0.0, 0.0)


@given(amount=st.floats(-10, 10).filter(lambda a: abs(a) > 0.05), name=st.sampled_from(PACK.names))
def test_it_is_moved_as_far_or_said_to_be_short(amount: float, name: str) -> None:
    chosen = chosen_edit(MINE, PACK[name], amount)
    found = rival_of(chosen, THEIRS)
    low, high = found.direction.amount_range
    assert all(low <= at <= high for at in found.amounts)
    if found.attribute:
        wanted, got = moved(chosen, found.attribute), moved(found, found.attribute)
        assert got / wanted == pytest.approx(found.reach, abs=0.12 / abs(amount))  # whole hundredths of a sigma
        assert found.is_short or got == pytest.approx(wanted, rel=0.06, abs=0.01)


def test_without_measurements_it_is_the_most_parallel_moved_as_far_in_the_codes() -> None:
    smile = PACK["smile"]
    close = replace(smile, name="close", vector=-smile.vector, sigma=2 * smile.sigma)
    other = Contender(other_pack(toy_direction("far", smile.layers.slice.indices(8)[:2], seed=33), close))
    found = rival_of(chosen_edit(MINE, smile, 3.0), other)
    assert (found.reason, found.direction.name, found.attribute) == ("cosine", "close", "")
    assert found.amounts == (1.5, -1.5) and found.cosine == pytest.approx(1.0)
    wide = replace(smile, name="wide", layers=LayerRange(0, 8))
    found = rival_of(chosen_edit(MINE, smile, 3.0), Contender(other_pack(wide)))
    assert found.amounts[1] == pytest.approx(3 * (3 / 8) ** 0.5, abs=0.005), "three layers against eight"


def test_an_attribute_nobody_scored_there_is_found_by_cosine() -> None:
    unlike = measured(THEIRS.pack, {name: {"nose": 0.5} for name in THEIRS.pack.names})
    assert rival_of(chosen_edit(MINE, PACK["smile"], 2.0), unlike).reason == "cosine"
    still = measured(THEIRS.pack, {name: {"nose": 0.5, "smile": 0.0} for name in THEIRS.pack.names})
    assert rival_of(chosen_edit(MINE, PACK["smile"], 2.0), still).reason == "cosine"


def test_on_other_layers_than_measured_nothing_is_known() -> None:
    elsewhere = PACK["smile"].on(LayerRange(0, 2))
    chosen = chosen_edit(MINE, elsewhere, 2.0)
    assert entry_of(MINE, elsewhere) is None and chosen.numbers is None and chosen.attribute == ""
    assert rival_of(chosen, THEIRS).reason == "cosine"


def test_default_amounts_show_what_a_direction_does() -> None:
    assert default_amount(MINE, PACK["smile"]) == 3.0, "1.5 standard deviations at 0.5 a sigma"
    assert default_amount(MINE, PACK["light"]) == 1.5
    assert default_amount(Contender(PACK), PACK["smile"]) == 1.5, "half the range"
    narrow = replace(PACK["smile"], amount_range=(-2.0, 0.0))
    assert default_amount(MINE, narrow) == -2.0, "it goes no other way"


def test_numbers_are_those_of_the_evaluation() -> None:
    """Share and leak of the main attribute are computed from the effects, as purity and leak were."""
    for name in sources.bundled_packs():
        contender = contender_of(sources.load_pack(name))
        assert contender.metrics is not None
        for entry in contender.metrics.directions:
            if entry.main:
                numbers = numbers_of(entry, entry.main)
                assert numbers.share == pytest.approx(entry.purity, abs=1e-4)
                assert numbers.leak == pytest.approx(entry.leak, abs=1e-4)


def test_measurements_that_cannot_be_read_count_as_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    PACK.save(tmp_path / "pack")
    pack = sources.load_pack(tmp_path / "pack")
    assert contender_of(pack).metrics is None and not caplog.records
    (tmp_path / "pack" / METRICS).write_bytes(write_metrics(toy_metrics(PACK)))
    assert contender_of(pack).metrics is not None
    foreign = toy_metrics(PACK).model_copy(update={"generator": "0" * 64})
    for damaged in (b"{}", write_metrics(foreign)):
        (tmp_path / "pack" / METRICS).write_bytes(damaged)
        with caplog.at_level(logging.WARNING):
            assert contender_of(pack).metrics is None
        assert "cannot be read" in caplog.text
        caplog.clear()


def test_what_made_a_pack_in_words() -> None:
    words = {name: method_words(sources.load_pack(name)) for name in sources.bundled_packs()}
    assert words == {
        "heads": "sums of PCA",
        "heads-ica": "ICA",
        "heads-latentclr": "LatentCLR",
        "heads-local": "local",
        "heads-pca": "PCA",
        "heads-sefa": "SeFa",
    }
    assert methods_of(sources.load_pack("heads")) == ["isolate", "pca"]
    strange = replace(PACK, method={"name": 7, "deep": {"name": "x" * 500, "deeper": {"name": "a\nb"}}})
    assert methods_of(strange) == ["x" * 40]
    assert method_words(replace(PACK, method={})) == "unknown"
    nested: dict[str, object] = {"name": "pca"}
    for _ in range(100):
        nested = {"deeper": nested}
    assert methods_of(replace(PACK, method=nested)) == [], "an account is not followed for ever"


@pytest.mark.parametrize("name", ["smile", "turn", "glasses", "age", "beard"])
def test_on_the_bundled_packs_the_attribute_moves_alike(name: str) -> None:
    heads = contender_of(sources.load_pack("heads"))
    if name not in heads.pack.names:
        pytest.skip(f"heads has no {name}")
    chosen = chosen_edit(heads, heads.pack[name], default_amount(heads, heads.pack[name]))
    for other in sources.bundled_packs()[1:]:
        found = rival_of(chosen, contender_of(sources.load_pack(other)))
        assert found.reason == "effect" and found.attribute == chosen.attribute
        ratio = moved(found, found.attribute) / moved(chosen, chosen.attribute)
        assert ratio == pytest.approx(found.reach, abs=0.02)
