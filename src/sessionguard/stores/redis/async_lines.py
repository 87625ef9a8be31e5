"""One async connection to one server. Whatever goes wrong on it, cancellation too, it is closed for good."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

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


class AsyncLine:
    """A connection, lent to one caller at a time. It sets no time limits: whoever asks does, for the whole request."""

    def __init__(self, contact: Contact, epoch: object) -> None:
        self.epoch = epoch
        self.has_connected = False
        self._contact = contact
        settings = contact.settings
        make: Any = Connection if settings.encryption is None else SSLConnection
        self._connection: Any = make(
            host=contact.address.host,
            port=contact.address.port,
            retry=handshake.no_retries(Retry),
            socket_timeout=None,
            **handshake.connection_arguments(settings, of_sentinel=contact.of_sentinel),
        )

    async def connect(self) -> None:
        """Connect and sign in."""
        async with self._explaining():
            await self._connection.connect()
        handshake.require_guard(self._connection)
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

    async def is_clean(self) -> bool:
        """Tell whether nothing unread has arrived on it, not even the news that the server has closed it."""
        try:
            return self._connection.is_connected and not await self._connection.can_read()
        except (driver.RedisError, OSError):
            return False

    async def evaluate(self, call: Call) -> Any:
        """Run a script and give its reply."""
        await apoint_of(reaches, call)
        nonce = next_nonce()
        try:
            reply = await self._ask(call.by_digest(nonce))
        except driver.NoScriptError:
            nonce = next_nonce()
            reply = await self._ask(call.by_source(nonce))
        await apoint("answered", ANSWERS, "r")
        return own_reply(reply, nonce, call.script.name)

    async def survey(self, commands: Sequence[Words]) -> list[Any]:
        """Give the replies to plain questions, sent at once."""
        await apoint("survey", "redis", "r")
        nonce = next_nonce()
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

    async def _ask(self, words: Words) -> Any:
        connection = self._connection
        await connection.send_packed_command((packed(words),), check_health=False)
        return await connection.read_response()

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response()
        except driver.ResponseError as error:
            return error

    def close(self) -> None:
        """Close it, now: nothing is waited for, so nothing can interrupt it."""
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
