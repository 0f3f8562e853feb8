"""A file read forwards within bounds: nothing is asked of it that it does not have."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from eigan.errors import CheckpointError

HEAD_BYTES = 1024
CUT_SHORT = "the download was probably cut short; download it again"
DAMAGED = "the checkpoint is damaged; download it again"


class Source:
    """Bytes [start, stop) of an open file, read forwards; a short file is told where it ends."""

    def __init__(self, file: BinaryIO, start: int, stop: int):
        self.file, self.position, self.stop = file, start, stop
        file.seek(start)

    @property
    def remaining(self) -> int:
        return self.stop - self.position

    def take(self, count: int) -> bytes:
        if count > self.stop - self.position:
            raise CheckpointError(
                f"the file ends at byte {self.stop:,}; {count - self.remaining:,} more are wanted at least; {CUT_SHORT}"
            )
        data = self.file.read(count)
        if len(data) != count:
            raise CheckpointError(f"the file became shorter while it was read; {CUT_SHORT}")
        self.position += count
        return data

    def byte(self) -> int:
        """The next one; what an opcode costs to read is most of what a pickle costs."""
        if self.position >= self.stop or not (data := self.file.read(1)):
            data = self.take(1)  # says what is wrong
        self.position += 1
        return data[0]

    def number(self, count: int) -> int:
        """Unsigned little-endian."""
        return int.from_bytes(self.take(count), "little")

    def line(self, limit: int) -> bytes:
        data = self.file.readline(min(limit, self.remaining) + 1)
        self.position += len(data)
        if not data.endswith(b"\n") or self.position > self.stop:
            raise CheckpointError(
                f"the pickle's line at byte {self.position - len(data):,} has no end within {limit:,} bytes"
                if len(data) > limit
                else f"the file ends at byte {self.stop:,}, in the middle of a line; {CUT_SHORT}"
            )
        return data[:-1]

    def skip(self, count: int) -> tuple[int, bytes]:
        """Pass over `count` bytes: where they start, and the first of them."""
        if count > self.remaining:
            self.take(count)
        start, head = self.position, self.take(min(count, HEAD_BYTES))
        self.position = start + count
        self.file.seek(self.position)
        return start, head


class LastingFile:
    """A file for reading that may still be read after it was closed: it is then opened anew for every read.

    Raises:
        CheckpointError: the file is another one, or was changed, when it is opened anew.
    """

    def __init__(self, path: Path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError("it is not a regular file")
        self.path, self.file, self.place = path, path.open("rb"), 0
        self.identity = identity(self.file)

    def __enter__(self) -> LastingFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def fileno(self) -> int:
        return self.file.fileno()

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, place: int, whence: int = 0) -> int:
        self.place = place
        return place if self.file.closed else self.file.seek(place, whence)

    def read(self, count: int = -1) -> bytes:
        if not self.file.closed:
            return self.file.read(count)
        data = bytearray(count)
        return bytes(data[: self.readinto(memoryview(data))])

    def readline(self, limit: int = -1) -> bytes:
        return self.file.readline(limit)

    def readinto(self, target: memoryview) -> int:
        if not self.file.closed:
            return self.file.readinto(target)
        try:
            with self.path.open("rb") as file:
                if identity(file) != self.identity:
                    raise CheckpointError(f"{self.path.name} was changed since it was opened; open it again")
                file.seek(self.place)
                return file.readinto(target)
        except OSError as error:
            raise CheckpointError(f"{self.path.name} cannot be read again: {error.strerror or error}") from error


def identity(file: BufferedReader) -> tuple[int, ...]:
    seen = os.fstat(file.fileno())
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns
