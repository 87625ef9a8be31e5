"""How statements reach the database: a plain read, one writing statement, or several under an immediate transaction."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sessionguard.errors import MisuseError, SessionGuardError, StoreDataError, StoreTimeoutError, StoreUnavailableError
from sessionguard.stores.sqlite.connections import Connections
from sessionguard.stores.sqlite.retrying import is_busy, until_free

R = TypeVar("R")

Work = Callable[[sqlite3.Connection], R]

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Transactions:
    """Runs work on a lent connection and says in our words how it failed."""

    def __init__(self, connections: Connections, patience_seconds: float) -> None:
        self._connections = connections
        self._patience_seconds = patience_seconds

    def read(self, operation: str, work: Work[R]) -> R:
        """Run `work`, which only reads; it waits for no writer."""
        connections = self._connections
        try:
            connection = connections.take()
            try:
                return work(connection)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                return until_free(operation, lambda: work(connection), self._patience_seconds)
            finally:
                connections.give_back(connection)
        except sqlite3.Error as error:
            raise _translated(operation, error) from error

    def read_at_once(self, operation: str, work: Work[R]) -> R | None:
        """Run `work`, which only reads; None if it would have to wait."""
        connections = self._connections
        try:
            connection = connections.take()
            try:
                return work(connection)
            finally:
                connections.give_back(connection)
        except sqlite3.Error as error:
            if is_busy(error):
                return None
            raise _translated(operation, error) from error

    def write(self, operation: str, work: Work[R]) -> R:
        """Run `work`, whose one writing statement is a transaction of its own."""
        with self._writer(operation) as connection:
            return until_free(operation, lambda: work(connection), self._patience_seconds)

    def transact(self, operation: str, work: Work[R]) -> R:
        """Run `work` with the write lock held from before its first statement until its last is durable."""

        def attempt() -> R:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
            return result

        with self._writer(operation) as connection:
            return until_free(operation, attempt, self._patience_seconds)

    @contextmanager
    def _writer(self, operation: str) -> Iterator[sqlite3.Connection]:
        connections = self._connections
        try:
            connection = connections.take()
            try:
                writing = connections.writing
                if not writing.acquire(timeout=self._patience_seconds):
                    raise StoreTimeoutError(
                        "sqlite", operation, f"other threads kept writing for {self._patience_seconds:g} s"
                    )
                try:
                    yield connection
                finally:
                    writing.release()
            finally:
                connections.give_back(connection)
        except sqlite3.Error as error:
            raise _translated(operation, error) from error


def _translated(operation: str, error: sqlite3.Error) -> SessionGuardError:
    """Give our error for one of the driver's. Messages of SQLite name tables and files, never values."""
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return MisuseError("the sqlite store is closed; open a new one")
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _DAMAGED:
        return StoreDataError("sqlite", operation, f"{error}; restore the file from a backup")
    if isinstance(error, sqlite3.IntegrityError):
        return StoreDataError("sqlite", operation, f"the database refused an impossible state ({error})")
    if is_busy(error):
        return StoreTimeoutError("sqlite", operation, "another process kept the database locked")
    return StoreUnavailableError("sqlite", operation, str(error))
