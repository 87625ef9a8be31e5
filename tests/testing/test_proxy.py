"""The proxy: what it forwards, what it counts, and each fault on a real connection."""

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from sessionguard.testing import PostgresServer, RedisServer, TcpProxy
from tests.testing.line_server import LineServer, line_server

DELAY_SECONDS = 0.05


@pytest.fixture
def server() -> Iterator[LineServer]:
    """A server that answers lines."""
    with line_server() as server:
        yield server


@pytest.fixture
def proxy(server: LineServer) -> Iterator[TcpProxy]:
    """A proxy before it; it ends first, so that the server's connections end."""
    with TcpProxy("127.0.0.1", server.port) as proxy:
        yield proxy


Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(proxy: TcpProxy) -> Iterator[Connect]:
    """Makes clients of the proxy that end with the test."""
    clients: list[socket.socket] = []

    def connect() -> socket.socket:
        clients.append(socket.create_connection((proxy.host, proxy.port), timeout=10))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def ask(client: socket.socket, line: bytes) -> bytes:
    """Send a line and give the answer; empty if the connection was closed instead."""
    client.sendall(line + b"\n")
    return answer(client)


def answer(client: socket.socket) -> bytes:
    """Give the next line, or nothing if the connection was closed instead."""
    # Looked at before it is taken: what follows the line stays for the next call.
    text = bytearray()
    try:
        while not text.endswith(b"\n"):
            data = client.recv(65_536, socket.MSG_PEEK)
            if not data:
                return b""
            text += client.recv(data.find(b"\n") + 1 or len(data))
    except ConnectionResetError:
        return b""
    return bytes(text.strip())


def test_what_passes_is_counted(proxy: TcpProxy, connect: Connect) -> None:
    """Connections, bytes in each direction, and a round trip for each reply that follows a request."""
    first, second = connect(), connect()
    for number in range(5):
        assert ask(first, b"line %d" % number) == b"done line %d" % number
    assert ask(second, b"x") == b"done x"
    assert (proxy.connections, proxy.open_connections, proxy.round_trips) == (2, 2, 6)
    assert (proxy.bytes_up, proxy.bytes_down) == (5 * 7 + 2, 5 * 12 + 7)
    first.close()
    assert proxy.wait_until(lambda proxy: proxy.open_connections == 1)


def test_requests_sent_together_are_one_round_trip(proxy: TcpProxy, connect: Connect) -> None:
    """Whoever does not wait for replies pays for one."""
    client = connect()
    client.sendall(b"a\nb\nc\n")
    assert [answer(client) for _ in range(3)] == [b"done a", b"done b", b"done c"]
    assert proxy.round_trips == 1


def test_large_data_arrive_whole(proxy: TcpProxy, connect: Connect) -> None:
    """What is larger than any buffer is neither lost nor changed."""
    client = connect()
    line = os.urandom(500_000).hex().encode()
    assert ask(client, line) == b"done " + line


def test_delay_in_each_direction(proxy: TcpProxy, connect: Connect) -> None:
    """A request and its reply are held back so long each, and after `heal` no more."""
    client = connect()
    ask(client, b"warm-up")
    proxy.delay_seconds = DELAY_SECONDS
    began = time.monotonic()
    ask(client, b"slow")
    assert time.monotonic() - began >= 2 * DELAY_SECONDS
    proxy.delay_seconds = 3600.0
    client.sendall(b"never\n")
    with pytest.raises(TimeoutError):
        _answer_within(client, 0.1)


def test_few_bytes_a_second(proxy: TcpProxy, connect: Connect) -> None:
    """A slow connection takes its time, and goes on at once when it is healed."""
    client = connect()
    proxy.bytes_per_second = 1000
    began = time.monotonic()
    assert ask(client, b"x" * 100) == b"done " + b"x" * 100
    assert time.monotonic() - began >= 0.2
    proxy.bytes_per_second = 0.001
    client.sendall(b"stuck\n")
    with pytest.raises(TimeoutError):
        _answer_within(client, 0.1)
    proxy.heal()
    assert _answer_within(client, 10) == b"done stuck"


def _answer_within(client: socket.socket, seconds: float) -> bytes:
    client.settimeout(seconds)
    return answer(client)


