"""How statements reach the database: a plain read, one writing statement, or several under an immediate transaction."""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from sessionguard.core.commands import Command
from sessionguard.stores.sqlite.connections import Connections
from sessionguard.stores.sqlite.retrying import is_busy, until_free
from sessionguard.stores.sqlite.translation import translated

C = TypeVar("C", bound=Command[Any])
R = TypeVar("R")

Work = Callable[[sqlite3.Connection, C], R]


class Transactions:
    """Runs the work that answers a command on a lent connection, and says in our words how it failed."""

    def __init__(self, connections: Connections, patience_seconds: float) -> None:
        self._connections = connections
        self._patience_seconds = patience_seconds

    def read(self, work: Work[C, R], command: C) -> R:
        """Run `work`, which only reads; it waits for no writer."""
        connections = self._connections
        try:
            connection = connections.take()
            try:
                return work(connection, command)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                return until_free(command.verb, lambda: work(connection, command), self._patience_seconds)
            finally:
                connections.give_back(connection)
        except sqlite3.Error as error:
            raise translated(command.verb, error) from error

    def read_at_once(self, work: Work[C, R | None], command: C) -> R | None:
        """Run `work`, which only reads; None if it would have to wait."""
        connections = self._connections
        if not connections.is_ready:
            return None
        try:
            connection = connections.take()
            try:
                return work(connection, command)
            finally:
                connections.give_back(connection)
        except sqlite3.Error as error:
            if is_busy(error):
                return None
            raise translated(command.verb, error) from error

    def write(self, work: Work[C, R], command: C) -> R:
        """Run `work`, whose one writing statement is a transaction of its own."""
        connections = self._connections
        connections.begin_writing(command.verb)
        try:
            connection = connections.take(for_writing=True)
            try:
                return until_free(command.verb, lambda: work(connection, command), self._patience_seconds)
            finally:
                connections.give_back(connection)
        except sqlite3.Error as error:
            raise translated(command.verb, error) from error
        finally:
            connections.end_writing()

    def transact(self, work: Work[C, R], command: C) -> R:
        """Run `work` with the write lock held from before its first statement until its last is durable."""

        def whole(connection: sqlite3.Connection, command: C) -> R:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection, command)
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
            return result

        return self.write(whole, command)
