"""Async connections: those of each event loop are its own, lent to one task at a time, and never crossed by a fork.

Within one loop nothing happens between two awaits, so counting needs no lock. A task that is cancelled while it waits
for an answer closes its connection at once and waits for nothing more.
"""

import asyncio
import os
import time
import weakref
from collections import deque
from typing import Any, Final, TypeVar

import psycopg

from sessionguard.errors import IdentityMismatchError, MisuseError
from sessionguard.forking import after_fork
from sessionguard.stores.postgres.connecting import AsyncConnection, AsyncLine
from sessionguard.stores.postgres.playing import play_async
from sessionguard.stores.postgres.rows import Rows
from sessionguard.stores.postgres.schema import LONGEST_SECONDS, Script, due_at_first_use, migrated
from sessionguard.stores.postgres.settings import SLACK_SECONDS, Settings
from sessionguard.stores.postgres.translation import NAME, busy, is_lost, refused, translated
from sessionguard.stores.postgres.wire import Wire

R = TypeVar("R")


class _Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self.idle: list[AsyncLine] = []
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.count = 0
        # What is lent outlives its epoch and is closed when it comes back.
        self.epoch = object()

    def drop(self) -> None:
        """Close what is idle now, and what is lent as it comes back."""
        self.epoch = object()
        while self.idle:
            self.close(self.idle.pop())

    def close(self, line: AsyncLine) -> None:
        """Close a line; another one may take its place."""
        self.count -= 1
        line.close()
        self.wake()

    def give_back(self, line: AsyncLine) -> None:
        """Take a line back for the next task."""
        if line.epoch is not self.epoch:
            self.close(line)
            return
        self.idle.append(line)
        self.wake()

    def wake(self) -> None:
        """Let the one who waits longest look whether there is something for it."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


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
            connection.answer_by = answer_by
            rows = await connection.wait(exchange.ask(verb, parameters))
            if not rows or rows[0][0] != parameters[0]:
                raise IdentityMismatchError(NAME, verb, "echo")
        except (psycopg.Error, OverflowError) as error:
            self._settle(pool, line, error)
            raise translated(verb, error) from error
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
            return await _played(operation, script, await self._connected(line), seconds)
        finally:
            line.close()

    def _settle(self, pool: _Pool, line: AsyncLine, error: psycopg.Error | OverflowError) -> None:
        if is_lost(error):
            # The server went away, or is another one now: the other connections lead nowhere either.
            pool.drop()
        if line.is_clean:
            pool.give_back(line)
        else:
            pool.close(line)

    async def _taken(self, pool: _Pool, verb: str, answer_by: float) -> AsyncLine:
        while not pool.idle:
            if pool.count < self._settings.pool_size:
                return await self._opened(pool)
            await self._turn(pool, verb, answer_by)
        return pool.idle.pop()

    async def _turn(self, pool: _Pool, verb: str, answer_by: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pool.waiting.append(turn)
        try:
            async with asyncio.timeout(max(0.0, answer_by - SLACK_SECONDS - time.monotonic())):
                await turn
        except TimeoutError:
            raise busy(verb, self._settings) from None
        except BaseException:
            if turn.done() and not turn.cancelled():
                # It was this one's turn as it gave up: it is another's then.
                pool.wake()
            raise

    async def _opened(self, pool: _Pool) -> AsyncLine:
        pool.count += 1
        line = AsyncLine(pool.epoch)
        try:
            connection = await self._connected(line)
            if not self._is_prepared:
                settings = self._settings
                if await _played("connect", due_at_first_use(settings), connection, settings.answer_seconds):
                    await _played("migrate", migrated(settings.schema), connection, LONGEST_SECONDS)
                self._is_prepared = True
        except BaseException:
            pool.close(line)
            raise
        return line

    async def _connected(self, line: AsyncLine) -> AsyncConnection:
        try:
            return await line.connect(self._settings, self._wire)
        except psycopg.Error as error:
            self._pool().drop()
            raise refused(error) from error

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


async def _played(operation: str, script: Script[R], connection: AsyncConnection, seconds: float) -> R:
    try:
        return await play_async(script, connection, seconds)
    except psycopg.Error as error:
        raise translated(operation, error) from error
