"""Connections to one database file: lent to one caller at a time, never across a fork, never to a file that is gone."""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sessionguard.errors import ConfigurationError, MisuseError, StoreUnavailableError
from sessionguard.stores.sqlite import placement, rows, schema
from sessionguard.stores.sqlite.retrying import until_free
from sessionguard.stores.sqlite.versions import refuse_too_old, warn_of_known_bugs

_log = logging.getLogger("sessionguard.sqlite")

# Connections inherited over a fork. They are neither used nor closed in the child: closing one there may
# reset the write-ahead log under the parent (https://sqlite.org/howtocorrupt.html section 2.6).
_inherited: Final[list[sqlite3.Connection]] = []


class Connections:
    """A pool that grows with the number of concurrent callers."""

    def __init__(self, path: str, *, journal_mode: str, patience_seconds: float) -> None:
        self.path = path
        self.writing = threading.Lock()
        """Writers of one process queue here, so that they do not compete by retrying."""
        self._journal_mode = journal_mode
        self._patience_seconds = patience_seconds
        self._opening = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._identity: placement.FileIdentity | None = None
        self._pid = os.getpid()
        self._epoch = 0
        self._closed = False

    @contextmanager
    def lent(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that no one else uses meanwhile; a failed transaction of it is rolled back."""
        connection = self.take()
        try:
            yield connection
        finally:
            self.give_back(connection)

    def take(self) -> sqlite3.Connection:
        """Give a connection of this process to the file that is at the path now."""
        if self._closed:
            raise MisuseError("the sqlite store is closed; open a new one")
        if self._pid != os.getpid():
            self._start_anew_after_fork()
        if self._identity is not None and placement.identity_of(self.path) != self._identity:
            self._forget_lost_file()
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Take a lent connection back, for the next caller."""
        if connection.in_transaction:
            connection.rollback()
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def drop_idle(self) -> None:
        """Close every connection that is not lent."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close what is not lent now, and what is lent as it comes back."""
        self._closed = True
        if self._pid == os.getpid():
            self.drop_idle()

    def _start_anew_after_fork(self) -> None:
        _inherited.extend(self._idle)
        self._idle = []
        # The parent's locks may have been held by threads that do not exist here.
        self.writing = threading.Lock()
        self._opening = threading.Lock()
        self._identity = None
        self._pid = os.getpid()

    def _forget_lost_file(self) -> None:
        with self._opening:
            if self._identity is None or placement.identity_of(self.path) == self._identity:
                return
            self._identity = None
            self.drop_idle()
        _log.error("the database file %s was replaced or deleted while it was in use", self.path)
        raise StoreUnavailableError(
            "sqlite", "connect", f"the file {self.path} was replaced or deleted while it was in use; what was "
            "written to the former file is not in this one"
        )  # fmt: skip

    def _connect(self) -> sqlite3.Connection:
        with self._opening:
            first = self._identity is None
            if first:
                self._prepare_file()
            connection = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            try:
                self._configure(connection)
                if first:
                    schema.migrate(connection, self._patience_seconds)
                    self._identity = placement.identity_of(self.path)
            except BaseException:
                connection.close()
                raise
            return connection

    def _prepare_file(self) -> None:
        refuse_too_old()
        try:
            placement.create_privately(self.path)
        except OSError as error:
            raise ConfigurationError(
                "sqlite path", self.path, f"it cannot be created ({error.strerror}); name a folder you may write to"
            ) from error
        placement.refuse_network_file_system(self.path, placement.current_file_system(self.path))
        if self._journal_mode == "wal":
            warn_of_known_bugs()

    def _configure(self, connection: sqlite3.Connection) -> None:
        def pragmas() -> None:
            connection.execute(f"PRAGMA journal_mode = {self._journal_mode}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA trusted_schema = OFF")

        connection.create_function("sg_merge", 3, rows.sg_merge, deterministic=True)
        connection.create_function("sg_size", 4, rows.sg_size, deterministic=True)
        until_free("connect", pragmas, self._patience_seconds)
