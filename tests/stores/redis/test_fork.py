"""T02: forked children connect anew; none reads what another asked for, and the parent goes on."""

import secrets

import pytest

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.testing.faults import in_children
from sessionguard.testing.profile import Profile
from tests.stores.redis.asking import Session


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
