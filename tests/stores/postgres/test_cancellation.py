"""T03: async calls that are cancelled wherever they wait; whole or nothing, never mixed up, no connection is lost."""

import asyncio
import random
from collections.abc import Callable

import pytest

from sessionguard.core.records import SessionRecord
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import TcpProxy, cancel_everywhere
from sessionguard.testing.faults.cancelling import CancelWay
from sessionguard.testing.profile import Profile
from sessionguard.testing.servers import PostgresServer

MakeAsync = Callable[..., AsyncPostgresStore]


@pytest.mark.parametrize("prepare", [True, False])
def test_t03_a_save_that_is_cancelled_anywhere(
    make_async: MakeAsync, proxy: TcpProxy, postgres_server: PostgresServer, stage: Stage, prepare: bool
) -> None:
    """Cancelled at each suspension and in every way, a save is whole or nothing; the next call is answered right."""

    async def cancel() -> None:
        store = make_async(proxy.url_of(postgres_server.url), pool_size=2, prepare=prepare)
        record = (await store.create(stage.create(data={"n": 0}))).record
        proxy.delay_seconds = 0.003
        number = 0

        async def save() -> None:
            nonlocal number
            number += 1
            await store.save(stage.save(record, {"n": number}))

        async def check(point: object) -> None:
            stored = await store.get(stage.get(record))
            assert stored is not None
            assert stored.data in {f'{{"n":{n}}}' for n in range(number + 1)}
            assert stored.version <= number + 1
            assert store._connections.open_count <= 2

        report = await cancel_everywhere(save, check)
        assert report.total >= 5
        await store.close()

    asyncio.run(cancel())


def test_t03_connecting_that_is_cancelled_anywhere(
    make_async: MakeAsync, proxy: TcpProxy, postgres_server: PostgresServer, stage: Stage
) -> None:
    """Cancelled while it connects, for the first time or again, a store has no connection more or less than before."""

    async def cancel() -> None:
        stores: list[AsyncPostgresStore] = []
        proxy.delay_seconds = 0.003

        async def open_anew() -> None:
            while stores:
                await stores.pop().close()
            stores.append(make_async(proxy.url_of(postgres_server.url), pool_size=1))

        async def ask() -> None:
            await stores[0].distrust()
            await stores[0].load(stage.load(stage.new()))

        def check(point: object) -> None:
            assert stores[0]._connections.open_count == 0

        ways: tuple[CancelWay, ...] = ("once", "twice", "timeout")
        assert (await cancel_everywhere(ask, check, prepare=open_anew, ways=ways)).total >= 6
        # Whether the schema is the newest is asked by the first connection, and by no other.
        await ask()
        assert (await cancel_everywhere(ask, check, ways=ways)).total >= 4
        await stores[0].close()

    asyncio.run(cancel())


def test_t03_thousands_of_cancelled_calls(
    make_async: MakeAsync, store: PostgresStore, postgres_server: PostgresServer, stage: Stage, sg_profile: Profile
) -> None:
    """Of very many calls cancelled at random instants none answers another's question, and the pool keeps its size."""
    count = 10_000 if sg_profile.name == "deep" else 600
    records = [store.create(stage.create(f"owner {n}", data={"n": n})).record for n in range(8)]
    dice = random.Random(7)

    async def call(own: AsyncPostgresStore, mine: SessionRecord, counted: dict[str, int]) -> None:
        try:
            async with asyncio.timeout(dice.random() * 0.004):
                reply = await own.load(stage.load(mine))
            assert reply.record == mine
            counted["answered"] += 1
        except TimeoutError:
            counted["cancelled"] += 1

    async def crowd() -> dict[str, int]:
        own = make_async(pool_size=4)
        counted = {"answered": 0, "cancelled": 0}

        async def caller(mine: SessionRecord) -> None:
            for _ in range(count // len(records)):
                await call(own, mine, counted)

        await asyncio.gather(*map(caller, records))
        assert own._connections.open_count <= 4
        # No place in the pool was lost: as many as may be are lent at once, to callers who all get theirs.
        replies = await asyncio.gather(*(own.load(stage.load(mine)) for mine in records * 3))
        assert [reply.record for reply in replies] == records * 3
        assert own._connections.open_count <= 4
        await own.close()
        return counted

    counted = asyncio.run(crowd())
    assert counted["cancelled"] > count // 20
    assert sum(counted.values()) == count // len(records) * len(records)


def test_a_waiter_that_gives_up_passes_its_turn_on(make_async: MakeAsync, stage: Stage) -> None:
    """A task that is cancelled at the very moment when its turn comes leaves the connection to the next."""

    async def wait() -> None:
        store = make_async(pool_size=1)
        record = (await store.create(stage.create())).record
        pool = store._connections._pool()
        line = pool.idle.pop()
        waiting = [asyncio.ensure_future(store.get(stage.get(record))) for _ in range(2)]
        await asyncio.sleep(0)
        assert len(pool.waiting) == 2
        pool.give_back(line)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        assert await waiting[1] == record
        await store.close()

    asyncio.run(wait())
