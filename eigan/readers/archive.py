"""Zip archives as torch.save and numpy write them: members are looked up and read in place, nothing is unpacked.

Python's zipfile reads the directory, after its size was checked; members are then read at their own place in the file,
straight into the memory that wants them, and their CRC is checked.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from eigan.errors import CheckpointError
from eigan.readers.source import CUT_SHORT, DAMAGED
from eigan.readers.stored import LongBytes, fill
from eigan.readers.unpickler import printable

SIGNATURE = b"PK\x03\x04"
ENTRY = b"PK\x01\x02"
END, END_BYTES = b"PK\x05\x06", 22
LOCATOR64, LOCATOR64_BYTES = b"PK\x06\x07", 20
END64, END64_BYTES = b"PK\x06\x06", 56
LOCAL_BYTES = 30
ENCRYPTED = 0x1
UTF8_NAME = 0x800
MAX_MEMBERS = 20_000  # a training snapshot with all its optimizers has a quarter of that
MAX_DIRECTORY = 8 * 2**20
MAX_NAME = 512
CHUNK = 2**20


class Archive:
    """The members of a zip file, by name.

    Raises:
        CheckpointError: cut short, damaged, or with members that no checkpoint has (encrypted, duplicate, "../x").
    """

    def __init__(self, file: BinaryIO):
        self.file, self.bytes = file, os.fstat(file.fileno()).st_size
        self.stop: int = check_directory(file, self.bytes)  # members end here, the directory begins
        try:
            listed = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError) as error:
            kind = type(error).__name__
            raise CheckpointError(f"the zip archive's directory cannot be read ({kind}); {DAMAGED}") from error
        self.infos = {info.filename: info for info in listed}
        if len(self.infos) != len(listed):
            raise CheckpointError("the zip archive names a member twice; no genuine checkpoint does")
        for info in listed:
            check_member(info)
        self.checked: set[str] = set()

    def member(self, name: str) -> Member | None:
        """The stored bytes called `name`, unread; None when there are none. Raises CheckpointError if compressed."""
        info = self.infos.get(name)
        if info is None:
            return None
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise CheckpointError(
                f"{printable(name)} is compressed ({info.compress_size:,} bytes for {info.file_size:,}); torch.save "
                "never compresses, and eigan does not unpack it. Save the checkpoint again with torch.save."
            )
        if info.header_offset + LOCAL_BYTES + info.file_size > self.stop:
            raise CheckpointError(
                f"{printable(name)} claims {info.file_size:,} bytes; the file has {self.bytes:,} in all; {DAMAGED}"
            )
        return Member(self.file, info.header_offset, info.file_size, b"", archive=self, info=info)

    def read(self, name: str, limit: int) -> bytes:
        """A small member as a whole."""
        member = self.member(name)
        if member is None:
            raise CheckpointError(f"the zip archive has no {printable(name)}; {DAMAGED}")
        if member.length > limit:
            raise CheckpointError(f"{printable(name)} has {member.length:,} bytes; wanted at most {limit:,}")
        data = bytearray(member.length)
        member.read_into(memoryview(data), 0)
        return bytes(data)


@dataclass(frozen=True, eq=False)
class Member(LongBytes):
    """A stored member; `offset` is where its local header lies. What is read of it is checked against its CRC."""

    archive: Archive = field(kw_only=True, repr=False)
    info: zipfile.ZipInfo = field(kw_only=True, repr=False)

    def read_into(self, target: memoryview, start: int) -> None:
        begin = self.begin()
        fill(target, self.file, begin + start)
        if self.info.filename in self.archive.checked:
            return
        found = zlib.crc32(target) if len(target) == self.length else self.crc_of_all(begin)
        if found != self.info.CRC and self.info.CRC != 0:  # 0: torch.serialization.set_crc32_options(False)
            raise CheckpointError(f"the bytes of {printable(self.info.filename)} do not match their CRC; {DAMAGED}")
        self.archive.checked.add(self.info.filename)

    def crc_of_all(self, begin: int) -> int:
        crc, chunk = 0, memoryview(bytearray(min(CHUNK, self.length)))
        for place in range(0, self.length, CHUNK):
            part = chunk[: min(CHUNK, self.length - place)]
            fill(part, self.file, begin + place)
            crc = zlib.crc32(part, crc)
        return crc

    def begin(self) -> int:
        """Where the bytes lie: after a local header that says the same as the directory."""
        info, header = self.info, bytearray(LOCAL_BYTES)
        fill(memoryview(header), self.file, self.offset)
        flags, method = unpack("<HH", header, 6)
        name_bytes, extra_bytes = unpack("<HH", header, 26)
        name = info.filename.encode("utf-8" if info.flag_bits & UTF8_NAME else "cp437")
        begin = self.offset + LOCAL_BYTES + name_bytes + extra_bytes
        if header[:4] != SIGNATURE or name_bytes != len(name) or begin + self.length > self.archive.stop:
            raise CheckpointError(f"{printable(info.filename)} is not where the directory says; {DAMAGED}")
        local_name = bytearray(name_bytes)
        fill(memoryview(local_name), self.file, self.offset + LOCAL_BYTES)
        if local_name != name or method != zipfile.ZIP_STORED or flags & ENCRYPTED:
            raise CheckpointError(f"{printable(info.filename)} and the directory contradict each other; {DAMAGED}")
        return begin


def check_directory(file: BinaryIO, size: int) -> int:
    """Where the directory begins, from the last bytes of the file; its size and count are within limits."""
    file.seek(max(0, size - END_BYTES - LOCATOR64_BYTES - END64_BYTES))
    tail = file.read(END_BYTES + LOCATOR64_BYTES + END64_BYTES)
    end = tail[-END_BYTES:]
    if len(end) < END_BYTES or end[:4] != END or end[-2:] != b"\0\0":
        raise CheckpointError(f"the zip archive has no directory at its end; {CUT_SHORT}")
    count, length, offset = unpack("<HII", end, 10)
    stop = size - END_BYTES
    if tail[-END_BYTES - LOCATOR64_BYTES :][:4] == LOCATOR64:
        wide = tail[: -END_BYTES - LOCATOR64_BYTES]
        if len(wide) < END64_BYTES or wide[:4] != END64:
            raise CheckpointError(f"the zip archive's 64-bit directory is not where it should be; {DAMAGED}")
        count, length, offset = unpack("<QQQ", wide, 32)
        stop -= LOCATOR64_BYTES + END64_BYTES
    if count > MAX_MEMBERS or length > MAX_DIRECTORY:
        raise CheckpointError(
            f"the zip archive lists {count:,} members in {length:,} bytes; wanted at most {MAX_MEMBERS:,} in "
            f"{MAX_DIRECTORY:,}; no checkpoint has as many"
        )
    if offset + length != stop:
        raise CheckpointError(f"the zip archive's directory is not where its end says; {DAMAGED}")
    file.seek(offset)
    if file.read(length).count(ENTRY) > MAX_MEMBERS:
        raise CheckpointError(f"the zip archive lists more members than the {count:,} that it states; {DAMAGED}")
    return offset


def unpack(form: str, data: bytes | bytearray, place: int) -> tuple[int, ...]:
    return struct.unpack_from(form, data, place)


def check_member(info: zipfile.ZipInfo) -> None:
    """Refuse names that lead elsewhere, and encryption."""
    name = info.orig_filename
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != info.filename:
        raise CheckpointError(f"the zip archive has a member named {printable(name)!r}; no genuine checkpoint does")
    if name.startswith("/") or "\\" in name or ":" in name[:2] or ".." in name.split("/"):
        raise CheckpointError(
            f"the zip archive has a member named {printable(name)!r}, outside itself; no genuine checkpoint does; "
            "nothing was unpacked"
        )
    if info.flag_bits & ENCRYPTED:
        raise CheckpointError(f"{printable(name)} is encrypted; save the checkpoint without a password")
