"""The 1000 classes of ImageNet by name, in the order in which BigGAN's class vectors have them.

Russakovsky et al., IJCV 2015 (arXiv:1409.0575). Names are WordNet's; a class may have several.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from eigan.errors import UnknownName, list_names

NUM_IMAGENET = 1000
FILE = Path(__file__).parent / "data" / "imagenet_classes.json"


def find_class(name: str) -> int:
    """The index (0 to 999) of the class called `name`: "husky", "Irish_setter", "red fox".

    Case does not matter and an underscore is a space. A class's first name goes before its other names, those before
    names that hold `name` as a word, those before names that hold it as a part. At the first of the four that has any,
    it must be one.

    Raises:
        UnknownName: no class has the name (the message has the nearest ones), or several do (it lists them).
    """
    wanted = plain(name)
    if wanted:
        for known in (_first_names(), _all_names()):
            if found := known.get(wanted):
                return _only(name, found)
        padded = f" {wanted} "
        for part, text in ((padded, " {} "), (wanted, "{}")):
            if found := [i for known, rows in _all_names().items() if part in text.format(known) for i in rows]:
                return _only(name, found)
    near = difflib.get_close_matches(wanted, _all_names(), n=5, cutoff=0.6)
    hint = f"the nearest are {list_names(near)}" if near else "ImageNet has 1000, such as tench, husky, red fox, barn"
    raise UnknownName(f"unknown class {name[:80]!r}; {hint}")


@cache
def class_names() -> tuple[str, ...]:
    """One name for each class, no two alike; `find_class` finds each again."""
    firsts = _first_names()
    return tuple(f"{own[0]} ({own[1]})" if len(firsts[plain(own[0])]) > 1 else own[0] for own in _synonyms())


def plain(name: str) -> str:
    """Lower case, underscores and parentheses as spaces, one space between words."""
    return " ".join(name.lower().translate(str.maketrans("_()", "   ")).split())


def _only(name: str, found: Iterable[int]) -> int:
    indices = sorted(set(found))
    if len(indices) > 1:
        candidates = list_names((f"{class_names()[i]} ({i})" for i in indices), 8)
        raise UnknownName(f"several classes are called {name[:80]!r}; say which: {candidates}")
    return indices[0]


@cache
def _synonyms() -> tuple[tuple[str, ...], ...]:
    listed: list[str] = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(tuple(names.split(", ")) for names in listed)


@cache
def _first_names() -> dict[str, list[int]]:
    return _index(own[:1] for own in _synonyms())


@cache
def _all_names() -> dict[str, list[int]]:
    return _index((*own, shown) for own, shown in zip(_synonyms(), class_names(), strict=True))


def _index(rows: Iterable[Iterable[str]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i, names in enumerate(rows):
        for key in dict.fromkeys(map(plain, names)):
            found.setdefault(key, []).append(i)
    return found
