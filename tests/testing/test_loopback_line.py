"""The plain connections to servers of tests: a reply is whole or an error, and a failed sign-in leaves nothing open."""

import gc
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sessionguard.testing.servers import PostgresServer, RedisServer
from sessionguard.testing.servers.postgres_wire import PostgresLine, PostgresReplyError
from sessionguard.testing.servers.redis_wire import RedisLine, RedisReplyError


@contextmanager
def _server_that_says(said: bytes) -> Iterator[int]:
    """Give the port of a server that says this once it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(4096)
                line.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("said", [b"", b"$5\r\nab", b"$5\r\nabcde\r", b"$", b"*2\r\n:1\r\n", b"+OK"])
def test_torn_reply_of_redis(said: bytes) -> None:
    """A reply that ends in the middle is a closed connection, never a shorter reply."""
    with _server_that_says(said) as port, RedisLine(port) as line, pytest.raises(ConnectionResetError):
        line.command("PING")


@pytest.mark.parametrize("said", [b"", b"Z\0\0", b"Z\0\0\0\x05", b"D\0\0\0\x10\0\1\0\0"])
def test_torn_reply_of_postgres(said: bytes) -> None:
    """So it is with PostgreSQL."""
    with _server_that_says(said) as port, pytest.raises(ConnectionResetError):
        PostgresLine(port, "postgres", "postgres")


def test_failed_sign_in_of_redis(redis_server: RedisServer) -> None:
    """Who is not let in leaves no connection behind."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(RedisReplyError):
            RedisLine(redis_server.port, "wrong")
        gc.collect()


def test_failed_sign_in_of_postgres(postgres_server: PostgresServer) -> None:
    """So it is with PostgreSQL."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(PostgresReplyError):
            PostgresLine(postgres_server.port, "postgres", "no such database")
        gc.collect()
