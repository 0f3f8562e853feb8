"""What two versions do not share, told in words, and how large a step that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor, Preset
from eigan.readers.safetensors import GeneratorConfig
from hub_export.difference import Difference, compare_files, compare_generators, compare_packs
from tests.toys_models import toy_model

MADE_FOR = MadeFor("stylegan2", "a" * 64, 32, 8, 16, source="user/generator", revision="b" * 40)


def direction(name: str = "smile", seed: int = 1, **changed: object) -> Direction:
    vector = torch.randn(16, generator=torch.Generator().manual_seed(seed))
    return replace(Direction(name, vector / vector.norm(), 0.5, LayerRange(2, 5)), **changed)  # type: ignore[arg-type]


def pack(*directions: Direction, **changed: object) -> DirectionPack:
    method = {"name": "pca", "seed": 0, "options": {"space": "w"}}
    return replace(DirectionPack("toy", MADE_FOR, directions or (direction(),), method), **changed)  # type: ignore[arg-type]


def turned(by: float, of: Direction) -> Direction:
    """`of` with its vector turned so that the cosine to the old one is `by`."""
    other = torch.randn(16, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    vector = of.vector.double()
    aside = other - (other @ vector) * vector
    return replace(of, vector=(by * vector + (1 - by**2) ** 0.5 * aside / aside.norm()).float())


def only(difference: Difference) -> tuple[str, str]:
    """The one line, and the step."""
    (line,) = difference.lines()
    return line, difference.bump


def test_the_same_is_no_difference_whatever_its_version_and_origin() -> None:
    other = replace(pack(), version="2.0.0", source="elsewhere", revision="c" * 40)
    assert not compare_packs(pack(), other)
    assert compare_packs(pack(), other).lines() == []


def test_directions_that_come_and_go() -> None:
    smaller, larger = pack(direction()), pack(direction(), direction("age", 2, layers=LayerRange(0, 8)))
    assert only(compare_packs(smaller, larger)) == ("age: direction added, layers 0-7", "minor")
    assert only(compare_packs(larger, smaller)) == ("breaking: age: direction removed", "major")


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_new_name_for_the_same_vector_is_no_new_direction(sign: float) -> None:
    old, new = direction(), direction("joy")
    found = compare_packs(pack(old), pack(replace(new, vector=sign * new.vector)))
    assert found.of("renamed") == ["smile"]
    assert "breaking: smile: renamed to joy" in found.lines()
    assert found.of("reversed") == (["joy"] if sign < 0 else [])
    assert not found.of("added") + found.of("removed")


def test_each_of_several_equal_vectors_is_the_new_name_of_one() -> None:
    found = compare_packs(pack(direction("a"), direction("b")), pack(direction("c")))
    assert (found.of("renamed"), found.of("removed"), found.of("added")) == (["a"], ["b"], [])


@pytest.mark.parametrize(
    ("cosine", "line", "bump"),
    [
        (0.83, "breaking: smile: moved: |cos| to the old is 0.830; the name now edits something else", "major"),
        (-0.5, "breaking: smile: moved: |cos| to the old is 0.500; the name now edits something else", "major"),
        (-1.0, "breaking: smile: reversed: plus is now what minus was", "major"),
        (0.99995, "smile: refined: |cos| to the old is 0.999950", "patch"),
    ],
)
def test_a_direction_that_points_elsewhere_breaks_saved_edits(cosine: float, line: str, bump: str) -> None:
    assert only(compare_packs(pack(direction()), pack(turned(cosine, direction())))) == (line, bump)


def test_one_row_and_a_row_for_each_layer_are_compared_on_the_layers_of_both() -> None:
    one = direction(layers=LayerRange(2, 5))
    rows = replace(one, vector=one.vector.expand(4, 16), layers=LayerRange(3, 7))
    assert compare_packs(pack(one), pack(rows)).of("moved") == []
    assert compare_packs(pack(one), pack(rows)).of("layers") == ["smile"]
    apart = replace(rows, layers=LayerRange(5, 8), vector=one.vector.expand(3, 16))
    assert compare_packs(pack(rows), pack(replace(apart, vector=-apart.vector))).of("reversed") == ["smile"]
    nowhere = replace(apart, layers=LayerRange(0, 3))
    assert compare_packs(pack(rows), pack(nowhere)).of("moved") == ["smile"]


def test_directions_that_depend_on_the_code_are_compared_over_codes() -> None:
    first, second = (direction(model=toy_model(2, seed=seed)) for seed in (1, 2))
    assert not compare_packs(pack(first), pack(direction(model=toy_model(2, seed=1))))
    for old, new in ((first, second), (first, direction()), (direction(), first)):
        (line,) = compare_packs(pack(old), pack(new)).lines()
        assert "moved" in line and "mean over 64 codes" in line


@pytest.mark.parametrize(
    ("changed", "line", "bump"),
    [
        ({"sigma": 0.75}, "breaking: smile: sigma 0.5 -> 0.75, the same amount moves 1.5 times as far", "major"),
        ({"sigma": 0.501}, "smile: sigma 0.5 -> 0.501, the same amount moves 1 times as far", "patch"),
        ({"layers": LayerRange(2, 6)}, "breaking: smile: layers 2-4 -> 2-5", "major"),
        ({"amount_range": (-4.0, 2.0)}, "smile: range -3 to 3 -> -4 to 2", "patch"),
        ({"poles": ("sad", "happy")}, "smile: poles – / – -> sad / happy", "patch"),
        ({"description": "teeth"}, "smile: description changed", "patch"),
        ({"metrics": {"x": 1.0}}, "measurements: of 1 direction changed", "patch"),
    ],
)
def test_what_else_is_said_of_a_direction(changed: dict[str, Any], line: str, bump: str) -> None:
    assert only(compare_packs(pack(), pack(replace(direction(), **changed)))) == (line, bump)


def test_another_order_is_told() -> None:
    one, two = direction("one", 1), direction("two", 2)
    assert only(compare_packs(pack(one, two), pack(two, one))) == ("directions: in another order", "patch")


def test_another_generator_is_shouted_first() -> None:
    made_for = replace(MADE_FOR, fingerprint="c" * 64, resolution=64)
    found = compare_packs(pack(), pack(made_for=made_for, license="mit"))
    assert found.lines() == [
        "breaking: generator: ANOTHER GENERATOR, weights aaaaaaaaaaaa -> cccccccccccc; "
        "the pack no longer fits the old one",
        "generator resolution: 32 -> 64",
        "licence: none stated -> mit",
    ]
    moved = replace(MADE_FOR, source="user/other")
    assert only(compare_packs(pack(), pack(made_for=moved))) == (
        "generator source: user/generator -> user/other",
        "patch",
    )


def test_presets_and_how_it_was_found() -> None:
    presets = (Preset("glad", {"smile": 1.0}), Preset("sad", {"smile": -2.0}))
    changed = (Preset("glad", {"smile": 2.0}), Preset("grim", {"smile": -3.0}, "more"))
    found = compare_packs(pack(presets=presets), pack(presets=changed))
    assert found.lines() == [
        "breaking: sad: preset removed",
        "grim: preset added",
        "glad: preset smile +1 -> smile +2",
    ]
    method = {"name": "ica", "options": {"space": "w"}, "steps": 9}
    assert compare_packs(pack(), pack(method=method)).lines() == [
        "method name: pca -> ica",
        "method seed: was 0, is no longer stated",
        "method steps: is 9, was not stated",
    ]


def test_a_strangers_text_stays_on_its_line() -> None:
    (line, *_) = compare_packs(pack(), pack(direction(), direction("x\n## 9.9.9\n", 2))).lines()
    assert line == "x ## 9.9.9 : direction added, layers 2-4"
    (line,) = compare_packs(pack(), pack(license="\n# " + "y" * 900)).lines()
    assert len(line) < 120


def test_many_changes_are_counted() -> None:
    larger = pack(*(direction(f"d{i}", i) for i in range(100)))
    lines = compare_packs(pack(direction("d1", 1)), larger).lines(limit=10)
    assert (len(lines), lines[-1]) == (11, "… and 89 more changes")


@pytest.mark.parametrize(
    ("bump", "version", "wanted"),
    [
        ("major", "1.2.3", "2.0.0"),
        ("minor", "v1.2.3", "1.3.0"),
        ("patch", "1.2.3", "1.2.4"),
        ("major", "0.2.3", "0.3.0"),
        ("minor", "0.2.3", "0.2.4"),
    ],
)
def test_the_next_version(bump: str, version: str, wanted: str) -> None:
    changed = {
        "major": pack(direction("other", 5)),
        "minor": pack(direction(), direction("more", 5)),
        "patch": pack(license="mit"),
    }[bump]
    assert compare_packs(pack(), changed).next_version(version) == wanted


NAMES = st.sets(st.sampled_from("abcdefgh"), min_size=1)


@given(NAMES, NAMES)
@settings(deadline=None, max_examples=40)
def test_whatever_comes_goes_the_other_way_round(old: set[str], new: set[str]) -> None:
    before, after = (pack(*(direction(name, ord(name)) for name in sorted(names))) for names in (old, new))
    there, back = compare_packs(before, after), compare_packs(after, before)
    assert there.of("added") == back.of("removed") == sorted(new - old)
    assert bool(there) == bool(back) == (old != new)
    assert there.bump == ("major" if old - new else "minor" if new - old else "patch")


def test_files() -> None:
    old, new = {"a": 1, "b": 2, "c": 3}, {"b": 2, "c": 4, "d": 5}
    files = compare_files(old, new, lambda x, y: x == y)
    assert [files.of(name) for name in "abcd"] == ["deleted", "same", "changed", "added"]


def config(**changed: object) -> GeneratorConfig:
    values = {"format": "eigan-generator", "format_version": 1, "architecture": "stylegan2", "config": {"w_dim": 16}}
    return GeneratorConfig(**{**values, "fingerprint": "a" * 64, **changed})  # type: ignore[arg-type]


def test_generators() -> None:
    assert not compare_generators(config(), config())
    found = compare_generators(config(), config(fingerprint="b" * 64, config={"w_dim": 32}, license="mit"))
    assert found.lines() == [
        "breaking: generator: OTHER WEIGHTS, fingerprint aaaaaaaaaaaa -> bbbbbbbbbbbb; "
        "no pack made for the old one fits",
        "config w_dim: 16 -> 32",
        "licence: none stated -> mit",
    ]
    assert compare_generators(config(), config(architecture="stylegan3")).bump == "major"
