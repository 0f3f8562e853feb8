"""What a version is made of: a folder's files as they will be on the Hub, every one checked before the first byte goes.

Pure but for reading the folder; the same folder, version and older version give the same bytes. Weights and vectors are
handed on as paths, never as bytes: they may be hundreds of megabytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eigan import hub
from eigan.checkpoint import Checkpoint
from eigan.errors import PublishError
from eigan.format import (
    EXTRA_FILE,
    FORMAT,
    MANIFEST,
    NAMED_FILES,
    VECTORS,
    is_pack,
    read_extras,
    read_manifest,
    read_pack,
    stated_format,
)
from eigan.hub import HubRef, Token, parse_ref
from eigan.pack import DirectionPack
from eigan.readers.safetensors import CONFIG, EXTRAS, SAMPLES, WEIGHTS, GeneratorConfig, read_config
from eigan.readers.safetensors import FORMAT as GENERATOR_FORMAT
from eigan.sources import load_pack
from eigan.strict_json import dump_json
from hub_export.card import render_card, render_generator_card
from hub_export.changelog import UNRELEASED, read_sections, write_sections
from hub_export.difference import Difference, compare_generators, compare_packs

CHANGELOG = "CHANGELOG.md"
README = "README.md"
MAX_TEXT_BYTES = 2**20


@dataclass(frozen=True)
class Edition:
    """What a folder is published as.

    message: what changed, in the words of who publishes. before: the version before, "" when there is none; older: its
    changelog; difference: from it, None when there is none or it cannot be read.
    """

    repo_id: str
    version: str
    message: str = ""
    before: str = ""
    older: str = ""
    difference: Difference | None = None

    def changes(self, own: str = "", *, is_first: bool) -> str:
        """What changed, one change a line: as told, else as the folder says (`own`), else as found by comparing."""
        if said := self.message.strip() or own:
            return said
        if self.difference is None:
            return "First version." if is_first else "See the files."
        return "\n".join(f"- {line}" for line in self.difference.lines()) or "Texts and pictures only."


@dataclass(frozen=True)
class Staged:
    """The files of a version, and what the version says that it changed."""

    files: Mapping[str, bytes | Path]
    changes: str


@dataclass(frozen=True)
class Kind:
    """Packs or generators.

    format: what the manifest states. loader: what loads one, in eigan. owns: whether a file of that name in the
    repository is one of theirs. foreign: the file that only the other kind has. read: what `compare` compares, out of a
    folder that is checked whole; fetch: the same of a published version.
    """

    noun: str
    format: str
    loader: str
    owns: Callable[[str], bool]
    foreign: str
    read: Callable[[Path], Any]
    fetch: Callable[[HubRef, Token], Any]
    compare: Callable[[Any, Any], Difference]
    stage: Callable[[Path, Edition], Staged]


def kind_of(folder: Path) -> Kind:
    """What `folder` holds. Raises PublishError for anything that eigan does not publish."""
    if is_pack(folder):
        return PACK
    if (folder / WEIGHTS).is_file() and stated_format(folder / CONFIG) == GENERATOR_FORMAT:
        return GENERATOR
    raise PublishError(
        f"{folder} is neither a direction pack ({MANIFEST}, {VECTORS}) nor a generator ({CONFIG}, {WEIGHTS}); "
        "make one with hub-export fit or hub-export convert"
    )


def read_whole_pack(folder: Path) -> DirectionPack:
    """The pack as it will be published, every file of the folder checked. Raises PackFormatError."""
    read_extras(folder)
    return without_path(read_pack(folder))


def stage_pack(folder: Path, edition: Edition) -> Staged:
    """The pack's files as a version: the manifest says so, the card is written anew, the changelog has a new section.

    Without a message the folder's own section of that version, or "Unreleased", says what changed; without that, what
    differs from the version before. Every other file goes as it is.
    """
    pack, extras = without_path(read_pack(folder)).with_version(edition.version), read_extras(folder)
    own = read_sections(extras.pop(CHANGELOG, b"").decode("utf-8", "replace"))
    own_changes = own.pop(edition.version, "") or own.get(UNRELEASED, "")
    own.pop(UNRELEASED, None)
    older = read_sections(edition.older) or own
    changes = edition.changes(own_changes, is_first=not (older or edition.before))
    sections = {edition.version: changes} | {v: text for v, text in older.items() if v != edition.version}
    extras[CHANGELOG] = write_sections(sections).encode()
    extras[README] = render_card(pack, extras, repo_id=edition.repo_id, changes=changes).encode()
    listed = read_manifest(folder).files
    on_disk: dict[str, bytes | Path] = {name: folder / name for name in NAMED_FILES if name in listed}
    written = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in extras.items()}
    files = {name: listed[name].model_dump() for name in on_disk} | written
    return Staged({MANIFEST: _manifest(folder, pack, files), **on_disk, **extras}, changes)


def _manifest(folder: Path, pack: DirectionPack, files: Mapping[str, Any]) -> bytes:
    """The folder's manifest, with the version and origin of `pack` and other files."""
    stated = json.loads((folder / MANIFEST).read_bytes())
    stated["generator"]["source"] = pack.made_for.source
    return dump_json(stated | {"version": pack.version, "files": dict(sorted(files.items()))})


