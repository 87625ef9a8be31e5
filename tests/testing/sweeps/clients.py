"""A small key-value server and clients of it, async and blocking, right ones and broken ones, for the sweeps."""

import asyncio
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sessionguard.core.points import point
from sessionguard.testing import TcpProxy

VALUES = {"alice": "ALICE", "bob": "BOB", "carol": "CAROL"}


class _Answers(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        try:
            for line in self.rfile:
                self.wfile.write(VALUES[line.decode().strip()].encode() + b"\n")
        except ConnectionError:
            pass


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def slow_server() -> Iterator[int]:
    """Give the port of a server whose replies come late, so that each has to be waited for."""
    with _Server(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            with TcpProxy("127.0.0.1", server.server_address[1]) as proxy:
                proxy.delay_seconds = 0.002
                yield proxy.port
        finally:
            server.shutdown()
            thread.join()


class AsyncClient:
    """A pool of one connection.

    `forgets_to_close`: mutant 12, a broken-off exchange goes back to the pool with its reply still to come.
    `forgets_to_give_back`: it never goes back. `waits_when_closing`: its cleaning up takes three steps.
    """

    def __init__(
        self,
        port: int,
        *,
        forgets_to_close: bool = False,
        forgets_to_give_back: bool = False,
        waits_when_closing: bool = False,
    ) -> None:
        self._port = port
        self._forgets_to_close, self._forgets_to_give_back = forgets_to_close, forgets_to_give_back
        self._waits_when_closing = waits_when_closing
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.lent = 0

    async def get(self, key: str) -> str:
        """Give the value of a key."""
        async with self._line() as (reader, writer):
            writer.write(f"{key}\n".encode())
            return (await reader.readline()).decode().strip()

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            await writer.wait_closed()

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        self.lent += 1
        line = None
        try:
            line = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
            yield line
            self._idle.append(line)
        except BaseException:
            if line is not None and self._forgets_to_close:
                self._idle.append(line)
            elif line is not None:
                line[1].close()
            if self._forgets_to_give_back:
                self.lent += 1
            if self._waits_when_closing:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            raise
        finally:
            self.lent -= 1


class Client:
    """The same, blocking, with points: one connection for all threads, under a lock.

    `forgets_to_close`: a broken-off exchange leaves its reply to the next. `forgets_to_unlock`: the lock stays held.
    """

    def __init__(self, port: int, *, forgets_to_close: bool = False, forgets_to_unlock: bool = False) -> None:
        self._port = port
        self._forgets_to_close, self._forgets_to_unlock = forgets_to_close, forgets_to_unlock
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def get(self, key: str) -> str:
        """Give the value of a key."""
        if self._forgets_to_unlock:
            self._lock.acquire()
            value = self._exchange(key)
            self._lock.release()
            return value
        with self._lock:
            return self._exchange(key)

    def close(self) -> None:
        """Close the connection."""
        # Forgotten first: interrupted in between, it must not be used again.
        dropped, self._socket = self._socket, None
        if dropped is not None:
            dropped.close()

    def _exchange(self, key: str) -> str:
        try:
            if self._socket is None:
                point("connect", "server", "w")
                self._socket = socket.socket()
                self._socket.connect(("127.0.0.1", self._port))
            point("send", "server", "w")
            self._socket.sendall(f"{key}\n".encode())
            point("receive", "server", "r")
            return self._socket.recv(100).decode().strip()
        except BaseException:
            if not self._forgets_to_close:
                self.close()
                point("closed", "server", "w")
            raise
