"""Connections to one database file: lent to one caller at a time, never across a fork, never to a file that is gone."""

import contextlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from sessionguard.errors import ConfigurationError, MisuseError, StoreTimeoutError, StoreUnavailableError
from sessionguard.stores.sqlite import placement, rows, schema
from sessionguard.stores.sqlite.retrying import until_free
from sessionguard.stores.sqlite.versions import refuse_too_old, warn_of_known_bugs

_log = logging.getLogger("sessionguard.sqlite")


_LOG_CHECK_SECONDS: Final = 0.1


class Connection(sqlite3.Connection):
    """A connection that knows to which epoch of its pool it belongs, and which write-ahead log it writes."""

    epoch: object = None
    log: placement.FileIdentity | None = None


# Connections inherited over a fork that did not run Python's fork hooks. They are neither used nor closed in
# the child: closing one there may reset the write-ahead log under the parent (https://sqlite.org/howtocorrupt.html
# section 2.6).
_inherited: Final[list[Connection]] = []


class Connections:
    """A pool that grows with the number of concurrent callers."""

    def __init__(self, path: str, *, journal_mode: str, patience_seconds: float) -> None:
        self.path = path
        self._journal_mode = journal_mode
        self._log_path = f"{path}-wal" if journal_mode == "wal" else ""
        self._patience_seconds = patience_seconds
        self._closed = False
        self._begin()
        with _pools_lock:
            _pools.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        # Writers of one process queue here, so that they do not compete by retrying.
        self._writing = threading.Lock()
        self._opening = threading.Lock()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._is_paused = False
        self._identity: placement.FileIdentity | None = None
        # What is lent outlives its epoch and is closed when it comes back.
        self._epoch = object()
        self._log_check_due = 0.0
        self._logs: frozenset[placement.FileIdentity] = frozenset()

    @property
    def is_ready(self) -> bool:
        """Whether the file was opened and migrated, so that one more connection waits for nobody."""
        return self._identity is not None

    def begin_writing(self, operation: str) -> None:
        """Wait for the other writers of this process; `end_writing` must follow."""
        self._require_usable()
        if not self._writing.acquire(timeout=self._patience_seconds):
            raise StoreTimeoutError("sqlite", operation, f"other threads kept writing for {self._patience_seconds:g} s")

    def end_writing(self) -> None:
        """Let the next writer of this process go on."""
        self._writing.release()

    def take(self, *, for_writing: bool = False) -> Connection:
        """Give a connection of this process to the file that is at the path now; it must be given back."""
        self._require_usable()
        epoch = self._epoch
        if self._identity is not None and placement.identity_of(self.path) != self._identity:
            self._leave_former_file(epoch)
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._connect()
        if for_writing or time.monotonic() >= self._log_check_due:
            self._check_log(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Take a lent connection back, for the next caller. A transaction that it left open is rolled back."""
        if connection.in_transaction:
            connection.rollback()
        if connection.epoch is self._epoch:
            self._idle.append(connection)
            if not self._closed:
                return
            self._close_idle()
        else:
            self._close(connection)

    @contextmanager
    def apart(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that is not of the pool, cannot write, and has not migrated anything."""
        self._require_usable()
        with self._opening:
            connection = self._opened("ro")
        try:
            yield connection
        finally:
            self._close(connection)

    def drop(self) -> None:
        """Close every connection: the idle ones now, the lent ones as they come back."""
        self._epoch = object()
        self._close_idle()

    def close(self) -> None:
        """Close what is not lent now, and what is lent as it comes back."""
        self._closed = True
        if self._pid == os.getpid():
            self._close_idle()

    def _require_usable(self) -> None:
        if self._closed:
            raise MisuseError("the sqlite store is closed; open a new one")
        if self._pid != os.getpid():
            self.start_anew_after_fork()

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._close(self._idle.pop())

    def _close(self, connection: Connection) -> None:
        connection.close()
        self._open.discard(connection)

    # Around a fork

    def close_before_fork(self) -> None:
        """Close every connection and let none be opened until the fork is over.

        SQLite keeps one table of file locks per process, which a child inherits without the locks. A connection that
        the child opens to a file in that table never locks it, so that others delete the write-ahead log under
        the child and its acknowledged writes are lost.
        """
        deadline = time.monotonic() + self._patience_seconds
        self._is_paused = self._opening.acquire(timeout=self._patience_seconds)
        self._close_idle()
        while self._open and time.monotonic() < deadline:
            time.sleep(0.0005)
            self._close_idle()

    def resume_after_fork(self) -> None:
        """In the parent: let connections be opened again."""
        if self._is_paused:
            self._is_paused = False
            self._opening.release()

    def start_anew_after_fork(self) -> None:
        """In the child: forget whatever was the parent's."""
        if self._open:
            _inherited.extend(self._open)
            _log.warning(
                "forked with open connections to %s; fork by os.fork, or use the store only afterwards",
                self.path,
            )
        # The parent's locks may have been held by threads that do not exist here.
        self._begin()

    # Opening

    def _check_log(self, connection: Connection) -> None:
        """Raise `StoreUnavailableError` if others no longer read the log that `connection` writes."""
        self._log_check_due = time.monotonic() + _LOG_CHECK_SECONDS
        if connection.log is not None and placement.identity_of(self._log_path) != connection.log:
            self.give_back(connection)
            raise self._lost(
                connection.epoch,
                "its write-ahead log was deleted while it was in use; never open, copy or delete the database's "
                "files by other means than SQLite while this process runs",
            )

    def _leave_former_file(self, epoch: object) -> NoReturn:
        with self._opening:
            if self._epoch is epoch:
                self._checkpoint_former_file()
                with contextlib.suppress(OSError):
                    placement.remove_logs(self.path, self._logs)
        raise self._lost(epoch, "the file was replaced or deleted while it was in use")

    def _checkpoint_former_file(self) -> None:
        # It may live on under another name: let it have what is still in its log.
        with contextlib.suppress(IndexError, sqlite3.Error):
            connection = self._idle.pop()
            try:
                connection.execute("PRAGMA wal_checkpoint")
            finally:
                self._close(connection)

    def _lost(self, epoch: object, loss: str) -> StoreUnavailableError:
        """Begin a new epoch, unless another thread has, and give the error that says why."""
        with self._opening:
            is_first_to_see = self._epoch is epoch
            if is_first_to_see:
                self._identity = None
                self.drop()
        if is_first_to_see:
            _log.error("%s: %s", self.path, loss)
        return StoreUnavailableError(
            "sqlite", "connect", f"{self.path}: {loss}. What was written to the former file is not in this one"
        )

    def _connect(self) -> Connection:
        with self._opening:
            first = self._identity is None
            if first:
                if self._open:
                    raise StoreUnavailableError("sqlite", "connect", "calls to the former file are not done yet")
                self._prepare_file()
            # Looked up before the file is opened: if another takes its place in between, the next caller will see it.
            identity = placement.identity_of(self.path)
            connection = self._opened("rw")
            try:
                self._configure(connection)
                if first:
                    schema.migrate(connection, self._patience_seconds)
                    self._identity = identity
                if self._log_path:
                    connection.log = placement.identity_of(self._log_path)
                    self._logs = placement.log_identities(self.path)
            except BaseException:
                self._close(connection)
                raise
            return connection

    def _opened(self, mode: str) -> Connection:
        # By URI, for it alone has a mode that never makes a file: only `create_privately` may.
        connection = sqlite3.connect(
            f"{Path(self.path).as_uri()}?mode={mode}",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
            factory=Connection,
        )
        connection.epoch = self._epoch
        self._open.add(connection)
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

    def _configure(self, connection: Connection) -> None:
        connection.create_function("sg_merge", 3, rows.sg_merge, deterministic=True)
        connection.create_function("sg_size", 4, rows.sg_size, deterministic=True)
        try:
            until_free("connect", lambda: self._set_pragmas(connection), self._patience_seconds)
        except StoreTimeoutError as error:
            (found,) = connection.execute("PRAGMA journal_mode").fetchone()
            if found == self._journal_mode:
                raise
            raise ConfigurationError(
                "journal", self._journal_mode, f"others use {self.path} with journal={found}; give all the same setting"
            ) from error

    def _set_pragmas(self, connection: Connection) -> None:
        connection.execute(f"PRAGMA journal_mode = {self._journal_mode}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")


_pools: Final["weakref.WeakSet[Connections]"] = weakref.WeakSet()
_pools_lock = threading.Lock()


def _before_fork() -> None:
    _pools_lock.acquire()
    for pool in _pools:
        pool.close_before_fork()


def _after_fork_in_parent() -> None:
    for pool in _pools:
        pool.resume_after_fork()
    _pools_lock.release()


def _after_fork_in_child() -> None:
    _pools_lock.release()
    for pool in _pools:
        pool.start_anew_after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
