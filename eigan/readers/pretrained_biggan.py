"""BigGAN-deep as Hugging Face keeps it: a config.json of nine settings beside pytorch_model.bin or model.safetensors.

Checked against pytorch-pretrained-BigGAN 1e18aed. The weights keep the file's names; a dialect folds their spectral
normalisation.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from eigan.errors import CheckpointError, PackFormatError
from eigan.generators.biggan_config import BigGANConfig
from eigan.readers import safetensors, torch_file
from eigan.readers.base import Hint, RawCheckpoint
from eigan.strict_json import parse_json

CONTAINER = "pretrained_biggan"
PICKLED = "pytorch_model.bin"
MARKS = {"z_dim", "channel_width", "attention_layer_position", "n_stats"}  # no other config.json has all four


def sniff(head: bytes, path: Path) -> bool:
    """Whether a BigGAN's config.json lies in the folder with its weights, or beside the file of weights."""
    if path.is_dir():
        return weights_in(path) is not None and is_config(path / safetensors.CONFIG)
    beside = path.with_name(safetensors.CONFIG)
    return is_config(beside) and (torch_file.sniff(head, path) or safetensors.sniff(head, path))


def read(path: Path) -> RawCheckpoint:
    """The weights as the file names them, and the settings of config.json as hints.

    Weights of another family that merely lie beside a BigGAN's config.json are handed on without it.

    Raises:
        UnsafeCheckpoint: a pickle that names or calls anything that weights do not need; nothing in it was run.
        CheckpointError: weights that cannot be read, or settings that no BigGAN-deep has.
    """
    weights_path = (weights_in(path) if path.is_dir() else None) or path
    raw = read_weights(weights_path)
    if not any(name.startswith("generator.gen_z.") for name in raw.weights):
        return raw
    return replace(raw, hints=hints_of(read_config(weights_path.with_name(safetensors.CONFIG))), container=CONTAINER)


def weights_in(folder: Path) -> Path | None:
    """The folder's weights under the names that the Hub's libraries give them; safetensors first."""
    found = (folder / name for name in (safetensors.WEIGHTS, PICKLED))
    return next((path for path in found if path.is_file()), None)


def read_weights(path: Path) -> RawCheckpoint:
    with path.open("rb") as file:
        head = file.read(torch_file.LEGACY_HEAD)
    if not safetensors.sniff(head, path):
        return torch_file.read(path)
    safetensors.check_header(path)
    return RawCheckpoint(safetensors.read_weights(path), {}, safetensors.CONTAINER, source={"file": path.name})


def is_config(path: Path) -> bool:
    """Whether this is a BigGAN's config.json, however wrong its values."""
    if not path.is_file():
        return False
    try:
        return read_config(path).keys() >= MARKS
    except CheckpointError:
        return False


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, its values unchecked. Raises CheckpointError."""
    if path.stat().st_size > safetensors.MAX_CONFIG_BYTES:
        raise CheckpointError(f"{path.name} is too large; at most {safetensors.MAX_CONFIG_BYTES:,} bytes are read")
    try:
        value = parse_json(path.read_bytes(), path.name, safetensors.MAX_CONFIG_BYTES)
    except PackFormatError as error:
        raise CheckpointError(str(error)) from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path.name} is not a table of settings")
    return value


def hints_of(config: dict[str, Any]) -> dict[str, Hint]:
    """The settings by name, checked, and every block of `layers` by its number ("layers.3")."""
    settings = BigGANConfig.from_json(config).to_json()
    blocks: dict[str, Hint] = {f"layers.{j}": tuple(block) for j, block in enumerate(settings.pop("layers"))}
    return {**settings, **blocks}
