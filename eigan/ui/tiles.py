"""Small pictures that are pressed to be tried: what those on the page are, and the recipe that each stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gradio as gr

from eigan.errors import PackFormatError, PackMismatch
from eigan.recipe import PictureRecipe
from eigan.ui.editor import Now
from eigan.ui.panel import script
from eigan.ui.sheets import Row, swept

OPEN_PACKS = "*"  # in the box of packs: those that are open


@dataclass(frozen=True)
class Shown:
    """What the tiles on the page are, so that a click on one is understood. Plain values.

    source: the pack that the names are of; OPEN_PACKS for those that are open, by the names they have together.
    names, amounts: of each group of tiles. seeds: of a sweep's rows. start, stop: of a sheet's page.
    """

    source: str
    key: str
    fingerprint: str
    names: tuple[str, ...]
    amounts: tuple[tuple[float, ...], ...]
    seeds: tuple[int, ...] = ()
    start: int = 0
    stop: int = 0

    def tile(self, index: object) -> tuple[int, float]:
        """(group, amount) of the tile that was pressed. Raises PackFormatError."""
        if not (isinstance(index, list) and len(index) == 2 and all(type(i) is int and i >= 0 for i in index)):
            raise PackFormatError("the page sent no picture. Reload the page.")
        group, tile = index
        if group >= len(self.amounts) or tile >= len(self.amounts[group]):
            raise PackFormatError("that picture is not there any more; draw the sheet anew")
        return group, self.amounts[group][tile]


def make_tiles(elem_id: str) -> gr.HTML:
    """Groups of small pictures to press. Value: `sheets.tiles_value`; the event `select` has index [group, tile]."""
    return gr.HTML(None, html_template="", js_on_load=script("tiles.js"), apply_default_css=False, elem_id=elem_id)


def shown_now(
    now: Now,
    source: str,
    rows: Sequence[Row],
    *,
    names: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    page: tuple[int, int] = (0, 0),
) -> Shown:
    """What `rows` are. names: of each row, where they are not their own."""
    return Shown(
        source=source,
        key=now.studio.key,
        fingerprint=now.studio.generator.fingerprint,
        names=names or tuple(row.name for row in rows),
        amounts=tuple(row.amounts for row in rows),
        seeds=seeds,
        start=page[0],
        stop=page[1],
    )


def tried(now: Now, name: str, amount: float) -> PictureRecipe:
    """The standing recipe with `name` at `amount` on its own layers, and not kept any more. Raises PackFormatError."""
    now.studio.pack[name]
    if name in now.sent.locked:
        raise PackFormatError(f"{name!r} is locked; unlock its slider to try it")
    layers = {other: layers for other, layers in now.recipe.layers.items() if other != name}
    kept = tuple(other for other in now.recipe.keep if other != name)
    return swept(replace(now.recipe, layers=layers, keep=kept), name, amount)


def check_generator(shown: Shown, now: Now) -> None:
    """Raise PackMismatch for pictures of another generator than the one that is open."""
    if shown.fingerprint != now.studio.generator.fingerprint:
        raise PackMismatch("these pictures are of another generator than the one that is open; draw them anew")
