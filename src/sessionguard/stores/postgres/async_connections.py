"""Async connections: those of each event loop are its own, lent to one task at a time, and never crossed by a fork.

Within one loop nothing happens between two awaits, so counting needs no lock. A task that is cancelled while it waits
for an answer closes its connection at once and waits for nothing more.
"""

import asyncio
import contextlib
import os
import time
import weakref
from collections import deque
from typing import Any, Final, TypeVar

import psycopg

from sessionguard.core.points import ANSWERS, apoint
from sessionguard.errors import IdentityMismatchError, MisuseError, SessionGuardError
from sessionguard.forking import after_fork
from sessionguard.stores.postgres.connecting import AsyncConnection, AsyncLine
from sessionguard.stores.postgres.playing import play_async
from sessionguard.stores.postgres.rows import Rows
from sessionguard.stores.postgres.schema import LONGEST_SECONDS, Script, due_at_first_use, migrated, role_of
from sessionguard.stores.postgres.settings import SECONDS_AFTER_ONE_TOO_MANY, SLACK_SECONDS, Settings
from sessionguard.stores.postgres.translation import NAME, busy, is_gone, is_lost, is_one_too_many, refused, translated
from sessionguard.stores.postgres.wire import Wire

R = TypeVar("R")


class _Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self.idle: list[AsyncLine] = []
        # Whoever waits is handed a line, or the place of one: newcomers take neither before them.
        self.waiting: deque[asyncio.Future[AsyncLine | None]] = deque()
        # Places that are taken: by a line, by a task that connects one, or by one that was handed the place to do so.
        self.count = 0
        self.no_more_until = 0.0
        # What is lent outlives its epoch and is closed when it comes back.
        self.epoch = object()

    def drop(self) -> None:
        """Close what is idle now, and what is lent as it comes back."""
        self.epoch = object()
        while self.idle:
            self.close(self.idle.pop())

    def close(self, line: AsyncLine) -> None:
        """Close a line and leave its place."""
        line.close()
        self.leave()

    def leave(self) -> None:
        """Hand a place to the one who waits longest; if nobody waits it is free."""
        turn = self._next()
        if turn is None:
            self.count -= 1
        else:
            turn.set_result(None)

    def give_back(self, line: AsyncLine) -> None:
        """Hand a line to the one who waits longest; if nobody waits it is idle."""
        if line.epoch is not self.epoch:
            self.close(line)
            return
        turn = self._next()
        if turn is None:
            self.idle.append(line)
        else:
            turn.set_result(line)

    def pass_on(self, turn: "asyncio.Future[AsyncLine | None]") -> None:
        """Take back what was handed to one who had just given up, for the next."""
        if turn.cancelled() or not turn.done():
            return
        line = turn.result()
        if line is None:
            self.leave()
        else:
            self.give_back(line)

    def has_room(self, size: int) -> bool:
        """Whether one more may be connected: not while the server has just refused one and there are others."""
        return self.count < size and (self.count == 0 or time.monotonic() >= self.no_more_until)

    def _next(self) -> "asyncio.Future[AsyncLine | None] | None":
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                return turn
        return None


# Pools of a parent process. They are neither used nor closed in a child: that would end the parent's connections.
_inherited: Final[list[Any]] = []


