"""ImageNet's classes by name."""

from __future__ import annotations

import pytest

from eigan.classes import class_names, find_class
from eigan.errors import UnknownName


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tench", 0),
        ("goldfish", 1),
        ("bulbul", 16),
        ("Irish_setter", 213),
        ("husky", 248),  # one of the names of 248, a word of 250's
        ("Siberian husky", 250),
        ("RED  FOX ", 277),
        ("leopard", 288),
        ("barn", 425),
        ("harp", 594),  # the first name of 594, another name of 593
        ("missile", 657),
        ("crane bird", 134),
        ("crane (hoisting crane)", 517),
        ("tissue", 999),
        ("toilet tiss", 999),
    ],
)
def test_names_are_found(name: str, index: int) -> None:
    assert find_class(name) == index


def test_every_class_has_a_name_of_its_own_which_finds_it() -> None:
    assert len(class_names()) == len(set(class_names())) == 1000
    assert [find_class(name) for name in class_names()] == list(range(1000))
    assert class_names()[134] == "crane (crane bird)"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crane", r"several classes.*crane \(crane bird\) \(134\), crane \(hoisting crane\) \(517\)"),
        ("panda", r"lesser panda \(387\), giant panda \(388\)"),
        ("setter", r"English setter \(212\), Irish setter \(213\), Gordon setter \(214\)"),
        ("terrier", r"\(\d+ in all\)"),
        ("huskie", "unknown class 'huskie'; the nearest are husky"),
        ("xyzzy", "ImageNet has 1000"),
        ("", "ImageNet has 1000"),
        ("_", "ImageNet has 1000"),
        ("x" * 10_000, "unknown class 'x{80}'"),
    ],
)
def test_others_are_told_what_there_is(name: str, message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        find_class(name)
