"""One connection, blocking or async: it waits no longer than its caller, and is never used after an interruption."""

import time
from typing import Any, Final

import psycopg
from attrs import define
from psycopg import waiting
from psycopg.abc import PQGen
from typing_extensions import TypeVar

from sessionguard.errors import ConfigurationError
from sessionguard.stores.postgres.exchanges import Exchange
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.wire import Wire

RV = TypeVar("RV")
C = TypeVar("C", bound="psycopg.BaseConnection[Any]")

OLDEST: Final = 130000
"""The oldest server that can be used, as servers number themselves: 13.0."""

_SECONDS_BETWEEN_LOOKS: Final = 0.1


class NoAnswerError(psycopg.OperationalError):
    """The server did not answer in time; what it did is not known."""


class BlockingConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose every wait ends at `answer_by`, by the monotonic clock."""

    answer_by: float = 0.0

    def wait(self, gen: PQGen[RV], interval: float = _SECONDS_BETWEEN_LOOKS, timeout: float | None = None) -> RV:
        # The wait of psycopg would go on for seconds after an interruption, to save the connection. Ours is closed.
        left = self.answer_by - time.monotonic()
        try:
            return waiting.wait(gen, self.pgconn.socket, interval=interval, timeout=max(left, 0.0))
        except psycopg.errors._WaitTimeout:
            raise NoAnswerError("the server did not answer in time") from None

    def __del__(self, *_: object) -> None:
        """Say nothing: who is interrupted between two lines drops it open. libpq closes it, but never a parent's."""


class AsyncConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """The same for an event loop."""

    answer_by: float = 0.0

    async def wait(
        self,
        gen: PQGen[RV],
        interval: float = _SECONDS_BETWEEN_LOOKS,
        timeout: float | None = None,  # noqa: ASYNC109 - as psycopg calls it
    ) -> RV:
        left = self.answer_by - time.monotonic()
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=max(left, 0.0))
        except psycopg.errors._WaitTimeout:
            raise NoAnswerError("the server did not answer in time") from None

    def __del__(self, *_: object) -> None:
        """Say nothing, as the blocking one."""


@define(eq=False)
class Line:
    """A blocking connection in the pool, and how it is asked. It is closed when it is lost."""

    epoch: object
    connection: BlockingConnection | None = None
    exchange: Exchange | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing is under way on it and it can be used again."""
        return _is_clean(self.connection)

    def connect(self, settings: Settings, wire: Wire) -> BlockingConnection:
        """Connect it; raises psycopg's errors, and `ConfigurationError` for a server that cannot be used."""
        connection = BlockingConnection.connect(autocommit=True, prepare_threshold=None, **settings.parameters)
        self.connection = connection
        _make_fit(connection)
        self.exchange = wire.exchange(connection, wire.statements)
        return connection

    def close(self) -> None:
        """Close it, whatever is under way on it."""
        if self.connection is not None:
            self.connection.close()


@define(eq=False)
class AsyncLine:
    """The same for an event loop."""

    epoch: object
    connection: AsyncConnection | None = None
    exchange: Exchange | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing is under way on it and it can be used again."""
        return _is_clean(self.connection)

    async def connect(self, settings: Settings, wire: Wire) -> AsyncConnection:
        """Connect it; raises psycopg's errors, and `ConfigurationError` for a server that cannot be used."""
        connection = await AsyncConnection.connect(autocommit=True, prepare_threshold=None, **settings.parameters)
        self.connection = connection
        _make_fit(connection)
        self.exchange = wire.exchange(connection, wire.statements)
        return connection

    def close(self) -> None:
        """Close it, whatever is under way on it; this waits for nothing, so it can be done after a cancellation."""
        if self.connection is not None:
            self.connection.pgconn.finish()


def _is_clean(connection: psycopg.BaseConnection[Any] | None) -> bool:
    return connection is not None and connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE


def _make_fit(connection: psycopg.BaseConnection[Any]) -> None:
    try:
        require_new_enough(connection.pgconn.server_version)
        _require_unicode(connection.pgconn.parameter_status(b"server_encoding") or b"UTF8")
    except BaseException:
        connection.pgconn.finish()
        raise


def require_new_enough(version: int) -> None:
    """Raise `ConfigurationError` for a server whose SQL lacks what the functions need."""
    if version < OLDEST:
        raise ConfigurationError(
            "PostgreSQL version", f"{version // 10000}.{version % 10000}", f"use PostgreSQL {OLDEST // 10000} or newer"
        )


def _require_unicode(encoding: bytes) -> None:
    if encoding != b"UTF8":
        raise ConfigurationError(
            "server encoding",
            encoding.decode("ascii", "replace"),
            "names and data may hold any character; use a database made with ENCODING 'UTF8'",
        )
