"""T02: forked children connect anew; none reads what another asked for, and the parent goes on."""

import asyncio
import secrets

import pytest

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.core.records import SessionRecord
from sessionguard.stores.redis import AsyncRedisStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import in_children
from sessionguard.testing.profile import Profile
from sessionguard.testing.servers import RedisCluster, RedisServer
from tests.stores.redis.asking import Session, asked


@pytest.mark.processes
def test_t02_four_children(session: Session, sg_profile: Profile) -> None:
    """Four children and their parent hammer one store object that was open at the fork: 0 wrong reads."""
    records = [session.opened(f"owner-{number}", data={"canary": number}) for number in range(4)]
    rounds = 200 * sg_profile.rounds

    def hammer(number: int) -> tuple[int, str]:
        mine = records[number]
        for _ in range(rounds):
            loaded = session.ask(session.s.load(mine)).record
            assert loaded == mine
        return rounds, run(perform(c.Identify()), session.store)

    before = [line for pool in session.store.pools for line in pool.idle]
    assert before
    results = in_children(4, hammer)
    assert results == [(rounds, session.s.deployment_id)] * 4
    assert [line for pool in session.store.pools for line in pool.idle] == before
    assert all(line.is_clean for line in before)
    assert session.ask(session.s.load(records[0])).record == records[0]
    assert session.ask(session.s.get_or_create(secrets.token_hex(4))).record.reason is None


@pytest.mark.processes
def test_t02_four_children_async(place: RedisServer | RedisCluster, key_prefix: str, sg_profile: Profile) -> None:
    """The same with an async store that has connections in a running event loop at the fork."""
    rounds = 50 * sg_profile.rounds
    store = AsyncRedisStore(place.url, prefix=key_prefix)

    async def hammer(record: SessionRecord, s: Stage) -> int:
        for _ in range(rounds):
            assert (await asked(store, s.load(record))).record == record
        await store.close()
        return rounds

    async def play() -> None:
        s = Stage(await asked(store, c.Identify()))
        records = [(await asked(store, s.get_or_create(f"owner-{number}"))).record for number in range(4)]
        before = {line for pool in store.pools for line in pool.idle}
        assert before
        results = await asyncio.to_thread(in_children, 4, lambda number: asyncio.run(hammer(records[number], s)))
        assert results == [rounds] * 4
        for record in records:
            assert (await asked(store, s.load(record))).record == record
        assert before <= {line for pool in store.pools for line in pool.idle}
        await store.close()

    asyncio.run(play())
