"""One async connection to one server. Whatever goes wrong on it, cancellation too, it is closed for good."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

from redis import exceptions as driver
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry

from sessionguard.core.points import ANSWERS, apoint, apoint_of
from sessionguard.stores.redis import handshake
from sessionguard.stores.redis.asking import (
    Call,
    Words,
    fenced,
    next_nonce,
    own_reply,
    packed,
    reaches,
    within_fence,
)
from sessionguard.stores.redis.contact import Contact
from sessionguard.stores.redis.failures import Failure, being_handled
from sessionguard.stores.redis.reading import CHUNK_BYTES, Reader, reader_of


class _Watch:
    """Cuts a connection off whose request is not answered by its deadline, which raises `TimeoutError` in its block.

    One timer for many requests, which is set anew when it has rung: making and cancelling one for each request took a
    third of the time of a request. It rings once more at most after the last.
    """

    def __init__(self) -> None:
        self._is_late = False
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connection: Any = None

    def by(self, deadline: float, connection: Any) -> Self:
        """Give the block of one request on `connection`; `deadline` is an instant of the event loop."""
        self._deadline, self._connection = deadline, connection
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._look)
        return self

    def _look(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._deadline:
            self._timer = loop.call_at(self._deadline, self._look)
            return
        self._is_late = True
        # Without one it is closed already.
        if (writer := self._connection._writer) is not None:
            writer.transport.abort()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadline = None
        # It was cut off here, whatever that looks like to who waits for the reply.
        if self._is_late and isinstance(error, driver.RedisError | OSError):
            raise TimeoutError("the time allowed is over") from error

    def close(self) -> None:
        """Ring no more."""
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()


class AsyncLine:
    """A connection, lent to one caller at a time. Making it has no time limit but what the caller sets."""

    def __init__(self, contact: Contact, epoch: object) -> None:
        self.epoch = epoch
        self.has_connected = False
        self._contact = contact
        self._reader: Reader | None = None
        self._watch = _Watch()
        settings = contact.settings
        make: Any = Connection if settings.encryption is None else SSLConnection
        self._connection: Any = make(
            host=contact.address.host,
            port=contact.address.port,
            retry=handshake.no_retries(Retry),
            socket_timeout=None,
            **handshake.connection_arguments(settings, of_sentinel=contact.of_sentinel),
        )
        handshake.require_names(self._connection, "_parser", "_reader", "_writer")

    async def connect(self) -> None:
        """Connect and sign in."""
        async with self._explaining():
            await self._connection.connect()
        handshake.require_guard(self._connection)
        self._reader = reader_of(self._connection)
        if self._reader is None:
            handshake.require_names(self._connection, "_parser._buffer")
        self.has_connected = True

    @contextlib.asynccontextmanager
    async def _explaining(self) -> AsyncIterator[None]:
        before = being_handled()
        try:
            yield
        except (driver.RedisError, OSError) as error:
            explained = await self._contact.explained_async(Failure.since(before, error))
            if explained is None:
                raise
            raise explained from explained.__cause__ or error

    @property
    def is_clean(self) -> bool:
        """Whether nothing unread has arrived on it, not even the news that the server has closed it.

        Nor was it cut off, by a reset or by the timer of a request that was answered in the same turn of the loop.
        """
        connection, reader = self._connection, self._reader
        if not connection.is_connected:
            return False
        # The driver tells of it in no other way without waiting; tests with real servers hold it to that.
        stream, is_begun = connection._reader, connection._parser._buffer if reader is None else reader.has_data()
        return not (is_begun or stream._buffer or stream.at_eof() or connection._writer.transport.is_closing())

    async def evaluate(self, call: Call, deadline: float) -> Any:
        """Run a script and give its reply.

        Raises:
            TimeoutError: there was none by `deadline`, an instant of the event loop.
        """
        await apoint_of(reaches, call)
        nonce = next_nonce()
        with self._watch.by(deadline, self._connection):
            try:
                reply = await self._ask(call.sent(nonce))
            except driver.NoScriptError:
                nonce = next_nonce()
                reply = await self._ask(packed(call.by_source(nonce)))
        await apoint("answered", ANSWERS, "r")
        return own_reply(reply, nonce, call.script.name)

    async def survey(self, commands: Sequence[Words], deadline: float) -> list[Any]:
        """Give the replies to plain questions, sent at once, by the same deadline."""
        await apoint("survey", "redis", "r")
        nonce = next_nonce()
        with self._watch.by(deadline, self._connection):
            return within_fence(await self._ask_all(fenced(commands, nonce)), nonce)

    async def inspect(self, commands: Sequence[Words]) -> list[Any]:
        """Give the replies to plain questions, where errors of the server are replies, too."""
        async with self._explaining():
            replies = await self._ask_all(commands)
        self._contact.succeeded()
        return replies

    async def _ask_all(self, commands: Sequence[Words]) -> list[Any]:
        connection = self._connection
        await connection.send_packed_command((b"".join(map(packed, commands)),), check_health=False)
        return [await self._read() for _ in commands]

    async def _ask(self, command: bytes) -> Any:
        connection, reader = self._connection, self._reader
        # By the driver, for that is where a harness listens to what leaves.
        await connection.send_packed_command((command,), check_health=False)
        if reader is None:
            return await connection.read_response()
        stream = connection._reader
        while not reader.has_reply(await stream.read(CHUNK_BYTES)):
            pass
        return reader.taken()

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response()
        except driver.ResponseError as error:
            return error

    def close(self) -> None:
        """Close it, now: nothing is waited for, so nothing can interrupt it."""
        self._watch.close()
        connection = self._connection
        connection._parser.on_disconnect()
        # The driver's own way waits, if only for what it counts; one more cancellation there would leave it open.
        writer = connection._writer
        connection._writer = connection._reader = None
        if writer is not None:
            try:
                writer.transport.abort()
            except RuntimeError:
                _close_without_loop(writer.transport)


def _close_without_loop(transport: Any) -> None:
    """Do what the event loop would have done in its next turn; it is closed, and has none any more."""
    # Nothing public closes a socket whose loop is gone; left to the garbage collector, the server would keep it open.
    encrypting = getattr(transport, "_ssl_protocol", None)
    plain = transport if encrypting is None else encrypting._transport
    with contextlib.suppress(AttributeError, RuntimeError):
        plain._call_connection_lost(None)
