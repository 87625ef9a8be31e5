"""Connections to one database file: lent to one caller at a time, never across a fork, never to a file that is gone.

A signal handler may raise at any line here. A connection that is lost so on its way is closed when another is asked
for, for the pool sees that nobody has it any more; and a lock is released by the first call of a `finally`, before
which no handler runs.
"""

import contextlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sessionguard.errors import MisuseError, StoreUnavailableError
from sessionguard.stores.deadline import Deadline
from sessionguard.stores.sqlite import schema, watching
from sessionguard.stores.sqlite.connecting import Connection, configure, connect, prepare_file
from sessionguard.stores.sqlite.retrying import Turn, wait_for
from sessionguard.stores.sqlite.watching import FileWatch

_log = logging.getLogger("sessionguard.sqlite")

# Connections inherited over a fork that did not run Python's fork hooks. They are neither used nor closed in
# the child: closing one there may reset the write-ahead log under the parent (https://sqlite.org/howtocorrupt.html
# section 2.6).
_inherited: Final[list[sqlite3.Connection]] = []


class Connections:
    """A pool that grows with the number of concurrent callers."""

    def __init__(self, path: str, *, journal_mode: str, patience_seconds: float) -> None:
        self.path = path
        self._journal_mode = journal_mode
        self._patience_seconds = patience_seconds
        self._watch = FileWatch(path, has_log=journal_mode == "wal")
        self._closed = False
        self._begin()
        with _pools_lock:
            _pools.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        # Locks that know their thread: releasing one that was not acquired after all does nothing but raise.
        self._writing = threading.RLock()
        self._opening = threading.RLock()
        self._idle: list[Connection] = []
        self._open: dict[weakref.ref[Connection], sqlite3.Connection] = {}
        # What is lent outlives its epoch and is closed when it comes back.
        self._epoch = object()

    def __del__(self, current_pid: Callable[[], int] = os.getpid) -> None:
        # A store that is dropped without close leaves nothing open. What a forked child has of it is its parent's.
        if self._pid == current_pid():
            while self._idle:
                self._idle.pop().sqlite.close()

    @property
    def writers_turn(self) -> Turn:
        """The lock in which the writers of this process queue, so that they do not compete by retrying."""
        self._require_usable()
        return self._writing

    @property
    def living(self) -> list[Connection]:
        """All the connections that are open in this process, idle or lent; those that got lost are closed first."""
        living = []
        for known, sqlite in tuple(self._open.items()):
            connection = known()
            if connection is not None:
                living.append(connection)
            else:
                sqlite.close()
                self._open.pop(known, None)
        return living

    def take(self, deadline: Deadline | None = None) -> Connection:
        """Give a connection of this process to the file that is at the path now; it must be given back.

        With the deadline of a write, it also has the log that others read.
        """
        self._require_usable()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect(deadline or Deadline(self._patience_seconds))
            if connection.epoch is self._epoch:
                break
            # It came back while another thread dropped what was idle.
            self._close(connection)
        loss = self._watch.loss_of(connection, for_writing=deadline is not None)
        if loss is None:
            return connection
        if loss is watching.FILE_LOST:
            watching.checkpoint(connection)
        error = self._lost(connection, loss)
        self._close(connection)
        raise error

    def take_idle(self) -> Connection | None:
        """Give an idle connection to the file that is at the path now, to be given back; None if there is none.

        Unlike `take` it opens, closes and waits for nothing.
        """
        self._require_usable()
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        if connection.epoch is self._epoch and self._watch.loss_of(connection, for_writing=False) is None:
            return connection
        self._idle.append(connection)
        self._watch.log_check_due = 0.0
        return None

    def give_back(self, connection: Connection) -> None:
        """Take a lent connection back, for the next caller. A transaction that it left open is rolled back."""
        try:
            if connection.sqlite.in_transaction:
                connection.sqlite.rollback()
        except sqlite3.Error:
            # What its caller came for is settled; closing undoes the rest.
            self._close(connection)
            return
        if connection.epoch is not self._epoch:
            self._close(connection)
            return
        self._idle.append(connection)
        if self._closed:
            self._close_idle()

    @contextmanager
    def apart(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that is not of the pool, cannot write, and has not migrated anything."""
        self._require_usable()
        with self._opening:
            connection = self._opened("ro")
        try:
            yield connection.sqlite
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
        connection.sqlite.close()
        self._open.pop(weakref.ref(connection), None)

    # Opening

    def _connect(self, deadline: Deadline) -> Connection:
        opening = self._opening
        try:
            wait_for(opening, "connect", deadline, "other threads kept opening the database")
            return self._connect_now(deadline)
        finally:
            try:  # noqa: SIM105 - a signal handler may raise as suppress() is called, with the lock held
                opening.release()
            except RuntimeError:
                pass

    def _connect_now(self, deadline: Deadline) -> Connection:
        living = self.living
        self._require_no_former(living)
        is_first = not any(connection.is_migrated for connection in living)
        if is_first:
            prepare_file(self.path, self._journal_mode)
        connection = self._opened("rw")
        try:
            configure(connection, self.path, self._journal_mode, deadline)
            if is_first:
                schema.migrate(connection.sqlite, deadline)
            self._watch.note_logs(connection)
            connection.is_migrated = True
        except BaseException:
            self._close(connection)
            raise
        return connection

    def _opened(self, mode: str) -> Connection:
        file = self._watch.note_file()
        connection = Connection(connect(self.path, mode), self._epoch, file)
        self._open[weakref.ref(connection)] = connection.sqlite
        return connection

    def _require_no_former(self, living: list[Connection]) -> None:
        """Raise `StoreUnavailableError` while some of `living` have another file open than the one at the path."""
        file = self._watch.note_file()
        former = [connection for connection in living if connection.file != file]
        for connection in former:
            if connection.epoch is self._epoch:
                raise self._lost(connection, watching.FILE_LOST)
        if former:
            raise StoreUnavailableError("sqlite", "connect", "calls to the former file are not done yet")

    def _lost(self, former: Connection, loss: str) -> StoreUnavailableError:
        """Begin a new epoch, unless another thread has, and give the error that says why."""
        with self._opening:
            is_first_to_see = self._epoch is former.epoch
            if is_first_to_see:
                if loss is watching.FILE_LOST:
                    self._watch.remove_logs_of(former)
                self.drop()
        if is_first_to_see:
            _log.error("%s: %s", self.path, loss)
        return StoreUnavailableError(
            "sqlite", "connect", f"{self.path}: {loss}. What was written to the former file is not in this one"
        )

    # Around a fork

    def close_before_fork(self) -> None:
        """Close every connection and let none be opened until the fork is over.

        SQLite keeps one table of file locks per process, which a child inherits without the locks. A connection that
        the child opens to a file in that table never locks it, so that others delete the write-ahead log under
        the child and its acknowledged writes are lost.
        """
        deadline = Deadline(self._patience_seconds)
        self._opening.acquire(timeout=deadline.seconds_left)
        self._close_idle()
        while self.living and deadline.seconds_left:
            time.sleep(0.0005)
            self._close_idle()

    def resume_after_fork(self) -> None:
        """In the parent: let connections be opened again."""
        with contextlib.suppress(RuntimeError):
            self._opening.release()

    def start_anew_after_fork(self) -> None:
        """In the child: forget whatever was the parent's."""
        if self._open:
            _inherited.extend(self._open.values())
            _log.warning(
                "forked with open connections to %s; fork by os.fork, or use the store only afterwards",
                self.path,
            )
        # The parent's locks may have been held by threads that do not exist here.
        self._begin()


_pools: Final["weakref.WeakSet[Connections]"] = weakref.WeakSet()
_pools_lock = threading.RLock()


def _before_fork() -> None:
    _pools_lock.acquire()
    for pool in _pools:
        pool.close_before_fork()


def _after_fork_in_parent() -> None:
    for pool in _pools:
        pool.resume_after_fork()
    with contextlib.suppress(RuntimeError):
        _pools_lock.release()


def _after_fork_in_child() -> None:
    with contextlib.suppress(RuntimeError):
        _pools_lock.release()
    for pool in _pools:
        pool.start_anew_after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
