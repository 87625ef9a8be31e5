"""The private files of one session, while its lease is held."""

import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from sessionguard.core.commands import Fence
from sessionguard.errors import InvalidArgumentError, PathEscapeError
from sessionguard.workspaces.limits import ARCHIVE_LIMITS, ArchiveLimits, Exported
from sessionguard.workspaces.local.bundle import Bundle
from sessionguard.workspaces.local.copying import Source, copy
from sessionguard.workspaces.local.deleting import Deletion
from sessionguard.workspaces.local.leases import Lease
from sessionguard.workspaces.local.ledger import Ledger
from sessionguard.workspaces.local.owners import Owners
from sessionguard.workspaces.local.reaches import FILES, reach
from sessionguard.workspaces.local.tree import FileTree
from sessionguard.workspaces.local.writing import FileWriter
from sessionguard.workspaces.names import parse_name
from sessionguard.workspaces.quota import NOTHING, Quota, Usage
from sessionguard.workspaces.texts import TextWriter

_MODES = {"r": "r", "rt": "r", "rb": "rb", "w": "w", "wt": "w", "wb": "wb", "x": "x", "xt": "x", "xb": "xb"}


class LocalWorkspace:
    """The private directory of one session; it is not removed before it is closed.

    Threads may share it. A forked child may not use it. Names are those of `parse_name`: refused with
    PathEscapeError where they are not on the allow-list or do not name a plain file inside.
    """

    def __init__(
        self,
        lease: Lease,
        quota: Quota,
        owners: Owners,
        after_release: Callable[[str], None],
        fence: Fence | None = None,
    ) -> None:
        self._lease = lease
        self._after_release = after_release
        self._tree = FileTree(lease.session_id, lease.files_descriptor)
        self._ledger = Ledger(lease, self._tree, quota, owners, fence)
        self._writers: weakref.WeakSet[FileWriter | Bundle] = weakref.WeakSet()
        try:
            # Who reads never asks the ledger, and must not see a part of what was to appear together.
            self._ledger.heal()
            if fence is not None:
                # At once, not with the first write: who held the lock before writes nothing more from now on.
                with self._ledger.opened():
                    pass
        except BaseException:
            self.close()
            raise

    @property
    def session_id(self) -> str:
        """Whose files these are."""
        return self._lease.session_id

    @property
    def path(self) -> Path:
        """The directory of the files, for programs that need one; what they put there is outside quota and checks."""
        return self._lease.path

    def open(self, name: str, mode: str = "rb", *, encoding: str = "utf-8", newline: str | None = None) -> IO[Any]:
        """Open a file: "rb", "r", "wb", "w", "xb" or "x"; text is UTF-8 unless said otherwise.

        What is written appears under its name, whole and durable, when the file is closed. An exception
        in its `with` block, closing the workspace first, or a crash leaves what was there before.

        Raises:
            FileNotFoundError: there is no such file to read.
            FileExistsError: there is one already ("x"), now or when it is closed.
            QuotaExceededError: the quota is used up, here or while writing; the file is discarded.
            LockLostError: leased under a lock that another has taken since; the file is discarded.
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

        Chunks, and a file that is open for reading in binary, are taken piece by piece.

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
            if isinstance(data, Source):
                # Not by its lines, which is what iterating over a file gives.
                return copy(data, writer)
            return sum(writer.write(chunk) for chunk in data)

    def write_all(
        self,
        files: Iterable[tuple[str, bytes | str | Iterable[bytes]]],
        *,
        expected: Usage = NOTHING,
        replace: bool = True,
    ) -> list[str]:
        """Make or replace many files so that all appear or, whatever fails, none; give their sorted names.

        They are taken one after the other, and get their names together at the end. Whoever reads meanwhile may see
        some before the others. After a crash in that moment the next lease of the workspace finds all of them, as
        does, in leases that are held, whatever is written next. What is `expected` is claimed at the beginning.

        Raises:
            FileExistsError: one is there already, and not `replace`.
            PathEscapeError: two of the names are the same, or differ only in case or form, or in place of a directory.
            QuotaExceededError: they do not fit.
            LockLostError: leased under a lock that another has taken since.
        """
        with self._bundle(expected, replace) as bundle:
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
        from sessionguard.workspaces.archives import import_zip

        return import_zip(self, source, into=into, limits=limits, replace=replace)

    def list(self) -> list[str]:
        """Give the sorted names of all files that `open` would give, nested ones as "a/b.csv"."""
        with self._lease.using():
            reach("list", FILES, self.session_id, "r")
            found = ["/".join(parts) for parts, state in self._tree.files() if self._tree.is_plain(state)]
        return sorted(name for name in found if self._is_acceptable(name))

    def usage(self) -> Usage:
        """Count all files now, also those that other programs put under `path`."""
        return self._ledger.count()

    def delete(self, name: str) -> bool:
        """Remove a file, and directories left empty by it; False if there was none."""
        parts = parse_name(self.session_id, name)
        removing = Deletion(self._lease, self._tree, self._ledger, parts)
        return removing.run()

    def export_zip(self, target: str | os.PathLike[str] | IO[bytes]) -> Exported:
        """Write all files as a zip archive to a path, or to a binary file that is only written to.

        The same files give the same bytes: sorted by name, without times. Memory grows with the number of files, not
        with their size. A path gets the whole archive, mode 0600, or keeps what it had. What an error left in a binary
        file has no end and is no archive.

        Raises:
            OSError: it cannot be written, or a file cannot be read.
        """
        from sessionguard.workspaces.archives import export_zip  # here, because it loads much

        return export_zip(self, target)

    def close(self) -> None:
        """Discard unfinished files and release the lease; a removal that waited for the last lease is done."""
        if not self._lease.is_ours:
            return
        for writer in list(self._writers):
            writer.discard()
        if self._lease.release():
            self._after_release(self.session_id)

    def _open_for_reading(self, name: str, kind: str, encoding: str, newline: str | None) -> IO[Any]:
        parts = parse_name(self.session_id, name)
        with self._lease.using():
            reach("open", FILES, self.session_id, "r")
            descriptor = self._tree.open_file(parts)
        if kind == "rb":
            return os.fdopen(descriptor, "rb")
        return os.fdopen(descriptor, "r", encoding=encoding, newline=newline)

    def _bundle(self, expected: Usage, replace: bool) -> Bundle:
        with self._lease.using():
            bundle = Bundle(self._lease, self._tree, self._ledger, expected, replace=replace)
            self._writers.add(bundle)
        return bundle

    def _writer(self, name: str, kind: str, expected_bytes: int) -> FileWriter:
        parts = parse_name(self.session_id, name)
        with self._lease.using():
            writer = FileWriter(self._lease, self._tree, self._ledger, parts, kind, expected_bytes)
            self._writers.add(writer)
        return writer

    def _is_acceptable(self, name: str) -> bool:
        with suppress(PathEscapeError):
            return "/".join(parse_name(self.session_id, name)) == name
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LocalWorkspace of session {self.session_id}>"
