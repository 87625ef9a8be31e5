"""Who waits for a connection gets the next one that comes free, however busy the others are with it."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable

import pytest

from sessionguard.core.records import SessionRecord
from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.redis import AsyncRedisStore
from sessionguard.stores.redis.async_pools import AsyncPool
from sessionguard.stores.redis.lines import Line
from sessionguard.stores.redis.pools import Pool
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import Session, asked
from tests.stores.redis.conftest import OpenSession

PATIENCE = 2.0
WAITING = 3


@pytest.fixture
def busy(open_session: OpenSession, redis_server: RedisServer) -> Session:
    """A store with one connection for all."""
    return open_session(redis_server.url, pool_size=1, patience_seconds=PATIENCE)


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _waiting(pool: Pool, lines: list[object], count: int) -> list[threading.Thread]:
    """Start threads that wait for a connection, one behind the other, and note it when they have it."""
    threads = []
    for number in range(count):
        threads.append(threading.Thread(target=lambda: lines.append(pool.take(time.monotonic() + 10))))
        threads[-1].start()
        _until(lambda behind=number + 1: len(pool._waiting) == behind)  # type: ignore[misc]
    return threads


def test_looping_caller_lets_others_in(busy: Session) -> None:
    """One thread calls without a pause; the others are answered nevertheless."""
    opened = busy.opened("ana")
    found: list[SessionRecord | Exception | None] = []
    is_over = threading.Event()

    def hog() -> None:
        while not is_over.is_set():
            busy.ask(busy.s.get(opened))

    def call() -> None:
        try:
            found.append(busy.ask(busy.s.get(opened)))
        except Exception as error:
            found.append(error)

    hogging = threading.Thread(target=hog)
    hogging.start()
    threads = [threading.Thread(target=call) for _ in range(WAITING)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    is_over.set()
    hogging.join()
    assert found == [opened] * WAITING


def test_looping_caller_lets_others_in_async(redis_server: RedisServer, key_prefix: str, busy: Session) -> None:
    """The same with tasks."""
    opened = busy.opened("ana")

    async def play() -> list[SessionRecord | BaseException | None]:
        store = AsyncRedisStore(redis_server.url, prefix=key_prefix, pool_size=1, patience_seconds=PATIENCE)

        async def hog() -> None:
            while True:
                await asked(store, busy.s.get(opened))

        hogging = asyncio.create_task(hog())
        await asyncio.sleep(0)
        calls = [asked(store, busy.s.get(opened)) for _ in range(WAITING)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        hogging.cancel()
        await asyncio.wait([hogging])
        await store.close()
        return found

    assert asyncio.run(play()) == [opened] * WAITING


def test_given_to_who_waits_longest(busy: Session) -> None:
    """What comes back goes to the first in the queue, never to a newcomer; so does the place of a closed one."""
    busy.opened("ana")
    (pool,) = busy.store.pools
    line = pool.take(time.monotonic() + 1)
    lines: list[object] = []
    threads = _waiting(pool, lines, 2)
    pool.give_back(line)
    assert pool.idle == ()
    _until(lambda: lines == [line])
    pool.discard(line)
    for thread in threads:
        thread.join()
    assert lines[1] is not line
    assert len(pool) == 1
    pool.give_back(lines[1])  # type: ignore[arg-type]
    assert (len(pool), len(pool.idle), len(pool._waiting)) == (1, 1, 0)


def test_newcomers_stand_in_line(busy: Session) -> None:
    """What somebody has just put down is not for who comes by, but for the one who waits for it."""
    busy.opened("ana")
    (pool,) = busy.store.pools
    (line,) = pool.idle
    turn: queue.SimpleQueue[Line] = queue.SimpleQueue()
    pool._waiting.append(turn)
    with pytest.raises(StoreTimeoutError):
        pool.take(time.monotonic() + 0.01)
    assert turn.get_nowait() is line
    pool.give_back(line)


def test_closed_by_the_server_while_somebody_waits(busy: Session, redis_server: RedisServer) -> None:
    """Who is handed a connection that the server has closed makes another one in its place."""
    opened = busy.opened("ana")
    (pool,) = busy.store.pools
    line = pool.take(time.monotonic() + 1)
    lines: list[object] = []
    (thread,) = _waiting(pool, lines, 1)
    redis_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    pool.give_back(line)
    thread.join()
    assert lines != [line]
    pool.give_back(lines[0])  # type: ignore[arg-type]
    assert busy.ask(busy.s.get(opened)) == opened
    assert len(pool) == 1


async def _queued(store: AsyncRedisStore, count: int) -> tuple[AsyncPool, object, list[asyncio.Task[object]]]:
    (pool,) = store.pools
    line = await pool.take()
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(pool.take()) for _ in range(count)]
    await asyncio.sleep(0)
    return pool, line, tasks


@pytest.mark.parametrize("how", ["give_back", "discard"])
def test_cancelled_as_it_was_served(redis_server: RedisServer, key_prefix: str, how: str) -> None:
    """A task that is cancelled before it could take what it was given leaves it to the next one."""

    async def play() -> None:
        store = AsyncRedisStore(redis_server.url, prefix=key_prefix, pool_size=1, patience_seconds=PATIENCE)
        await asked(store, Stage("0" * 32).sweep())
        pool, line, (first, second, third) = await _queued(store, 3)
        getattr(pool, how)(line)
        assert pool.idle == ()
        first.cancel()
        second.cancel()
        async with asyncio.timeout(10):
            got = await third
        assert (got is line) is (how == "give_back")
        assert first.cancelled()
        assert second.cancelled()
        assert len(pool) == 1
        pool.give_back(got)  # type: ignore[arg-type]
        assert (len(pool), len(pool.idle), len(pool._waiting)) == (1, 1, 0)
        await store.close()

    asyncio.run(play())


def test_cancelled_when_nobody_else_waits(redis_server: RedisServer, key_prefix: str) -> None:
    """Then it is idle again, or its place is free."""

    async def play() -> None:
        store = AsyncRedisStore(redis_server.url, prefix=key_prefix, pool_size=1, patience_seconds=PATIENCE)
        await asked(store, Stage("0" * 32).sweep())
        for how, left in (("give_back", 1), ("discard", 0)):
            pool, line, (task,) = await _queued(store, 1)
            getattr(pool, how)(line)
            task.cancel()
            await asyncio.wait([task])
            assert (len(pool), len(pool.idle), len(pool._waiting)) == (left, left, 0)
        await store.close()

    asyncio.run(play())
