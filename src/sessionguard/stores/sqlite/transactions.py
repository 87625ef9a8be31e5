"""How statements reach the database: a plain read, one writing statement, or several under an immediate transaction."""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from sessionguard.core.commands import Command
from sessionguard.core.points import Mode, point, reach
from sessionguard.stores.deadline import Deadline
from sessionguard.stores.sqlite.connections import Connections
from sessionguard.stores.sqlite.retrying import is_busy, until_free, wait_for
from sessionguard.stores.sqlite.translation import translated

C = TypeVar("C", bound=Command[Any])
R = TypeVar("R")

Work = Callable[[sqlite3.Connection, C], R]


class Transactions:
    """Runs the work that answers a command on a lent connection, and says in our words how it failed."""

    def __init__(self, connections: Connections, patience_seconds: float) -> None:
        self._connections = connections
        self._patience_seconds = patience_seconds
        self._write_lock = f"write lock of {connections.path}"

    def read(self, work: Work[C, R], command: C) -> R:
        """Run `work`, which only reads; it waits for no writer."""
        connections = self._connections
        reach("SELECT", connections.path, command, "r")
        try:
            connection = connections.take()
            try:
                return work(connection.sqlite, command)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                return until_free(
                    command.verb, lambda: work(connection.sqlite, command), Deadline(self._patience_seconds)
                )
            finally:
                connections.give_back(connection)
        except (sqlite3.Error, OverflowError) as error:
            raise translated(command.verb, error) from error

    def read_at_once(self, work: Work[C, R | None], command: C) -> R | None:
        """Run `work`, which only reads; None if it would have to wait, or to open the file first."""
        connections = self._connections
        reach("SELECT", connections.path, command, "r")
        try:
            connection = connections.take_idle()
            if connection is None:
                return None
            try:
                return work(connection.sqlite, command)
            finally:
                connections.give_back(connection)
        except (sqlite3.Error, OverflowError) as error:
            if is_busy(error):
                return None
            raise translated(command.verb, error) from error

    def write(self, work: Work[C, R], command: C) -> R:
        """Run `work`, each of whose writing statements is a transaction of its own, or is in one.

        While the database is busy it is run again from its beginning.
        """
        return self._write(work, command, "write", "w")

    def transact(self, work: Work[C, R], command: C) -> R:
        """Run `work` with the write lock held from before its first statement until its last is durable."""
        return self._write(self.whole(work), command, "BEGIN", "r")

    def whole(self, work: Work[C, R]) -> Work[C, R]:
        """Give work that runs `work` with the write lock held, and leaves nothing of it if it raises."""

        def whole(connection: sqlite3.Connection, command: C) -> R:
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = work(connection, command)
                reach("COMMIT", self._connections.path, command)
                connection.execute("COMMIT")
            except BaseException:
                # The pool closes a connection that cannot be rolled back; the error that came first says more.
                try:  # noqa: SIM105 - a signal handler may raise as suppress() is called, with the write lock held
                    connection.rollback()
                except sqlite3.Error:
                    pass
                raise
            return result

        return whole

    def _write(self, work: Work[C, R], command: C, label: str, mode: Mode) -> R:
        # Outside of all that is to be released: at either point, nothing is held.
        point("lock", self._write_lock, "acq")
        try:
            return self._write_in_turn(work, command, label, mode)
        finally:
            point("unlock", self._write_lock, "rel")

    def _write_in_turn(self, work: Work[C, R], command: C, label: str, mode: Mode) -> R:
        connections, deadline = self._connections, Deadline(self._patience_seconds)
        turn = connections.writers_turn
        try:
            wait_for(turn, command.verb, deadline, "other threads kept writing")
            connection = connections.take(deadline)
            connection.raised.clear()
            try:
                reach(label, connections.path, command, mode)
                return until_free(command.verb, lambda: work(connection.sqlite, command), deadline)
            except sqlite3.OperationalError:
                connection.raise_what_a_function_raised()
                raise
            finally:
                connections.give_back(connection)
        except (sqlite3.Error, OverflowError) as error:
            raise translated(command.verb, error) from error
        finally:
            try:  # noqa: SIM105 - a signal handler may raise as suppress() is called, with the turn still ours
                turn.release()
            except RuntimeError:
                pass
