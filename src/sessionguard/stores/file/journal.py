"""The journal of one shard: what was decided, durable before anyone sees it and whole before it is done.

Every operation is one entry: all that it changes, with a check sum. It counts from the moment at which the header
names it. From then on it is carried out: by whoever wrote it, or by the next one to take the lock if that
process died. Until that is done readers see it laid over the files, so that nobody ever sees half of it.

Only the entry is flushed to the disk before an operation is acknowledged. The files themselves are flushed when the
journal is begun anew, and a journal that is met after a restart of the machine is carried out from its beginning.
"""

import os
import secrets
import struct
import time
import zlib
from typing import Final

from attrs import evolve, frozen

from sessionguard import booting
from sessionguard.errors import StoreDataError
from sessionguard.stores.file.changeset import Change, Changes, pack, unpack

_HEADER: Final = struct.Struct("<8sQ16s16s8sQQ")
_CHECK: Final = struct.Struct("<I")
_SLOT: Final = 128
_ENTRY: Final = struct.Struct("<8sII")
_MAGIC: Final = b"sgfiles1"
START: Final = 2 * _SLOT
_TRIES: Final = 200

LIMIT_BYTES: Final = 128 * 1024
"""A journal longer than this is begun anew."""
_ROOM_BYTES: Final = 16 * 1024


@frozen
class Header:
    """Where a journal stands. Two equal headers mean that nothing was decided or carried out in between."""

    sequence: int
    """Grows with every header that is written."""
    boot: bytes
    """The run of the machine in which all before `applied` was carried out."""
    identity: bytes
    """Drawn when the journal was made: another one means other sessions."""
    epoch: bytes
    """Drawn when it was begun anew; entries of other epochs do not count."""
    tail: int
    applied: int

    @property
    def is_settled(self) -> bool:
        """Whether all that was decided is carried out."""
        return self.applied == self.tail and self.boot == booting.this_boot()


class OvertakenError(Exception):
    """The entries that a header names are not there.

    For a reader: the journal was begun anew since the header was read. For who holds the lock: it is damaged.
    """


def damaged() -> StoreDataError:
    """Give the error for a journal that does not hold what it must."""
    return StoreDataError("file", "read", "the journal of a shard is damaged; restore the folder from a backup")


def new_header() -> Header:
    """Give the header of a journal that is made now."""
    return Header(0, booting.this_boot(), secrets.token_bytes(16), secrets.token_bytes(8), START, START)


def read_header(descriptor: int) -> Header | None:
    """Give the header; None if none was ever written whole.

    Raises:
        StoreDataError: there must be one, and there is none.
    """
    for _ in range(_TRIES):
        text = os.pread(descriptor, START + 1, 0)
        found = [header for header in (_header_in(text, 0), _header_in(text, _SLOT)) if header is not None]
        if found:
            return max(found, key=_sequence_of)
        if len(text) <= START:
            return None
        # Both may be in the midst of being written, one after the other.
        time.sleep(0.0001)
    raise damaged()


def _header_in(text: bytes, at: int) -> Header | None:
    content, check = text[at : at + _HEADER.size], text[at + _HEADER.size : at + _HEADER.size + _CHECK.size]
    if len(check) < _CHECK.size or zlib.crc32(content) != _CHECK.unpack(check)[0]:
        return None
    magic, *fields = _HEADER.unpack(content)
    return Header(*fields) if magic == _MAGIC else None


def _sequence_of(header: Header) -> int:
    return header.sequence


def write_header(descriptor: int, header: Header) -> Header:
    """Make `header` what everyone sees from now on, and give it as it was written.

    The one before stays beside it, in case that this one is written by half.
    """
    header = evolve(header, sequence=header.sequence + 1)
    content = _HEADER.pack(
        _MAGIC, header.sequence, header.boot, header.identity, header.epoch, header.tail, header.applied
    )
    os.pwrite(descriptor, content + _CHECK.pack(zlib.crc32(content)), header.sequence % 2 * _SLOT)
    return header


def append(descriptor: int, header: Header, changes: Changes) -> Header:
    """Make an entry durable that nobody sees yet, and give the header that makes it count."""
    content = pack(changes)
    entry = _ENTRY.pack(header.epoch, len(content), _check(header.epoch, content)) + content
    end = header.tail + len(entry)
    size = os.fstat(descriptor).st_size
    if end > size:
        # Flushing bytes in a place that the disk has already is a fraction of the work of flushing a longer file.
        _write_all(descriptor, bytes(end - size + _ROOM_BYTES), size)
        os.fsync(descriptor)
    _write_all(descriptor, entry, header.tail)
    os.fdatasync(descriptor)
    return evolve(header, tail=end)


def _write_all(descriptor: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def decided(descriptor: int, header: Header) -> dict[str, Change]:
    """Give the changes that count and are not carried out yet, as far as this header tells.

    Raises:
        OvertakenError: the journal was begun anew since the header was read.
    """
    return _read(descriptor, header, header.applied, header.tail)[0]


def carried_out(descriptor: int, header: Header) -> dict[str, Change]:
    """Give the outcome of all entries that count.

    Raises:
        OvertakenError: not all of them are there.
    """
    return _read(descriptor, header, START, header.tail)[0]


def everything(descriptor: int, header: Header) -> tuple[dict[str, Change], int]:
    """Give the outcome of all entries, also of those that a header on the disk does not count, and where they end.

    For after a stop of the machine: the last header may have been lost with it, the last entries were durable.

    Raises:
        OvertakenError: not even all that this header counts are there.
    """
    changes, end = _read(descriptor, header, START, None)
    if end < header.tail:
        raise OvertakenError
    return changes, end


def give_back_room(descriptor: int) -> None:
    """Shorten a journal that was begun anew, if an entry made it much longer than usual."""
    if os.fstat(descriptor).st_size > 2 * LIMIT_BYTES:
        os.ftruncate(descriptor, LIMIT_BYTES)


def begun_anew(header: Header) -> Header:
    """Give the header of the same journal without entries."""
    return evolve(header, boot=booting.this_boot(), epoch=secrets.token_bytes(8), tail=START, applied=START)


def _read(descriptor: int, header: Header, at: int, end: int | None) -> tuple[dict[str, Change], int]:
    changes: dict[str, Change] = {}
    while end is None or at < end:
        head = os.pread(descriptor, _ENTRY.size, at)
        if len(head) < _ENTRY.size:
            break
        epoch, length, check = _ENTRY.unpack(head)
        if epoch != header.epoch:
            break
        content = os.pread(descriptor, length, at + _ENTRY.size)
        if len(content) < length or _check(epoch, content) != check:
            break
        changes.update(unpack(content))
        at += _ENTRY.size + length
    if end is not None and at != end:
        raise OvertakenError
    return changes, at


def _check(epoch: bytes, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(epoch))
