"""T03: cancelled async calls mix no replies, leak no connections and leave nothing half done."""

import asyncio
import random
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.data import decode
from sessionguard.stores.redis import AsyncRedisStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import CancelPoint, TcpProxy, cancel_everywhere
from sessionguard.testing.profile import Profile
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import asked

_POOL = 4


async def _connected(url: str, prefix: str) -> tuple[AsyncRedisStore, Stage]:
    store = AsyncRedisStore(url, prefix=prefix, pool_size=_POOL)
    return store, Stage(await asked(store, c.Identify()))


def test_t03_every_suspension_point(redis_server: RedisServer, key_prefix: str) -> None:
    """Every verb, cancelled at each of its awaits in every way, is done or not; the next answers are right."""

    async def play() -> None:
        with TcpProxy("127.0.0.1", redis_server.port) as proxy:
            proxy.delay_seconds = 0.0005
            store, s = await _connected(proxy.url_of(redis_server.url), key_prefix)
            ana = (await asked(store, s.get_or_create("ana", data={"canary": "ana"}))).record
            bea = (await asked(store, s.get_or_create("bea", data={"canary": "bea"}))).record

            async def check(point: CancelPoint) -> None:
                for record in (ana, bea):
                    loaded = (await asked(store, s.load(record))).record
                    assert loaded is not None
                    assert (loaded.id, decode(loaded.data)["canary"]) == (record.id, record.owner)
                assert all(len(pool) <= _POOL and len(pool) == len(pool.idle) for pool in store.pools)

            for command in (
                s.load(ana), s.save(bea, {"n": 1}), s.get_or_create("cy"), s.create("dan"), s.touch(ana),
                s.replace("eve"), s.end_owner("eve"), s.sweep(), s.page(owner="ana"), s.page(), s.purge(),
            ):  # fmt: skip
                # The first call of a verb loads its script, once: a sweep needs calls that are the same each time.
                await asked(store, command)  # type: ignore[misc]
                report = await cancel_everywhere(lambda command=command: asked(store, command), check)  # type: ignore[misc]
                assert report.total > 0, command.verb
            await store.close()

    asyncio.run(play())


@pytest.mark.parametrize("jitter", [0])
def test_t03_many_cancelled_calls(redis_server: RedisServer, key_prefix: str, sg_profile: Profile, jitter: int) -> None:
    """Thousands of calls through a delaying proxy, cancelled at any instant: 0 mixed replies, no connection lost."""
    count = 10_000 if sg_profile.name == "deep" else 3_000

    async def play() -> None:
        choose = random.Random(jitter)
        with TcpProxy("127.0.0.1", redis_server.port) as proxy:
            proxy.delay_seconds = 0.001
            store, s = await _connected(proxy.url_of(redis_server.url), key_prefix)
            records = [(await asked(store, s.get_or_create(f"o{n}", data={"canary": n}))).record for n in range(8)]
            cancelled = 0

            async def call(number: int) -> Any:
                loaded = (await asked(store, s.load(records[number]))).record
                assert loaded is not None
                assert decode(loaded.data)["canary"] == number
                saved = await asked(store, s.save(records[number], {"canary": number}))
                assert saved.record is not None
                assert saved.record.id == records[number].id

            while cancelled < count:
                tasks = [asyncio.create_task(call(n)) for n in range(8)]
                await asyncio.sleep(choose.random() * 0.008)
                for task in tasks:
                    task.cancel()
                for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                    cancelled += isinstance(outcome, asyncio.CancelledError)
                    assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
                assert all(len(pool) <= _POOL and len(pool) == len(pool.idle) for pool in store.pools)
            for number in range(8):
                await call(number)
            await store.close()
            assert proxy.wait_until(lambda proxy: proxy.open_connections == 0)

    asyncio.run(play())
