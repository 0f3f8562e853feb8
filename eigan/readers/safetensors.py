"""safetensors: generator folders (any one file of weights + eigan's config.json), and bare files of weights.

The header is checked here before the library is called: lengths, duplicate keys, overlaps, holes, dtypes and counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from eigan.errors import CheckpointError, PackFormatError
from eigan.format import stated_format, write_folder
from eigan.generators.base import Generator
from eigan.readers.base import RawCheckpoint
from eigan.readers.source import CUT_SHORT, DAMAGED
from eigan.readers.unpickler import printable
from eigan.strict_json import StrictModel, dump_json, parse_json, parse_model

CONTAINER = "safetensors"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FORMAT = "eigan-generator"
FORMAT_VERSION = 1
"""To change the format: read the old version too, raise this number, freeze a folder of the old version under
tests/data/generators/v<old>, and say in CHANGELOG.md what changed. A field that only adds is optional, without that."""

ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
SAMPLES = "previews/samples.webp"
EXTRAS = ("README.md", "LICENSE", SAMPLES)  # what else may stand in a generator folder
PRECISIONS = {"fp16": torch.float16, "fp32": torch.float32}
MAX_HEADER_BYTES = 4 * 2**20
MAX_CONFIG_BYTES = 2**20
MAX_TENSORS = 16384
MAX_DIMS = 8
MAX_SIZE = 2**31
MAX_NAME = 200


class GeneratorConfig(StrictModel):
    """config.json of a generator folder."""

    format: Literal["eigan-generator"]
    format_version: int
    architecture: Annotated[str, Field(max_length=80)]
    config: dict[str, Any]
    fingerprint: Annotated[str, Field(pattern=r"^(?:[0-9a-f]{64})?$")] = ""
    license: Annotated[str, Field(max_length=80)] = ""
    description: Annotated[str, Field(max_length=2000)] = ""
    source: Annotated[dict[str, Any], Field(max_length=64, default_factory=dict)]


@dataclass(frozen=True)
class Entry:
    """One tensor of the header, checked."""

    name: str
    start: int
    stop: int


def sniff(head: bytes, path: Path) -> bool:
    """Whether this is a folder with model.safetensors, or a file that begins with a safetensors header."""
    if path.is_dir():
        return (path / WEIGHTS).is_file()
    pickled = head[:1] == b"\x80" and head[2:8] != bytes(6)
    return head[8:9] == b"{" and not pickled


def read(path: Path) -> RawCheckpoint:
    """The weights of a folder or file, float32, mapped from the file where they are float32 already.

    Raises:
        CheckpointError: a header that does not describe the file, or dtypes, counts and sizes no generator has.
    """
    weights_path = path / WEIGHTS if path.is_dir() else path
    check_header(weights_path)
    weights = read_weights(weights_path)
    config = config_beside(weights_path)
    if config is None:
        return RawCheckpoint(weights, {}, CONTAINER, source={"file": weights_path.name})
    return RawCheckpoint(
        weights,
        {},
        CONTAINER,
        license=config.license,
        source=config.source,
        architecture=config.architecture,
        config=config.config,
        fingerprint=config.fingerprint,
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file whose header was checked."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: _owned(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"safetensors cannot read it: {printable(str(error), 200)}") from None


def _owned(tensor: Tensor) -> Tensor:
    aligned = tensor.data_ptr() % tensor.element_size() == 0
    return (tensor if aligned else tensor.clone()).float()


def check_header(path: Path) -> list[Entry]:
    """The header's tensors in file order. Raises CheckpointError unless they fill the file exactly, once."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 10 or length > size - 8:
            raise CheckpointError(f"the file has {size:,} bytes, its header alone claims {length:,}; {CUT_SHORT}")
        if length > MAX_HEADER_BYTES:
            raise CheckpointError(f"the header has {length:,} bytes; at most {MAX_HEADER_BYTES:,} are read")
        header = file.read(length)
    try:
        listed = parse_json(header, "the header", MAX_HEADER_BYTES)
    except PackFormatError as error:
        raise CheckpointError(str(error)) from None
    if not isinstance(listed, dict):
        raise CheckpointError(f"the header is not a table of tensors; {DAMAGED}")
    listed.pop("__metadata__", None)
    if not 1 <= len(listed) <= MAX_TENSORS:
        raise CheckpointError(f"the header lists {len(listed):,} tensors; wanted 1 to {MAX_TENSORS:,}")
    entries = sorted((_entry(name, value) for name, value in listed.items()), key=lambda e: (e.start, e.stop))
    edges = [Entry("the start of the data", 0, 0), *entries, Entry("the end of the file", size - 8 - length, 0)]
    for before, after in pairwise(edges):
        if after.start != before.stop:
            what = "overlap" if after.start < before.stop else "leave a gap"
            hint = CUT_SHORT if after is edges[-1] else DAMAGED
            raise CheckpointError(f"{before.name} and {after.name} {what} at byte {before.stop:,}; {hint}")
    return entries


