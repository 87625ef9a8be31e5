"""Encrypted connections: certificates are checked, and what is not encrypted does not pass for it."""

import asyncio
import gc
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.redis import RedisStore, open_redis
from sessionguard.testing.servers import RedisServer, ServerStartError
from sessionguard.testing.servers.ports import free_port
from sessionguard.testing.servers.redis_server import Setting
from tests.stores.redis.asking import asked


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for loopback that nobody trusts who was not told to; its key lies beside it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "redis.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(path)]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    """Where a server listens for encrypted connections."""
    port, key, own = free_port(), str(certificate.with_name("key.pem")), str(certificate)
    files: dict[str, Setting] = {"tls-cert-file": own, "tls-key-file": key, "tls-ca-cert-file": own}
    server = RedisServer(appendonly="no", config={"tls-port": port, "tls-auth-clients": "no", **files})
    try:
        server.start()
    except ServerStartError:
        server.close()
        pytest.skip(f"{server.installation} was built without TLS")
    with server:
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


def test_not_encrypted(port: int, redis_server: RedisServer) -> None:
    """Neither does a plain connection reach an encrypted port, nor an encrypted one a plain port; both end in time."""
    for url in (f"redis://127.0.0.1:{port}", f"rediss://127.0.0.1:{redis_server.port}"):
        store = RedisStore(url, patience_seconds=0.5)
        with pytest.raises(StoreUnavailableError):
            store.identify(c.Identify())
        store.close()
