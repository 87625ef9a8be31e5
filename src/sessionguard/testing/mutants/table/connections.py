"""Connections and generators that two use as if each had its own: after a cancellation, and after a fork."""

import asyncio
import os
import random
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from sessionguard.core.points import point

# Row 12: a reply that nobody read


class LeavesRepliesUnread:
    """Writes a question and reads the reply; cancelled in between, it leaves the reply to whoever asks next."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self.mutex = asyncio.Lock()
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, key: str) -> str:
        """Give the server's reply."""
        async with self.mutex:
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            return await self.exchange(key, *self.streams)

    async def exchange(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Ask and read."""
        writer.write(f"{key}\n".encode())
        await writer.drain()
        return (await reader.readline()).decode().strip()

    def close(self) -> None:
        """Drop the connection, if there is one."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


class DropsTheConnection(LeavesRepliesUnread):
    """Drops the connection when it is cancelled between question and reply."""

    async def exchange(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        try:
            return await super().exchange(key, reader, writer)
        except BaseException:
            self.close()
            raise


class ReadsToTheEnd(LeavesRepliesUnread):
    """Reads the reply in a task of its own, which a cancellation does not reach, before the next one may ask."""

    async def ask(self, key: str) -> str:
        return await asyncio.shield(super().ask(key))


# Row 14: a connection that is shared across a fork


class KeepsItsConnection:
    """Uses the connection that it has, though a fork has given it to two processes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket: socket.socket | None = None
        self.pid = os.getpid()

    def ask(self) -> int:
        """Give the number that the server has given to the connection."""
        point("ask", "connection", "w")
        if self.socket is None or not self.is_mine():
            self.socket = socket.create_connection(("127.0.0.1", self.port))
            self.pid = os.getpid()
        self.socket.sendall(b"?\n")
        reply = b""
        while not reply.endswith(b"\n"):
            reply += self.socket.recv(1)
        return int(reply)

    def is_mine(self) -> bool:
        """Tell whether this process made the connection."""
        return True


class ConnectsAgainAfterAFork(KeepsItsConnection):
    """Makes a connection of its own in a process that has not made the one it has."""

    def is_mine(self) -> bool:
        return self.pid == os.getpid()


class ConnectsEachTime(KeepsItsConnection):
    """Makes a new connection for each question."""

    def is_mine(self) -> bool:
        return False


class Echo(socketserver.StreamRequestHandler):
    """Answers each line with itself."""

    def handle(self) -> None:
        """Serve one connection."""
        with suppress(ConnectionError):
            for line in self.rfile:
                self.wfile.write(line)


class Number(socketserver.StreamRequestHandler):
    """Answers each line with the number of the connection."""

    numbers = count(1)

    def handle(self) -> None:
        """Serve one connection."""
        number = next(self.numbers)
        with suppress(ConnectionError):
            for _ in self.rfile:
                self.wfile.write(b"%d\n" % number)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def serving(handler: type[socketserver.StreamRequestHandler]) -> Iterator[int]:
    """Give the port of a server on loopback."""
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


# Row 15: a generator that is shared across a fork


class DrawsFromItsGenerator:
    """Draws ids from a generator of its own, which a fork duplicates with its state."""

    def __init__(self, seed: int) -> None:
        self.generator = random.Random(seed)

    def draw(self) -> str:
        """Give an id."""
        point("draw", "generator", "w")
        return f"{self.generator.getrandbits(128):032x}"


class DrawsFromTheSystem(DrawsFromItsGenerator):
    """Draws ids from the system."""

    def draw(self) -> str:
        point("draw", "generator", "w")
        return os.urandom(16).hex()


class SeedsAgainAfterAFork(DrawsFromItsGenerator):
    """Draws ids from a generator of its own, which is seeded anew in a forked process."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        os.register_at_fork(after_in_child=self.generator.seed)
