"""Sweeping costs what it ends, however many sessions live, and no script keeps the server from others for long."""

from collections.abc import Iterator

import pytest

from sessionguard.core.records import Lifetime
from sessionguard.testing.contracts.stage import LIFETIME, SECOND
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import Session
from tests.stores.redis.conftest import OpenSession


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[TcpProxy]:
    """What counts."""
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        yield proxy


def _soon(s: Session, owner: str, seconds: int = 5) -> str:
    lifetime = Lifetime(seconds * 1_000_000, LIFETIME.absolute_us, 0, LIFETIME.retention_us)
    return s.ask(s.s.create(owner, lifetime=lifetime)).record.id


def test_the_living_cost_nothing(open_session: OpenSession, redis_server: RedisServer, proxy: TcpProxy) -> None:
    """A sweep takes as many round trips and bytes with a thousand living sessions as with none."""
    session = open_session(proxy.url_of(redis_server.url))
    seen = []
    for living in (0, 1000):
        for number in range(living):
            session.ask(session.s.create(f"living-{number}"))
        for number in range(3):
            _soon(session, f"owner-{number}")
        session.ask(session.s.sweep(1, at=10 * SECOND))
        before = proxy.round_trips
        swept = session.ask(session.s.sweep(at=10 * SECOND))
        assert len(swept.records) == 2
        seen.append(proxy.round_trips - before)
        session.ask(session.s.sweep(at=10 * SECOND))
    assert seen[0] == seen[1] <= 8


def test_many_due_in_one_shard_go_in_batches(open_session: OpenSession, redis_server: RedisServer) -> None:
    """However many sessions of one shard are due, no script ends more than a hundred."""
    session = open_session(redis_server.url)
    for _ in range(250):
        _soon(session, "ana")
    redis_server.command("CONFIG", "RESETSTAT")
    swept = session.ask(session.s.sweep(240, at=10 * SECOND))
    assert (len(swept.records), swept.has_more) == (240, True)
    calls = redis_server.info("commandstats")["cmdstat_evalsha"]
    # Plan, three batches, answer.
    assert calls.startswith("calls=5,")
    assert len(session.ask(session.s.sweep(240, at=10 * SECOND)).records) == 10


def test_longest_expired_first_across_shards(session: Session) -> None:
    """Of hundreds of due sessions in all shards, each sweep ends exactly those that expired first."""
    order = [(_soon(session, f"owner-{number}", seconds), seconds) for number, seconds in enumerate([7, 3, 9, 1] * 40)]
    left = sorted(seconds for _, seconds in order)
    for limit in (1, 7, 50, 90):
        swept = session.ask(session.s.sweep(limit, at=20 * SECOND))
        lives = [(record.expires_us - record.created_us) // 1_000_000 for record in swept.records]
        assert lives == left[:limit]
        left = left[limit:]
        assert swept.has_more == bool(left)


def test_longest_expired_first_when_one_shard_has_most(session: Session) -> None:
    """A shard that has many of the longest expired is looked into as deep as needed, before others have their turn."""
    first = {_soon(session, "ana", 2) for _ in range(30)}
    for number in range(20):
        _soon(session, f"owner-{number}", 3)
    swept = session.ask(session.s.sweep(25, at=20 * SECOND))
    assert {record.id for record in swept.records} < first
    assert len(swept.records) == 25
