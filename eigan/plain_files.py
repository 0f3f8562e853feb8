"""Small files from strangers, read whole: regular files only (no pipe is waited for, no device read), up to a limit."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from eigan.errors import PackFormatError


def read_plain(path: Path, max_bytes: int) -> bytes:
    """The bytes of the regular file at `path`.

    Raises:
        PackFormatError: missing, no regular file, larger than `max_bytes`, unreadable, or changed meanwhile.
    """
    try:
        size = plain_size(path, max_bytes)
        with path.open("rb") as file:
            data = file.read(size + 1)
    except FileNotFoundError:
        raise PackFormatError(f"{path.name} cannot be read: it is missing from {path.parent}") from None
    except (OSError, ValueError) as error:  # ValueError: no path at all, as one that holds a NUL
        reason = getattr(error, "strerror", None) or error
        raise PackFormatError(f"{path.name} cannot be read: {reason}") from None
    if len(data) != size:
        raise PackFormatError(f"{path.name} was changed while it was read; try again")
    return data


def expanded(path: str | Path) -> Path:
    """`path` with its "~" replaced; as it is when there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def plain_size(path: Path, max_bytes: int) -> int:
    """Size of the regular file at `path`. Raises PackFormatError when it is none or too large, OSError when missing."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise PackFormatError(f"{path.name} is not a regular file; give one that was downloaded or saved")
    if found.st_size > max_bytes:
        raise PackFormatError(f"{path.name} has {found.st_size:,} bytes; at most {max_bytes:,} are read")
    return found.st_size


def file_digest(path: Path) -> str:
    """sha256 of the file, read in pieces. Raises OSError."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            found.update(piece)
    return found.hexdigest()


def is_that_file(path: Path, size: int, sha256: str, max_bytes: int) -> bool:
    """Whether the regular file at `path` has that size and hash; it is never in memory as a whole.

    Raises:
        PackFormatError: missing, no regular file, larger than `max_bytes`, or unreadable.
    """
    try:
        return plain_size(path, max_bytes) == size and file_digest(path) == sha256
    except OSError as error:
        raise PackFormatError(f"{path.name} of {path.parent} cannot be read: {error.strerror or error}") from None
