"""T58: a frozen server, a half-open connection, one byte a second, all connections in use: bounded waits, recovery."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import StoreTimeoutError, StoreUnavailableError
from sessionguard.stores.redis import AsyncRedisStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import asked
from tests.stores.redis.conftest import OpenSession

PATIENCE = 0.3
# Far more than patience, far less than any of these faults would last.
BOUND = 3.0

Fault = Callable[[TcpProxy], object]


def _slow(proxy: TcpProxy) -> None:
    proxy.bytes_per_second = 20.0


def _trickle(proxy: TcpProxy) -> None:
    # The request is through at once; the reply takes ten seconds, and no wait for its next bytes takes long.
    proxy.bytes_per_second = 2_000.0


FAULTS: dict[str, Fault] = {"half open": TcpProxy.half_open, "some bytes a second": _slow, "trickle": _trickle}


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[TcpProxy]:
    """What makes the network bad."""
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        yield proxy


@contextmanager
def _soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < BOUND


@pytest.mark.parametrize("name", FAULTS)
def test_t58_bounded_wait(name: str, proxy: TcpProxy, redis_server: RedisServer, open_session: OpenSession) -> None:
    """A call over a bad network fails as unavailable within its patience, and the store works again when it is good."""
    session = open_session(proxy.url_of(redis_server.url), patience_seconds=PATIENCE)
    opened = session.opened("ana", data={"n": "x" * 20_000})
    FAULTS[name](proxy)
    for _ in range(2):
        # The first on an open connection, the second making one.
        with _soon(), pytest.raises(StoreUnavailableError) as caught:
            session.ask(session.s.load(opened))
        assert caught.value.transient
    proxy.heal()
    assert session.ask(session.s.load(opened)).record == opened


@pytest.mark.parametrize("name", FAULTS)
def test_t58_bounded_wait_async(name: str, proxy: TcpProxy, redis_server: RedisServer, key_prefix: str) -> None:
    """The same from an event loop."""

    async def play() -> None:
        store = AsyncRedisStore(proxy.url_of(redis_server.url), prefix=key_prefix, patience_seconds=PATIENCE)
        s = Stage(await asked(store, c.Identify()))
        opened = (await asked(store, s.get_or_create("ana", data={"n": "x" * 20_000}))).record
        FAULTS[name](proxy)
        for _ in range(2):
            with _soon(), pytest.raises(StoreUnavailableError) as caught:
                await asked(store, s.load(opened))
            assert caught.value.transient
        proxy.heal()
        assert (await asked(store, s.load(opened))).record == opened
        await store.close()

    asyncio.run(play())


def test_t58_frozen_server(key_prefix: str, open_session: OpenSession) -> None:
    """A server that stands still makes calls fail in time; when it goes on, so does the store, with no stale reply."""
    with RedisServer(appendonly="no") as server:
        session = open_session(server.url, patience_seconds=PATIENCE)
        ana, bea = session.opened("ana"), session.opened("bea")
        server.freeze()
        for _ in range(3):
            with _soon(), pytest.raises(StoreUnavailableError):
                session.ask(session.s.load(ana))
        server.thaw()
        assert session.ask(session.s.load(bea)).record == bea
        assert session.ask(session.s.load(ana)).record == ana


def test_t58_all_connections_in_use(proxy: TcpProxy, redis_server: RedisServer, open_session: OpenSession) -> None:
    """Who finds all connections in use waits within patience, and then learns that nothing was done."""
    session = open_session(proxy.url_of(redis_server.url), patience_seconds=PATIENCE, pool_size=2)
    opened = session.opened("ana")
    (pool,) = session.store.pools
    deadline = time.monotonic() + BOUND
    lent = [pool.take(deadline), pool.take(deadline)]
    assert len(pool) == 2
    with _soon(), pytest.raises(StoreTimeoutError, match="raise pool_size") as caught:
        session.ask(session.s.load(opened))
    assert caught.value.__cause__ is None
    waiting = threading.Timer(0.05, lambda: pool.give_back(lent.pop()))
    waiting.start()
    assert session.ask(session.s.load(opened)).record == opened
    waiting.join()
    pool.give_back(lent.pop())
    assert len(pool) == len(pool.idle) == 2


def test_t58_all_connections_in_use_async(redis_server: RedisServer, key_prefix: str) -> None:
    """The same from an event loop; whoever waits gets the place that becomes free."""

    async def play() -> None:
        store = AsyncRedisStore(redis_server.url, prefix=key_prefix, patience_seconds=PATIENCE, pool_size=1)
        s = Stage(await asked(store, c.Identify()))
        opened = (await asked(store, s.get_or_create("ana"))).record
        (pool,) = store.pools
        line = await pool.take()
        with _soon(), pytest.raises(StoreTimeoutError, match="raise pool_size"):
            await asked(store, s.load(opened))
        waiting = [asyncio.create_task(asked(store, s.load(opened))) for _ in range(20)]
        await asyncio.sleep(0)
        pool.give_back(line)
        assert [loaded.record for loaded in await asyncio.gather(*waiting)] == [opened] * 20
        assert len(pool) == len(pool.idle) == 1
        await store.close()

    asyncio.run(play())


def test_server_down(redis_server: RedisServer, open_session: OpenSession) -> None:
    """A server that is not there is unavailable at once, whatever is asked, and never the absence of a session."""
    with RedisServer(appendonly="always") as server:
        session = open_session(server.url, patience_seconds=PATIENCE)
        opened = session.opened("ana")
        server.stop()
        commands: tuple[c.Command[Any], ...] = (
            session.s.load(opened),
            session.s.end(opened),
            session.s.sweep(),
            session.s.page(),
        )
        for command in commands:
            with _soon(), pytest.raises(StoreUnavailableError) as caught:
                session.ask(command)
            assert caught.value.transient
        server.start()
        assert session.ask(session.s.load(opened)).record == opened
