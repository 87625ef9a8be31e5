"""Encrypted connections: certificates are checked, and what is not encrypted does not pass for it."""

import asyncio
import gc
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.redis import RedisStore, open_redis
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.async_lines import AsyncLine
from sessionguard.stores.redis.contact import Contact
from sessionguard.stores.redis.failures import Failure
from sessionguard.stores.redis.handshake import Notices
from sessionguard.stores.redis.lines import Line
from sessionguard.stores.redis.speech import speaks
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import asked
from tests.stores.redis.conftest import encrypted_server, make_certificate

AT_ONCE_SECONDS = 3.0
"""Far less than the patience of a store, which is 5 seconds."""


def test_trusted(port: int, certificate: Path) -> None:
    """With the certificate named in the URL, everything works, blocking and async."""
    store = open_redis(f"rediss://127.0.0.1:{port}", {"ssl_ca_certs": str(certificate)})
    deployment_id = store.identify(c.Identify())
    assert all(line.is_clean for pool in store.pools for line in pool.idle)
    assert store.identify(c.Identify()) == deployment_id

    async def play() -> str:
        twin = store.as_async()
        try:
            return await asked(twin, c.Identify())
        finally:
            await twin.close()

    assert asyncio.run(play()) == deployment_id
    store.close()


def test_loops_that_are_closed_leave_nothing_open(port: int, certificate: Path) -> None:
    """Encrypted connections of a loop that is gone are closed, too, when the next one begins."""
    store = open_redis(f"rediss://127.0.0.1:{port}", {"ssl_ca_certs": str(certificate)})
    twin = store.as_async()
    for _ in range(3):
        asyncio.run(asked(twin, c.Identify()))
        gc.collect()
    assert len(twin._loops) == 1
    asyncio.run(twin.close())
    store.close()


def test_not_trusted(port: int) -> None:
    """A certificate that nobody vouches for is refused, with what to do; it is not transient."""
    store = RedisStore(f"rediss://127.0.0.1:{port}", patience_seconds=2)
    with pytest.raises(StoreUnavailableError, match="ssl_ca_certs") as caught:
        store.identify(c.Identify())
    assert not caught.value.transient
    store.close()


def _failed(url: str, options: dict[str, str]) -> Iterator[tuple[StoreUnavailableError, float]]:
    """Give the error of the blocking and of the async store at a URL, each with the seconds that it took."""
    store = open_redis(url, options)

    async def play() -> None:
        twin = store.as_async()
        try:
            await asked(twin, c.Identify())
        finally:
            await twin.close()

    for ask in (lambda: run(perform(c.Identify()), store), lambda: asyncio.run(play())):
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught:
            ask()
        yield caught.value, time.monotonic() - began
    store.close()


def test_plain_to_an_encrypted_port(port: int) -> None:
    """A plain URL that leads to an encrypted port is refused at once, with the scheme that it takes."""
    for credentials in ("", ":pw@"):
        for error, seconds in _failed(f"redis://{credentials}127.0.0.1:{port}", {}):
            assert not error.transient
            assert f"127.0.0.1:{port} speaks TLS" in str(error)
            assert "rediss" in str(error)
            assert seconds < AT_ONCE_SECONDS


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster", "rediss+sentinel"])
def test_encrypted_to_a_plain_port(redis_server: RedisServer, scheme: str) -> None:
    """And the reverse: the server does not answer at all, and that costs the patience once and is not repeated."""
    service = "/mymaster" if scheme.endswith("sentinel") else ""
    url = f"{scheme}://127.0.0.1:{redis_server.port}{service}"
    for error, seconds in _failed(url, {"patience": "0.4"}):
        assert not error.transient
        assert f"127.0.0.1:{redis_server.port} speaks no TLS" in str(error)
        assert seconds < 0.4 + AT_ONCE_SECONDS / 2


def test_how_an_encrypted_server_speaks(port: int) -> None:
    """A server that speaks TLS is known as such, whatever its certificate is."""
    assert speaks(Address("127.0.0.1", port), "encrypted")
    assert not speaks(Address("127.0.0.1", port), "plain")


def _contact(store: RedisStore) -> Contact:
    return Contact(store.settings, store.settings.addresses[0], Notices())


def test_handshake_leaves_no_limit(port: int, certificate: Path) -> None:
    """What is asked over an encrypted connection has the whole patience, not what the handshake had of it."""
    store = open_redis(f"rediss://127.0.0.1:{port}", {"ssl_ca_certs": str(certificate)})
    line = Line(_contact(store), None)
    line.connect(time.monotonic() + 1)
    assert line._connection._sock.gettimeout() == store.settings.patience_seconds
    line.close()
    store.close()


def _connect_blocking(store: RedisStore) -> None:
    line = Line(_contact(store), None)
    try:
        line.connect(time.monotonic() + store.settings.patience_seconds)
    finally:
        line.close()


def _connect_async(store: RedisStore) -> None:
    async def play() -> None:
        line = AsyncLine(_contact(store), None)
        try:
            async with asyncio.timeout(store.settings.patience_seconds):
                await line.connect()
        finally:
            line.close()

    asyncio.run(play())


