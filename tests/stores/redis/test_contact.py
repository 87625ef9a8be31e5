"""First contact with the wrong server, the wrong setting or nobody: which it is, what to do, and no waiting in vain."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

import pytest

from sessionguard import AsyncSessionGuard, SessionGuard
from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.errors import SessionGuardError, StoreError, StoreUnavailableError
from sessionguard.parts import DEFAULT_PATIENCE
from sessionguard.stores.redis import RedisStore, translation
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.speech import speaks
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import RedisCluster, RedisSentinel, RedisServer
from tests.stores.redis.asking import asked

SECRET = "hunter2-secret"
AT_ONCE_SECONDS = 3.0
"""Far less than the patience of a guard and of its store, which are 5 seconds each."""

SHORT = timedelta(seconds=0.2)
"""How long a guard repeats what may pass, where that is all it can do."""


class Failed(Protocol):
    """Gives the error with which a guard fails."""

    def __call__(self, url: str, patience: timedelta = DEFAULT_PATIENCE) -> SessionGuardError:
        """Ask a guard with this patience at this URL."""
        ...


def _failed(url: str, patience: timedelta = DEFAULT_PATIENCE) -> SessionGuardError:
    guard = SessionGuard.open(url, patience=patience)
    try:
        with pytest.raises(SessionGuardError) as caught:
            guard.get_or_create("ana")
        return caught.value
    finally:
        guard.close()


def _failed_async(url: str, patience: timedelta = DEFAULT_PATIENCE) -> SessionGuardError:
    async def play() -> SessionGuardError:
        async with AsyncSessionGuard.open(url, patience=patience) as guard:
            with pytest.raises(SessionGuardError) as caught:
                await guard.get_or_create("ana")
            return caught.value

    return asyncio.run(play())


@pytest.fixture(params=[_failed, _failed_async], ids=["blocking", "async"])
def failed(request: pytest.FixtureRequest) -> Failed:
    """Ask a guard for a session at a URL where that must fail, and give the error."""
    found: Failed = request.param
    return found


@contextmanager
def _at_once() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < AT_ONCE_SECONDS


@pytest.fixture(scope="module")
def sentinel(redis_server: RedisServer) -> Iterator[RedisSentinel]:
    """A sentinel over the shared server."""
    with RedisSentinel(redis_server, replicas=0) as sentinel:
        yield sentinel


def test_server_where_a_sentinel_was_to_be(failed: Failed, redis_server: RedisServer) -> None:
    """A sentinel URL that leads to a server is refused at once, with both ways to write it."""
    where = f"127.0.0.1:{redis_server.port}"
    with _at_once():
        error = failed(f"redis+sentinel://user:{SECRET}@{where}/mymaster/0")
    assert type(error) is StoreError
    for words in (f"{where} is no sentinel", "26379", f"redis://{where}/0"):
        assert words in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize("scheme", ["redis://{}", "redis://{}/1", "redis+cluster://{}"])
def test_sentinel_where_a_server_was_to_be(failed: Failed, sentinel: RedisSentinel, scheme: str) -> None:
    """A URL of a server or a cluster that leads to a sentinel is refused at once, with the scheme that it takes."""
    where = f"127.0.0.1:{sentinel.port}"
    with _at_once():
        error = failed(scheme.format(where))
    assert type(error) is StoreError
    assert f"{where} is a sentinel" in str(error)
    assert f"redis+sentinel://{where}/" in str(error)


def test_service_that_no_sentinel_knows(failed: Failed, sentinel: RedisSentinel) -> None:
    """The name behind the host is in the error if the sentinels watch nothing of that name."""
    with _at_once():
        error = failed(sentinel.url.replace(sentinel.service, "nosuch"))
    assert type(error) is StoreError
    assert "'nosuch'" in str(error)


@pytest.mark.parametrize("database", ["", "/1"])
def test_cluster_where_one_server_was_to_be(failed: Failed, redis_cluster: RedisCluster, database: str) -> None:
    """A plain URL that leads to a node of a cluster is refused at once, with the scheme that it takes."""
    where = f"127.0.0.1:{redis_cluster.port}"
    with _at_once():
        error = failed(f"redis://{where}{database}")
    assert type(error) is StoreError
    assert f"{where} is part of a cluster" in str(error)
    assert "redis+cluster://" in str(error)


def test_one_server_where_a_cluster_was_to_be(failed: Failed, redis_server: RedisServer) -> None:
    """And the reverse."""
    where = f"127.0.0.1:{redis_server.port}"
    with _at_once():
        error = failed(f"redis+cluster://{where}")
    assert type(error) is StoreError
    assert f"{where} is not part of a cluster" in str(error)


def test_database_that_is_not_there(failed: Failed, redis_server: RedisServer) -> None:
    """A number beyond the databases of the server is named, with the setting that counts them."""
    with _at_once():
        error = failed(f"redis://127.0.0.1:{redis_server.port}/99")
    assert type(error) is StoreError
    assert "no database 99" in str(error)
    assert "`databases`" in str(error)


@pytest.mark.parametrize(
    "credentials,said",
    [
        ("", "wants a password and was given none"),
        (f":{SECRET}@", "refused the user or the password"),
        (f"nobody:{SECRET}@", "refused the user or the password"),
    ],
)
@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_signing_in(failed: Failed, scheme: str, credentials: str, said: str) -> None:
    """A missing and a wrong password are told apart, at once, with where to write it, and never shown."""
    with RedisServer(appendonly="no", password="right") as server, _at_once():
        error = failed(f"{scheme}://{credentials}127.0.0.1:{server.port}")
    assert isinstance(error, StoreUnavailableError)
    assert not error.transient
    assert f"127.0.0.1:{server.port} {said}" in str(error)
    assert "redis://user:password@host" in str(error)
    assert SECRET not in str(error) + repr(error.__cause__)


def test_password_that_nobody_asked_for(failed: Failed, redis_server: RedisServer) -> None:
    """A password for a server that has none is told to be too much."""
    with _at_once():
        error = failed(f"redis://:{SECRET}@127.0.0.1:{redis_server.port}")
    assert isinstance(error, StoreUnavailableError)
    assert not error.transient
    assert "leave the password out" in str(error)
    assert SECRET not in str(error) + repr(error.__cause__)


def test_sentinel_with_a_password(failed: Failed, redis_server: RedisServer) -> None:
    """A sentinel that wants a password is told from the server, whose password is another one."""
    with RedisSentinel(redis_server, replicas=0) as sentinel:
        sentinel.command("ACL", "SETUSER", "default", "resetpass", ">right")
        for options in ("", f"?sentinel_password={SECRET}"):
            with _at_once():
                error = failed(sentinel.url + options)
            assert isinstance(error, StoreUnavailableError)
            assert not error.transient
            assert f"sentinel 127.0.0.1:{sentinel.port}" in str(error)
            assert "sentinel_password" in str(error)
            assert SECRET not in str(error) + repr(error.__cause__)
        store = RedisStore(sentinel.url, sentinel_password="right")
        run(perform(c.Identify()), store)
        store.close()


URLS = ["redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/m"]


@pytest.mark.parametrize("url", URLS)
def test_nothing_listens(failed: Failed, url: str) -> None:
    """A refused connection may pass and is repeated; the error names host and port, and what to look at."""
    error = failed(f"{url}?patience=0.2", SHORT)
    assert isinstance(error, StoreUnavailableError)
    assert error.transient
    assert "nothing listens at 127.0.0.1:1 (connection refused)" in str(error)
    assert "runs there, and that host and port of the URL are right" in str(error)


def test_unknown_host(failed: Failed) -> None:
    """So may a name that is not known, as of a container that has not started yet."""
    error = failed("redis://no-such-host.invalid?patience=0.2", SHORT)
    assert isinstance(error, StoreUnavailableError)
    assert error.transient
    assert "'no-such-host.invalid' is not known" in str(error)


def test_silent_host(redis_server: RedisServer, key_prefix: str) -> None:
    """A server that takes the connection and says nothing is named with the patience it used up, blocking and async."""
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        proxy.half_open()
        store = RedisStore(proxy.url_of(redis_server.url), prefix=key_prefix, patience_seconds=0.2)

        async def play() -> None:
            await asked(store.as_async(), c.Identify())

        for ask in (lambda: run(perform(c.Identify()), store), lambda: asyncio.run(play())):
            with pytest.raises(
                StoreUnavailableError, match=rf"127.0.0.1:{proxy.port} did not .*patience is 0.2 s"
            ) as caught:
                ask()
            assert caught.value.transient
            assert "patience is 0.2 s" in str(caught.value)
        store.close()


def test_what_may_pass_counts_more(sentinel: RedisSentinel, redis_server: RedisServer) -> None:
    """Of several sentinels one that is no sentinel does no harm while another answers or may answer soon."""
    wrong = f"127.0.0.1:{redis_server.port}"
    store = RedisStore(f"redis+sentinel://{wrong},127.0.0.1:{sentinel.port}/{sentinel.service}/0")
    run(perform(c.Identify()), store)
    store.close()
    store = RedisStore(f"redis+sentinel://127.0.0.1:1,{wrong}/{sentinel.service}/0", patience_seconds=0.2)
    with pytest.raises(StoreUnavailableError, match=r"nothing listens at 127\.0\.0\.1:1 ") as caught:
        store.identify(c.Identify())
    assert caught.value.transient
    assert isinstance(caught.value.__cause__, StoreUnavailableError)
    store.close()


def test_doctor_says_the_same(sentinel: RedisSentinel, redis_cluster: RedisCluster, redis_server: RedisServer) -> None:
    """An examination tells a wrong server as what it is, and not as a lack of permissions."""
    for url, said in (
        (f"redis://127.0.0.1:{sentinel.port}", "is a sentinel"),
        (f"redis://127.0.0.1:{redis_cluster.port}", "is part of a cluster"),
        (f"redis+cluster://127.0.0.1:{redis_server.port}", "is not part of a cluster"),
        (f"redis+sentinel://127.0.0.1:{redis_server.port}/m/0", "is no sentinel"),
        (f"redis://127.0.0.1:{redis_server.port}/99", "no database 99"),
    ):
        store = RedisStore(url)
        problems = [finding for finding in store.examine() if finding.level == "problem"]
        store.close()
        (problem,) = problems
        assert said in problem.message
        assert problem.remedy
        assert problem.subject != "permissions"


def test_how_servers_speak(redis_server: RedisServer) -> None:
    """A server that is there speaks plain; of nobody, and of one that stays silent, nothing is said."""
    assert speaks(Address("127.0.0.1", redis_server.port), "plain")
    assert not speaks(Address("127.0.0.1", redis_server.port), "encrypted")
    assert not speaks(Address("127.0.0.1", 1), "plain")
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        proxy.half_open()
        assert not speaks(Address("127.0.0.1", proxy.port), "plain")


class _HangsUp:
    """Where connections are accepted and closed without a word, and counted."""

    def __init__(self) -> None:
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self.connections += 1
                line.close()

    def close(self) -> None:
        """Nobody listens any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def hangs_up() -> Iterator[_HangsUp]:
    """Such a place."""
    place = _HangsUp()
    yield place
    place.close()


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_who_hangs_up_is_asked_once_why(scheme: str, hangs_up: _HangsUp) -> None:
    """A failed contact is one connection, and one more the first time, blocking and async."""
    store = RedisStore(f"{scheme}://127.0.0.1:{hangs_up.port}")
    for _ in range(3):
        with pytest.raises(StoreUnavailableError) as caught:
            store.identify(c.Identify())
        assert caught.value.transient
    assert hangs_up.connections == 3 + 1

    async def play() -> None:
        twin = store.as_async()
        for _ in range(3):
            with pytest.raises(StoreUnavailableError):
                await twin.identify(c.Identify())
        await twin.close()

    asyncio.run(play())
    assert hangs_up.connections == 2 * (3 + 1)
    store.close()


