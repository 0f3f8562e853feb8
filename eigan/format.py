"""Pack format: the only reader and writer of pack bytes. A pack is a folder of safetensors, JSON and pictures.

config.json             the manifest (name chosen so that the Hub counts downloads); sha256 of every other file
directions.safetensors  "0", "1", ...: float32 vectors, (D,) or (layers, D), in the manifest's order
models.safetensors      the networks of directions that depend on the code (`eigan.model_file`); only where there are
presets.json            composed edits: name -> {direction: sigmas}
previews/*.webp|png     pictures for cards and the app; optional
README.md CHANGELOG.md metrics.json    for people; optional
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import eigan
from eigan.direction_model import DirectionModel
from eigan.errors import CheckpointError, PackFormatError
from eigan.layers import LayerRange
from eigan.model_file import (
    MAX_MODEL_BYTES,
    MODELS,
    ModelEntry,
    describe_model,
    model_bytes,
    read_models,
    unshared,
)
from eigan.pack import (
    MAX_DIRECTIONS,
    MAX_NAME,
    MAX_PRESETS,
    MAX_TEXT,
    Direction,
    DirectionPack,
    MadeFor,
    Preset,
    check_text,
)
from eigan.plain_files import is_that_file, read_plain
from eigan.strict_json import StrictModel, dump_json, parse_model

FORMAT = "eigan-directions"
FORMAT_VERSION = 2
"""1: fixed vectors. 2: directions may have a model. A pack without models is written as version 1, for every eigan.

