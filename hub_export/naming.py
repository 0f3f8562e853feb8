"""Names for fitted directions: a TOML file picks directions of one or more packs, names them, composes presets.

name = "heads"
description = "..."
license = "cc0-1.0"
version = "1.0.0"             # optional; publishing sets its own

[[direction]]
from = "heads-pca/pca-03"     # pack name / direction name
name = "hair length"
poles = ["short", "long"]     # optional, as are all below
layers = "2-5"                # both ends included; default: the layers it was fitted on
flip = true                   # the fitted sign is arbitrary
range = [-3, 3]               # sigmas
description = "..."

[[preset]]
name = "older and smiling"
amounts = { "age" = 2.0, "smile" = 1.5 }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from torch import Tensor

from eigan.errors import PackFormatError, UnknownName, list_names, lookup
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, Preset
from eigan.strict_json import StrictModel
from hub_export.toml_files import dump_toml, read_toml


class DirectionName(StrictModel):
    source: Annotated[str, Field(alias="from")]
    name: str
    poles: tuple[str, str] | None = None
    layers: str | None = None
    flip: bool = False
    range: tuple[float, float] | None = None
    description: str = ""


class PresetName(StrictModel):
    name: str
    amounts: dict[str, float]
    description: str = ""


class Names(StrictModel):
    name: str
    description: str = ""
    license: str = ""
    version: Annotated[str, Field(pattern=r"^(\d+\.\d+\.\d+)?$")] = ""
    direction: Annotated[list[DirectionName], Field(min_length=1)]
    preset: list[PresetName] = Field(default_factory=list)


def read_names(path: Path) -> Names:
    """The checked contents of a names file. Raises PackFormatError with the place of the first problem."""
    return parse_names(read_toml(path), path.name)


def parse_names(values: Mapping[str, Any], noun: str) -> Names:
    """`values`, those of a names file, checked. Raises PackFormatError with the place of the first problem."""
    try:
        # TOML writes 3 for 3.0 and has no tuples: lax here, the pack's own checks are strict
        return Names.model_validate(values, strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"])
        raise PackFormatError(f"{noun}: {place}: {first['msg']}") from None


def dump_names(names: Names) -> str:
    """The names file that `read_names` reads back as `names`: only what differs from the defaults is written."""
    values = names.model_dump(by_alias=True, exclude_defaults=True)
    tables = {noun: values.pop(noun, []) for noun in ("direction", "preset")}
    parts = [f"\n[[{noun}]]\n{dump_toml(entry)}" for noun, entries in tables.items() for entry in entries]
    return dump_toml(values) + "".join(parts)


def name_directions(packs: Sequence[DirectionPack], names: Names) -> DirectionPack:
    """A pack of the directions that `names` picks from `packs`, named, with presets composed of them.

    Raises:
        PackFormatError: packs of different generators, or names that make no valid pack.
        UnknownName: a pack or direction that is not there.
    """
    fingerprints = {pack.made_for.fingerprint for pack in packs}
    if len(fingerprints) != 1:
        raise PackFormatError(f"directions of {len(fingerprints)} generators cannot share a pack; name them one by one")
    by_name = {pack.name: pack for pack in packs}
    used = {entry.source.partition("/")[0] for entry in names.direction}
    directions = tuple(_named(by_name, entry) for entry in names.direction)
    return DirectionPack(
        name=names.name,
        made_for=packs[0].made_for,
        directions=directions,
        method={"name": "named", "sources": {pack.name: dict(pack.method) for pack in packs if pack.name in used}},
        presets=tuple(Preset(p.name, p.amounts, p.description) for p in names.preset),
        description=names.description,
        license=names.license or packs[0].license,
        version=names.version,
    )


def _named(packs: dict[str, DirectionPack], entry: DirectionName) -> Direction:
    pack_name, slash, direction_name = entry.source.partition("/")
    if not slash:
        raise UnknownName(f"from = {entry.source!r} wants pack/direction; packs: {list_names(packs)}")
    pack = lookup(packs, pack_name, "pack")
    fitted = pack[direction_name]
    low, high = entry.range or fitted.amount_range
    layers = fitted.layers if entry.layers is None else LayerRange.parse(entry.layers, pack.made_for.num_layers)
    vector = _rows(fitted, layers)
    return replace(
        fitted,
        name=entry.name,
        vector=-vector if entry.flip else vector,
        model=fitted.model.negated() if fitted.model and entry.flip else fitted.model,
        layers=layers,
        poles=entry.poles or ("", ""),
        amount_range=(low, high),
        description=entry.description,
        metrics={},  # they described the direction on its fitted layers
    )


def _rows(fitted: Direction, layers: LayerRange) -> Tensor:
    """The fitted vector on `layers`: one vector, or a model, serves any layer; a vector per layer only its own."""
    if fitted.vector.ndim == 1:
        return fitted.vector
    if layers.start < fitted.layers.start or layers.stop > fitted.layers.stop:
        raise PackFormatError(f"{fitted.name!r} has vectors for layers {fitted.layers} only; layers {layers} asked for")
    return fitted.vector[layers.start - fitted.layers.start : layers.stop - fitted.layers.start]
