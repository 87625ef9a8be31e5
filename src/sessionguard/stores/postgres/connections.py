"""Blocking connections: lent to one caller at a time, in bounded number, and never across a fork.

Not psycopg_pool: there a wrong password shows only as a timeout and its cause in a log, its threads would have to be
kept out of forks, and a connection whose borrower was interrupted by a signal is missing for ever. Here a caller
connects by itself and hears why it could not, and what nobody has any more is not counted.
"""

import contextlib
import os
import queue
import threading
import time
import weakref
from collections import deque
from typing import Any, Final, TypeVar

import psycopg

from sessionguard.core.points import ANSWERS, point
from sessionguard.errors import IdentityMismatchError, MisuseError, SessionGuardError
from sessionguard.forking import after_fork
from sessionguard.stores.postgres.connecting import BlockingConnection, Line
from sessionguard.stores.postgres.playing import play
from sessionguard.stores.postgres.rows import Rows
from sessionguard.stores.postgres.schema import LONGEST_SECONDS, Script, due_at_first_use, migrated, role_of
from sessionguard.stores.postgres.settings import SECONDS_AFTER_ONE_TOO_MANY, SLACK_SECONDS, Settings
from sessionguard.stores.postgres.translation import NAME, busy, is_gone, is_lost, is_one_too_many, refused, translated
from sessionguard.stores.postgres.wire import Wire

R = TypeVar("R")

# Lines of a parent process. They are neither used nor closed in a child: that would end the parent's connections.
_inherited: Final[list[Line]] = []

# A line that was lost to an interruption tells nobody; those who wait for one look again now and then.
_SECONDS_BETWEEN_LOOKS: Final = 0.1