def test_cut_closes_all_and_lets_new_ones_in(proxy: TcpProxy, connect: Connect) -> None:
    """Every client and the server see the end; a new connection is served."""
    clients = [connect(), connect()]
    assert [ask(client, b"x") for client in clients] == [b"done x"] * 2
    proxy.cut()
    assert [answer(client) for client in clients] == [b""] * 2
    assert proxy.open_connections == 0
    assert ask(connect(), b"again") == b"done again"


def test_refused_while_open_ones_go_on(proxy: TcpProxy, connect: Connect) -> None:
    """New connections are refused by the system, and accepted again on the same port."""
    client = connect()
    assert ask(client, b"before") == b"done before"
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect()
    assert ask(client, b"still") == b"done still"
    proxy.accept()
    assert ask(connect(), b"again") == b"done again"


def test_half_open_is_silent_and_loses_nothing(proxy: TcpProxy, server: LineServer, connect: Connect) -> None:
    """Nothing passes and no one is told; new connections seem to work; healed, all goes on."""
    client = connect()
    ask(client, b"before")
    proxy.half_open()
    late = connect()
    for one in (client, late):
        one.sendall(b"held\n")
        with pytest.raises(TimeoutError):
            _answer_within(one, 0.1)
    assert server.lines == [b"before"]
    proxy.heal()
    assert [_answer_within(one, 10) for one in (client, late)] == [b"done held"] * 2


def test_dropped_replies_leave_their_effect(proxy: TcpProxy, server: LineServer, connect: Connect) -> None:
    """As many replies as ordered are lost, each with its connection; their requests are done; the next is answered."""
    proxy.drop_replies(2)
    assert [ask(connect(), line) for line in (b"one", b"two", b"three")] == [b"", b"", b"done three"]
    assert server.lines == [b"one", b"two", b"three"]


def test_each_request_uses_up_one_order(proxy: TcpProxy, connect: Connect) -> None:
    """Two orders for one reply each lose two replies, also of a request that comes in parts."""
    proxy.drop_replies()
    proxy.drop_replies()
    assert ask_in_parts(proxy, connect(), b"o", b"ne") == b""
    assert [ask(connect(), line) for line in (b"two", b"three")] == [b"", b"done three"]


def test_cut_after_the_request_that_matches(proxy: TcpProxy, server: LineServer, connect: Connect) -> None:
    """Only the nth request with the text is hit, also if it comes in parts; it is done, and its reply is lost."""
    client = connect()
    proxy.cut_after_request(b"COMMIT", nth=2)
    assert ask(client, b"BEGIN") == b"done BEGIN"
    assert ask_in_parts(proxy, client, b"COMMIT 1 ", b"COMMIT") == b"done COMMIT 1 COMMIT"
    assert ask(client, b"BEGIN") == b"done BEGIN"
    assert ask_in_parts(proxy, client, b"COM", b"MIT 2") == b""
    assert server.lines[-1] == b"COMMIT 2"
    assert ask(connect(), b"COMMIT 3") == b"done COMMIT 3"


def test_an_interim_answer_of_http_is_no_reply() -> None:
    """A server that asks for the rest of a request is answered; the reply to all of it is what is lost."""
    server = socket.create_server(("127.0.0.1", 0))
    with server, TcpProxy(*server.getsockname()) as proxy, socket.create_connection((proxy.host, proxy.port)) as client:
        connection, _ = server.accept()
        with connection:
            proxy.drop_replies()
            client.sendall(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n")
            connection.recv(1000)
            # Some servers say it twice.
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 2)
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n" * 2
            client.sendall(b"body")
            assert connection.recv(1000) == b"body"
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            assert answer(client) == b""


def ask_in_parts(proxy: TcpProxy, client: socket.socket, first: bytes, rest: bytes) -> bytes:
    """Send a line in two parts, the second when the first has passed, and give the answer."""
    passed = proxy.bytes_up + len(first)
    client.sendall(first)
    assert proxy.wait_until(lambda proxy: proxy.bytes_up == passed)
    return ask(client, rest)


