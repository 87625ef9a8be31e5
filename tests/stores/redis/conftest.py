"""Stores on real servers under a prefix of their own, closed at the end of each test, and commands to ask them."""

import multiprocessing
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.stores.redis import RedisStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import RedisCluster, RedisServer, ServerStartError, find_valkey
from sessionguard.testing.servers.ports import free_port
from sessionguard.testing.servers.redis_server import Setting
from tests.conftest import installed
from tests.stores.redis.asking import Session

# Children fork from a clean server that has imported what they need: quick, and free of the threads of the test run.
multiprocessing.get_context("forkserver").set_forkserver_preload(["pytest", "tests.stores.redis.asking"])

OpenSession = Callable[..., Session]
Start = Callable[[AbstractContextManager[Any]], Any]


@pytest.fixture
def open_session(key_prefix: str) -> Iterator[OpenSession]:
    """Open a store at a URL under the prefix of this test, with a stage for its deployment."""
    opened: list[RedisStore] = []

    def open_one(url: str, **options: Any) -> Session:
        store = RedisStore(url, **{"prefix": key_prefix} | options)
        opened.append(store)
        return Session(store, Stage(run(perform(c.Identify()), store)))

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """A Valkey that all these tests share; use `key_prefix`, and leave it running."""
    with installed(lambda: RedisServer(binaries=find_valkey())) as server:
        yield server


@pytest.fixture(params=["redis_server", "redis_cluster", "valkey_server"], ids=["single", "cluster", "valkey"])
def place(request: pytest.FixtureRequest) -> RedisServer | RedisCluster:
    """One server, a cluster of three, and one server that is a Valkey."""
    found: RedisServer | RedisCluster = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def session(open_session: OpenSession, place: RedisServer | RedisCluster) -> Session:
    """A store on each of them, ready to be asked."""
    return open_session(place.url)


@pytest.fixture
def single(open_session: OpenSession, redis_server: RedisServer) -> Session:
    """A store on one server, ready to be asked."""
    return open_session(redis_server.url)


def make_certificate(folder: Path) -> Path:
    """Make a certificate for loopback that nobody trusts who was not told to; its key lies beside it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    path = folder / "redis.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(path)]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Such a certificate for one test."""
    return make_certificate(tmp_path)


@contextmanager
def encrypted_server(certificate: Path, asks_clients: str) -> Iterator[int]:
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
    with encrypted_server(certificate, "no") as port:
        yield port
