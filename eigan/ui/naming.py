"""A named pack in the making: directions that a person picked and named in a session, and the pack that they become.
Plain values until the pack is built; hub_export does the building. No Gradio."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eigan import sources
from eigan.combine import combine, joined_licenses
from eigan.errors import PackFormatError, PackMismatch, UnknownName, list_names
from eigan.pack import MAX_NAME, DirectionPack, check_text
from eigan.ui.session import Studio, Studios
from eigan.ui.sheets import signed
from hub_export.naming import Names, dump_names, name_directions, parse_names
from hub_export.previews import slugs

EMPTY = "Nothing is named yet. Choose a direction, say what it does, and add it."
MAX_DRAFT = 64  # directions
MAX_WORDS = 600  # characters of a description: every session may hold a whole draft of them


@dataclass(frozen=True)
class Source:
    """A pack that directions can be picked from, and what opens it again."""

    text: str
    pack: DirectionPack


@dataclass(frozen=True)
class Entry:
    """One direction of the draft. source: opens the pack that it is from; fitted: its name there. layers: as people
    write them, "4-7". flip: its plus is the fitted minus, which poles and range then speak of."""

    source: str
    fitted: str
    name: str
    poles: tuple[str, str] = ("", "")
    layers: str = ""
    flip: bool = False
    range: tuple[float, float] | None = None
    description: str = ""

    def named(self, alias: str) -> dict[str, Any]:
        """The entry of a names file. alias: what the file calls the pack that it is from."""
        return {
            "from": f"{alias}/{self.fitted}",
            "name": self.name.strip(),
            "poles": [pole.strip() for pole in self.poles] if any(self.poles) else None,
            "layers": self.layers.strip() or None,
            "flip": self.flip,
            "range": self.range,
            "description": self.description.strip(),
        }


@dataclass(frozen=True)
class Draft:
    """The directions picked so far, all of one generator. Immutable: a visitor's state is replaced."""

    fingerprint: str = ""
    entries: tuple[Entry, ...] = ()

    def __getitem__(self, name: str) -> Entry:
        found = next((entry for entry in self.entries if entry.name == name), None)
        if found is None:
            raise UnknownName(f"the draft has no direction {name!r}; it has {list_names(self.names) or 'none yet'}")
        return found

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]

    def put(self, entry: Entry, source: Source, *, in_place_of: str = "") -> Draft:
        """With `entry`: in the place of the one of that name, or of its own name, else at the end.

        Raises:
            PackFormatError: not a valid direction, too many of them, or of another generator than the others.
            UnknownName: the source has no such direction.
        """
        entry = _checked(entry, source.pack)
        fingerprint = source.pack.made_for.fingerprint
        if self.entries and fingerprint != self.fingerprint:
            raise PackFormatError(
                "the draft holds directions of another generator, and a pack is for one; save it, then start over"
            )
        place = in_place_of if in_place_of in self.names else entry.name
        if place != entry.name and entry.name in self.names:
            raise PackFormatError(f"the draft has a direction {entry.name!r} already; names must differ")
        kept = tuple(entry if old.name == place else old for old in self.entries)
        if place not in self.names:
            kept += (entry,)
        if len(kept) > MAX_DRAFT:
            raise PackFormatError(f"a draft holds at most {MAX_DRAFT} directions; save it, and begin another")
        return Draft(fingerprint, kept)

    def remove(self, name: str) -> Draft:
        return Draft(self.fingerprint, tuple(entry for entry in self.entries if entry.name != name))


@dataclass(frozen=True)
class About:
    """What a person says of the pack as a whole."""

    name: str
    description: str = ""
    license: str = ""


# where directions come from


def open_sources(studios: Studios, studio: Studio) -> list[Source]:
    """The packs that are open, each by itself. Raises PackMismatch when one of them holds another pack by now."""
    texts = (studio.source, *studio.further)
    found = [Source(text, studios.load_pack(text)) for text in texts]
    if combine([source.pack for source in found]).names != studio.pack.names:
        raise PackMismatch(f"{list_names(texts)} changed since it was opened; press Load to open it as it is now")
    return found