def test_heal_forgets_orders(proxy: TcpProxy, connect: Connect) -> None:
    """What was ordered and did not come is not done later."""
    proxy.drop_replies()
    proxy.heal()
    assert ask(connect(), b"x") == b"done x"


def test_end_of_a_side_passes_on(proxy: TcpProxy, connect: Connect) -> None:
    """A client that has said all still gets its answers, and then the end."""
    client = connect()
    client.sendall(b"last\n")
    client.shutdown(socket.SHUT_WR)
    assert [answer(client), answer(client)] == [b"done last", b""]


def test_a_reset_of_one_side_closes_the_other(proxy: TcpProxy, connect: Connect) -> None:
    """A client that goes away with a reset does not leave its connection to the server open."""
    client = connect()
    ask(client, b"x")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert proxy.wait_until(lambda proxy: proxy.open_connections == 0)


def test_server_that_is_down() -> None:
    """A connection to nowhere is closed."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with (
            TcpProxy(*bound.getsockname()) as astray,
            socket.create_connection((astray.host, astray.port), timeout=10) as client,
        ):
            assert answer(client) == b""


def test_url_of_names_the_proxy(proxy: TcpProxy, server: LineServer) -> None:
    """A URL of the server leads to the proxy; another is refused."""
    assert proxy.url_of(f"redis://127.0.0.1:{server.port}/0") == f"redis://127.0.0.1:{proxy.port}/0"
    with pytest.raises(ValueError, match="does not name"):
        proxy.url_of("redis://127.0.0.1:1/0")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files here")
@pytest.mark.parametrize("fault", ["none", "half open", "delay", "slow"])
def test_nothing_is_left(server: LineServer, fault: str) -> None:
    """Closing ends all threads and sockets at once, whatever waits inside."""
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    with TcpProxy("127.0.0.1", server.port) as proxy:
        clients = [socket.create_connection((proxy.host, proxy.port), timeout=10) for _ in range(3)]
        for client in clients:
            ask(client, b"x")
        if fault == "half open":
            proxy.half_open()
        proxy.delay_seconds = 3600.0 if fault == "delay" else 0.0
        proxy.bytes_per_second = 0.001 if fault == "slow" else None
        passed = proxy.bytes_up
        for client in clients:
            client.sendall(b"y" * 100)
        assert proxy.wait_until(lambda proxy: proxy.bytes_up > passed)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    for client in clients:
        client.close()
    left = {thread for thread in set(threading.enumerate()) - threads if "proxy" in thread.name}
    assert left == set()
    _wait_for_equal(lambda: len(os.listdir("/proc/self/fd")), files)


def _wait_for_equal(measure: Callable[[], int], expected: int) -> None:
    """The server's own threads close their sockets in their time."""
    deadline = time.monotonic() + 10
    while measure() != expected:
        assert time.monotonic() < deadline, f"{measure()} instead of {expected}"
        time.sleep(0.005)


def test_redis_through_the_proxy(redis_server: RedisServer, key_prefix: str) -> None:
    """A lost reply: the driver fails, the server counted once."""
    key = f"{key_prefix}:n"
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        client = redis.Redis.from_url(proxy.url_of(redis_server.url), retry=None)
        assert client.incr(key) == 1
        before = proxy.round_trips
        assert client.incr(key) == 2
        assert proxy.round_trips - before == 1
        proxy.cut_after_request(b"INCR")
        with pytest.raises(redis.ConnectionError):
            client.incr(key)
        client.close()
    assert redis_server.command("GET", key) == "3"


def test_postgresql_through_the_proxy(postgres_server: PostgresServer, schema_name: str) -> None:
    """T17: the proxy cuts after COMMIT was sent and before the answer; the row is there."""
    postgres_server.execute(f"CREATE SCHEMA {schema_name}; CREATE TABLE {schema_name}.t (n int)")
    with TcpProxy("127.0.0.1", postgres_server.port) as proxy:
        connection = psycopg.connect(proxy.url_of(postgres_server.url))
        proxy.cut_after_request(b"COMMIT")
        connection.execute(f"INSERT INTO {schema_name}.t VALUES (1)")
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
        connection.close()
    assert postgres_server.execute(f"SELECT n FROM {schema_name}.t") == [("1",)]