def _of_another_host() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = 10, "certificate of the payment service has expired"
    return error


@pytest.mark.parametrize(
    "handled",
    [_of_another_host(), ConnectionRefusedError(111, "Connection refused"), socket.gaierror(-2, "Name not known")],
    ids=["certificate", "refused", "unknown host"],
)
def test_what_the_caller_handles_is_no_reason(handled: Exception, hangs_up: _HangsUp) -> None:
    """A call from within an except block is explained by its own failure alone, blocking and async."""
    store = RedisStore(f"rediss://127.0.0.1:{hangs_up.port}")

    async def play() -> None:
        twin = store.as_async()
        try:
            raise handled
        except Exception:
            await twin.identify(c.Identify())
        finally:
            await twin.close()

    def ask() -> None:
        try:
            raise handled
        except Exception:
            store.identify(c.Identify())

    for fail in (ask, lambda: asyncio.run(play())):
        with pytest.raises(StoreUnavailableError, match=r"the connection to .* failed") as caught:
            fail()
        assert caught.value.transient
        assert "payment" not in str(caught.value)
    store.close()


def test_connections_outlive_a_wrong_password() -> None:
    """A connection that may not sign in costs none of those that could, blocking and async."""
    with RedisServer(appendonly="no", password="right") as server:
        store = RedisStore(server.url)
        store.identify(c.Identify())
        twin = store.as_async()

        async def play() -> None:
            await twin.identify(c.Identify())
            (pool,) = twin.pools
            line = await pool.take()
            server.command("CONFIG", "SET", "requirepass", "another")
            with pytest.raises(StoreUnavailableError, match="refused the user or the password"):
                await twin.identify(c.Identify())
            pool.give_back(line)
            assert pool.idle == (line,)
            await twin.close()

        (pool,) = store.pools
        line = pool.take(time.monotonic() + 5)
        asyncio.run(play())
        with pytest.raises(StoreUnavailableError, match="refused the user or the password"):
            store.identify(c.Identify())
        pool.give_back(line)
        assert pool.idle == (line,)
        store.close()


def test_other_connections_are_dropped_with_a_failed_one() -> None:
    """What the network did to one connection it may have done to the others; where they lead is found out anew."""
    for is_transient in (False, True):
        error = StoreUnavailableError("redis", "connect", "it failed", transient=is_transient)
        assert translation.leads_elsewhere(error) is is_transient
        assert translation.may_lead_elsewhere(error)
    assert not translation.leads_elsewhere(StoreError("redis", "connect", "no such database"))


def test_sentinels_that_know_nothing_while_one_is_down(sentinel: RedisSentinel) -> None:
    """If some sentinels know no such service and another is down, both are told, and it may pass."""
    here = f"127.0.0.1:{sentinel.port}"
    store = RedisStore(f"redis+sentinel://{here},127.0.0.1:1/nosuch/0", patience_seconds=0.4)
    with pytest.raises(StoreUnavailableError) as caught:
        store.identify(c.Identify())
    store.close()
    assert caught.value.transient
    for words in (f"{here} knew no service 'nosuch'", "sentinel monitor", "nothing listens at 127.0.0.1:1"):
        assert words in str(caught.value)
    assert str(caught.value).count("redis store") == 1
