"""Files written as a whole: beside their place first, then swapped in, so that a full disk leaves what was there."""

from __future__ import annotations

import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """`data` as the file at `path`, replacing one that is there: all of it or nothing.

    Raises:
        OSError, ValueError: the place cannot be written (ValueError: it is no path at all, as one that holds a NUL).
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".draft-", delete=False) as draft:
        try:
            draft.write(data)
            draft.close()
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
