"""Judge a zip archive by what it says about itself, before a byte of it is unpacked.

`zipfile` reads the directory of an archive whole, whatever its size, and judges nothing. Here its size and its number
of entries are looked at first, so a directory with a million entries costs what its last bytes cost. Then each entry is
judged by its record, and by where it lies: entries that share bytes are how 10 MB become 281 TB (D. Fifield, "A better
zip bomb", USENIX WOOT 2019). The format: PKWARE APPNOTE.TXT 6.3.10.
"""

import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from attrs import frozen

from sessionguard.errors import ArchiveRefusedError, PathEscapeError
from sessionguard.workspaces.limits import ArchiveLimits
from sessionguard.workspaces.names import NamesTogether, parse_name

_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT: Final = 0xFFFF

# More than any honest name with its times and comment takes, on average over the entries.
_DIRECTORY_BYTES_PER_ENTRY: Final = 1024
# Below this a file is not judged by its own ratio: a short table of zeros is no bomb, and many are judged together.
_SMALL_BYTES: Final = 1024 * 1024
# Times, owners, sizes and a name in another coding take a few hundred. zipfile takes time by the square of them.
_EXTRA_BYTES: Final = 4096

_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_PATCH: Final = 0x20
_UTF_8: Final = 0x800
_WINDOWS_DIRECTORY: Final = 0x10
_WINDOWS_LINK: Final = 0x400
_UNICODE_PATH: Final = 0x7075


@frozen
class Entry:
    """One file of an archive that may be unpacked."""

    parts: tuple[str, ...]
    """Its name in the workspace."""
    info: ZipInfo

    @property
    def name(self) -> str:
        """Its name in the workspace as text."""
        return "/".join(self.parts)


