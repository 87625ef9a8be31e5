"""Zip archives made by hand, so that they can say what is not true."""

import struct
import zlib
from collections.abc import Iterable

from attrs import frozen

DEFLATE = 8
STORE = 0
FILE = 0o100644 << 16


@frozen(kw_only=True)
class Member:
    """One entry; what is None is what an honest archive says."""

    name: bytes = b"a"
    data: bytes = b"content"
    method: int = DEFLATE
    flags: int = 0x800
    attributes: int = FILE
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    extra: bytes = b""
    volume: int = 0
    offset: int | None = None
    """Where the directory says that it lies."""
    local_name: bytes | None = None
    local_method: int | None = None
    local_extra: bytes = b""

    @property
    def packed(self) -> bytes:
        """The data as it lies in the archive."""
        if self.method != DEFLATE:
            return self.data
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.data) + packer.flush()

    @property
    def sizes(self) -> bytes:
        """CRC, packed size and size."""
        packed = self.packed
        return struct.pack(
            "<LLL",
            zlib.crc32(self.data) if self.crc is None else self.crc,
            len(packed) if self.packed_size is None else self.packed_size,
            len(self.data) if self.size is None else self.size,
        )

    @property
    def local(self) -> bytes:
        """Its own record and its data."""
        name = self.name if self.local_name is None else self.local_name
        method = self.method if self.local_method is None else self.local_method
        start = struct.pack("<4s5H", b"PK\3\4", 20, self.flags, method, 0, 0x21)
        return start + self.sizes + struct.pack("<2H", len(name), len(self.local_extra)) + name + self.local_extra

    def record(self, offset: int) -> bytes:
        """Its record in the directory."""
        start = struct.pack("<4s6H", b"PK\1\2", 0x0314, 20, self.flags, self.method, 0, 0x21)
        rest = struct.pack("<5H2L", len(self.name), len(self.extra), 0, self.volume, 0, self.attributes, offset)
        return start + self.sizes + rest + self.name + self.extra


def directory_of(members: Iterable[Member]) -> tuple[bytes, bytes]:
    """Give the files of an archive and its directory."""
    files, directory = b"", b""
    for member in members:
        directory += member.record(len(files) if member.offset is None else member.offset)
        files += member.local + member.packed
    return files, directory


def end_of(count: int, size: int, start: int, comment: bytes = b"", *, disk: int = 0) -> bytes:
    """Give the end of an archive."""
    return struct.pack("<4s4H2LH", b"PK\5\6", disk, disk, count, count, size, start, len(comment)) + comment


def end64_of(count: int, size: int, start: int, *, pointer: int | None = None) -> bytes:
    """Give the end of a large archive."""
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    end += struct.pack("<4sLQL", b"PK\6\7", 0, start + size if pointer is None else pointer, 1)
    return end + end_of(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def zip_of(*members: Member, before: bytes = b"", after: bytes = b"", count: int | None = None) -> bytes:
    """Give an archive."""
    files, directory = directory_of(members)
    number = len(members) if count is None else count
    return before + files + directory + end_of(number, len(directory), len(files)) + after
