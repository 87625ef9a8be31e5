"""The private files of one session in a bucket, while they are leased."""

import errno
import os
import weakref
from datetime import timedelta
from pathlib import Path
from typing import IO, TypeVar

from sessionguard.errors import MisuseError
from sessionguard.workspaces.calls import WorkspaceCalls
from sessionguard.workspaces.links import DEFAULT_LINK, link_headers, link_seconds
from sessionguard.workspaces.names import parse_name
from sessionguard.workspaces.quota import Usage
from sessionguard.workspaces.s3.bundle import Bundle
from sessionguard.workspaces.s3.ledger import Ledger
from sessionguard.workspaces.s3.manifest import Entry
from sessionguard.workspaces.s3.reading import open_content
from sessionguard.workspaces.s3.writing import FileWriter

_Unfinished = TypeVar("_Unfinished", FileWriter, Bundle)


class S3Workspace(WorkspaceCalls):
    """The private files of one session in object storage.

    Threads may share it. A forked child may not use it. Names are those of `parse_name`: refused with
    PathEscapeError where they are not on the allow-list. Any call may raise WorkspaceUnavailableError: then a change
    happened whole or not at all. A file that was opened is read as it was, for an hour after it is replaced or deleted;
    those of `write_all` appear for everybody at the same instant.
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

    def download_url(
        self,
        name: str,
        *,
        expires: timedelta = DEFAULT_LINK,
        filename: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
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

    def _opened(self, name: str) -> IO[bytes]:
        entry = self._entry(parse_name(self.session_id, name))
        return open_content(self._ledger.bucket, self.session_id, self._ledger.key_of(entry.content), entry.bytes)

    def _entry(self, parts: tuple[str, ...]) -> Entry:
        self._require_usable()
        name = "/".join(parts)
        entry = self._ledger.look().files.get(name)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return entry

    def _begun(self, name: str, kind: str, expected_bytes: int) -> FileWriter:
        parts = parse_name(self.session_id, name)
        self._require_usable()
        return self._watched(FileWriter(self._ledger, "/".join(parts), kind, expected_bytes))

    def _begun_together(self, expected: Usage, *, replace: bool) -> Bundle:
        self._require_usable()
        return self._watched(Bundle(self._ledger, expected, replace=replace))

    def _watched(self, writer: _Unfinished) -> _Unfinished:
        self._writers.add(writer)
        if self._is_closed:
            # Another thread closed it meanwhile, and may not have seen this one.
            writer.discard()
            self._require_usable()
        return writer

    def _require_usable(self) -> None:
        # First: a lock inherited through a fork may be held by a thread that does not exist here.
        if self._pid != os.getpid():
            raise MisuseError("this workspace was opened before a fork; open it again in the child")
        if self._is_closed:
            raise MisuseError("this workspace is closed; open it again with guard.workspace(session)")

    def __repr__(self) -> str:
        return f"<S3Workspace of session {self.session_id}>"
