"""combine: packs of one generator as one, so that an edit, a preset or a recipe can name directions of all of them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from eigan.errors import PackFormatError, PackMismatch
from eigan.pack import MAX_NAME, MAX_TEXT, Direction, DirectionPack, Preset

MAX_ORIGIN = 40  # characters of a pack's name that a renamed direction carries
UNLICENSED = "unknown"


def combine(packs: Sequence[DirectionPack]) -> DirectionPack:
    """`packs` of one generator as one pack: their directions and presets in order; one pack alone as it is.

    The first pack's names stay. A later pack's direction or preset whose name an earlier pack has is called "name (pack
    name)", numbered "name (pack name 2)" where that is taken, too; its presets move the directions by their new names.
    A pack's new names depend on the packs before it alone: adding one at the end renames nothing.
    license: that of all packs, or theirs joined as an SPDX expression; "unknown" stands for a pack that states none.

    Raises:
        PackMismatch: packs of different generators.
        PackFormatError: no packs, or more directions or presets than one pack may have.
    """
    if not packs:
        raise PackFormatError("no packs to combine; give at least one")
    first = packs[0]
    if len(packs) == 1:
        return first
    for pack in packs[1:]:
        if pack.made_for.fingerprint != first.made_for.fingerprint:
            raise PackMismatch(
                f"pack {pack.name!r} was fitted on {pack.made_for}, pack {first.name!r} on {first.made_for}; only "
                "packs of one generator can be combined"
            )
    directions: list[Direction] = []
    presets: list[Preset] = []
    for pack in packs:
        names = new_names(pack.names, {d.name for d in directions}, pack.name)
        titles = new_names([p.name for p in pack.presets], {p.name for p in presets}, pack.name)
        directions += [d if d.name == names[d.name] else replace(d, name=names[d.name]) for d in pack]
        presets += [readdressed(p, titles[p.name], names) for p in pack.presets]
    method = {
        "name": "combined",
        "packs": [{"name": p.name, "source": p.source, "revision": p.revision, "version": p.version} for p in packs],
    }
    return DirectionPack(
        name=shortened(" + ".join(pack.name for pack in packs), MAX_NAME),
        made_for=first.made_for,
        directions=tuple(directions),
        method=method,
        presets=tuple(presets),
        description=shortened(f"The directions of {', '.join(pack.name for pack in packs)}.", MAX_TEXT),
        license=joined_licenses(packs),
    )


def new_names(own: Sequence[str], taken: Container[str], pack_name: str) -> dict[str, str]:
    """Name -> name in the combined pack, for the `own` names of a pack behind others that have `taken`."""
    used = set(own)  # a name that is free stays, so that a renamed one must not be equal to it
    found = {}
    for name in own:
        copy, candidate = 1, name
        while candidate in taken or (candidate in used and candidate != name):
            candidate = with_origin(name, pack_name, copy)
            copy += 1
        found[name] = candidate
        used.add(candidate)
    return found


def with_origin(name: str, pack_name: str, copy: int) -> str:
    """'smile (people)', 'smile (people 2)', within MAX_NAME."""
    tail = f" ({shortened(pack_name, MAX_ORIGIN)}{f' {copy}' if copy > 1 else ''})"
    return shortened(name, MAX_NAME - len(tail)) + tail


def readdressed(preset: Preset, name: str, names: dict[str, str]) -> Preset:
    """`preset` called `name`, moving the directions by their new `names`."""
    amounts = {names[direction]: amount for direction, amount in preset.amounts.items()}
    return preset if (name, amounts) == (preset.name, preset.amounts) else replace(preset, name=name, amounts=amounts)


def joined_licenses(packs: Sequence[DirectionPack]) -> str:
    """One licence for all where they agree, else "a AND b" in order. Whoever takes the whole is bound by all."""
    stated = list(dict.fromkeys(pack.license for pack in packs))
    return stated[0] if len(stated) == 1 else shortened(" AND ".join(text or UNLICENSED for text in stated), MAX_TEXT)


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
