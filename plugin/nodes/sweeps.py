"""Sweeps: one direction moved from end to end, as frames and as a strip to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from eigan.errors import InvalidCodes, PackFormatError
from eigan.pack import MAX_AMOUNT, DirectionPack, check_number
from eigan.recipe import PictureRecipe
from eigan.render import Pictures

from ..comfy import (
    DirectionPackType,
    GanEditType,
    GanGeneratorType,
    GanLatentType,
    GanNode,
    draw,
    io,
    to_image,
)
from ..recipe_text import to_lines
from ..values import Aim, GanEdit, GanGenerator, GanLatent, Origin, recipes
from .edits import REACH
from .images import CATEGORY

MAX_ROWS = 16
MAX_STEPS = 240
MAX_PICTURES = 256  # in all
MAX_COLUMNS = 15  # of the strip; of more steps it shows as many, evenly


class EiganSweep(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganSweep",
            display_name="Sweep",
            category=CATEGORY,
            description=(
                "Moves one direction from end to end in even steps: frames for a video node, and a strip with the "
                "amounts under its pictures. Everything else stays as the edit has it."
            ),
            inputs=[
                GanGeneratorType.Input("generator", tooltip="The generator that the latent was made with."),
                GanLatentType.Input(
                    "latent", tooltip=f"Where the pictures start: a row for each of its pictures, at most {MAX_ROWS}."
                ),
                DirectionPackType.Input("pack", tooltip="The pack that has the direction."),
                io.String.Input(
                    "direction",
                    default="",
                    placeholder="smile",
                    tooltip="The direction's name, as the pack has it; a wrong name is answered with the names there "
                    "are.",
                ),
                io.Float.Input(
                    "low", default=-3.0, min=-REACH, max=REACH, step=0.1, tooltip="Where it begins, in sigmas."
                ),
                io.Float.Input(
                    "high", default=3.0, min=-REACH, max=REACH, step=0.1, tooltip="Where it ends, in sigmas."
                ),
                io.Int.Input(
                    "steps",
                    default=7,
                    min=2,
                    max=MAX_STEPS,
                    tooltip=f"How many pictures, both ends among them; with several rows at most {MAX_PICTURES} in "
                    "all.",
                ),
                io.String.Input(
                    "layers",
                    default="",
                    optional=True,
                    placeholder="its own",
                    tooltip="Layers to move in place of the direction's own: all, 8, or 8-11. Empty: its own.",
                ),
                GanEditType.Input(
                    "edit",
                    optional=True,
                    tooltip="What else is done to the pictures. Where it moves this direction, the sweep's amount "
                    "stands in its place.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "images", display_name="images", tooltip="The pictures, row after row, from low to high."
                ),
                io.Image.Output(
                    "strip",
                    display_name="strip",
                    tooltip="They side by side, small, with the amounts under them; of many steps fifteen.",
                ),
                io.String.Output(
                    "recipe", display_name="recipe", tooltip="The pictures' recipes, one a line: for Save Recipe."
                ),
            ],
        )

    @classmethod
    def run(
        cls,
        generator: GanGenerator,
        latent: GanLatent,
        pack: DirectionPack,
        direction: str,
        low: float,
        high: float,
        steps: int,
        layers: str = "",
        edit: GanEdit | None = None,
    ) -> io.NodeOutput:
        amounts = spaced(low, high, steps)
        check_size(len(latent), steps)
        edits = swept(edit or GanEdit(), Aim.at(pack, direction.strip(), layers), amounts)
        latent.check_fits(generator.generator)
        edits[0].check_fits(generator.generator)
        moves = [one.edit() for one in edits]
        codes = torch.cat([move.apply(row[None]) for row in latent.codes for move in moves])
        pictures = draw(generator.ready(), codes, noise_mode=edits[0].noise_mode, pose=edits[0].pose)
        told: list[PictureRecipe] = []
        for row in zip(*(recipes(generator, latent, one) for one in edits), strict=True):
            told += row
        strip = strip_of(pictures, [origin_words(origin) for origin in latent.origins], amounts)
        return io.NodeOutput(to_image(pictures), to_image(strip[None]), to_lines(told))


def spaced(low: float, high: float, steps: int) -> list[float]:
    """Amounts from `low` to `high`: of few steps those of the app's sweeps, rounded; of many, as a video wants, even.

    Raises:
        PackFormatError: ends that are no amounts, or the same; too few or too many steps.
    """
    from eigan.ui import sheets

    if steps <= sheets.MAX_STEPS:
        return sheets.sweep_amounts(low, high, steps)
    for value, noun in ((low, "low"), (high, "high")):
        check_number(value, noun, -MAX_AMOUNT, MAX_AMOUNT)
    if steps > MAX_STEPS:
        raise PackFormatError(f"{steps} steps were asked for; a sweep has 2 to {MAX_STEPS}")
    if low == high:
        raise PackFormatError(f"the sweep begins and ends at {low:g}; set the ends apart")
    return [float(value) + 0.0 for value in np.linspace(low, high, steps)]


def check_size(rows: int, steps: int) -> None:
    """Raise InvalidCodes when there would be more rows or pictures than a sweep has."""
    if rows > MAX_ROWS or rows * steps > MAX_PICTURES:
        raise InvalidCodes(
            f"{rows} pictures of {steps} steps each were asked for; a sweep has at most {MAX_ROWS} rows and "
            f"{MAX_PICTURES} pictures. Make the latent's batch smaller, or ask for fewer steps."
        )


def swept(edit: GanEdit, aim: Aim, amounts: Sequence[float]) -> list[GanEdit]:
    """`edit` with `aim` at each of the amounts, in place of its own."""
    others = replace(edit, moves=tuple(move for move in edit.moves if move[0] != aim))
    return [others.moved([(aim, amount)]) for amount in amounts]


def strip_of(pictures: Pictures, names: Sequence[str], amounts: Sequence[float]) -> Pictures:
    """(H, W, 3): pictures (rows * amounts, h, w, 3) side by side, amounts under them; of several rows, names beside."""
    from eigan.ui.sheets import Row, strip_image

    columns = np.linspace(0, len(amounts) - 1, min(len(amounts), MAX_COLUMNS)).round().astype(int).tolist()
    shown = tuple(round(amounts[i], 3) + 0.0 for i in columns)
    rows = [
        Row(name, shown, tuple(pictures[start * len(amounts) + i] for i in columns)) for start, name in enumerate(names)
    ]
    return np.array(strip_image(rows))


def origin_words(origin: Origin) -> str:
    return f"seed {origin.seed}" if origin.latent is None else "latent"