class Connections:
    """A pool that grows with the number of concurrent callers, up to its size. Connecting happens at first use."""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        self._settings = settings
        self._wire = wire
        self._closed = False
        self._idle: deque[Line] = deque()
        self._begin()
        after_fork(self, Connections._begin)

    def _begin(self) -> None:
        _inherited.extend(self._idle)
        self._pid = os.getpid()
        self._idle = deque()
        self._waiting: deque[queue.SimpleQueue[Line | None]] = deque()
        # What is open, or about to be. A line that got lost between two callers leaves it by itself.
        self._lines: weakref.WeakSet[Line] = weakref.WeakSet()
        self._counting = threading.RLock()
        self._is_prepared = False
        self._no_more_until = 0.0
        # What is lent outlives its epoch and is closed when it comes back.
        self._epoch = object()

    # Asking

    def ask(self, verb: str, parameters: tuple[Any, ...]) -> Rows:
        """Give the rows that answer one question, after one round trip."""
        answer_by = time.monotonic() + self._settings.answer_seconds
        line = self._take(verb, answer_by)
        exchange, connection = line.exchange, line.connection
        assert exchange is not None
        assert connection is not None
        try:
            # A first use may just have waited for a migration, for longer than a call may take.
            connection.answer_by = max(answer_by, connection.answer_by)
            rows = connection.wait(exchange.ask(verb, parameters))
            point("answered", ANSWERS, "r")
            if not rows or rows[0][0] != parameters[0]:
                raise IdentityMismatchError(NAME, verb, "echo")
        except (psycopg.Error, OverflowError) as error:
            raise self._told(line, verb, error) from error
        except BaseException:
            # Interrupted: the answer may still be under way, and the next caller must not be given it.
            self._close(line)
            raise
        self._give_back(line)
        return rows

    def play(self, operation: str, script: Script[R], seconds: float) -> R:
        """Run a script on a connection of its own, beside the pool, and close that."""
        self._require_usable()
        line = Line(self._epoch)
        try:
            return _played(operation, script, self._connected(line), self._settings, seconds)
        except psycopg.Error as error:
            raise refused(error) from error
        finally:
            line.close()

    def _told(self, line: Line, verb: str, error: psycopg.Error | OverflowError) -> SessionGuardError:
        """Give our error, and then the line back: till then nobody else may use or close it."""
        assert line.connection is not None
        try:
            told = _translated(verb, error, self._settings, line.connection)
        except BaseException:
            self._close(line)
            raise
        self._settle(line, error)
        return told

    def _settle(self, line: Line, error: psycopg.Error | OverflowError) -> None:
        if is_lost(error):
            # The server went away, or is another one now: the other connections lead nowhere either.
            self.drop()
        if line.is_clean:
            self._give_back(line)
        else:
            self._close(line)

    # Lending

    def _take(self, verb: str, answer_by: float) -> Line:
        self._require_usable()
        while True:
            try:
                line = self._idle.pop()
            except IndexError:
                fresh = self._counted_in()
                awaited = self._awaited(verb, answer_by) if fresh is None else self._opened(fresh)
                if awaited is None:
                    continue
                line = awaited
            if line.epoch is self._epoch:
                return line
            # It came back while another thread dropped what was idle.
            self._close(line)

    def _opened(self, line: Line) -> Line | None:
        """Connect a line that was counted in; None: the server has no more, but there are others to wait for."""
        try:
            connection = self._connected(line)
            if not self._is_prepared:
                _prepare(connection, self._settings)
                self._is_prepared = True
        except psycopg.Error as error:
            with self._counting:
                self._lines.discard(line)
                if is_one_too_many(error) and self._lines:
                    self._no_more_until = time.monotonic() + SECONDS_AFTER_ONE_TOO_MANY
                    return None
            self._close(line)
            raise refused(error) from error
        except BaseException:
            self._close(line)
            raise
        return line

    def _counted_in(self) -> Line | None:
        """Give a new line that is not connected, or None if there are as many as may be.

        Neither while the server has just refused one and there are others.
        """
        with self._counting:
            count = len(self._lines)
            if count >= self._settings.pool_size or (count and time.monotonic() < self._no_more_until):
                return None
            line = Line(self._epoch)
            self._lines.add(line)
            return line

    def _connected(self, line: Line) -> BlockingConnection:
        try:
            return line.connect(self._settings, self._wire)
        except psycopg.Error as error:
            if is_gone(error):
                self.drop()
            raise

    def _awaited(self, verb: str, answer_by: float) -> Line | None:
        """Give a line that came back; None: look again whether there is room for another one."""
        left = answer_by - SLACK_SECONDS - time.monotonic()
        if left <= 0:
            raise busy(verb, self._settings, len(self._lines))
        turn: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._waiting.append(turn)
        try:
            # One may have come back before this caller stood in the queue.
            self._serve_waiting()
            return turn.get(timeout=min(left, _SECONDS_BETWEEN_LOOKS))
        except queue.Empty:
            return None
        finally:
            try:
                self._waiting.remove(turn)
            except ValueError:
                # It was served as it gave up; nobody else will look into it.
                with contextlib.suppress(queue.Empty):
                    late = turn.get_nowait()
                    if late is not None:
                        self._give_back(late)

    def _give_back(self, line: Line) -> None:
        if line.epoch is not self._epoch:
            self._close(line)
            return
        self._idle.append(line)
        if self._waiting:
            self._serve_waiting()
        if self._closed:
            self._close_idle()

    def _serve_waiting(self) -> None:
        with contextlib.suppress(IndexError):
            while self._waiting:
                line = self._idle.pop()
                try:
                    self._waiting.popleft().put(line)
                except IndexError:
                    self._idle.append(line)
                    return

    # Dropping

    def drop(self) -> None:
        """Close every connection: the idle ones now, the lent ones as they come back."""
        self._epoch = object()
        self._close_idle()

    def close(self) -> None:
        """Close what is not lent now, and what is lent as it comes back."""
        self._closed = True
        if self._pid == os.getpid():
            self._close_idle()

    def __del__(self) -> None:
        # A store that is dropped without close leaves nothing open. What a forked child has of it is its parent's.
        with contextlib.suppress(AttributeError):
            self.close()

    @property
    def open_count(self) -> int:
        """How many connections this process has, lent or idle."""
        return len(self._lines)

    def _require_usable(self) -> None:
        if self._closed:
            raise MisuseError(f"the {NAME} store is closed; open a new one")
        if self._pid != os.getpid():
            # Forked where Python's hooks did not run.
            self._begin()

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._close(self._idle.pop())

    def _close(self, line: Line) -> None:
        self._lines.discard(line)
        line.close()
        if self._waiting:
            # There is room for another one now.
            with contextlib.suppress(IndexError):
                self._waiting.popleft().put(None)


def _prepare(connection: BlockingConnection, settings: Settings) -> None:
    if _played("connect", due_at_first_use(settings), connection, settings, settings.answer_seconds):
        _played("migrate", migrated(settings.schema), connection, settings, LONGEST_SECONDS)
        connection.answer_by = time.monotonic() + settings.answer_seconds
    else:
        connection.answer_by = 0.0


def _played(operation: str, script: Script[R], connection: BlockingConnection, settings: Settings, seconds: float) -> R:
    try:
        return play(script, connection, seconds)
    except psycopg.Error as error:
        raise _translated(operation, error, settings, connection) from error


def _translated(
    operation: str, error: psycopg.Error | OverflowError, settings: Settings, connection: BlockingConnection
) -> SessionGuardError:
    role: str | None = None
    # Whoever cannot even be asked has lost the connection; the first error is the one to be told.
    with contextlib.suppress(psycopg.Error):
        role = play(role_of(error), connection, SLACK_SECONDS)
    return translated(operation, error, settings, role)
