"""Every operation on one session is one round trip, counted on the wire."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.stores.redis import AsyncRedisStore
from sessionguard.testing.contracts.stage import IDLE, SECOND, TOUCH, Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import asked
from tests.stores.redis.conftest import OpenSession

Make = Callable[[Stage, SessionRecord], c.Command[Any]]

ONE_TRIP: dict[str, Make] = {
    "load": lambda s, record: s.load(record),
    "load and touch": lambda s, record: s.load(record, at=TOUCH),
    "load of a stranger": lambda s, record: s.load(s.new()),
    "get": lambda s, record: s.get(record),
    "get_or_create of a taken slot": lambda s, record: s.get_or_create(record.owner),
    "get_or_create of a free slot": lambda s, record: s.get_or_create(record.owner, external_id="b"),
    "get_or_create of an expired slot": lambda s, record: s.get_or_create(record.owner, at=IDLE),
    "create": lambda s, record: s.create(record.owner, data={"n": 1}),
    "replace": lambda s, record: s.replace(record.owner),
    "save": lambda s, record: s.save(record, {"n": 2}),
    "save if": lambda s, record: s.save(record, {"n": 2}, expected_version=1),
    "touch": lambda s, record: s.touch(record, at=SECOND),
    "rotate": lambda s, record: s.rotate(record),
    "end": lambda s, record: s.end(record),
    "end_owner": lambda s, record: s.end_owner(record.owner),
    "acquire_lock": lambda s, record: s.acquire(record, "one"),
    "load without being seen": lambda s, record: s.load(record, extends=False, at=TOUCH),
    "hold_lease": lambda s, record: s.hold(record, s.operation()),
    "release_lease": lambda s, record: s.let_go(record, s.operation()),
    "leased_until": lambda s, record: s.leased(record),
    "sweep of nothing": lambda s, record: s.sweep(),
    "purge of nothing": lambda s, record: s.purge(),
}


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[TcpProxy]:
    """What counts."""
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("name", ONE_TRIP)
def test_one_round_trip(name: str, proxy: TcpProxy, redis_server: RedisServer, open_session: OpenSession) -> None:
    """The operation takes one round trip once its script is known and its shard begun."""
    session = open_session(proxy.url_of(redis_server.url))
    for owner in ("ana", "ana-2"):
        opened = session.opened(owner, data={"n": 1})
        # The second time with another session of the same shard, so that only the operation itself is counted.
        opened = session.ask(session.s.replace("ana", data={"n": 1})).record
        before = proxy.round_trips
        session.ask(ONE_TRIP[name](session.s, opened))
    assert proxy.round_trips - before == 1


@pytest.mark.parametrize("name", ONE_TRIP)
def test_one_round_trip_async(name: str, proxy: TcpProxy, redis_server: RedisServer, key_prefix: str) -> None:
    """The same from an event loop."""

    async def play() -> int:
        store = AsyncRedisStore(proxy.url_of(redis_server.url), prefix=key_prefix)
        s = Stage(await asked(store, c.Identify()))
        for _ in range(2):
            opened = (await asked(store, s.replace("ana", data={"n": 1}))).record
            before = proxy.round_trips
            await asked(store, ONE_TRIP[name](s, opened))
        await store.close()
        return proxy.round_trips - before

    assert asyncio.run(play()) == 1


def test_login_takes_three(proxy: TcpProxy, redis_server: RedisServer, open_session: OpenSession) -> None:
    """Only a rotation that gives an owner takes two more round trips, and none if that shard is the owner's home."""
    session = open_session(proxy.url_of(redis_server.url))
    for _ in range(2):
        visitor = session.opened("anonymous-1", data={"n": 1})
        before = proxy.round_trips
        rotated = session.ask(session.s.rotate(visitor, owner="ana")).record
        taken = proxy.round_trips - before
    assert rotated is not None
    assert rotated.id[:2] != session.s.new("ana").id[:2] or taken == 1
    assert taken <= 3