CONNECTS = pytest.mark.parametrize("connect", [_connect_blocking, _connect_async], ids=["blocking", "async"])


@CONNECTS
def test_slow_to_encrypt(port: int, certificate: Path, connect: Callable[[RedisStore], None]) -> None:
    """A handshake may take as much of the patience as it needs, over the connection on which it began."""
    with TcpProxy("127.0.0.1", port) as proxy:
        proxy.delay_seconds = 0.6
        store = open_redis(f"rediss://127.0.0.1:{proxy.port}", {"ssl_ca_certs": str(certificate), "patience": "2.2"})
        connect(store)
        assert proxy.connections == 1
        store.close()


def test_handshake_ends_at_the_deadline(port: int, certificate: Path) -> None:
    """A handshake that trickles in is given up when the time of the call is over, of which it may have but a rest."""
    with TcpProxy("127.0.0.1", port) as proxy:
        proxy.bytes_per_second = 100.0
        store = open_redis(f"rediss://127.0.0.1:{proxy.port}", {"ssl_ca_certs": str(certificate)})
        line = Line(_contact(store), None)
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="did not answer in time"):
            line.connect(began + 0.5)
        assert time.monotonic() - began < AT_ONCE_SECONDS
        line.close()
        store.close()


def test_silent_encrypted_server(redis_server: RedisServer) -> None:
    """A server of which nothing is heard at all may be there again soon; it is asked once why, and not each time."""
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        proxy.half_open()
        for error, seconds in _failed(f"rediss://127.0.0.1:{proxy.port}", {"patience": "0.4"}):
            assert error.transient
            assert f"127.0.0.1:{proxy.port} did not answer in time" in str(error)
            assert seconds < AT_ONCE_SECONDS
        # Each of the two stores has met it, and has asked it.
        assert proxy.connections == 4
        store = RedisStore(f"rediss://127.0.0.1:{proxy.port}", patience_seconds=0.2)
        for _ in range(3):
            with pytest.raises(StoreUnavailableError):
                store.identify(c.Identify())
        assert proxy.connections == 4 + 3 + 1
        store.close()


def test_known_server_is_not_asked_how_it_speaks(port: int, certificate: Path) -> None:
    """A server that has answered once is not asked any more when it fails to answer, blocking and async."""
    with TcpProxy("127.0.0.1", port) as proxy:
        options = {"ssl_ca_certs": str(certificate), "patience": "2"}
        store = open_redis(f"rediss://127.0.0.1:{proxy.port}", options)

        async def play() -> None:
            twin = store.as_async()
            await twin.identify(c.Identify())
            await twin.distrust()
            proxy.half_open()
            with pytest.raises(StoreUnavailableError):
                await twin.identify(c.Identify())
            await twin.close()

        store.identify(c.Identify())
        store.distrust()
        asyncio.run(play())
        before = proxy.connections
        with pytest.raises(StoreUnavailableError):
            store.identify(c.Identify())
        assert (before, proxy.connections) == (3, 4)
        store.close()


def test_another_name(port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate for another host is not trusted, and the remedy is another one."""
    monkeypatch.setattr(socket, "getaddrinfo", partial(_elsewhere, socket.getaddrinfo))
    for error, _ in _failed(f"rediss://other.test:{port}", {"ssl_ca_certs": str(certificate)}):
        assert not error.transient
        assert "as the certificate names it" in str(error)


def _elsewhere(resolve: Callable[..., Any], host: Any, *rest: Any, **options: Any) -> Any:
    return resolve("127.0.0.1" if host == "other.test" else host, *rest, **options)


def test_another_certificate(port: int, certificate: Path, tmp_path: Path) -> None:
    """A file that does not vouch for the server is named."""
    other = tmp_path / "other"
    other.mkdir()
    path = make_certificate(other)
    for error, _ in _failed(f"rediss://127.0.0.1:{port}", {"ssl_ca_certs": str(path)}):
        assert not error.transient
        assert f"ssl_ca_certs = {str(path)!r} does not vouch for it" in str(error)


def test_server_that_wants_a_certificate(certificate: Path) -> None:
    """A server that wants to see a certificate is not asked in vain, and with one it is."""
    with encrypted_server(certificate, "yes") as port:
        options = {"ssl_ca_certs": str(certificate)}
        for error, seconds in _failed(f"rediss://127.0.0.1:{port}", options):
            assert not error.transient
            assert "ssl_certfile and ssl_keyfile" in str(error)
            assert seconds < AT_ONCE_SECONDS
        key = certificate.with_name("key.pem")
        options |= {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
        store = open_redis(f"rediss://127.0.0.1:{port}", options)
        run(perform(c.Identify()), store)
        store.close()


def test_certificate_of_tomorrow() -> None:
    """A certificate that is not valid yet is no matter of trust: the clock is what to look at."""
    store = RedisStore("rediss://127.0.0.1:1")
    distrust = ssl.SSLCertVerificationError(1, "certificate verify failed")
    distrust.verify_code, distrust.verify_message = 9, "certificate is not yet valid"
    error = _contact(store).explained(Failure.since(None, distrust))
    assert isinstance(error, StoreUnavailableError)
    assert "clock of this machine" in str(error)
    assert "ssl_ca_certs" not in str(error)
    store.close()
