"""Sweeping costs what it ends, however many sessions live, and no script keeps the server from others for long."""

from collections.abc import Iterator

import pytest

from sessionguard.core import fleet as f
from sessionguard.core.records import Lifetime
from sessionguard.stores.redis.keys import TAGS
from sessionguard.testing.contracts.stage import LIFETIME, SECOND, Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import RedisServer
from sessionguard.testing.servers.redis_wire import RedisLine
from tests.stores.redis.asking import Session
from tests.stores.redis.conftest import OpenSession

DUE = 12
START_US = Stage("0" * 32).us(10 * SECOND)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[TcpProxy]:
    """What counts."""
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        yield proxy


def _soon(s: Session, owner: str, seconds: int = 5) -> str:
    lifetime = Lifetime(seconds * 1_000_000, LIFETIME.absolute_us, 0, LIFETIME.retention_us)
    return s.ask(s.s.create(owner, lifetime=lifetime)).record.id


def _live(redis_server: RedisServer, prefix: str, count: int) -> None:
    """Let so many sessions that are not due stand in the indexes of every shard."""
    far_us = START_US + 3600 * 1_000_000
    with RedisLine(redis_server.port, redis_server.password) as line:
        for tag in TAGS:
            ids = [f"{tag}{number:032x}" for number in range(count)]
            for index in ("due", "all"):
                line.command(
                    "ZADD", f"{prefix}:{{{tag}}}:{index}", *[text for one in ids for text in (str(far_us), one)]
                )


def _pass(session: Session) -> None:
    s, at = session.s, 10 * SECOND
    session.ask(f.TakeTurn("sweep", "one", s.instant(at), 1_000_000))
    assert session.ask(s.census(0.9, 1, at=at)).due == DUE
    assert len(session.ask(s.find_due(DUE + 1, at=at))) == DUE
    for limit, ended in ((DUE - 1, DUE - 1), (DUE, 1), (DUE, 0)):
        assert len(session.ask(s.sweep(limit, at=at)).records) == ended
    session.ask(s.purge(at=at))
    session.ask(f.GiveTurn("sweep", "one", s.instant(at)))


def _spent(redis_server: RedisServer) -> dict[str, int]:
    """Give how often each command was run since the last reset, in scripts as well, and the bytes of all answers."""
    stats = redis_server.info("commandstats")
    calls = {name: int(told.split(",")[0].removeprefix("calls=")) for name, told in stats.items()}
    calls["bytes"] = int(redis_server.info("stats")["total_net_output_bytes"])
    # Whether the time of an owner's index is to be put off depends on the millisecond; the others are ours.
    ignored = ("cmdstat_pexpire", "cmdstat_config", "cmdstat_info")
    return {name: count for name, count in calls.items() if not name.startswith(ignored)}


def test_the_living_cost_nothing(
    open_session: OpenSession, redis_server: RedisServer, proxy: TcpProxy, key_prefix: str
) -> None:
    """Among 2560 and among 10,240 a pass takes the same commands, answers as much, and as many round trips."""
    session = open_session(proxy.url_of(redis_server.url))
    seen = []
    # The first warms up: connections, scripts, and history in the shards of those that are due.
    for in_each_shard in (10, 10, 40):
        _live(redis_server, key_prefix, in_each_shard)
        for number in range(DUE):
            _soon(session, f"owner-{number}")
        redis_server.command("CONFIG", "RESETSTAT")
        before = proxy.round_trips
        _pass(session)
        seen.append(_spent(redis_server) | {"round trips": proxy.round_trips - before})
    # Numbers may have a digit more; not one id of the 7680 more is answered.
    answered = [spent.pop("bytes") for spent in seen]
    assert abs(answered[1] - answered[2]) < 128
    assert seen[1] == seen[2]
    assert seen[1]["round trips"] < 50


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
