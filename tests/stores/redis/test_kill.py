"""T62: writers and servers are killed with SIGKILL; nothing acknowledged is lost, and no slot has two sessions."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.data import decode
from sessionguard.core.driving import perform, run
from sessionguard.core.lifecycle import Outcome
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.redis import RedisStore
from sessionguard.testing.contracts.stage import START, Stage
from sessionguard.testing.faults import ChildProcess, killed_while
from sessionguard.testing.profile import Profile
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import Session
from tests.stores.redis.conftest import OpenSession

OWNERS = [f"owner-{number}" for number in range(3)]


def write_for_ever(acknowledge: Callable[[Any], None], url: str, prefix: str) -> None:
    """Open, save and replace sessions without end, and tell of each save that was acknowledged."""
    store = RedisStore(url, prefix=prefix, patience_seconds=5)
    s = Stage(run(perform(c.Identify()), store))
    turn = 0
    while True:
        turn += 1
        owner = OWNERS[turn % len(OWNERS)]
        try:
            opening = s.replace(owner) if turn % 7 == 0 else s.get_or_create(owner)
            record = run(perform(opening), store).record
            field = secrets.token_hex(4)
            if run(perform(s.save(record, {field: turn})), store).outcome is Outcome.DONE:
                acknowledge((record.id, field, turn))
        except StoreUnavailableError:
            # The server is being killed; what was not acknowledged does not count.
            continue


def _assert_nothing_lost(session: Session, acknowledged: list[Any]) -> None:
    assert acknowledged
    for session_id, field, turn in acknowledged:
        stored = session.ask(c.Get(session_id, session.s.instant(START)))
        assert stored is not None, (session_id, field)
        # A session that was replaced since has lost its data, as it should.
        assert stored.reason == "replaced" or decode(stored.data)[field] == turn
    for owner in OWNERS:
        active = session.ask(session.s.page(owner=owner, status="active")).records
        assert len(active) <= 1, owner
        assert session.ask(session.s.get_or_create(owner)).record.reason is None


@pytest.mark.processes
def test_t62_killed_writer(open_session: OpenSession, redis_server: RedisServer, sg_profile: Profile) -> None:
    """A process that is killed while it writes leaves every acknowledged write, and nothing half done."""
    session = open_session(redis_server.url)
    for _ in range(sg_profile.kills):
        heard = killed_while(write_for_ever, redis_server.url, session.store.keys.prefix, acknowledgements=20)
        _assert_nothing_lost(session, heard)


@pytest.mark.processes
def test_t62_killed_server(key_prefix: str, open_session: OpenSession, sg_profile: Profile) -> None:
    """With `appendfsync always`, a server that is killed while it is written to comes back with all it acknowledged."""
    with RedisServer(appendonly="always") as server:
        session = open_session(server.url)
        acknowledged: list[Any] = []
        with ChildProcess(_write, server.url, key_prefix) as writer:
            for _ in range(max(3, sg_profile.kills // 5)):
                acknowledged += [writer.hear() for _ in range(15)]
                server.kill()
                server.start()
            acknowledged += [writer.hear() for _ in range(5)]
            acknowledged += writer.heard_before_death()
        _assert_nothing_lost(session, acknowledged)


def _write(pipe: Any, url: str, prefix: str) -> None:
    write_for_ever(pipe.send, url, prefix)
