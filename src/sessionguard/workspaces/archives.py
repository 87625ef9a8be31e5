"""All files of a workspace as one zip archive, and those of an archive in a workspace: all of them, or none.

Both work on any `Workspace`. What an archive says is judged in `archive_checks`; what it then holds is counted while it
is unpacked.
"""

import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from typing import IO, Any, Final, cast
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from sessionguard.errors import InvalidArgumentError, PathEscapeError
from sessionguard.workspaces.archive_checks import Entry, Judge
from sessionguard.workspaces.contract import Workspace
from sessionguard.workspaces.limits import ARCHIVE_LIMITS, ArchiveLimits, Exported
from sessionguard.workspaces.names import NamesTogether, parse_name
from sessionguard.workspaces.quota import Usage

_CHUNK_BYTES: Final = 256 * 1024
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
# A regular file, rw-------, as whoever unpacks it on POSIX should have it.
_ATTRIBUTES: Final = 0o100600 << 16

_BROKEN: Final = (
    BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What zipfile raises on archives that are not what they say."""


def export_zip(workspace: Workspace, target: str | os.PathLike[str] | IO[bytes]) -> Exported:
    """Write all files of `workspace` as a zip archive to a path, or to a binary file that is only written to.

    The same files give the same bytes: sorted by name, without times. Memory grows with the number of files, not with
    their size. A path gets the whole archive, mode 0600, or keeps what it had. What an error left in a binary file has
    no end and is no archive.

    Raises:
        OSError: it cannot be written, or a file cannot be read.
    """
    if not isinstance(target, str | os.PathLike):
        return _export(workspace, target)
    path = os.path.abspath(os.fspath(target))
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".zip", dir=os.path.dirname(path))
    try:
        with os.fdopen(descriptor, "wb") as file:
            exported = _export(workspace, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return exported


def import_zip(
    workspace: Workspace,
    source: str | os.PathLike[str] | IO[bytes],
    *,
    into: str = "",
    limits: ArchiveLimits = ARCHIVE_LIMITS,
    replace: bool = False,
) -> list[str]:
    """Unpack the zip archive in a path, or in a seekable binary file, below the directory `into`.

    All of its files appear, as by `write_all`, or none; their sorted names are given. It is judged by its directory
    before a byte is unpacked, and what comes out is counted and checked against what it said. Directories of the
    archive are not made for their own sake.

    Raises:
        ArchiveRefusedError: it is damaged, holds what may not be in a workspace, or is beyond `limits`.
        FileExistsError: a file has a name already, and not `replace`.
        PathEscapeError: `into` cannot be a name, or a name collides with that of another file.
        QuotaExceededError: its files do not fit.
    """
    judge = Judge(workspace.session_id, limits, parse_name(workspace.session_id, into) if into else ())
    with _opened(source) as file, _archive(judge, file) as archive:
        try:
            entries = judge.entries(archive, file)
        except _BROKEN_RECORDS as error:
            raise judge.refused(f"it is damaged ({error})") from error
        expected = _expected(workspace, entries, replace)
        contents = ((entry.name, _content(judge, archive, entry)) for entry in entries)
        return workspace.write_all(contents, expected=expected, replace=replace)


_BROKEN_RECORDS: Final = (UnicodeError, struct.error)
"""What is wrong with a name or an offset; the errors of ours are ValueErrors, too."""


class _Stream:
    """The file that an archive is written to: never sought, and never ended after an error.

    Without `tell` and `seek` zipfile writes to all files alike, so the same files give the same bytes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.is_broken_off = False

    def write(self, data: Any) -> int:
        # ZipFile ends the archive in any case. With an end it would look whole.
        if not self.is_broken_off:
            self._file.write(data)
        return len(data)

    def flush(self) -> None:
        # A file that is only written to, such as the body of a response, may have nothing to flush.
        if not self.is_broken_off and hasattr(self._file, "flush"):
            self._file.flush()


def _export(workspace: Workspace, target: IO[bytes]) -> Exported:
    stream = _Stream(target)
    names, missing, size = [], [], 0
    with ZipFile(cast("IO[bytes]", stream), "w", ZIP_DEFLATED) as archive:
        try:
            for name in workspace.list():
                try:
                    file = workspace.open(name)
                except (FileNotFoundError, PathEscapeError):
                    missing.append(name)
                    continue
                with file:
                    size += _pack(archive, name, file)
                names.append(name)
        except BaseException:
            stream.is_broken_off = True
            raise
    return Exported(tuple(names), size, tuple(missing))


def _pack(archive: ZipFile, name: str, file: IO[bytes]) -> int:
    info = ZipInfo(name, _EARLIEST)
    info.compress_type, info.external_attr, info.create_system = ZIP_DEFLATED, _ATTRIBUTES, 3
    size = 0
    # Its size is not known before its end, and may be more than 4 GiB.
    with archive.open(info, "w", force_zip64=True) as packed:
        while chunk := file.read(_CHUNK_BYTES):
            packed.write(chunk)
            size += len(chunk)
    return size


@contextmanager
def _opened(source: str | os.PathLike[str] | IO[bytes]) -> Iterator[IO[bytes]]:
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            yield file
        return
    if not hasattr(source, "seekable"):
        raise InvalidArgumentError("source", type(source), "give a path or an open file; put bytes into an io.BytesIO")
    if not source.seekable():
        raise InvalidArgumentError("source", source, "give a file that can be sought; write a stream to a file first")
    yield source


@contextmanager
def _archive(judge: Judge, file: IO[bytes]) -> Iterator[ZipFile]:
    judge.check_size(file)
    try:
        archive = ZipFile(file)
    except _BROKEN as error:
        raise judge.refused(f"it is damaged ({error})") from error
    with archive:
        yield archive


def _expected(workspace: Workspace, entries: list[Entry], replace: bool) -> Usage:
    """Give what the files will take; names that cannot be given beside those of other files are refused now."""
    names = NamesTogether(workspace.session_id)
    for entry in entries:
        names.add(entry.parts)
    there = set(workspace.list())
    for name in there:
        names.add_existing(tuple(name.split("/")))
    taken = sorted(there.intersection(entry.name for entry in entries))
    if taken and not replace:
        raise FileExistsError(17, "a file of the archive exists already; pass replace=True to replace it", taken[0])
    return Usage(sum(entry.info.file_size for entry in entries), len(entries) - len(taken))


def _content(judge: Judge, archive: ZipFile, entry: Entry) -> Iterator[bytes]:
    declared, seen = entry.info.file_size, 0
    # With one byte more, for zipfile cuts what it gives at the size that it was told, and then finds nothing wrong.
    info = copy(entry.info)
    info.file_size += 1
    try:
        with archive.open(info) as file:
            while chunk := file.read(_CHUNK_BYTES):
                seen += len(chunk)
                if seen > declared:
                    break
                yield chunk
    except _BROKEN as error:
        raise judge.refused(f"it is damaged ({error})", entry.name) from error
    if seen != declared:
        more = "more" if seen > declared else f"only {seen}"
        raise judge.refused(f"it unpacks to {more} than the {declared} bytes that the archive says", entry.name)