def _entry(name: str, value: object) -> Entry:
    shown = printable(name)
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise CheckpointError(f"the header names a tensor {shown!r}; names have 1 to {MAX_NAME} printable characters")
    match value:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(stop)], **more} if not more:
            pass
        case _:
            raise CheckpointError(f"the header describes {shown} with other fields than dtype, shape and data_offsets")
    if dtype not in ITEM_BYTES:
        raise CheckpointError(f"{shown} has dtype {printable(dtype, 20)}; weights are read as {', '.join(ITEM_BYTES)}")
    if len(shape) > MAX_DIMS or not all(type(n) is int and 0 <= n < MAX_SIZE for n in shape):
        raise CheckpointError(
            f"{shown} has {len(shape)} sizes; wanted at most {MAX_DIMS}, each from 0 to {MAX_SIZE - 1:,}"
        )
    wanted = math.prod(shape) * ITEM_BYTES[dtype]
    if type(start) is not int or type(stop) is not int or not 0 <= start <= stop or stop - start != wanted:
        raise CheckpointError(f"{shown} of shape {shape} takes {wanted:,} bytes; the header gives it [{start}, {stop}]")
    return Entry(shown, start, stop)


def config_beside(weights: Path) -> GeneratorConfig | None:
    """The config.json that describes `weights`; None when there is none. Beside a file of another name than
    model.safetensors a config.json that is not eigan's belongs to something else.
    """
    path = weights.with_name(CONFIG)
    if not path.is_file() or (weights.name != WEIGHTS and stated_format(path) != FORMAT):
        return None
    return read_config(path)


def read_config(path: Path) -> GeneratorConfig:
    """The checked config.json. Raises CheckpointError."""
    size = path.stat().st_size
    if size > MAX_CONFIG_BYTES:
        raise CheckpointError(f"{path.name} has {size:,} bytes; at most {MAX_CONFIG_BYTES:,} are read")
    data = path.read_bytes()
    try:
        value = parse_json(data, CONFIG, MAX_CONFIG_BYTES)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise CheckpointError(f'{path.name} does not say "format": "{FORMAT}"; this is not an eigan generator')
        version = value.get("format_version")
        if type(version) is int and version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path.name} is of format {version}; this eigan reads up to {FORMAT_VERSION}. Upgrade eigan."
            )
        return parse_model(GeneratorConfig, data, CONFIG, MAX_CONFIG_BYTES)
    except PackFormatError as error:
        raise CheckpointError(str(error)) from None


def save_generator(
    generator: Generator,
    folder: str | Path,
    *,
    dtype: Literal["fp16", "fp32"] = "fp16",
    license: str = "",
    source: Mapping[str, Any] | None = None,
    description: str = "",
    extras: Mapping[str, bytes] | None = None,
) -> None:
    """Write `generator` as model.safetensors + config.json: both or nothing; the same generator gives the same bytes.

    fp16 halves the file and keeps the fingerprint; pictures differ by rounding. `source` says where the weights came
    from (JSON-ready). `extras`: those of EXTRAS to go with it. An eigan generator already in `folder` is replaced; its
    own extras stay where none is given.

    Raises:
        CheckpointError: `folder` holds something else, or a weight is too large for fp16.
        OSError: the disk is full or not writable; `folder` is as it was.
    """
    if dtype not in PRECISIONS:
        raise CheckpointError(f"unknown dtype {dtype!r}; known: {', '.join(PRECISIONS)}")
    if unknown := sorted(set(extras or {}) - set(EXTRAS)):
        raise CheckpointError(f"a generator folder has no file {unknown[0]!r}; known: {', '.join(EXTRAS)}")
    weights = {name: t.detach().to("cpu", PRECISIONS[dtype]).contiguous() for name, t in generator.weights().items()}
    overflown = next((name for name, t in weights.items() if not bool(t.isfinite().all())), None)
    if overflown is not None:
        raise CheckpointError(f'{overflown} holds values that {dtype} cannot; save with dtype="fp32"')
    config = GeneratorConfig(
        format="eigan-generator",
        format_version=FORMAT_VERSION,
        architecture=generator.architecture,
        config=generator.config(),
        fingerprint=generator.fingerprint,
        license=license,
        description=description,
        source=dict(source or {}),
    )
    kept = {name: (path / name).read_bytes() for name in EXTRAS if ((path := Path(folder)) / name).is_file()}
    files = {WEIGHTS: save(weights, metadata={"format": "pt"}), CONFIG: dump_json(config.model_dump())}
    files |= kept | dict(extras or {})
    try:
        write_folder(Path(folder), files, replaceable=is_generator_folder)
    except PackFormatError as error:
        raise CheckpointError(str(error)) from None


def is_generator_folder(folder: Path) -> bool:
    """Whether `folder` holds an eigan generator and nothing else."""
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()} - set(EXTRAS)
    if names != {WEIGHTS, CONFIG}:
        return False
    try:
        read_config(folder / CONFIG)
    except CheckpointError:
        return False
    return True