def without_path(pack: DirectionPack) -> DirectionPack:
    """The pack without the folders of this machine in what it says of its generator's origin; a file's name stays."""
    source = pack.made_for.source
    if parse_ref(source) is not None and not Path(source).exists():
        return pack
    return replace(pack, made_for=replace(pack.made_for, source=Path(source).name))


def read_whole_generator(folder: Path) -> GeneratorConfig:
    """The manifest of a generator folder whose weights are those it states. Raises CheckpointError."""
    Checkpoint.open(folder).verify()
    return read_config(folder / CONFIG)


def stage_generator(folder: Path, edition: Edition) -> Staged:
    """The generator's files. A README.md that a person wrote is kept, else one is written. Versions are tags only."""
    config = read_config(folder / CONFIG)
    files: dict[str, bytes | Path] = {WEIGHTS: folder / WEIGHTS, CONFIG: (folder / CONFIG).read_bytes()}
    for name in EXTRAS:
        if (path := folder / name).is_file():
            if path.stat().st_size > MAX_TEXT_BYTES:
                raise PublishError(f"{path} is larger than {MAX_TEXT_BYTES:,} bytes; make it smaller")
            files[name] = path.read_bytes()
    samples, changes = SAMPLES in files, edition.changes(is_first=not edition.before)
    unpublished = render_generator_card(config, name=folder.absolute().name, samples=samples).encode()
    if files.get(README, unpublished) == unpublished:  # as `convert` left it: without repository and version
        card = render_generator_card(
            config, repo_id=edition.repo_id, version=edition.version, changes=changes, samples=samples
        )
        files[README] = card.encode()
    return Staged(files, changes)


def fetch_generator_config(ref: HubRef, token: Token) -> GeneratorConfig:
    """The manifest of a published generator, without its weights. Raises HubError, CheckpointError."""
    folder = hub.download(ref, [CONFIG], max_bytes=MAX_TEXT_BYTES, token=token)
    return read_config(folder.path / CONFIG)


def sizes(files: Mapping[str, bytes | Path]) -> dict[str, int]:
    """File name -> bytes."""
    return {n: len(data) if isinstance(data, bytes) else data.stat().st_size for n, data in sorted(files.items())}


def _is_pack_file(name: str) -> bool:
    return name in (MANIFEST, *NAMED_FILES) or EXTRA_FILE.fullmatch(name) is not None


PACK = Kind(
    noun="direction pack",
    format=FORMAT,
    loader="DirectionPack.load",
    owns=_is_pack_file,
    foreign=WEIGHTS,
    read=read_whole_pack,
    fetch=lambda ref, token: load_pack(str(ref), token=token),
    compare=compare_packs,
    stage=stage_pack,
)
GENERATOR = Kind(
    noun="generator",
    format=GENERATOR_FORMAT,
    loader="load_generator",
    owns=frozenset({CONFIG, WEIGHTS, *EXTRAS}).__contains__,
    foreign=VECTORS,
    read=read_whole_generator,
    fetch=fetch_generator_config,
    compare=compare_generators,
    stage=stage_generator,
)
