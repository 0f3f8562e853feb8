"""Names that people gave to directions of known models: GANSpace's notebooks and LatentCLR's demos, as data.

`named_edits.json` holds every row with where it comes from. A name belongs to one component of one file: the signs and
the order of components are only meaningful in the authors' own component files, on the authors' own checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from eigan.errors import PackFormatError, lookup
from eigan.importers.base import Composition, Contents, Move, Request, Space, unique
from eigan.pack import MAX_AMOUNT, MAX_DIRECTIONS, MAX_NAME
from eigan.strict_json import StrictModel, parse_model

TABLE = Path(__file__).with_name("named_edits.json")
MAX_TABLE_BYTES = 2**20
NO_NAMES = "none"
GANSPACE_FILE = re.compile(
    r"(?P<model>stylegan2-\w+_style|stylegan-\w+_g_mapping|biggan-\d+-\w+_generator\.gen_z)_ipca_c\d+_n1000000(?:_w)?"
)
CAUTION = (
    "Names belong to the authors' own component files on the authors' own checkpoints; on any other file or generator "
    "the same number is another direction."
)

Short = Annotated[str, Field(max_length=MAX_NAME)]
Layer = Annotated[int, Field(ge=0, le=64)]
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(max_length=16)]


class Source(StrictModel):
    origin: Annotated[str, Field(max_length=200)]
    says: Annotated[str, Field(max_length=200)]


class NamedEdit(StrictModel):
    """One row: what component of which file is called what, on which layers [start, stop), moved how far, at which psi.

    psi: the truncation that shortened the edit in the authors' pictures; 1 where they truncate before the edit.
    invert: the authors move to the side opposite of where the picture is. shown_on: the class of their pictures.
    """

    names: Short
    source: Short
    title: Short
    component: Annotated[int, Field(ge=0, lt=MAX_DIRECTIONS)]
    layers: tuple[Layer, Layer]
    amount: Annotated[float, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
    psi: Annotated[float, Field(gt=0, le=1)]
    paper: bool = False
    invert: bool = False
    shown_on: Short = ""
    seeds: Seeds = Field(default_factory=list)


class NamedPreset(StrictModel):
    names: Short
    source: Short
    title: Short
    steps: list[Short]
    seeds: Seeds


class Table(StrictModel):
    sources: dict[str, Source]
    edits: list[NamedEdit]
    presets: list[NamedPreset]


@dataclass(frozen=True)
class Names:
    """The rows of one model, in the table's order."""

    edits: tuple[NamedEdit, ...]
    presets: tuple[NamedPreset, ...]
    sources: dict[str, Source]


@cache
def all_names() -> dict[str, Names]:
    """'stylegan2-ffhq' -> its rows. Raises PackFormatError when the table that ships with eigan is damaged."""
    table = parse_model(Table, TABLE.read_bytes(), TABLE.name, MAX_TABLE_BYTES)
    found: dict[str, Names] = {}
    for key in dict.fromkeys(edit.names for edit in table.edits):
        edits = tuple(edit for edit in table.edits if edit.names == key)
        presets = tuple(preset for preset in table.presets if preset.names == key)
        unknown = {row.source for row in edits} - set(table.sources)
        if unknown:
            raise PackFormatError(f"{TABLE.name}: unknown source {unknown.pop()!r}")
        for preset in presets:
            if not set(preset.steps) <= {edit.title for edit in edits if edit.source == preset.source}:
                raise PackFormatError(f"{TABLE.name}: the preset {preset.title!r} has a step that is no edit")
        found[key] = Names(edits, presets, table.sources)
    return found


def names_for(stem: str, request: Request, family: Literal["ganspace", "latentclr"], usual: str = "") -> Names | None:
    """The names that the caller asks for, else those that the file's name (or `usual`) says; None when none.

    Raises:
        UnknownName: the caller asks for a model that has none, or of another family of files.
    """
    known = {
        key: names for key, names in all_names().items() if key.startswith("latentclr-") == (family == "latentclr")
    }
    if request.names == NO_NAMES:
        return None
    if request.names:
        return lookup(known, request.names, "names")
    match = GANSPACE_FILE.fullmatch(stem) if family == "ganspace" else None
    key = match["model"].partition("_")[0] if match else usual
    return known.get(key)


