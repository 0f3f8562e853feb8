"""What a file that no reader takes looks like, in words a person can act on."""

from __future__ import annotations

import codecs
from pathlib import Path

from eigan.errors import CheckpointError, list_names
from eigan.readers.archive import SIGNATURE, Archive
from eigan.readers.unpickler import printable

NAMES = 6  # as many are listed
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (
        0,
        b"version https://git-lfs",
        "a git-lfs pointer, not the file itself: run `git lfs pull`, or download it from the web page",
    ),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x1f\x8b", "gzip-compressed data: unpack it first"),
    (0, b"BZh", "bzip2-compressed data: unpack it first"),
    (0, b"\xfd7zXZ", "xz-compressed data: unpack it first"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (0, b"Rar!", "a RAR archive: unpack it first"),
    (257, b"ustar", "a tar archive: unpack it first (PyTorch files of 2016 are such too, and not read)"),
    (0, b"\x93NUMPY", "a NumPy array; if it is a direction, `hub-export import` takes it"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GGUF", "a GGUF model"),
)
HTML = "an HTML page: the download gave a web page (a sign-in or error page?) in place of the file"


def describe(head: bytes, path: Path) -> str:
    """What a file or folder looks like. `head`: its first 512 bytes, or fewer when it has no more."""
    if path.is_dir():
        names = list_names((printable(p.name) for p in sorted(path.iterdir())), NAMES)
        return f"a folder with {names}" if names else "an empty folder"
    if not head:
        return "an empty file: download it again"
    if head.startswith(SIGNATURE):
        return describe_zip(path)
    for offset, signature, words in SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return words
    if any(tag in head.lower() for tag in (b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return HTML
    if not any(head):
        return "nothing but zeros: the download or the disk failed; download it again"
    if is_text(head):
        return f'text that begins "{printable(head.decode("utf-8", "ignore"), 40)}"'
    return f"binary data of no known kind, beginning {head[:8].hex(' ')}"


def describe_zip(path: Path) -> str:
    """A zip archive by its members' names; nothing is unpacked."""
    try:
        with path.open("rb") as file:
            names = list(Archive(file).infos)
    except CheckpointError as error:
        return f"a zip archive that cannot be read: {error}"
    listed = list_names((printable(name) for name in names), NAMES)
    if all(name.endswith(".npy") for name in names):
        return f"a NumPy archive of {listed}; if they are directions, `hub-export import` takes it"
    return f"a zip archive of {listed}, which torch.save did not write: unpack it first"


def is_text(head: bytes) -> bool:
    """Whether `head` is UTF-8 without control characters (a character cut at the end is allowed)."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(ch.isprintable() or ch in "\t\r\n" for ch in text)
