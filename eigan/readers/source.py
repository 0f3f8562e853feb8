"""A file read forwards within bounds: nothing is asked of it that it does not have."""

from __future__ import annotations

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
        if count > self.remaining:
            raise CheckpointError(
                f"the file ends at byte {self.stop:,}; {count - self.remaining:,} more are wanted at least; {CUT_SHORT}"
            )
        data = self.file.read(count)
        if len(data) != count:
            raise CheckpointError(f"the file became shorter while it was read; {CUT_SHORT}")
        self.position += count
        return data

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