def add_names(contents: Contents, names: Names | None) -> Contents:
    """`contents`, whose move i is component i, with a move for every row of `names` that the file has."""
    if names is None:
        return contents
    rows = merge([edit for edit in names.edits if edit.title and edit.component < len(contents.moves)])
    titles = unique([row[0].title for row in rows])
    moves = [
        name_move(contents.moves[row[0].component], title, row, names) for title, row in zip(titles, rows, strict=True)
    ]
    missing = sum(1 for edit in names.edits if edit.title and edit.component >= len(contents.moves))
    notes = [f"Of the named edits, {missing} use components that were not taken."] if missing else []
    made = [c for p in names.presets if (c := compose(p, rows, titles)) is not None]
    return replace(
        contents,
        moves=(*contents.moves, *moves),
        compositions=(*contents.compositions, *made),
        description=f"{contents.description} {CAUTION}".strip(),
        notes=(*contents.notes, *notes),
        origin={**contents.origin, "names": names.edits[0].names, "num_named": len(moves)},
    )


def merge(edits: Sequence[NamedEdit]) -> list[tuple[NamedEdit, ...]]:
    """Rows of the same title, component, layers, side and psi are one edit that several notebooks show."""
    groups: dict[tuple[object, ...], list[NamedEdit]] = {}
    for edit in edits:
        key = (edit.title.lower(), edit.component, edit.layers, edit.amount < 0, edit.psi)
        groups.setdefault(key, []).append(edit)
    return [tuple(group) for group in groups.values()]


def name_move(component: Move, title: str, rows: tuple[NamedEdit, ...], names: Names) -> Move:
    """The component under its title, turned so that a positive amount does what the title says."""
    first = rows[0]
    sign = -1.0 if first.amount < 0 else 1.0
    turned = f" Turned round: the authors move it by {first.amount:g}." if sign < 0 else ""
    return replace(
        component,
        name=title,
        vector=sign * component.vector,
        model=component.model.negated() if component.model is not None and sign < 0 else component.model,
        layers=first.layers,
        amounts=tuple(abs(row.amount) for row in rows),
        psi=first.psi,
        positive_pole=title,
        description=" ".join(
            [f"{component.name}, layers {first.layers[0]}-{first.layers[1] - 1} of the authors' generator.{turned}"]
            + [describe_row(row, names.sources[row.source]) for row in rows]
        ),
        metrics={**component.metrics, "component": float(first.component), "flipped": float(sign < 0)},
    )


def describe_row(row: NamedEdit, source: Source) -> str:
    """Where a row comes from, for the direction's description."""
    parts = [f"amount {row.amount:g}"]
    parts += [f"tuned at psi {row.psi:g}"] if row.psi != 1 else []
    parts += [f"on {row.shown_on.replace('_', ' ')}"] if row.shown_on else []
    parts += [f"seeds {', '.join(map(str, row.seeds))}"] if row.seeds else []
    parts += ["always to the other side of where the picture is"] if row.invert else []
    parts += ["shown in the paper"] if row.paper else []
    return f"{source.origin}: {'; '.join(parts)} ({source.says})."


def compose(preset: NamedPreset, rows: Sequence[tuple[NamedEdit, ...]], titles: Sequence[str]) -> Composition | None:
    """A sequence of edits as amounts of the named moves; None when the file lacks one of them."""
    amounts: dict[str, float] = {}
    for step in preset.steps:
        for title, row in zip(titles, rows, strict=True):
            edit = next((e for e in row if e.title == step and e.source == preset.source), None)
            if edit is not None:
                amounts[title] = abs(edit.amount)
    if len(amounts) < len(preset.steps):
        return None
    order = ", ".join(step.lower() for step in preset.steps)
    seeds = ", ".join(map(str, preset.seeds))
    return Composition(
        preset.title,
        amounts,
        f"GANSpace's teaser: {order}, in this order (the order makes no difference here); seeds {seeds}. There each "
        "step sets the coordinate to an absolute value; here the same amounts are added to wherever the picture is.",
    )


def check_space(names: Names, space: Space | Literal[""]) -> None:
    """BigGAN's names are of z, all others of w. Raises PackFormatError."""
    key = names.edits[0].names
    wanted = "z" if key.startswith("biggan") else "w"
    if space and space != wanted and not key.startswith("latentclr"):
        raise PackFormatError(f"the names {key} are of directions in {wanted}; this file's directions lie in {space}")
