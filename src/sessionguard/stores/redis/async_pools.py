"""Async connections to one server: a bounded number for one event loop, lent to one caller at a time."""

import asyncio
from collections import deque

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.redis import handshake
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.async_lines import AsyncLine
from sessionguard.stores.redis.contact import Contact
from sessionguard.stores.redis.settings import Settings


class AsyncPool:
    """The connections to one server. Between two awaits nothing interrupts it: one event loop has but one thread.

    While somebody waits, nothing is idle and there is no room: what comes free goes straight to who waits longest.
    """

    def __init__(self, settings: Settings, address: Address, notices: handshake.Notices) -> None:
        self.address = address
        self._settings = settings
        self._notices = notices
        self._contact = Contact(settings, address, notices)
        self._idle: list[AsyncLine] = []
        self._living: set[AsyncLine] = set()
        self._waiting: deque[asyncio.Future[AsyncLine]] = deque()
        self._is_checked = False
        # What is lent outlives its epoch and is closed when it comes back.
        self._epoch = object()

    def __len__(self) -> int:
        return len(self._living)

    @property
    def idle(self) -> tuple[AsyncLine, ...]:
        """Those that nobody uses now."""
        return tuple(self._idle)

    def ready(self) -> AsyncLine | None:
        """Give an idle connection that is ready for a request, as `take` does; None if that has to wait for one."""
        while self._idle:
            line = self._idle.pop()
            if line.epoch is self._epoch and line.is_clean:
                return line
            self.discard(line)
        return None

    async def take(self) -> AsyncLine:
        """Give a connection that is ready for a request; it must be given back or discarded."""
        line = self._at_once() or await self._handed()
        try:
            while line.has_connected:
                if line.epoch is self._epoch and line.is_clean:
                    return line
                line = self._replaced(line)
            await line.connect()
            await self._check(line)
        except BaseException:
            self.discard(line)
            raise
        return line

    def _at_once(self) -> AsyncLine | None:
        if self._idle:
            return self._idle.pop()
        return self._fresh() if len(self._living) < self._settings.pool_size else None

    def _fresh(self) -> AsyncLine:
        line = AsyncLine(self._contact, self._epoch)
        self._living.add(line)
        return line

    def _replaced(self, line: AsyncLine) -> AsyncLine:
        """Close a connection, and give another one in its place."""
        self._living.discard(line)
        line.close()
        return self._idle.pop() if self._idle else self._fresh()

    async def _check(self, line: AsyncLine) -> None:
        if not self._is_checked:
            replies = await line.inspect(handshake.FIRST)
            handshake.check_server(self._settings, self.address, replies, self._notices)
            self._is_checked = True

    async def _handed(self) -> AsyncLine:
        turn: asyncio.Future[AsyncLine] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                # Served, and cancelled before it could take it: it is the next one's.
                self.give_back(turn.result())
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def exhausted(self) -> StoreTimeoutError | None:
        """Give the error for a caller who waited in vain, if all connections are in use."""
        if len(self._living) < self._settings.pool_size or not all(line.has_connected for line in self._living):
            return None
        count = self._settings.pool_size
        return StoreTimeoutError("redis", "connect", f"all {count} connections stayed in use; raise pool_size")

    def give_back(self, line: AsyncLine) -> None:
        """Take a connection back for the next caller."""
        if line.epoch is self._epoch:
            self._pass_on(line)
        else:
            self.discard(line)

    def discard(self, line: AsyncLine) -> None:
        """Close a connection, whose place is free then."""
        self._living.discard(line)
        line.close()
        if self._waiting and len(self._living) < self._settings.pool_size:
            self._pass_on(self._fresh())

    def _pass_on(self, line: AsyncLine) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(line)
                return
        if line.has_connected:
            self._idle.append(line)
        else:
            self._living.discard(line)

    def drop(self) -> None:
        """Close every connection: the idle ones now, the others as they come back."""
        self._epoch = object()
        self._is_checked = False
        while self._idle:
            self.discard(self._idle.pop())
