"""T61: a server whose memory is full refuses what would need more, and lets everything else go on."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.redis import AsyncRedisStore
from sessionguard.testing.contracts.stage import IDLE, RETENTION, SECOND, TOUCH, Stage
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import Session, asked
from tests.stores.redis.conftest import OpenSession


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of which this test may take the memory away."""
    with RedisServer(appendonly="no") as server:
        yield server


@pytest.fixture
def small(server: RedisServer, open_session: OpenSession) -> Session:
    """A store on it."""
    return open_session(server.url)


def _fill(server: RedisServer) -> None:
    used = int(server.info("memory")["used_memory"])
    server.command("CONFIG", "SET", "maxmemory", used // 2)


def test_t61_what_goes_on(small: Session, server: RedisServer) -> None:
    """Loading, touching, ending, sweeping, purging, listing and keeping or giving back locks work on a full server."""
    s = small.s
    ana, bea, _, dan, eve = (small.opened(owner, data={"n": owner}) for owner in ("ana", "bea", "cy", "dan", "eve"))
    small.ask(s.acquire(ana, "one"))
    small.ask(s.end(eve))
    server.command("SCRIPT", "FLUSH")
    _fill(server)
    assert small.ask(s.load(ana)).record == ana
    assert small.ask(s.load(ana, at=TOUCH)).touched
    assert small.ask(s.touch(ana, at=TOUCH)).outcome is Outcome.DONE
    assert small.ask(s.get_or_create("ana", at=TOUCH)).record.id == ana.id
    assert small.ask(s.renew(ana, "one")).outcome is Outcome.DONE
    assert small.ask(s.release(ana, "one")).outcome is Outcome.DONE
    end = s.end(bea)
    assert small.ask(end).outcome is Outcome.DONE
    assert small.ask(end).outcome is Outcome.DONE
    assert len(small.ask(s.end_owner("cy")).records) == 1
    assert small.ask(s.end_owner("nobody")).records == ()
    assert len(small.ask(s.page(status=None)).records) == 5
    assert [record.id for record in small.ask(s.sweep(at=IDLE + SECOND)).records] == [dan.id]
    assert small.ask(s.purge(at=2 * IDLE + RETENTION)).count == 4


def test_t61_what_is_refused(small: Session, server: RedisServer) -> None:
    """Opening, saving, rotating and taking locks are refused with the remedy, and nothing of them is done."""
    s = small.s
    ana = small.opened("ana", data={"n": 1})
    _fill(server)
    refused: list[c.Command[Any]] = [
        s.get_or_create("bea"), s.create("ana"), s.replace("ana"), s.save(ana, {"n": 2}), s.rotate(ana),
        s.rotate(ana, owner="zoe"), s.acquire(ana, "one"), s.get_or_create("ana", at=IDLE),
    ]  # fmt: skip
    for command in refused:
        with pytest.raises(StoreUnavailableError, match=r"memory is full.*raise maxmemory") as caught:
            small.ask(command)
        assert not caught.value.transient
    assert small.ask(s.get(ana)) == ana
    server.command("CONFIG", "SET", "maxmemory", 0)
    for command in refused[:4]:
        small.ask(command)
    assert len(small.ask(s.page(owner="ana")).records) == 2


def test_t61_async(server: RedisServer, key_prefix: str) -> None:
    """From an event loop, too: refused with the remedy, and logging out works."""

    async def play() -> None:
        store = AsyncRedisStore(server.url, prefix=key_prefix)
        s = Stage(await asked(store, c.Identify()))
        ana = (await asked(store, s.get_or_create("ana"))).record
        _fill(server)
        with pytest.raises(StoreUnavailableError, match="raise maxmemory"):
            await asked(store, s.save(ana, {"n": 1}))
        assert (await asked(store, s.end(ana))).outcome is Outcome.DONE
        await store.close()

    asyncio.run(play())
