"""Checkpoint containers. READERS is the only place that lists them; files are known by content, never by name."""

from __future__ import annotations

import stat
from pathlib import Path

from eigan.errors import CheckpointError
from eigan.format import is_pack
from eigan.readers import nvidia, pretrained_biggan, safetensors, tensorflow, torch_file, unknown
from eigan.readers.base import RawCheckpoint, Reader

READERS: dict[str, Reader] = {
    "pretrained_biggan": Reader(
        pretrained_biggan.sniff, pretrained_biggan.read, "BigGAN-deep of Hugging Face (weights beside its config.json)"
    ),
    "safetensors": Reader(safetensors.sniff, safetensors.read, "safetensors (an eigan generator folder, or a file)"),
    "torch": Reader(torch_file.sniff, torch_file.read, "torch.save file (.pt, .pth, .bin; zip or older)"),
    "tensorflow": Reader(tensorflow.sniff, tensorflow.read, "TensorFlow-era StyleGAN pickle (G, D, Gs)"),
    "nvidia": Reader(nvidia.sniff, nvidia.read, "NVIDIA StyleGAN or projected-gan pickle"),
}
HEAD_BYTES = 512
LONE_SUFFIXES = (".safetensors", ".pkl", ".pt", ".pth", ".bin")

__all__ = ["READERS", "RawCheckpoint", "Reader", "read_checkpoint"]


def read_checkpoint(path: Path) -> RawCheckpoint:
    """The weights in a file or folder, by the first reader that knows it.

    Raises:
        CheckpointError: no reader knows it (the message says what it looks like), or the one that does cannot read it.
        UnsafeCheckpoint: it asks for more than weights need.
    """
    try:
        if path.is_dir() and find_reader(b"", path) is None:
            path = lone_file(path)
        head = b"" if path.is_dir() else read_head(path)
        reader = find_reader(head, path)
        if reader is None:
            tried = "; ".join(reader.describes for reader in READERS.values())
            raise CheckpointError(f"it is {unknown.describe(head, path)}. None of eigan's readers knows it: {tried}.")
        return reader.read(path)
    except CheckpointError as error:
        raise type(error)(f"{path.name}: {error}") from error.__cause__
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def find_reader(head: bytes, path: Path) -> Reader | None:
    """The first reader that knows the file or folder; None when none does."""
    return next((reader for reader in READERS.values() if reader.sniff(head, path)), None)


def lone_file(path: Path) -> Path:
    """The only checkpoint of a folder that no reader knows as a whole; the folder itself when it has none."""
    if is_pack(path):
        raise CheckpointError("it is a direction pack, not a generator; open the generator that its card names")
    found = sorted(p for p in path.iterdir() if p.suffix in LONE_SUFFIXES and p.is_file())
    if len(found) > 1:
        raise CheckpointError(f"it holds {len(found)} checkpoints; name one: {', '.join(p.name for p in found[:8])}")
    return found[0] if found else path


def read_head(path: Path) -> bytes:
    """The first bytes of a regular file; pipes and devices are refused, not waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise CheckpointError("it is not a regular file; a checkpoint is a file or a folder")
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
