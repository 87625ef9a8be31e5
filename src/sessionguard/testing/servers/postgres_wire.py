"""One connection to PostgreSQL over a plain socket: logs in without a password and runs statements."""

import struct

from sessionguard.testing.servers.loopback_line import LoopbackLine

ANSWER_SECONDS = 30.0
_PROTOCOL_3 = 196_608


class PostgresReplyError(Exception):
    """The server answered with an error; `sqlstate` is its code."""

    def __init__(self, sqlstate: str, message: str) -> None:
        self.sqlstate = sqlstate
        super().__init__(f"{sqlstate}: {message}")


class PostgresLine(LoopbackLine):
    """A connection of `user` to `database` of the server on `port` of loopback.

    Raises:
        PostgresReplyError: the server does not let the user in, or not yet.
        OSError: there is no connection.
    """

    def __init__(self, port: int, user: str, database: str, seconds: float = ANSWER_SECONDS) -> None:
        super().__init__(port, seconds)
        with self._signing_in():
            words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database))
            body = struct.pack("!i", _PROTOCOL_3) + words + b"\0"
            self._send(struct.pack("!i", len(body) + 4) + body)
            self._rows()

    def execute(self, statements: str) -> list[tuple[str | None, ...]]:
        """Run one or more statements and give all the rows, each value as text.

        Raises:
            PostgresReplyError: a statement failed.
            OSError: the connection failed.
        """
        body = statements.encode() + b"\0"
        self._send(b"Q" + struct.pack("!i", len(body) + 4) + body)
        return self._rows()

    def _rows(self) -> list[tuple[str | None, ...]]:
        """Read until the server is ready for the next statement."""
        rows: list[tuple[str | None, ...]] = []
        error: PostgresReplyError | None = None
        while True:
            kind, body = self._message()
            if kind == b"D":
                rows.append(_values(body))
            elif kind == b"E":
                error = _error(body)
                if error.sqlstate.startswith(("57P", "28", "53", "3D")):
                    # Nothing follows: the server closes the connection.
                    raise error
            elif kind == b"R" and struct.unpack("!i", body[:4]) != (0,):
                raise PostgresReplyError("28000", "it asks for a password")
            elif kind == b"Z":
                if error is not None:
                    raise error
                return rows

    def _message(self) -> tuple[bytes, bytes]:
        head = self._read(5)
        (size,) = struct.unpack("!i", head[1:])
        return head[:1], self._read(size - 4)


def _values(body: bytes) -> tuple[str | None, ...]:
    (count,) = struct.unpack_from("!h", body)
    values: list[str | None] = []
    place = 2
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, place)
        place += 4
        values.append(None if size < 0 else body[place : place + size].decode())
        place += max(size, 0)
    return tuple(values)


def _error(body: bytes) -> PostgresReplyError:
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return PostgresReplyError(fields.get(b"C", "XX000"), fields.get(b"M", ""))
