"""One async store in several event loops: each has connections of its own, and none waits for another's."""

import asyncio
import threading
import time
from collections.abc import Callable

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.errors import MisuseError
from sessionguard.stores.redis import AsyncRedisStore
from sessionguard.stores.redis.async_pools import AsyncPool
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import Session, asked


def test_loops_share_no_connection(single: Session, redis_server: RedisServer) -> None:
    """Two loops in two threads use one store at once: the same sessions, other connections; closing closes both."""
    store = single.store.as_async()
    pools: list[AsyncPool] = []
    found: list[SessionRecord | None] = []
    ana = single.opened("ana")
    both_connected, closed = threading.Barrier(2), threading.Event()

    async def use(number: int) -> None:
        s = Stage(await asked(store, c.Identify()))
        for _ in range(50):
            found.append((await asked(store, s.load(ana))).record)
        pools.extend(store.pools)
        await asyncio.to_thread(both_connected.wait, 10)
        if number:
            await store.close()
            closed.set()
        await asyncio.to_thread(closed.wait, 10)
        # One turn for what the closing left to this loop.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            await asked(store, s.load(ana))
        except MisuseError:
            return
        raise AssertionError("the store was closed")

    threads = [threading.Thread(target=lambda n=n: asyncio.run(use(n))) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [ana] * 100
    assert len({id(pool) for pool in pools}) == 2
    assert [len(pool) for pool in pools] == [0, 0]


def test_closing_closes_the_sockets(redis_server: RedisServer, key_prefix: str) -> None:
    """When a store is closed, the server has no connection of it any more."""

    async def play() -> None:
        store = AsyncRedisStore(redis_server.url, prefix=key_prefix, pool_size=3)
        await asyncio.gather(*(asked(store, c.Identify()) for _ in range(3)))
        assert sum(map(len, store.pools)) > 0
        await store.close()
        await store.close()

    before = _clients(redis_server)
    asyncio.run(play())
    assert _clients(redis_server) == before


def test_loops_that_are_closed_are_forgotten(redis_server: RedisServer, key_prefix: str) -> None:
    """A store that is used in one short loop after the other keeps no connection, and no loop, of those before."""
    store = AsyncRedisStore(redis_server.url, prefix=key_prefix, pool_size=3)

    async def use() -> None:
        await asyncio.gather(*(asked(store, c.Identify()) for _ in range(2)))

    before = _clients(redis_server)
    for _ in range(10):
        asyncio.run(use())
    assert len(store._loops) == 1
    # The server learns of the closing a moment later.
    _until(lambda: _clients(redis_server) <= before + 2)
    asyncio.run(store.close())
    _until(lambda: _clients(redis_server) == before)


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _clients(server: RedisServer) -> int:
    # The connection that asks is one of them.
    return len(str(server.command("CLIENT", "LIST")).strip().splitlines())
