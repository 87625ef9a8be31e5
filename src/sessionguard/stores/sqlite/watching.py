"""Whether the files that a connection has open are still the ones at the path.

Device and inode tell a file from another only while something holds it open: afterwards the next file may get the
same numbers. So each connection carries those of its own files, and nothing else remembers them.
"""

import contextlib
import os
import sqlite3
import time
from typing import Final

from sessionguard.stores.sqlite import placement
from sessionguard.stores.sqlite.connecting import Connection

FILE_LOST: Final = "the file was replaced or deleted while it was in use"
LOG_LOST: Final = (
    "its write-ahead log was deleted while it was in use; never open, copy or delete the database's files by other "
    "means than SQLite while this process runs"
)

_LOG_CHECK_SECONDS: Final = 0.1


class FileWatch:
    """Watches one path for the connections that were opened to it."""

    def __init__(self, path: str, *, has_log: bool) -> None:
        self._path = path
        self._log_path = f"{path}-wal" if has_log else ""
        self._folder = os.path.dirname(path) or "."
        self.log_check_due = 0.0

    def note_file(self) -> placement.FileIdentity | None:
        """Give what is at the path now, to be noted before a connection opens it.

        If another file takes its place in between, the next caller will see it.
        """
        return placement.identity_of(self._path)

    def note_logs(self, connection: Connection) -> None:
        """Note the logs that `connection` has just opened and keeps open."""
        if self._log_path:
            connection.folder_changed_ns = placement.folder_changed_ns(self._folder)
            connection.log = placement.identity_of(self._log_path)
            connection.logs = placement.log_identities(self._path)

    def loss_of(self, connection: Connection, *, for_writing: bool) -> str | None:
        """Tell what `connection` has lost.

        The log is looked for now and then; for writing, at once when its folder has changed. It is not simply looked
        for at every write: since Linux 6.13 a file whose times were asked for gets new ones at its next write
        (multigrain timestamps), and then the sync of a log takes half as long again.
        """
        if placement.identity_of(self._path) != connection.file:
            return FILE_LOST
        if connection.log is None:
            return None
        now = time.monotonic()
        changed_ns = placement.folder_changed_ns(self._folder) if for_writing else connection.folder_changed_ns
        if now >= self.log_check_due or changed_ns != connection.folder_changed_ns:
            self.log_check_due = now + _LOG_CHECK_SECONDS
            if placement.identity_of(self._log_path) != connection.log:
                return LOG_LOST
            connection.folder_changed_ns = changed_ns
        return None

    def remove_logs_of(self, former: Connection) -> None:
        """Remove what logs of its lost file `former` has open and are still beside the path."""
        with contextlib.suppress(OSError):
            placement.remove_logs(self._path, former.logs)


def checkpoint(former: Connection) -> None:
    """Let the lost file have what is still in its log, for it may live on under another name."""
    with contextlib.suppress(sqlite3.Error):
        former.sqlite.execute("PRAGMA wal_checkpoint")