def origin(found: Sequence[Source], name: str) -> tuple[Source, str]:
    """Where the direction is from that is called `name` when all of `found` are open: the pack, and its name there.

    Raises:
        UnknownName: none of them has it.
    """
    combined = combine([source.pack for source in found])
    combined[name]
    index = combined.names.index(name)
    for source in found:
        if index < len(source.pack):
            return source, source.pack.names[index]
        index -= len(source.pack)
    raise AssertionError  # the combined pack has all of theirs and no others


def name_of(found: Sequence[Source], text: str, fitted: str) -> str:
    """What the direction `fitted` of the pack that `text` opens is called when all of `found` are open.

    Raises:
        UnknownName: none of them is that pack, or it has no such direction.
    """
    names = iter(combine([source.pack for source in found]).names)
    called = {(source.text, own): next(names) for source in found for own in source.pack.names}
    if (text, fitted) not in called:
        raise UnknownName(f"no direction {fitted!r} of {text!r} is open; draw the sheet anew")
    return called[text, fitted]


def draft_sources(studios: Studios, draft: Draft) -> dict[str, Source]:
    """The packs that the draft's directions are from, by what opens them. Raises EiganError."""
    texts = dict.fromkeys(entry.source for entry in draft.entries)
    return {text: Source(text, studios.load_pack(studios.check_source(text))) for text in texts}


def bundled_sources(fingerprint: str) -> list[Source]:
    """The bundled packs of that generator."""
    found = (Source(name, sources.load_pack(name)) for name in sources.bundled_packs())
    return [source for source in found if source.pack.made_for.fingerprint == fingerprint]


# the pack


def build(
    draft: Draft, about: About, found: Mapping[str, Source], presets: Sequence[Mapping[str, Any]] = ()
) -> DirectionPack:
    """The pack that the draft has become. found: `draft_sources`; presets: as `fitting_presets` gives them.

    Raises:
        PackFormatError: the draft is empty, or something of it makes no valid pack.
    """
    names = names_of(draft, about, {text: f"{i}" for i, text in enumerate(found)}, presets)
    packs = [replace(source.pack, name=f"{i}") for i, source in enumerate(found.values())]
    pack = name_directions(packs, names)
    method = {**pack.method, "sources": dict(zip(_titles(found), pack.method["sources"].values(), strict=True))}
    pack = replace(pack, method=method)
    license = about.license.strip() or joined_licenses([source.pack for source in found.values()])
    return replace(pack, license=check_text(license, "the pack's licence", MAX_NAME, allow_empty=True))


def names_of(
    draft: Draft, about: About, aliases: Mapping[str, str], presets: Sequence[Mapping[str, Any]] = ()
) -> Names:
    """The names file of the draft. aliases: what it calls the pack of each source. Raises PackFormatError."""
    if not draft.entries:
        raise PackFormatError("the draft is empty; name a direction and add it first")
    check_text(about.name, "the pack's name", MAX_NAME)
    entries = [entry.named(aliases[entry.source]) for entry in draft.entries]
    values = {"name": about.name.strip(), "description": about.description.strip(), "license": about.license.strip()}
    return parse_names({**values, "direction": entries, "preset": list(presets)}, "the draft")


def names_file(
    draft: Draft, about: About, found: Mapping[str, Source], presets: Sequence[Mapping[str, Any]] = ()
) -> str:
    """The draft as `hub-export name` takes it (TOML), with the command that makes the same pack of it.

    Raises:
        PackFormatError: two packs that such a file could not tell apart.
    """
    titles = [source.pack.name for source in found.values()]
    if len(set(titles)) < len(titles) or any("/" in title for title in titles):
        raise PackFormatError(
            f"the directions are from packs that a names file cannot tell apart ({list_names(titles)}); "
            "save the pack itself"
        )
    names = names_of(draft, about, dict(zip(found, titles, strict=True)), presets)
    texts = " ".join(text if re.fullmatch(r"[\w@./:+-]+", text) else repr(text) for text in found)
    return f"# hub-export name {texts} --names names.toml --out {slugs([names.name])[0]}\n" + dump_names(names)


