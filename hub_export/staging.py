"""What a version is made of: a folder's files as they will be on the Hub, every one checked before the first byte goes.

Pure but for reading the folder; the same folder, version and older changelog give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from eigan.checkpoint import Checkpoint
from eigan.errors import PublishError
from eigan.format import EXTRA_FILE, MANIFEST, PRESETS, VECTORS, is_pack, pack_files, read_extras, read_pack
from eigan.hub import parse_ref
from eigan.pack import DirectionPack
from eigan.readers.safetensors import CONFIG, EXTRAS, SAMPLES, WEIGHTS, read_config
from eigan.readers.safetensors import FORMAT as GENERATOR_FORMAT
from hub_export.card import render_card, render_generator_card
from hub_export.changelog import UNRELEASED, read_sections, write_sections

CHANGELOG = "CHANGELOG.md"
README = "README.md"
MAX_TEXT_BYTES = 2**20


@dataclass(frozen=True)
class Kind:
    """Packs or generators.

    loader: what loads one, in eigan. owns: whether a file of that name in the repository is one of theirs. foreign: the
    file that only the other kind has. check: raises on a damaged folder. stage: its files as a version.
    """

    noun: str
    loader: str
    owns: Callable[[str], bool]
    foreign: str
    check: Callable[[Path], object]
    stage: Callable[[Path, str, str, str, str], dict[str, bytes | Path]]


def kind_of(folder: Path) -> Kind:
    """What `folder` holds. Raises PublishError for anything that eigan does not publish."""
    if is_pack(folder):
        return PACK
    config = folder / CONFIG
    if config.is_file() and config.stat().st_size <= MAX_TEXT_BYTES and (folder / WEIGHTS).is_file():
        try:
            value = json.loads(config.read_bytes())
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and value.get("format") == GENERATOR_FORMAT:
            return GENERATOR
    raise PublishError(
        f"{folder} is neither a direction pack ({MANIFEST}, {VECTORS}) nor a generator ({CONFIG}, {WEIGHTS}); "
        "make one with hub-export fit or hub-export convert"
    )


def stage_pack(folder: Path, repo_id: str, version: str, message: str, published: str) -> dict[str, bytes | Path]:
    """The pack's files as `version`: the manifest says so, the card is written anew, the changelog has a new section.

    `message` says what changed; empty, the folder's own section of that version or "Unreleased" does.
    `published` is the changelog of the version before, whose sections are kept.
    """
    pack, extras = without_path(read_pack(folder)).with_version(version), read_extras(folder)
    own = read_sections(extras.pop(CHANGELOG, b"").decode("utf-8", "replace"))
    own_changes = own.pop(version, "") or own.get(UNRELEASED, "")
    own.pop(UNRELEASED, None)
    older = read_sections(published) or own
    changes = message.strip() or own_changes or ("See the files." if older else "First version.")
    extras[CHANGELOG] = write_sections(
        {version: changes} | {v: text for v, text in older.items() if v != version}
    ).encode()
    extras[README] = render_card(pack, extras, repo_id=repo_id, changes=changes).encode()
    return dict(pack_files(pack, extras))


def without_path(pack: DirectionPack) -> DirectionPack:
    """The pack without the folders of this machine in what it says of its generator's origin; a file's name stays."""
    source = pack.made_for.source
    if parse_ref(source) is not None and not Path(source).exists():
        return pack
    return replace(pack, made_for=replace(pack.made_for, source=Path(source).name))


def stage_generator(folder: Path, repo_id: str, version: str, message: str, published: str) -> dict[str, bytes | Path]:
    """The generator's files. A README.md that a person wrote is kept, else one is written. Versions are tags only."""
    config = read_config(folder / CONFIG)
    files: dict[str, bytes | Path] = {WEIGHTS: folder / WEIGHTS, CONFIG: (folder / CONFIG).read_bytes()}
    for name in EXTRAS:
        if (path := folder / name).is_file():
            if path.stat().st_size > MAX_TEXT_BYTES:
                raise PublishError(f"{path} is larger than {MAX_TEXT_BYTES:,} bytes; make it smaller")
            files[name] = path.read_bytes()
    samples = SAMPLES in files
    unpublished = render_generator_card(config, name=folder.absolute().name, samples=samples).encode()
    if files.get(README, unpublished) == unpublished:  # as `convert` left it: without repository and version
        card = render_generator_card(config, repo_id=repo_id, version=version, changes=message, samples=samples)
        files[README] = card.encode()
    return files


def sizes(files: Mapping[str, bytes | Path]) -> dict[str, int]:
    """File name -> bytes."""
    return {n: len(data) if isinstance(data, bytes) else data.stat().st_size for n, data in sorted(files.items())}


def _is_pack_file(name: str) -> bool:
    return name in (MANIFEST, VECTORS, PRESETS) or EXTRA_FILE.fullmatch(name) is not None


PACK = Kind(
    noun="direction pack",
    loader="DirectionPack.load",
    owns=_is_pack_file,
    foreign=WEIGHTS,
    check=lambda folder: (read_pack(folder), read_extras(folder)),
    stage=stage_pack,
)
GENERATOR = Kind(
    noun="generator",
    loader="load_generator",
    owns=frozenset({CONFIG, WEIGHTS, *EXTRAS}).__contains__,
    foreign=VECTORS,
    check=lambda folder: Checkpoint.open(folder).verify(),
    stage=stage_generator,
)
