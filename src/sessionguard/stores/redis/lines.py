"""One blocking connection to one server. Whatever goes wrong on it, it is closed and never used again."""

import time
from collections.abc import Sequence
from typing import Any

from redis import exceptions as driver
from redis.connection import Connection, SSLConnection
from redis.retry import Retry

from sessionguard.stores.redis import handshake
from sessionguard.stores.redis.asking import Address, Call, Words, fenced, next_nonce, own_reply, within_fence
from sessionguard.stores.redis.settings import Settings


class _Timer:
    """The instant by which everything on a connection must be done, however slowly the bytes trickle in."""

    __slots__ = ("deadline",)

    def __init__(self) -> None:
        self.deadline = 0.0

    @property
    def seconds_left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time allowed is over")
        return left


class _TimedSocket:
    """A socket whose every wait ends at one instant. A timeout of the socket alone would begin anew with each byte."""

    def __init__(self, plain: Any, timer: _Timer) -> None:
        self._plain = plain
        self._timer = timer
        self._polls = False

    def settimeout(self, seconds: float | None) -> None:
        self._polls = seconds == 0

    def _arm(self) -> None:
        self._plain.settimeout(0 if self._polls else self._timer.seconds_left)

    def recv_into(self, *arguments: Any) -> int:
        self._arm()
        count: int = self._plain.recv_into(*arguments)
        return count

    def recv(self, *arguments: Any) -> bytes:
        self._arm()
        data: bytes = self._plain.recv(*arguments)
        return data

    def sendall(self, data: Any) -> None:
        self._arm()
        self._plain.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)


class _Timed:
    def __init__(self, *, timer: _Timer, **arguments: Any) -> None:
        self._timer = timer
        super().__init__(**arguments)

    def _connect(self) -> Any:
        return _TimedSocket(super()._connect(), self._timer)  # type: ignore[misc]  # that of the driver's class


class _PlainConnection(_Timed, Connection):
    """TCP."""


class _EncryptedConnection(_Timed, SSLConnection):
    """TLS."""


class Line:
    """A connection, lent to one caller at a time."""

    def __init__(self, settings: Settings, address: Address, epoch: object, *, of_sentinel: bool = False) -> None:
        self.epoch = epoch
        self._timer = _Timer()
        make = _PlainConnection if settings.encryption is None else _EncryptedConnection
        self._connection: Any = make(
            timer=self._timer,
            host=address.host,
            port=address.port,
            retry=handshake.no_retries(Retry),
            socket_timeout=settings.patience_seconds,
            **handshake.connection_arguments(settings, of_sentinel=of_sentinel),
        )

    def connect(self, deadline: float) -> None:
        """Connect and sign in."""
        self._timer.deadline = deadline
        self._connection.connect()
        handshake.require_guard(self._connection)

    @property
    def is_clean(self) -> bool:
        """Whether nothing unread is left on it, not even the news that the server has closed it."""
        try:
            return not self._connection.can_read(0)
        except (driver.RedisError, OSError):
            return False

    def evaluate(self, call: Call, deadline: float) -> Any:
        """Run a script and give its reply."""
        self._timer.deadline = deadline
        nonce = next_nonce()
        try:
            reply = self._ask(call.by_digest(nonce))
        except driver.NoScriptError:
            nonce = next_nonce()
            reply = self._ask(call.by_source(nonce))
        return own_reply(reply, nonce, call.script.name)

    def survey(self, commands: Sequence[Words], deadline: float) -> list[Any]:
        """Give the replies to plain questions, sent at once."""
        self._timer.deadline = deadline
        nonce = next_nonce()
        return within_fence(self._ask_all(fenced(commands, nonce)), nonce)

    def inspect(self, commands: Sequence[Words], deadline: float) -> list[Any]:
        """Give the replies to plain questions, where errors of the server are replies, too."""
        self._timer.deadline = deadline
        return self._ask_all(commands)

    def _ask(self, words: Words) -> Any:
        connection = self._connection
        connection.send_packed_command(connection.pack_command(*words), check_health=False)
        return connection.read_response()

    def _ask_all(self, commands: Sequence[Words]) -> list[Any]:
        connection = self._connection
        connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        return [self._read() for _ in commands]

    def _read(self) -> Any:
        try:
            return self._connection.read_response()
        except driver.ResponseError as error:
            return error

    def close(self) -> None:
        """Close it, now."""
        self._connection.disconnect()
