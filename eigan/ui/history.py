"""Undo, redo and the history strip: the recipes a person came through, with a small picture of each. No Gradio."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from PIL import Image

from eigan.recipe import PictureRecipe

MAX_STEPS = 40
MAX_BYTES = 2**20  # of recipes and pictures: one that starts from a latent may take a third of it
THUMB = 72  # pixels
QUALITY = 80


@dataclass(frozen=True)
class Step:
    """A recipe as JSON, its small picture as a data address, and what it does in a few words."""

    recipe: str
    picture: str
    words: str


@dataclass(frozen=True)
class History:
    """Steps, the oldest first, and where among them the page stands. Immutable: a visitor's state is replaced."""

    steps: tuple[Step, ...] = ()
    at: int = -1

    @property
    def here(self) -> str:
        """The recipe where the page stands; "" before the first."""
        return self.steps[self.at].recipe if self.steps else ""

    def add(self, recipe: PictureRecipe, picture: Image.Image) -> History:
        """With `recipe` after where the page stands, and what was undone forgotten; the same if it stands there."""
        text = recipe.to_json()
        if text == self.here:
            return self
        kept = (*self.steps[: self.at + 1], Step(text, thumbnail(picture), describe(recipe)))[-MAX_STEPS:]
        while len(kept) > 2 and sum(len(step.recipe) + len(step.picture) for step in kept) > MAX_BYTES:
            kept = kept[1:]
        return History(kept, len(kept) - 1)

    def move_to(self, index: int) -> History:
        """Standing at step `index`, or at the nearest there is."""
        return replace(self, at=min(max(index, 0), len(self.steps) - 1))

    def as_strip(self) -> Mapping[str, Any]:
        """The value of the strip that shows it."""
        items = [{"src": step.picture, "words": step.words} for step in self.steps]
        return {"items": items, "at": self.at, "label": "History"}


def thumbnail(picture: Image.Image, size: int = THUMB) -> str:
    """`picture` at most `size` pixels wide, as a data address (WebP)."""
    small, buffer = picture.convert("RGB"), BytesIO()
    small.thumbnail((size, size), Image.Resampling.BOX)
    small.save(buffer, format="WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def describe(recipe: PictureRecipe) -> str:
    """'seed 65: smile +2, age −1': plain text."""
    start = "uploaded latent" if recipe.latent is not None else f"seed {recipe.seed}"
    moves = [f"{name} {'+' if amount > 0 else '−'}{abs(amount):g}" for name, amount in recipe.amounts.items()]
    told = ", ".join(moves[:4]) + (f" and {len(moves) - 4} more" if len(moves) > 4 else "")
    return f"{start}: {told}" if told else start
