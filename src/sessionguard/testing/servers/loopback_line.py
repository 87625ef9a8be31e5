"""One connection to a server on loopback: bytes out, and bytes in, as many as were asked for or none."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sessionguard.testing.servers.ports import LOOPBACK


class LoopbackLine:
    """A connection to `port` of loopback; no wait on it takes longer than `seconds`.

    Raises:
        OSError: there is no connection.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), timeout=seconds)
        self._reader = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The connection is closed."""
        self._reader.close()
        self._socket.close()

    @contextmanager
    def _signing_in(self) -> Iterator[None]:
        """Close the connection if what is done meanwhile fails: nobody else will, for it was never given to anyone."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _read(self, size_bytes: int) -> bytes:
        """Read so many bytes.

        Raises:
            ConnectionResetError: the server closed the connection before they had come.
        """
        data = self._reader.read(size_bytes)
        if len(data) < size_bytes:
            raise ConnectionResetError("the connection was closed")
        return data

    def _read_line(self) -> bytes:
        """Read up to the next end of a line, and give what was before it.

        Raises:
            ConnectionResetError: the server closed the connection before it had come.
        """
        line = self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the connection was closed")
        return line[:-2]