def read_draft(names: Names, found: Sequence[Source]) -> Draft:
    """The draft that a names file holds. found: the packs that its directions may be from.

    Raises:
        UnknownName: it names a pack or direction that is not there. PackFormatError: it makes no valid draft.
    """
    by_name = {source.pack.name: source for source in reversed(found)}  # of two of one name, the first
    draft = Draft()
    for entry in names.direction:
        title, _, fitted = entry.source.partition("/")
        if title not in by_name:
            raise UnknownName(f"the file picks from the pack {title!r}; open it first. Open are {list_names(by_name)}")
        source = by_name[title]
        ours = Entry(
            source=source.text,
            fitted=fitted,
            name=entry.name,
            poles=entry.poles or ("", ""),
            layers=entry.layers or "",
            flip=entry.flip,
            range=entry.range,
            description=entry.description,
        )
        if ours.name in draft.names:
            raise PackFormatError(f"the file names two directions {ours.name!r}; names must differ")
        draft = draft.put(ours, source)
    return draft


def fitting_presets(
    own: Sequence[Mapping[str, Any]], found: Sequence[Source], draft: Draft
) -> tuple[list[dict[str, Any]], list[str]]:
    """(presets of the session that move nothing but directions of the draft, by their names there; titles of the rest).

    own: as `Page.own` holds them. found: the open packs, whose combined names the presets speak of.
    """
    combined = combine([source.pack for source in found]).names
    fitted = [(source.text, name) for source in found for name in source.pack.names]
    drafted = {(entry.source, entry.fitted): entry for entry in draft.entries}
    ours = {name: drafted[key] for name, key in zip(combined, fitted, strict=True) if key in drafted}
    fitting, left = [], []
    for preset in own:
        if not ours.keys() >= preset["amounts"].keys():
            left.append(str(preset["name"]))
            continue
        amounts = {
            ours[name].name: -amount if ours[name].flip else amount for name, amount in preset["amounts"].items()
        }
        fitting.append({"name": preset["name"], "amounts": amounts, "description": preset["description"]})
    return fitting, left


def table_value(draft: Draft) -> dict[str, Any]:
    """What the component of `assets/draft.js` shows: plain text."""
    entries = [
        {
            "name": entry.name,
            "from": f"{'− ' if entry.flip else ''}{entry.fitted} · {entry.source}",
            "poles": " … ".join(pole or "–" for pole in entry.poles) if any(entry.poles) else "",
            "layers": entry.layers,
            "range": " to ".join(map(signed, entry.range)) if entry.range else "",
            "description": entry.description,
        }
        for entry in draft.entries
    ]
    return {"entries": entries, "empty": EMPTY}


def _checked(entry: Entry, pack: DirectionPack) -> Entry:
    """`entry` as it will be in the pack, its defaults filled in. Raises PackFormatError, UnknownName."""
    if len(entry.description) > MAX_WORDS:
        raise PackFormatError(
            f"the description of {entry.name[:MAX_NAME]!r} has {len(entry.description)} characters; at most {MAX_WORDS}"
        )
    draft = Draft(pack.made_for.fingerprint, (entry,))
    names = names_of(draft, About("draft"), {entry.source: "0"})
    direction = name_directions([replace(pack, name="0")], names).directions[0]
    return replace(
        entry,
        name=direction.name,
        poles=direction.poles,
        layers=str(direction.layers),
        range=direction.amount_range,
        description=direction.description,
    )


def _titles(found: Mapping[str, Source]) -> list[str]:
    """A name for each source, all different: its pack's, numbered where two packs share it."""
    titles: list[str] = []
    for source in found.values():
        copy, title = 1, source.pack.name
        while title in titles:
            copy += 1
            title = f"{source.pack.name} {copy}"
        titles.append(title)
    return titles
