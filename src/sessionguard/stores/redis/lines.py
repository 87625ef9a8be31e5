"""One blocking connection to one server. Whatever goes wrong on it, it is closed and never used again."""

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis import exceptions as driver
from redis.connection import Connection, SSLConnection
from redis.retry import Retry

from sessionguard.core.points import ANSWERS, point, point_of
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


def _nothing() -> int:
    return 0


class _TimedSocket:
    """A socket whose waits for one request end at one instant, however slowly the bytes trickle in.

    The timeout of a plain socket begins anew with each byte. It is left as it is for the first wait, which is nearly
    always the only one; what waits again, waits for what is left.
    """

    def __init__(self, plain: Any, usual_seconds: float) -> None:
        self._plain = plain
        # Looked at before every request; what an encrypted socket has decrypted is no news to the system.
        self.fileno = plain.fileno
        self.pending = getattr(plain, "pending", _nothing)
        self.sendall = plain.sendall
        self._usual_seconds = usual_seconds
        self._deadline = 0.0
        self._is_polled = False
        self._is_armed = False
        self._has_waited = False
        self._arrivals: Any = None

    def has_news(self) -> bool:
        """Tell whether something has arrived that was not read, be it the news that the other side has closed it."""
        if self._arrivals is None:
            self._arrivals = select.poll()
            self._arrivals.register(self._plain, select.POLLIN)
        return bool(self.pending() or self._arrivals.poll(0))

    def begin(self, deadline: float) -> None:
        """The next request has begun."""
        self._deadline = deadline
        self._has_waited = False
        if self._is_armed:
            self._is_armed = False
            self._plain.settimeout(self._usual_seconds)

    def settimeout(self, seconds: float | None) -> None:
        """The driver looks whether there is something, or has looked."""
        self._is_polled = seconds == 0
        self._plain.settimeout(seconds)

    def _arm(self) -> None:
        if self._has_waited and not self._is_polled:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the time allowed is over")
            self._is_armed = True
            self._plain.settimeout(left)
        self._has_waited = True

    def recv_into(self, *arguments: Any) -> int:
        self._arm()
        count: int = self._plain.recv_into(*arguments)
        return count

    def recv(self, *arguments: Any) -> bytes:
        self._arm()
        data: bytes = self._plain.recv(*arguments)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)


class _Timed:
    """A connection of the driver over such a socket; `deadline` is when it must be made."""

    deadline = 0.0
    timed: _TimedSocket

    def _connect(self: Any) -> Any:
        plain = super()._connect()  # type: ignore[misc]  # of the driver's class, which comes next
        self.timed = _TimedSocket(plain, self.socket_timeout)
        self.timed.begin(self.deadline)
        return self.timed


class _PlainConnection(_Timed, Connection):
    """TCP."""


class _EncryptedConnection(_Timed, SSLConnection):
    """TLS, agreed on by the deadline."""

    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        sock.settimeout(max(self.deadline - time.monotonic(), 0.001))
        wrapped = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]
        wrapped.settimeout(self.socket_timeout)
        return wrapped


class Line:
    """A connection, lent to one caller at a time."""

    def __init__(self, contact: Contact, epoch: object) -> None:
        self.epoch = epoch
        self.has_connected = False
        self._contact = contact
        self._reader: Reader | None = None
        settings = contact.settings
        make = _PlainConnection if settings.encryption is None else _EncryptedConnection
        self._connection: Any = make(
            host=contact.address.host,
            port=contact.address.port,
            retry=handshake.no_retries(Retry),
            socket_timeout=settings.patience_seconds,
            **handshake.connection_arguments(settings, of_sentinel=contact.of_sentinel),
        )

    def connect(self, deadline: float) -> None:
        """Connect and sign in."""
        self._connection.deadline = deadline
        with self._explaining():
            self._connection.connect()
        handshake.require_guard(self._connection)
        handshake.require_names(self._connection, "_parser", "timed")
        # Without it the driver looks itself for what has arrived.
        self._reader = reader_of(self._connection) if hasattr(select, "poll") else None
        self.has_connected = True

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        before = being_handled()
        try:
            yield
        except (driver.RedisError, OSError) as error:
            explained = self._contact.explained(Failure.since(before, error))
            if explained is None:
                raise
            raise explained from explained.__cause__ or error

    @property
    def is_clean(self) -> bool:
        """Whether nothing unread is left on it, not even the news that the server has closed it."""
        try:
            if self._reader is None:
                return not self._connection.can_read(0)
            return not (self._reader.has_data() or self._connection.timed.has_news())
        except (driver.RedisError, OSError):
            return False

    def evaluate(self, call: Call, deadline: float) -> Any:
        """Run a script and give its reply."""
        point_of(reaches, call)
        self._connection.timed.begin(deadline)
        nonce = next_nonce()
        try:
            reply = self._ask(call.sent(nonce))
        except driver.NoScriptError:
            nonce = next_nonce()
            reply = self._ask(packed(call.by_source(nonce)))
        point("answered", ANSWERS, "r")
        return own_reply(reply, nonce, call.script.name)

    def survey(self, commands: Sequence[Words], deadline: float) -> list[Any]:
        """Give the replies to plain questions, sent at once."""
        point("survey", "redis", "r")
        self._connection.timed.begin(deadline)
        nonce = next_nonce()
        return within_fence(self._ask_all(fenced(commands, nonce)), nonce)

    def inspect(self, commands: Sequence[Words], deadline: float) -> list[Any]:
        """Give the replies to plain questions, where errors of the server are replies, too."""
        self._connection.timed.begin(deadline)
        with self._explaining():
            replies = self._ask_all(commands)
        self._contact.succeeded()
        return replies

    def _ask(self, command: bytes) -> Any:
        connection, reader = self._connection, self._reader
        # By the driver, for that is where a harness listens to what leaves.
        connection.send_packed_command((command,), check_health=False)
        if reader is None:
            return connection.read_response()
        timed = connection.timed
        while not reader.has_reply(timed.recv(CHUNK_BYTES)):
            pass
        return reader.taken()

    def _ask_all(self, commands: Sequence[Words]) -> list[Any]:
        connection = self._connection
        connection.send_packed_command((b"".join(map(packed, commands)),), check_health=False)
        return [self._read() for _ in commands]

    def _read(self) -> Any:
        try:
            return self._connection.read_response()
        except driver.ResponseError as error:
            return error

    def close(self) -> None:
        """Close it, now."""
        self._connection.disconnect()