class Judge:
    """Judges one archive for one workspace."""

    def __init__(self, session_id: str, limits: ArchiveLimits, into: tuple[str, ...]) -> None:
        self._session_id = session_id
        self._limits = limits
        self._into = into

    def check_size(self, file: IO[bytes]) -> None:
        """Return if the directory of the archive is whole and small enough to be read; reads little more than it.

        Raises:
            ArchiveRefusedError: it is not.
        """
        count, start, size = self._find_directory(file)
        if count > self._limits.files:
            raise self.refused(
                f"it has {count} entries, at most {self._limits.files} are allowed (ArchiveLimits.files)"
            )
        if size > (self._limits.files + 1) * _DIRECTORY_BYTES_PER_ENTRY:
            raise self.refused(f"its directory takes {size} bytes, more than {self._limits.files} entries need")
        file.seek(start)
        lengths = list(_extra_lengths(file.read(size)))
        if len(lengths) != count or None in lengths:
            raise self.refused(f"its directory does not hold the {count} entries that its end tells")
        longest = max((length for length in lengths if length), default=0)
        if longest > _EXTRA_BYTES:
            raise self.refused(f"an entry has {longest} bytes of extra fields, at most {_EXTRA_BYTES} are allowed")

    def entries(self, archive: ZipFile, file: IO[bytes]) -> list[Entry]:
        """Give the files of an archive, in its order.

        Raises:
            ArchiveRefusedError: one of them, or all together, cannot be accepted.
        """
        infos = archive.infolist()
        names, found = NamesTogether(self._session_id), []
        for info in infos:
            shown = _name_of(info)
            self._check_kind(info, is_directory=_is_directory(shown))
            parts = self._parts(shown, names)
            if not _is_directory(shown):
                found.append(Entry(parts, info))
        self._check_amount(infos)
        self._check_places(infos, file, archive.start_dir)
        return found

    def refused(self, problem: str, entry: str | None = None) -> ArchiveRefusedError:
        """Give the error that says why."""
        return ArchiveRefusedError(self._session_id, entry, problem)

    def _find_directory(self, file: IO[bytes]) -> tuple[int, int, int]:
        """Give the number of entries, and where the directory begins and how long it is.

        Exactly where zipfile looks, and nowhere else: an archive with two ends would be judged by one and read by the
        other.
        """
        size = file.seek(0, 2)
        tail_at = max(size - _END.size - _LONGEST_COMMENT, 0)
        file.seek(tail_at)
        tail = file.read(_END.size + _LONGEST_COMMENT)
        found = tail.rfind(b"PK\5\6")
        if found < 0 or len(tail) - found < _END.size:
            raise self.refused("it is not a zip archive, or its end is missing")
        _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, found)
        if found + _END.size + comment != len(tail):
            raise self.refused("something follows its end")
        end_at, disks = tail_at + found, [disk, first_disk]
        if end_at >= _LOCATOR.size + _END64.size:
            file.seek(end_at - _LOCATOR.size - _END64.size)
            large = file.read(_END64.size + _LOCATOR.size)
            if large[_END64.size :].startswith(b"PK\6\7"):
                end_at -= _LOCATOR.size + _END64.size
                _, _, pointer, _ = _LOCATOR.unpack_from(large, _END64.size)
                signature, _, _, _, *disks, here, count, length, start = _END64.unpack_from(large)
                if signature != b"PK\6\6" or pointer != end_at:
                    raise self.refused("its zip64 end is not where it belongs")
        if any(disks) or here != count:
            raise self.refused("it is a part of an archive of several volumes")
        if start + length != end_at:
            raise self.refused("its directory does not lie between its files and its end")
        return count, start, length

    def _check_kind(self, info: ZipInfo, *, is_directory: bool) -> None:
        name = info.orig_filename
        if info.flag_bits & _ENCRYPTED:
            raise self.refused("it is encrypted", name)
        if info.flag_bits & _PATCH or info.volume:
            raise self.refused("it is a patch, or lies in another volume", name)
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            # Of the others lzma takes as much memory as the archive asks for.
            raise self.refused(f"it is packed by method {info.compress_type}, only store and deflate are allowed", name)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if stat.S_ISLNK(kind) or info.external_attr & _WINDOWS_LINK:
            raise self.refused("it is a link", name)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise self.refused("it is a device, a pipe or a socket", name)
        says_directory = stat.S_ISDIR(kind) or (not kind and info.external_attr & _WINDOWS_DIRECTORY)
        if is_directory and (stat.S_ISREG(kind) or info.file_size):
            raise self.refused("its name is that of a directory, but it is a file", name)
        if says_directory and not is_directory:
            raise self.refused("its name is that of a file, but it is a directory", name)
        if info.compress_type == ZIP_STORED and info.compress_size != info.file_size:
            raise self.refused("it is stored, but packed and unpacked it has two sizes", name)

    def _parts(self, shown: str, names: NamesTogether) -> tuple[str, ...]:
        try:
            parts = parse_name(self._session_id, shown.removesuffix("/"))
            if len(parts) > self._limits.depth:
                raise self.refused(f"it lies deeper than {self._limits.depth} directories (ArchiveLimits.depth)", shown)
            parts = parse_name(self._session_id, "/".join((*self._into, *parts)))
            names.add(parts, is_directory=_is_directory(shown))
        except PathEscapeError as error:
            raise self.refused(error.problem, shown) from error
        return parts

    def _check_amount(self, infos: Sequence[ZipInfo]) -> None:
        unpacked, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
        if unpacked > self._limits.bytes:
            raise self.refused(
                f"it unpacks to {unpacked} bytes, at most {self._limits.bytes} are allowed (ArchiveLimits.bytes)"
            )
        remedy = "; if you trust it, pass limits=ArchiveLimits(ratio=1100)"
        for info in infos:
            if info.file_size > _SMALL_BYTES and info.file_size > self._limits.ratio * info.compress_size:
                raise self.refused(
                    f"{info.compress_size} bytes unpack to {info.file_size}, "
                    f"more than {self._limits.ratio:g} times as much{remedy}",
                    info.orig_filename,
                )
        if unpacked > _SMALL_BYTES and unpacked > self._limits.ratio * packed:
            problem = f"{packed} bytes unpack to {unpacked}, more than {self._limits.ratio:g} times as much"
            raise self.refused(problem + remedy)

    def _check_places(self, infos: Sequence[ZipInfo], file: IO[bytes], end: int) -> None:
        """Return if no two entries share a byte, and each is where the directory says."""
        free = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < free:
                raise self.refused("it shares bytes with another entry, as bombs do", info.orig_filename)
            header = b""
            if info.header_offset < end:  # zip64 has room for an offset that no file can be sought to
                file.seek(info.header_offset)
                header = file.read(_LOCAL.size)
            if len(header) < _LOCAL.size or not header.startswith(b"PK\3\4"):
                raise self.refused("it is not where the directory says", info.orig_filename)
            _, _, flags, method, _, _, _, _, _, name_length, extra_length = _LOCAL.unpack(header)
            if (
                file.read(name_length) != _raw_name(info)
                or method != info.compress_type
                or (flags ^ info.flag_bits) & _ENCRYPTED
            ):
                raise self.refused("its own record and the directory say different things", info.orig_filename)
            free = info.header_offset + _LOCAL.size + name_length + extra_length + info.compress_size
            if free > end:
                raise self.refused("it reaches into the directory", info.orig_filename)


def _extra_lengths(directory: bytes) -> Iterator[int | None]:
    """Give how long the extra fields of each record are, and None if anything but whole records follows."""
    at = 0
    while at < len(directory):
        if len(directory) - at < _CENTRAL.size or directory[at : at + 4] != b"PK\1\2":
            yield None
            return
        name, extra, comment = _CENTRAL.unpack_from(directory, at)[10:13]
        at += _CENTRAL.size + name + extra + comment
        yield extra if at <= len(directory) else None


def _is_directory(name: str) -> bool:
    return name.endswith("/")


def _raw_name(info: ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF_8 else "cp437")


def _name_of(info: ZipInfo) -> str:
    """Give the name that the archive means; not `filename`, which is cut at the first NUL and differs by release."""
    raw = _raw_name(info)
    for kind, value in _extra_fields(info.extra):
        # APPNOTE 4.6.9: version, CRC of the other name, this name. It counts only for the name that it was made for.
        if kind == _UNICODE_PATH and len(value) > 5 and value[:5] == struct.pack("<BL", 1, zlib.crc32(raw)):
            return value[5:].decode("utf-8")
    try:
        # What is UTF-8 is meant as UTF-8: the zip of Linux and that of macOS forget to say so.
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return info.orig_filename


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length
