"""Encrypted connections: certificates are checked, and what is not encrypted does not pass for it."""

import asyncio
import gc
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.errors import ConfigurationError, StoreUnavailableError
from sessionguard.stores.redis import RedisStore, contact, open_redis
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.async_lines import AsyncLine
from sessionguard.stores.redis.lines import Line
from sessionguard.stores.redis.speech import spoken
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import RedisServer, ServerStartError
from sessionguard.testing.servers.ports import free_port
from sessionguard.testing.servers.redis_server import Setting
from tests.stores.redis.asking import asked
from tests.stores.redis.conftest import make_certificate

AT_ONCE_SECONDS = 3.0
"""Far less than the patience of a store, which is 5 seconds."""


@contextmanager
def _encrypted(certificate: Path, asks_clients: str) -> Iterator[int]:
    """Give where a server listens for encrypted connections."""
    port, key, own = free_port(), str(certificate.with_name("key.pem")), str(certificate)
    files: dict[str, Setting] = {"tls-cert-file": own, "tls-key-file": key, "tls-ca-cert-file": own}
    server = RedisServer(appendonly="no", config={"tls-port": port, "tls-auth-clients": asks_clients, **files})
    try:
        server.start()
    except ServerStartError:
        server.close()
        pytest.skip(f"{server.installation} was built without TLS")
    with server:
        yield port


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    """Where a server listens for encrypted connections, whoever makes them."""
    with _encrypted(certificate, "no") as port:
        yield port


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
    """And the reverse: the server does not answer at all, and yet no patience is spent on it."""
    service = "/mymaster" if scheme.endswith("sentinel") else ""
    for error, seconds in _failed(f"{scheme}://127.0.0.1:{redis_server.port}{service}", {}):
        assert not error.transient
        assert f"127.0.0.1:{redis_server.port} speaks no TLS" in str(error)
        assert seconds < AT_ONCE_SECONDS


def test_how_an_encrypted_server_speaks(port: int) -> None:
    """A server that speaks TLS is known as such, whatever its certificate is."""
    assert spoken(Address("127.0.0.1", port), 2.0) == "encrypted"


def test_first_try_leaves_no_limit(port: int, certificate: Path) -> None:
    """What is asked over an encrypted connection has the whole patience, not the time of the first try to encrypt."""
    store = open_redis(f"rediss://127.0.0.1:{port}", {"ssl_ca_certs": str(certificate)})
    line = Line(store.settings, store.settings.addresses[0], None)
    line.connect(time.monotonic() + 5)
    assert line._connection._sock.gettimeout() == store.settings.patience_seconds
    line.close()
    store.close()


def test_slow_to_encrypt(port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes longer than the first try is not given up: it has the rest of the patience."""
    monkeypatch.setattr(contact, "_FIRST_TRY_SECONDS", 0.01)
    with TcpProxy("127.0.0.1", port) as proxy:
        # The certificate alone takes fifty times as long as the first try.
        proxy.bytes_per_second = 2_000.0
        store = open_redis(f"rediss://127.0.0.1:{proxy.port}", {"ssl_ca_certs": str(certificate), "patience": "30"})
        line = Line(store.settings, store.settings.addresses[0], None)
        line.connect(time.monotonic() + 30)
        assert line.is_clean
        line.close()

        async def play() -> bool:
            line = AsyncLine(store.settings, store.settings.addresses[0], None)
            await line.connect()
            is_clean = await line.is_clean()
            line.close()
            return is_clean

        assert asyncio.run(play())
        store.close()


def test_silent_encrypted_server(redis_server: RedisServer) -> None:
    """A server of which nothing is heard at all may be there again soon; the wait for it is bounded."""
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        proxy.half_open()
        for error, seconds in _failed(f"rediss://127.0.0.1:{proxy.port}", {"patience": "0.4"}):
            assert error.transient
            assert f"127.0.0.1:{proxy.port} did not answer in time" in str(error)
            assert seconds < AT_ONCE_SECONDS


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
    with _encrypted(certificate, "yes") as port:
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


UNUSABLE: dict[str, tuple[dict[str, str], str, str]] = {
    "no such file": ({"ssl_ca_certs": "nowhere.pem"}, "ssl_ca_certs", "cannot be read (No such file"),
    "a folder": ({"ssl_ca_certs": "."}, "ssl_ca_certs", "cannot be read (Is a directory"),
    "no certificate": ({"ssl_ca_certs": "junk.pem"}, "ssl_ca_certs", "holds no certificate"),
    "no such certificate": ({"ssl_certfile": "nowhere.pem"}, "ssl_certfile", "cannot be read"),
    "no key": ({"ssl_certfile": "redis.pem"}, "ssl_certfile", "ssl_keyfile"),
    "no such key": ({"ssl_certfile": "redis.pem", "ssl_keyfile": "nowhere.pem"}, "ssl_keyfile", "cannot be read"),
    "another key": ({"ssl_certfile": "redis.pem", "ssl_keyfile": "junk.pem"}, "ssl_keyfile", "is not the key"),
    "only a key": ({"ssl_keyfile": "key.pem"}, "ssl_keyfile", "name its ssl_certfile"),
    "locked key": ({"ssl_certfile": "redis.pem", "ssl_keyfile": "locked.pem"}, "ssl_keyfile", "pass phrase"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_files(name: str, certificate: Path) -> None:
    """A file that cannot be used is named with its option before anything connects; nobody is asked for a phrase."""
    folder = certificate.parent
    (folder / "junk.pem").write_text("no certificate", encoding="utf-8")
    lock = ["openssl", "rsa", "-aes256", "-passout", "pass:phrase", "-in", str(folder / "key.pem")]
    subprocess.run([*lock, "-out", str(folder / "locked.pem")], check=True, capture_output=True)
    files, option, said = UNUSABLE[name]
    options = {known: str(folder / file) for known, file in files.items()}
    with pytest.raises(ConfigurationError) as caught:
        open_redis("rediss://127.0.0.1:1", options)
    assert caught.value.setting == option
    assert said in str(caught.value)
    assert caught.value.value[:60] == repr(options[option])[:60]


def test_file_that_went_away(port: int, certificate: Path) -> None:
    """A file that can be read no more when a connection is made is named then, at once, blocking and async."""
    copy = certificate.with_name("copy.pem")
    shutil.copy(certificate, copy)
    store = open_redis(f"rediss://127.0.0.1:{port}", {"ssl_ca_certs": str(copy)})
    copy.unlink()

    async def play() -> None:
        twin = store.as_async()
        try:
            await asked(twin, c.Identify())
        finally:
            await twin.close()

    for ask in (lambda: run(perform(c.Identify()), store), lambda: asyncio.run(play())):
        with pytest.raises(ConfigurationError, match="cannot be read") as caught:
            ask()
        assert caught.value.setting == "ssl_ca_certs"
    assert any("cannot be read" in finding.message for finding in store.examine() if finding.level == "problem")
    store.close()
