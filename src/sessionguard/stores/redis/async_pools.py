"""Async connections to one server: a bounded number for one event loop, lent to one caller at a time."""

import asyncio

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.redis import handshake
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.async_lines import AsyncLine
from sessionguard.stores.redis.settings import Settings


class AsyncPool:
    """The connections to one server. Between two awaits nothing interrupts it: one event loop has but one thread."""

    def __init__(self, settings: Settings, address: Address) -> None:
        self.address = address
        self._settings = settings
        self._idle: list[AsyncLine] = []
        self._living: set[AsyncLine] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._is_checked = False
        # What is lent outlives its epoch and is closed when it comes back.
        self._epoch = object()

    def __len__(self) -> int:
        return len(self._living)

    @property
    def idle(self) -> tuple[AsyncLine, ...]:
        """Those that nobody uses now."""
        return tuple(self._idle)

    async def take(self) -> AsyncLine:
        """Give a connection that is ready for a request; it must be given back or discarded."""
        while True:
            while self._idle:
                line = self._idle.pop()
                try:
                    if line.epoch is self._epoch and await line.is_clean():
                        return line
                except BaseException:
                    self.discard(line)
                    raise
                self.discard(line)
            if len(self._living) < self._settings.pool_size:
                return await self._connected()
            await self._wait()

    async def _connected(self) -> AsyncLine:
        line = AsyncLine(self._settings, self.address, self._epoch)
        self._living.add(line)
        try:
            await line.connect()
            await self._check(line)
        except BaseException:
            self.discard(line)
            raise
        return line

    async def _check(self, line: AsyncLine) -> None:
        if not self._is_checked:
            handshake.check_server(self._settings, await line.inspect(handshake.FIRST))
            self._is_checked = True

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except BaseException:
            # Told that a place is free, and cancelled before it could take it: the next one may.
            if waiter.done() and not waiter.cancelled():
                self._tell()
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def exhausted(self) -> StoreTimeoutError | None:
        """Give the error for a caller who waited in vain, if all connections are in use."""
        if self._idle or len(self._living) < self._settings.pool_size:
            return None
        count = self._settings.pool_size
        return StoreTimeoutError("redis", "connect", f"all {count} connections stayed in use; raise pool_size")

    def give_back(self, line: AsyncLine) -> None:
        """Take a connection back for the next caller."""
        if line.epoch is not self._epoch:
            self.discard(line)
            return
        self._idle.append(line)
        self._tell()

    def discard(self, line: AsyncLine) -> None:
        """Close a connection, whose place is free then."""
        self._living.discard(line)
        line.close()
        self._tell()

    def _tell(self) -> None:
        while self._waiting:
            waiter = self._waiting.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return

    def drop(self) -> None:
        """Close every connection: the idle ones now, the others as they come back."""
        self._epoch = object()
        self._is_checked = False
        while self._idle:
            self.discard(self._idle.pop())