class AsyncConnections:
    """One pool per running event loop, each of which grows up to its size. Connecting happens at first use."""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        self._settings = settings
        self._wire = wire
        self._closed = False
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = weakref.WeakKeyDictionary()
        self._begin()
        after_fork(self, AsyncConnections._begin)

    def _begin(self) -> None:
        _inherited.extend(self._pools.values())
        self._pid = os.getpid()
        self._pools = weakref.WeakKeyDictionary()
        self._is_prepared = False

    async def ask(self, verb: str, parameters: tuple[Any, ...]) -> Rows:
        """Give the rows that answer one question, after one round trip."""
        answer_by = time.monotonic() + self._settings.answer_seconds
        pool = self._pool()
        line = await self._taken(pool, verb, answer_by)
        exchange, connection = line.exchange, line.connection
        assert exchange is not None
        assert connection is not None
        try:
            # A first use may just have waited for a migration, for longer than a call may take.
            connection.answer_by = max(answer_by, connection.answer_by)
            rows = await connection.wait(exchange.ask(verb, parameters))
            await apoint("answered", ANSWERS, "r")
            if not rows or rows[0][0] != parameters[0]:
                raise IdentityMismatchError(NAME, verb, "echo")
        except (psycopg.Error, OverflowError) as error:
            raise (await self._told(pool, line, verb, error)) from error
        except BaseException:
            # Cancelled: the answer may still be under way, and the next task must not be given it.
            pool.close(line)
            raise
        pool.give_back(line)
        return rows

    async def play(self, operation: str, script: Script[R], seconds: float) -> R:
        """Run a script on a connection of its own, beside the pool, and close that."""
        self._pool()
        line = AsyncLine(object())
        try:
            return await _played(operation, script, await self._connected(line), self._settings, seconds)
        except psycopg.Error as error:
            raise refused(error) from error
        finally:
            line.close()

    async def _told(
        self, pool: _Pool, line: AsyncLine, verb: str, error: psycopg.Error | OverflowError
    ) -> SessionGuardError:
        """Give our error, and then the line back: till then nobody else may use or close it."""
        assert line.connection is not None
        try:
            told = await _translated(verb, error, self._settings, line.connection)
        except BaseException:
            pool.close(line)
            raise
        self._settle(pool, line, error)
        return told

    def _settle(self, pool: _Pool, line: AsyncLine, error: psycopg.Error | OverflowError) -> None:
        if is_lost(error):
            # The server went away, or is another one now: the other connections lead nowhere either.
            pool.drop()
        if line.is_clean:
            pool.give_back(line)
        else:
            pool.close(line)

    async def _taken(self, pool: _Pool, verb: str, answer_by: float) -> AsyncLine:
        while True:
            if pool.idle:
                return pool.idle.pop()
            if pool.has_room(self._settings.pool_size):
                pool.count += 1
            else:
                handed = await self._turn(pool, verb, answer_by)
                if handed is not None:
                    if handed.epoch is pool.epoch:
                        return handed
                    # It was handed over before all were dropped, and looked at after.
                    pool.close(handed)
                    continue
            fresh = await self._opened(pool)
            if fresh is not None:
                return fresh

    async def _turn(self, pool: _Pool, verb: str, answer_by: float) -> AsyncLine | None:
        """Wait for a line, or for the place of one: None."""
        turn: asyncio.Future[AsyncLine | None] = asyncio.get_running_loop().create_future()
        pool.waiting.append(turn)
        try:
            async with asyncio.timeout(max(0.0, answer_by - SLACK_SECONDS - time.monotonic())):
                return await turn
        except BaseException as error:
            # It may have been this one's turn as it gave up, for either reason: it is another's then.
            pool.pass_on(turn)
            with contextlib.suppress(ValueError):
                pool.waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise busy(verb, self._settings, pool.count) from None
            raise

    async def _opened(self, pool: _Pool) -> AsyncLine | None:
        """Connect a line in a place that was taken; None: the server has no more, but there are others to wait for."""
        line = AsyncLine(pool.epoch)
        try:
            connection = await self._connected(line)
            if not self._is_prepared:
                await _prepare(connection, self._settings)
                self._is_prepared = True
        except psycopg.Error as error:
            if is_one_too_many(error) and pool.count > 1:
                pool.count -= 1
                pool.no_more_until = time.monotonic() + SECONDS_AFTER_ONE_TOO_MANY
                return None
            pool.close(line)
            raise refused(error) from error
        except BaseException:
            pool.close(line)
            raise
        return line

    async def _connected(self, line: AsyncLine) -> AsyncConnection:
        try:
            return await line.connect(self._settings, self._wire)
        except psycopg.Error as error:
            if is_gone(error):
                self._pool().drop()
            raise

    def drop(self) -> None:
        """Close every connection: the idle ones now, the lent ones as they come back."""
        running = asyncio._get_running_loop()
        for loop, pool in list(self._pools.items()):
            if loop is running or loop.is_closed() or not loop.is_running():
                pool.drop()
            else:
                loop.call_soon_threadsafe(pool.drop)

    def close(self) -> None:
        """Close what is not lent now, and what is lent as it comes back."""
        self._closed = True
        if self._pid == os.getpid():
            self.drop()

    @property
    def open_count(self) -> int:
        """How many connections the pool of the running loop has, lent or idle."""
        return self._pool().count

    def _pool(self) -> _Pool:
        if self._closed:
            raise MisuseError(f"the {NAME} store is closed; open a new one")
        if self._pid != os.getpid():
            # Forked where Python's hooks did not run.
            self._begin()
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = _Pool()
        return pool


async def _prepare(connection: AsyncConnection, settings: Settings) -> None:
    if await _played("connect", due_at_first_use(settings), connection, settings, settings.answer_seconds):
        await _played("migrate", migrated(settings.schema), connection, settings, LONGEST_SECONDS)
        connection.answer_by = time.monotonic() + settings.answer_seconds
    else:
        connection.answer_by = 0.0


async def _played(
    operation: str, script: Script[R], connection: AsyncConnection, settings: Settings, seconds: float
) -> R:
    try:
        return await play_async(script, connection, seconds)
    except psycopg.Error as error:
        raise (await _translated(operation, error, settings, connection)) from error


async def _translated(
    operation: str, error: psycopg.Error | OverflowError, settings: Settings, connection: AsyncConnection
) -> SessionGuardError:
    role: str | None = None
    # Whoever cannot even be asked has lost the connection; the first error is the one to be told.
    with contextlib.suppress(psycopg.Error):
        role = await play_async(role_of(error), connection, SLACK_SECONDS)
    return translated(operation, error, settings, role)
