"""The private files of one session in a bucket, while they are leased."""

import errno
import io
import os
import weakref
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, cast

from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.workspaces.limits import ARCHIVE_LIMITS, ArchiveLimits, Exported
from sessionguard.workspaces.links import DEFAULT_LINK, link_headers, link_seconds
from sessionguard.workspaces.names import parse_name
from sessionguard.workspaces.quota import NOTHING, Usage
from sessionguard.workspaces.s3.bundle import Bundle
from sessionguard.workspaces.s3.ledger import Ledger
from sessionguard.workspaces.s3.manifest import Entry
from sessionguard.workspaces.s3.reading import open_content
from sessionguard.workspaces.s3.writing import FileWriter
from sessionguard.workspaces.texts import TextWriter

_MODES: Final = {"r": "r", "rt": "r", "rb": "rb", "w": "w", "wt": "w", "wb": "wb", "x": "x", "xt": "x", "xb": "xb"}


class S3Workspace:
    """The private files of one session in object storage.

    Threads may share it. A forked child may not use it. Names are those of `parse_name`: refused with
    PathEscapeError where they are not on the allow-list. Any call may raise WorkspaceUnavailableError: then a change
    happened whole or not at all.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pid = os.getpid()
        self._is_closed = False
        self._writers: weakref.WeakSet[FileWriter | Bundle] = weakref.WeakSet()

    @property
    def session_id(self) -> str:
        """Whose files these are."""
        return self._ledger.session_id

    @property
    def path(self) -> Path:
        """Not to be had: the files are in a bucket.

        Raises:
            MisuseError: always, with the way to do it.
        """
        raise MisuseError(
            "files in object storage have no path; copy what a program needs into a temporary directory: "
            "with workspace.open(name) as source, open(path, 'wb') as target: shutil.copyfileobj(source, target)"
        )

    def open(self, name: str, mode: str = "rb", *, encoding: str = "utf-8", newline: str | None = None) -> IO[Any]:
        """Open a file: "rb", "r", "wb", "w", "xb" or "x"; text is UTF-8 unless said otherwise.

        What is written appears under its name, whole and durable, when the file is closed. An exception
        in its `with` block, closing the workspace first, or a crash leaves what was there before.
        A file that was opened is read as it was, for an hour after it is replaced or deleted.

        Raises:
            FileNotFoundError: there is no such file to read.
            FileExistsError: there is one already ("x"), now or when it is closed.
            QuotaExceededError: the quota is used up, here or while writing; the file is discarded.
            LockLostError: leased under a lock that another has taken since; the file is discarded.
            WorkspaceUnavailableError: the bucket cannot be reached.
        """
        if mode not in _MODES:
            raise InvalidArgumentError("mode", mode, 'use "rb", "r", "wb", "w", "xb" or "x"')
        kind = _MODES[mode]
        if kind.startswith("r"):
            return self._open_for_reading(name, kind, encoding, newline)
        writer = self._writer(name, kind, 0)
        return cast("IO[Any]", writer if kind.endswith("b") else TextWriter(writer, encoding, newline))

    def read(self, name: str) -> bytes:
        """Give all bytes of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        with self.open(name) as file:
            return cast("bytes", file.read())

    def write(self, name: str, data: bytes | str | Iterable[bytes]) -> int:
        """Make or replace a file with `data`, text as UTF-8, and give its length in bytes.

        Raises:
            QuotaExceededError: it does not fit; what was there before is still there.
        """
        if isinstance(data, str):
            data = data.encode("utf-8")
        if isinstance(data, bytes | bytearray | memoryview):
            size = memoryview(data).nbytes
            with self._writer(name, "wb", size) as writer:
                return writer.write(data)
        with self._writer(name, "wb", 0) as writer:
            return sum(writer.write(chunk) for chunk in data)

    def write_all(
        self,
        files: Iterable[tuple[str, bytes | str | Iterable[bytes]]],
        *,
        expected: Usage = NOTHING,
        replace: bool = True,
    ) -> list[str]:
        """Make or replace many files so that all appear or, whatever fails, none; give their sorted names.

        They are taken one after the other, and appear at the end, for everybody at the same instant. What is
        `expected` is claimed at the beginning.

        Raises:
            FileExistsError: one is there already, and not `replace`.
            PathEscapeError: two of the names are the same, or differ only in case or form, or in place of a directory.
            QuotaExceededError: they do not fit.
            LockLostError: leased under a lock that another has taken since.
        """
        self._require_usable()
        with Bundle(self._ledger, expected, replace=replace) as bundle:
            self._writers.add(bundle)
            for name, data in files:
                bundle.add(parse_name(self.session_id, name), data)
            return bundle.publish()

    def import_zip(
        self,
        source: str | os.PathLike[str] | IO[bytes],
        *,
        into: str = "",
        limits: ArchiveLimits = ARCHIVE_LIMITS,
        replace: bool = False,
    ) -> list[str]:
        """Unpack the zip archive in a path, or in a seekable binary file, below the directory `into`.

        All of its files appear, as by `write_all`, or none; their sorted names are given. It is judged by its directory
        before a byte is unpacked, and what comes out is counted and checked against what it said.

        Raises:
            ArchiveRefusedError: it is damaged, holds what may not be in a workspace, or is beyond `limits`.
            FileExistsError: a file has a name already, and not `replace`.
            PathEscapeError: `into` cannot be a name, or a name collides with that of another file.
            QuotaExceededError: its files do not fit.
        """
        from sessionguard.workspaces.archives import import_zip  # here, because it loads much

        return import_zip(self, source, into=into, limits=limits, replace=replace)

    def list(self) -> list[str]:
        """Give the sorted names of all files that `open` would give, nested ones as "a/b.csv"."""
        self._require_usable()
        return sorted(self._ledger.look().files)

    def usage(self) -> Usage:
        """Count all files now."""
        self._require_usable()
        return self._ledger.look().usage()

    def delete(self, name: str) -> bool:
        """Remove a file; False if there was none. Its content leaves the bucket by itself, an hour later."""
        parts = parse_name(self.session_id, name)
        self._require_usable()
        return self._ledger.delete("/".join(parts))

    def export_zip(self, target: str | os.PathLike[str] | IO[bytes]) -> Exported:
        """Write all files as a zip archive to a path, or to a binary file that is only written to.

        The same files give the same bytes: sorted by name, without times. Memory grows with the number of files, not
        with their size. A path gets the whole archive, mode 0600, or keeps what it had. What an error left in a binary
        file has no end and is no archive.

        Raises:
            OSError: it cannot be written.
            WorkspaceUnavailableError: a file cannot be read.
        """
        from sessionguard.workspaces.archives import export_zip

        return export_zip(self, target)

    def download_url(
        self,
        name: str,
        *,
        expires: timedelta = DEFAULT_LINK,
        filename: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Give a link by which whoever has it may fetch this file, as it is now, until it expires.

        A browser saves it under `filename`, the last component of its name unless given. Nothing takes a link back: it
        outlives a logout, and only the end of the session removes the file from under it.

        Raises:
            FileNotFoundError: there is no such file.
            InvalidArgumentError: `expires` is above `MAX_LINK`, or a header could not be sent.
        """
        seconds = link_seconds(expires)
        parts = parse_name(self.session_id, name)
        headers = link_headers(parts[-1] if filename is None else filename, content_type)
        entry = self._entry(parts)
        return self._ledger.bucket.link(self._ledger.key_of(entry.content), seconds, headers)

    def close(self) -> None:
        """Discard unfinished files; nothing can be written any more. Files that are being read stay open."""
        if self._pid != os.getpid() or self._is_closed:
            return
        self._is_closed = True
        for writer in list(self._writers):
            writer.discard()

    def _open_for_reading(self, name: str, kind: str, encoding: str, newline: str | None) -> IO[Any]:
        entry = self._entry(parse_name(self.session_id, name))
        file = open_content(self._ledger.bucket, self.session_id, self._ledger.key_of(entry.content), entry.bytes)
        if kind == "rb":
            return file
        return io.TextIOWrapper(file, encoding=encoding, newline=newline)

    def _entry(self, parts: tuple[str, ...]) -> Entry:
        self._require_usable()
        name = "/".join(parts)
        entry = self._ledger.look().files.get(name)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return entry

    def _writer(self, name: str, kind: str, expected_bytes: int) -> FileWriter:
        parts = parse_name(self.session_id, name)
        self._require_usable()
        writer = FileWriter(self._ledger, "/".join(parts), kind, expected_bytes)
        self._writers.add(writer)
        if self._is_closed:
            # Another thread closed it meanwhile, and may not have seen this file.
            writer.discard()
            self._require_usable()
        return writer

    def _require_usable(self) -> None:
        # First: a lock inherited through a fork may be held by a thread that does not exist here.
        if self._pid != os.getpid():
            raise MisuseError("this workspace was opened before a fork; open it again in the child")
        if self._is_closed:
            raise MisuseError("this workspace is closed; open it again with guard.workspace(session)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<S3Workspace of session {self.session_id}>"
