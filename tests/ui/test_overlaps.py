"""What is said of moves that overlap: the names of the moves that do."""

from __future__ import annotations

from dataclasses import replace

import torch

from eigan.layers import LayerRange
from eigan.pack import DirectionPack
from eigan.recipe import PictureRecipe
from eigan.render import Renderer
from eigan.ui.editor import overlaps
from eigan.ui.session import Studio
from tests.toys import toy_generator
from tests.ui.bundles import direction, words_pack


def studio(**changes: object) -> Studio:
    """Three directions along axes: "one" everywhere, "two" as well and half the same, "three" at right angles."""
    generator = toy_generator()
    rows = torch.eye(16)
    vectors = {"one": rows[0], "two": (rows[0] + rows[1]) / 2**0.5, "three": rows[2], "<b>four</b>": -rows[0]}
    every = tuple(replace(direction(generator, name, 0), vector=vector) for name, vector in vectors.items())
    held = replace(direction(generator, "held", 0, layers=LayerRange(3, 5)), vector=rows[0])
    words = words_pack(generator)
    pack = DirectionPack("toy", words.made_for, (*every, held), words.method)
    return Studio("k", "s", (), pack, generator, Renderer(generator))


def said(amounts: dict[str, float], **more: object) -> str:
    return overlaps(studio(), PictureRecipe("s", 1, amounts=amounts, **more))  # type: ignore[arg-type]


def test_moves_that_share_something_are_named_and_others_not() -> None:
    assert said({}) == said({"one": 1.0}) == said({"one": 1.0, "three": 2.0}) == ""
    line = said({"one": 1.0, "three": 2.0, "two": -0.5})
    assert "one and two work against each other (-0.71)" in line
    assert "three" not in line
    assert "one and &lt;b&gt;four&lt;/b&gt; work against each other (-1.00)" in said({"one": 1.0, "<b>four</b>": 1.0})


def test_names_stay_with_their_moves_when_a_keep_cuts_one_in_pieces() -> None:
    """Nothing is left of "one" on the layers of "held": it becomes two moves, before and after them."""
    line = said({"one": 1.0, "three": 1.0, "two": 1.0}, keep=("held",))
    assert "one and two go the same way" in line
    assert "three" not in line


def test_other_layers_share_nothing() -> None:
    layers = {"one": LayerRange(0, 2), "two": LayerRange(4, 6)}
    assert said({"one": 1.0, "two": 1.0}, layers=layers) == ""
