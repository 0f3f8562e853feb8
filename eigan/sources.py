"""Where generators and packs come from: a bundled name, a path, or a Hub id "org/name[@revision]"."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from eigan.errors import HubError, PackFormatError, PackMismatch, UnknownName, list_names
from eigan.format import MANIFEST, MAX_FILE_BYTES, MAX_VECTOR_BYTES, PRESETS, VECTORS, is_pack, read_pack
from eigan.generators.base import Generator
from eigan.model_file import MAX_MODEL_BYTES, MODELS
from eigan.pack import DirectionPack, MadeFor
from eigan.plain_files import read_plain

if TYPE_CHECKING:
    import torch

BUNDLE_ENV = "EIGAN_DIRECTIONS"
METRICS = "metrics.json"  # what was measured of a pack, see hub_export.metrics
PACK_FILES = (MANIFEST, VECTORS, MODELS, PRESETS, METRICS)
MAX_PACK_DOWNLOAD = MAX_VECTOR_BYTES + MAX_MODEL_BYTES + 3 * MAX_FILE_BYTES


def bundle_root() -> Path:
    """The folder of bundled generators and packs: $EIGAN_DIRECTIONS, the installed copy, or the clone's directions/."""
    if chosen := os.environ.get(BUNDLE_ENV):
        return Path(chosen)
    here = Path(__file__).parent
    installed = here / "bundled"
    return installed if installed.is_dir() else here.parent / "directions"


def bundled_packs() -> list[str]:
    """Names of the bundled direction packs, the one to show first first."""
    return sorted((p.name for p in _bundles() if is_pack(p)), key=lambda name: (_rank(name), name))


def bundled_generators() -> list[str]:
    """Names of the bundled generators."""
    return sorted(p.name for p in _bundles() if _stated_fingerprint(p))


def bundled_path(name: str) -> Path | None:
    """The folder of the bundled generator or pack called `name`; None when there is none."""
    return next((p for p in _bundles() if p.name == name), None)


def load_pack(
    source: str | Path, *, token: str | bool | None = None, offline: bool = False, max_bytes: int = MAX_PACK_DOWNLOAD
) -> DirectionPack:
    """The pack that `source` names: a bundled name, a folder, or "org/name[@revision]" on the Hub.

    max_bytes: more than that is never downloaded.

    Raises:
        PackFormatError: damaged or malformed. HubError: the Hub cannot give it. UnknownName: none of the three.
    """
    from eigan import hub

    text = str(source)
    if bundled := bundled_path(text):
        return replace(read_pack(bundled), source=text)
    if (folder := _existing(text)) and folder.is_dir():
        return replace(read_pack(folder), source=text)
    ref = hub.parse_ref(text)
    if ref is None or ref.filename:
        known = list_names(bundled_packs())
        raise UnknownName(f"no pack {text!r}: not bundled ({known}), not a folder, not a Hub id like org/name@v1.0.0")
    download = hub.download(ref, PACK_FILES, max_bytes=max_bytes, token=token, offline=offline)
    if not (download.path / VECTORS).is_file():
        raise HubError(
            f"{text} is on the Hub but holds no direction pack ({MANIFEST} and {VECTORS}); is it a generator?"
        )
    try:
        pack = read_pack(download.path)
    except PackFormatError:  # maybe damaged since it was downloaded; else it says the same again
        download = hub.download(ref, PACK_FILES, max_bytes=max_bytes, token=token, offline=offline, mend=True)
        pack = read_pack(download.path)
    return replace(pack, source=text, revision=download.commit)


def pack_file(pack: DirectionPack, name: str, max_bytes: int) -> bytes | None:
    """One of PACK_FILES of a loaded pack, from where the pack lies; None when it has no such file.

    Raises:
        PackFormatError: larger than `max_bytes`, or not a plain file.
    """
    from eigan import hub

    folder = bundled_path(pack.source) or Path(pack.source)
    if pack.revision and (ref := hub.parse_ref(pack.source)):
        try:  # the cache alone: it came with the pack
            folder = hub.download(
                replace(ref, revision=pack.revision), PACK_FILES, max_bytes=MAX_PACK_DOWNLOAD, offline=True
            ).path
        except HubError:
            return None
    return read_plain(folder / name, max_bytes) if pack.source and (folder / name).is_file() else None


def load_generator(
    source: str | Path,
    *,
    device: str | torch.device = "cpu",
    token: str | bool | None = None,
    offline: bool = False,
    max_bytes: int | None = None,
) -> Generator:
    """The generator that `source` names: a bundled name, a file or folder, or "org/name[@revision][:file]".

    max_bytes: more than that is never downloaded; None for what `Checkpoint.open` takes.

    Raises:
        CheckpointError: unreadable, unsafe, unknown or damaged. HubError: the Hub cannot give it.
    """
    from eigan.checkpoint import MAX_DOWNLOAD_BYTES, Checkpoint

    most = MAX_DOWNLOAD_BYTES if max_bytes is None else max_bytes
    return Checkpoint.open(source, token=token, offline=offline, max_bytes=most).build().to(device)


def generator_for(
    pack: DirectionPack,
    *,
    device: str | torch.device = "cpu",
    token: str | bool | None = None,
    offline: bool = False,
    allow_paths: bool = True,
    max_bytes: int | None = None,
) -> Generator:
    """The generator `pack` was made for: a bundled one with its fingerprint, else the source the pack names.

    allow_paths=False refuses to follow a local path written in the pack (a stranger wrote it). max_bytes: see
    `load_generator`.

    Raises:
        PackMismatch: the source now holds other weights, or names a path that may not be followed.
    """
    made_for = pack.made_for
    for bundle in _bundles():
        if _stated_fingerprint(bundle) == made_for.fingerprint:
            generator = load_generator(bundle.name, device=device)
            pack.check_fits(generator)
            return generator
    source = _followable_source(made_for, allow_paths)
    if source is None:
        raise PackMismatch(
            f"pack {pack.name!r} was made for {made_for}, which cannot be fetched from there. "
            "Open the generator yourself (a file, folder or Hub id) and load the pack on it."
        )
    generator = load_generator(source, device=device, token=token, offline=offline, max_bytes=max_bytes)
    pack.check_fits(generator)
    return generator


def _existing(text: str) -> Path | None:
    """The file or folder that `text` names; None when there is none, or it could not name one."""
    try:
        return Path(text) if text and Path(text).exists() else None
    except (OSError, ValueError):  # too long for a path, or holding a NUL
        return None


def _followable_source(made_for: MadeFor, allow_paths: bool) -> str | None:
    from eigan import hub

    ref = hub.parse_ref(made_for.source)
    if ref is not None and not _existing(made_for.source):
        pinned = replace(ref, revision=made_for.revision) if made_for.revision else ref
        return str(pinned)
    return made_for.source if allow_paths and _existing(made_for.source) else None


def _bundles() -> list[Path]:
    root = bundle_root()
    return sorted(p for p in root.iterdir() if (p / MANIFEST).is_file()) if root.is_dir() else []


def _rank(name: str) -> int:
    """Packs named by people come before raw components of a method."""
    return int(name.rsplit("-", 1)[-1] in ("pca", "sefa", "ica", "latentclr"))


def _stated_fingerprint(folder: Path) -> str | None:
    """The fingerprint in a bundled generator's config.json; None for anything else."""
    try:
        config = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict) or config.get("format") != "eigan-generator":
        return None
    stated = config.get("fingerprint")
    return stated if isinstance(stated, str) else None