To change the format: (1) add the new version's reader beside the old one, never instead; (2) raise this number;
(3) freeze a pack of every version under tests/data/packs/v<number> and never touch it; (4) say in CHANGELOG.md what
changed and what an old eigan says when it meets the new number. A field that only adds information is optional here
and needs no new version."""

MANIFEST = "config.json"
VECTORS = "directions.safetensors"
PRESETS = "presets.json"
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_VECTOR_BYTES = 512 * 2**20
MAX_PRESET_BYTES = 4 * 2**20
MAX_FILE_BYTES = 16 * 2**20
MAX_BYTES = {VECTORS: MAX_VECTOR_BYTES, MODELS: MAX_MODEL_BYTES, PRESETS: MAX_PRESET_BYTES}  # others: MAX_FILE_BYTES
NAMED_FILES = (VECTORS, MODELS, PRESETS)
MAX_FILES = 2000
EXTRA_FILE = re.compile(r"README\.md|CHANGELOG\.md|metrics\.json|previews/[a-z0-9][a-z0-9_-]{0,99}\.(?:webp|png)")
SHA256 = re.compile(r"[0-9a-f]{64}")

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Name = Annotated[str, Field(max_length=MAX_NAME)]


class FileEntry(StrictModel):
    sha256: Hex
    size: Annotated[int, Field(ge=0, le=MAX_MODEL_BYTES)]


class DirectionEntry(StrictModel):
    name: Name
    sigma: float
    layers: tuple[int, int]  # half-open
    range: tuple[float, float]  # sigmas
    poles: tuple[Name, Name] = ("", "")
    description: Text = ""
    metrics: Annotated[dict[Name, float], Field(max_length=64)] = Field(default_factory=dict)
    model: ModelEntry | None = None


class GeneratorEntry(StrictModel):
    architecture: Name
    fingerprint: Hex
    resolution: Annotated[int, Field(ge=1, le=2**16)]
    num_layers: Annotated[int, Field(ge=1, le=2**10)]
    code_dim: Annotated[int, Field(ge=1, le=2**20)]
    code_space: Literal["w", "z"] = "w"
    source: Annotated[str, Field(max_length=500)] = ""
    revision: Name = ""


class Manifest(StrictModel):
    format: Literal["eigan-directions"]
    format_version: int
    eigan_version: Name
    name: Name
    version: Name = ""
    description: Text = ""
    license: Name = ""
    generator: GeneratorEntry
    method: dict[str, Any]
    directions: Annotated[list[DirectionEntry], Field(min_length=1, max_length=MAX_DIRECTIONS)]
    files: Annotated[dict[str, FileEntry], Field(max_length=MAX_FILES)]


class PresetEntry(StrictModel):
    name: Name
    amounts: Annotated[dict[Name, float], Field(max_length=MAX_DIRECTIONS)]
    description: Text = ""


class PresetFile(StrictModel):
    presets: Annotated[list[PresetEntry], Field(max_length=MAX_PRESETS)]


def is_pack(folder: Path) -> bool:
    """Whether `folder` looks like a direction pack (its manifest says so); nothing is checked yet."""
    return stated_format(folder / MANIFEST) == FORMAT


def stated_format(config: Path) -> str:
    """The "format" that a config.json states, unchecked; "" when there is none to read."""
    try:
        if not config.is_file() or config.stat().st_size > MAX_MANIFEST_BYTES:
            return ""
        value = json.loads(config.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    stated = value.get("format") if isinstance(value, dict) else None
    return stated if isinstance(stated, str) else ""


def read_pack(folder: Path) -> DirectionPack:
    """The pack in `folder`, every file checked against the manifest.

    Raises:
        PackFormatError: something is missing, malformed, damaged, out of range or would leave the folder.
    """
    manifest = read_manifest(folder)
    contents = _read_listed(folder, manifest, (VECTORS, PRESETS))
    tensors = _read_vectors(folder, contents[VECTORS])
    models = _read_models(folder, manifest)
    presets: list[PresetEntry] = []
    if PRESETS in contents:
        presets = parse_model(PresetFile, contents[PRESETS], PRESETS, MAX_PRESET_BYTES).presets
    entry = manifest.generator
    return DirectionPack(
        name=manifest.name,
        made_for=MadeFor(**entry.model_dump()),
        directions=tuple(_direction(i, e, tensors, models.get(i)) for i, e in enumerate(manifest.directions)),
        method=manifest.method,
        presets=tuple(Preset(p.name, p.amounts, p.description) for p in presets),
        description=manifest.description,
        license=manifest.license,
        version=manifest.version,
        source=str(folder),
    )


def read_manifest(folder: Path) -> Manifest:
    """The checked manifest of `folder`. Raises PackFormatError."""
    path = folder / MANIFEST
    if not path.is_file():  # nor a pipe
        raise PackFormatError(
            f"{folder} holds no {MANIFEST}; a direction pack is a folder with {MANIFEST} and {VECTORS}"
        )
    data = read_plain(path, MAX_MANIFEST_BYTES)
    if re.search(rb'"format"\s*:\s*"eigan-generator"', data):
        raise PackFormatError(f"{folder.name} holds a generator, not a direction pack; load it as a generator")
    version = _peek_version(data)
    if version > FORMAT_VERSION:
        raise PackFormatError(
            f"{folder.name} is written in pack format {version}; this eigan ({eigan.__version__}) reads up to "
            f"{FORMAT_VERSION}. Upgrade eigan."
        )
    manifest = parse_model(Manifest, data, MANIFEST, MAX_MANIFEST_BYTES)
    _check_version(manifest)
    _check_texts(manifest)
    for name in manifest.files:
        check_file_name(name)
    if VECTORS not in manifest.files:
        raise PackFormatError(f"{MANIFEST} lists no {VECTORS}; the pack has no vectors")
    return manifest


def read_extras(folder: Path) -> dict[str, bytes]:
    """Pictures and texts that go with the pack in `folder`, checked against the manifest: file name -> bytes."""
    manifest = read_manifest(folder)
    names = tuple(n for n in manifest.files if n not in NAMED_FILES)
    return _read_listed(folder, manifest, names)


def check_file_name(name: str) -> None:
    """Raise PackFormatError unless `name` is one a pack may hold; nothing else ever becomes a path."""
    if name not in NAMED_FILES and not EXTRA_FILE.fullmatch(name):
        raise PackFormatError(f"{MANIFEST} lists the file {name[:100]!r}; packs hold no file of that name")


def save_pack(pack: DirectionPack, folder: Path, extras: Mapping[str, bytes] | None = None) -> None:
    """Write `pack` and `extras` (file name -> bytes) as `folder`: complete, or not at all. An old pack is replaced.

    Raises:
        PackFormatError: `folder` holds something that is not a pack, or an extra has a name packs do not have.
        OSError: the disk is full or not writable; `folder` is as it was.
    """
    files = pack_files(pack, extras or {})
    write_folder(folder, files, replaceable=is_pack)


def pack_files(pack: DirectionPack, extras: Mapping[str, bytes]) -> dict[str, bytes]:
    """Every file of the pack as bytes; the same pack gives the same bytes."""
    files = {VECTORS: save(unshared({str(i): d.vector for i, d in enumerate(pack.directions)}))}
    if (models := model_bytes(pack.directions)) is not None:
        files[MODELS] = models
    entries = [PresetEntry(name=p.name, amounts=dict(p.amounts), description=p.description) for p in pack.presets]
    files[PRESETS] = dump_json(PresetFile(presets=entries).model_dump())
    for name, data in extras.items():
        check_file_name(name)
        files[name] = data
    for name, data in files.items():
        if len(data) > MAX_BYTES.get(name, MAX_FILE_BYTES):
            raise PackFormatError(f"{name} has {len(data):,} bytes; at most {MAX_BYTES.get(name, MAX_FILE_BYTES):,}")
    fixed = {i: {"model"} for i, direction in enumerate(pack.directions) if direction.model is None}
    manifest = _manifest(pack, files).model_dump(exclude={"directions": fixed} if fixed else None)
    return {MANIFEST: dump_json(manifest), **files}


def write_folder(folder: Path, files: Mapping[str, bytes], *, replaceable: Any) -> None:
    """Write `files` beside `folder` and swap them in: a crash or full disk leaves `folder` as it was.

    `replaceable(folder)` says whether an existing non-empty folder is ours to replace.
    """
    folder = folder.absolute()
    if folder.exists() and not folder.is_dir():
        raise PackFormatError(f"{folder} is a file; give a folder to write to")
    if folder.is_dir() and any(folder.iterdir()) and not replaceable(folder):
        raise PackFormatError(f"{folder} holds other files; give an empty or new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        fresh, old = staging / "fresh", staging / "old"
        for name, data in files.items():
            target = fresh / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _manifest(pack: DirectionPack, files: Mapping[str, bytes]) -> Manifest:
    return Manifest(
        format="eigan-directions",
        format_version=FORMAT_VERSION if MODELS in files else 1,
        eigan_version=eigan.__version__,
        name=pack.name,
        version=pack.version,
        description=pack.description,
        license=pack.license,
        generator=GeneratorEntry(**vars(pack.made_for)),
        method=dict(pack.method),
        directions=[
            DirectionEntry(
                name=d.name,
                sigma=d.sigma,
                layers=(d.layers.start, d.layers.stop),
                range=d.amount_range,
                poles=d.poles,
                description=d.description,
                metrics=dict(d.metrics),
                model=None if d.model is None else describe_model(d.model),
            )
            for d in pack.directions
        ],
        files={n: FileEntry(sha256=hashlib.sha256(b).hexdigest(), size=len(b)) for n, b in sorted(files.items())},
    )


def _direction(
    index: int, entry: DirectionEntry, tensors: Mapping[str, Tensor], model: DirectionModel | None
) -> Direction:
    vector = tensors.get(str(index))
    if vector is None:
        raise PackFormatError(f"{VECTORS} has no vector {index} for direction {entry.name!r}")
    if not vector.is_floating_point():
        raise PackFormatError(f"vector of {entry.name!r} is {vector.dtype}; wanted float32")
    return Direction(
        name=entry.name,
        vector=vector,
        sigma=entry.sigma,
        layers=LayerRange(*entry.layers),
        amount_range=entry.range,
        poles=entry.poles,
        description=entry.description,
        metrics=entry.metrics,
        model=model,
    )


def _peek_version(data: bytes) -> int:
    """The format version a manifest claims, 0 when it is not readable that far (the full check then says why)."""
    match = re.search(rb'"format_version"\s*:\s*(\d{1,6})\b', data)
    return int(match[1]) if match else 0


def _read_listed(folder: Path, manifest: Manifest, names: tuple[str, ...]) -> dict[str, bytes]:
    contents = {}
    for name in names:
        if name not in manifest.files:
            continue
        entry = manifest.files[name]
        path = folder / name
        is_listed = not path.is_file() or path.stat().st_size == entry.size  # what is no file, read_plain refuses
        data = read_plain(path, MAX_BYTES.get(name, MAX_FILE_BYTES)) if is_listed else b""
        if not is_listed or len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise _not_listed(name, folder)
        contents[name] = data
    return contents


def _read_models(folder: Path, manifest: Manifest) -> dict[int, DirectionModel]:
    """Direction -> its model. The file is mapped, so it is hashed in pieces."""
    described = {i: entry.model for i, entry in enumerate(manifest.directions) if entry.model is not None}
    if bool(described) != (MODELS in manifest.files):
        raise PackFormatError(
            f"{MANIFEST} lists {MODELS}, and no direction that has a model"
            if MODELS in manifest.files
            else f"{MANIFEST} lists no {MODELS}, which holds the models of {len(described)} directions"
        )
    if not described:
        return {}
    path, entry = folder / MODELS, manifest.files[MODELS]
    if not is_that_file(path, entry.size, entry.sha256, MAX_MODEL_BYTES):
        raise _not_listed(MODELS, folder)
    return read_models(path, described)


def _not_listed(name: str, folder: Path) -> PackFormatError:
    return PackFormatError(f"{name} in {folder.name} is not the file that {MANIFEST} lists; download it again")


def _read_vectors(folder: Path, data: bytes) -> dict[str, Tensor]:
    """The tensors of VECTORS, whose bytes are `data`. Its header is checked before the library parses it."""
    from eigan.readers.safetensors import check_header

    try:
        check_header(folder / VECTORS)
        tensors: dict[str, Tensor] = load(data)
        return tensors
    except (CheckpointError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise PackFormatError(f"{VECTORS} cannot be read: {error}") from None


def _check_version(manifest: Manifest) -> None:
    """Raise PackFormatError unless the manifest holds what its version has, and no more."""
    version = manifest.format_version
    if not 1 <= version <= FORMAT_VERSION:
        raise PackFormatError(f"{MANIFEST} states pack format {version}; wanted 1 to {FORMAT_VERSION}")
    if version == 1 and (MODELS in manifest.files or any(entry.model for entry in manifest.directions)):
        raise PackFormatError(
            f"{MANIFEST} states pack format 1, which has no models; a pack with models is of format 2"
        )


def _check_texts(manifest: Manifest) -> None:
    """Raise PackFormatError on names that would steer a terminal; those of directions and presets check themselves."""
    made_for = manifest.generator
    for noun, text in (
        ("pack version", manifest.version),
        ("license", manifest.license),
        ("the generator's architecture", made_for.architecture),
        ("the generator's source", made_for.source),
        ("the generator's revision", made_for.revision),
    ):
        check_text(text, noun, MAX_TEXT, allow_empty=True)
