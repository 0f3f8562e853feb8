"""Small files from strangers, read whole: regular files only (no pipe is waited for, no device read), up to a limit."""

from __future__ import annotations

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
