"""Replies are read by hiredis, or by the driver's own parser where hiredis is not installed: the same either way."""

import asyncio
import select
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from hiredis import Reader
from redis._parsers import _AsyncRESP2Parser, _RESP2Parser
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as DriverConnectionError

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.errors import StoreError
from sessionguard.stores.redis import AsyncRedisStore, RedisStore, async_lines, handshake, lines
from sessionguard.stores.redis.reading import reader_of
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import asked
from tests.stores.redis.conftest import OpenSession

DATA = {"n": "x" * 200_000, "m": 1}


@pytest.fixture(params=["hiredis", "of the driver"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What reads the replies."""
    name: str = request.param
    if name != "hiredis":
        monkeypatch.setattr(lines, "_PlainConnection", partial(lines._PlainConnection, parser_class=_RESP2Parser))
        monkeypatch.setattr(async_lines, "Connection", partial(Connection, parser_class=_AsyncRESP2Parser))
    return name


def test_a_large_session(redis_server: RedisServer, open_session: OpenSession, parser: str) -> None:
    """A reply that comes in many pieces is read whole, over the connection that was there."""
    session = open_session(redis_server.url)
    record = session.opened("ana", data=DATA)
    assert len(record.data) > 200_000
    lent = [line for pool in session.store.pools for line in pool.idle]
    assert [line._reader is None for line in lent] == [parser != "hiredis"] * len(lent)
    assert session.ask(session.s.load(record)).record == record
    assert [line for pool in session.store.pools for line in pool.idle] == lent


def test_a_large_session_async(redis_server: RedisServer, key_prefix: str) -> None:
    """The same from an event loop."""

    async def play() -> None:
        store = AsyncRedisStore(redis_server.url, prefix=key_prefix)
        s = Stage(await asked(store, c.Identify()))
        record = (await asked(store, s.get_or_create("ana", data=DATA))).record
        lent = store.pools[0].idle
        for _ in range(2):
            assert (await asked(store, s.load(record))).record == record
        assert store.pools[0].idle == lent
        await store.close()

    asyncio.run(play())


def test_a_system_without_poll(redis_server: RedisServer, key_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a library of green threads took it away: an event loop needs none, and one connection serves all."""
    monkeypatch.delattr(select, "poll")
    test_a_large_session_async(redis_server, key_prefix)


@pytest.mark.parametrize("name", ["_parser", "_reader", "_writer", "timed", "_parser._buffer"])
def test_a_driver_that_renamed_what_is_used_is_refused(
    redis_server: RedisServer, key_prefix: str, parser: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent, as an error of the store that says so."""
    monkeypatch.setattr(handshake, "attrgetter", lambda wanted: getter_without(name, wanted))

    async def play() -> None:
        store = AsyncRedisStore(redis_server.url, prefix=key_prefix)
        with pytest.raises(StoreError, match=f"has no {name} any more"):
            await asked(store, c.Identify())
        await store.close()

    if name == "timed":
        store = RedisStore(redis_server.url, prefix=key_prefix)
        with pytest.raises(StoreError, match="has no timed any more"):
            run(perform(c.Identify()), store)
        store.close()
    elif name != "_parser._buffer" or parser != "hiredis":
        asyncio.run(play())


def getter_without(name: str, wanted: str) -> Callable[[object], object]:
    """Give what gets `wanted`, but for `name`."""
    return attrgetter(f"no{name}" if wanted == name else wanted)


def test_what_came_before_the_first_request_is_no_reply() -> None:
    """It would be taken for what the reader gives while a reply is incomplete."""
    plain = Reader()
    plain.feed(b"+OK\r\n")
    with pytest.raises(DriverConnectionError, match="more than it was asked for"):
        reader_of(SimpleNamespace(_parser=SimpleNamespace(_reader=plain)))


def test_only_what_is_late_is_cut_off() -> None:
    """The timer that an earlier request set rings in vain; the one that rings too late for its own ends it, as such."""

    async def play() -> None:
        watch, connection = async_lines._Watch(), Mock()
        now = asyncio.get_running_loop().time()
        with watch.by(now + 100, connection):
            watch._look()
        watch._look()
        with pytest.raises(ConnectionError), watch.by(now + 100, connection):
            raise ConnectionError
        assert not connection._writer.transport.abort.called
        late = watch.by(now - 1, connection)
        watch._look()
        assert connection._writer.transport.abort.called
        with pytest.raises(TimeoutError), late:
            raise ConnectionError

    asyncio.run(play())
