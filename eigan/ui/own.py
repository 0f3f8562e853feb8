"""Presets that a person makes in a session: named, bounded, written and read as packs' presets.json. No Gradio.

The session holds them as plain values, {name, amounts, description, own}: what the panel shows of a preset.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eigan.errors import PackFormatError, list_names
from eigan.format import PresetEntry, PresetFile
from eigan.pack import DirectionPack, Preset
from eigan.recipe import MAX_MOVES
from eigan.strict_json import dump_json, parse_model

MAX_OWN = 24
MAX_OWN_BYTES = 2**20

Own = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Taken:
    """What came of presets that were read. own: with those that fit; refused: why the others were left out."""

    own: list[Mapping[str, Any]]
    added: tuple[str, ...]
    refused: tuple[str, ...]


def add_preset(own: Own, preset: Preset, names: Collection[str]) -> list[Mapping[str, Any]]:
    """`own` and `preset`. names: of the pack's presets.

    Raises:
        PackFormatError: there is a preset of that name, or there are too many, or it moves too much.
    """
    if preset.name in names or any(preset.name == other["name"] for other in own):
        raise PackFormatError(f"there is a preset called {preset.name!r} already; choose another name")
    if len(own) >= MAX_OWN:
        raise PackFormatError(f"there are {len(own)} presets of your own, and no room for more; remove one first")
    if len(preset.amounts) > MAX_MOVES:
        raise PackFormatError(f"{preset.name!r} moves {len(preset.amounts)} sliders; at most {MAX_MOVES}")
    entry = {"name": preset.name, "amounts": dict(preset.amounts), "description": preset.description, "own": True}
    return [*own, entry]


def without(own: Own, name: str) -> list[Mapping[str, Any]]:
    """`own` without the preset called `name`."""
    return [preset for preset in own if preset["name"] != name]


def take_presets(own: Own, presets: Sequence[Preset], pack: DirectionPack) -> Taken:
    """`own` and those of `presets` that move directions of `pack` alone."""
    found, added, refused = list(own), [], []
    known, names = set(pack.names), {preset.name for preset in pack.presets}
    for preset in presets:
        unknown = sorted(set(preset.amounts) - known)
        try:
            if unknown:
                raise PackFormatError(f"{preset.name!r} moves {list_names(unknown, 4)}, which no open pack has")
            found = add_preset(found, preset, names)
        except PackFormatError as error:
            refused.append(str(error))
        else:
            added.append(preset.name)
    return Taken(found, tuple(added), tuple(refused))


def write_presets(own: Own) -> bytes:
    """`own` in the form of a pack's presets.json. Raises PackFormatError when there are none."""
    if not own:
        raise PackFormatError("there is no preset of your own yet; move sliders, name what they do and save it")
    entries = [PresetEntry(name=p["name"], amounts=dict(p["amounts"]), description=p["description"]) for p in own]
    return dump_json(PresetFile(presets=entries).model_dump())


def read_presets(data: bytes) -> list[Preset]:
    """The presets in the bytes of a presets.json. Raises PackFormatError."""
    entries = parse_model(PresetFile, data, "the presets", MAX_OWN_BYTES).presets
    return [Preset(entry.name, entry.amounts, entry.description) for entry in entries]
