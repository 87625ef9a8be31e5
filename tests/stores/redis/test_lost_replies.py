"""T17, T18: a reply is lost on the way, once or twice; the repetition has one effect and gives the first answer."""

from collections.abc import Callable
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.errors import StoreUnavailableError
from sessionguard.testing.contracts.stage import IDLE, RETENTION, SECOND, Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import Session
from tests.stores.redis.conftest import OpenSession

Make = Callable[[Stage, SessionRecord], c.Command[Any]]

COMMANDS: dict[str, Make] = {
    "create": lambda s, record: s.create("ana"),
    "get_or_create": lambda s, record: s.get_or_create("bea"),
    "get_or_create of an expired slot": lambda s, record: s.get_or_create(record.owner, at=IDLE),
    "replace": lambda s, record: s.replace(record.owner),
    "save": lambda s, record: s.save(record, {"n": 2}, expected_version=1),
    "touch": lambda s, record: s.touch(record, at=SECOND),
    "rotate": lambda s, record: s.rotate(record),
    "login": lambda s, record: s.rotate(record, owner="zoe"),
    "end": lambda s, record: s.end(record),
    "end_owner": lambda s, record: s.end_owner(record.owner),
    "sweep": lambda s, record: s.sweep(at=IDLE),
    "acquire_lock": lambda s, record: s.acquire(record, "one"),
}


def _undisturbed(session: Session, make: Make, owner: str) -> Any:
    return session.ask(make(session.s, session.opened(owner, data={"n": 1})))


@pytest.mark.parametrize("losses", [1, 2])
@pytest.mark.parametrize("name", COMMANDS)
def test_t17_t18_lost_reply(name: str, losses: int, redis_server: RedisServer, open_session: OpenSession) -> None:
    """The command whose reply was lost is unknown and transient; asked again it answers as if nothing had been lost."""
    with TcpProxy("127.0.0.1", redis_server.port) as proxy:
        session = open_session(proxy.url_of(redis_server.url))
        command = COMMANDS[name](session.s, session.opened("ana-1", data={"n": 1}))
        # The last script, so that the effect is there: a login sends another one before it.
        nth = 2 if isinstance(command, c.Rotate) and command.owner and _is_elsewhere(session, command) else 1
        for _ in range(losses):
            proxy.cut_after_request(nth=nth)
            with pytest.raises(StoreUnavailableError) as caught:
                session.ask(command)
            assert caught.value.transient
        answer = session.ask(command)
        assert session.ask(command) == answer
        stored = session.ask(session.s.page(status=None, limit=100, at=IDLE)).records
    expected = open_session(redis_server.url, prefix=f"{session.store.keys.prefix}x")
    reply = _undisturbed(expected, COMMANDS[name], "ana-1")
    assert _shape(answer) == _shape(reply)
    others = expected.ask(expected.s.page(status=None, limit=100, at=IDLE)).records
    assert sorted(map(_shape, stored)) == sorted(map(_shape, others))


def _is_elsewhere(session: Session, command: c.Rotate) -> bool:
    return session.s.new(command.owner or "").id[:2] != command.session_id[:2]


def _shape(value: Any) -> str:
    """Give what two stores have in common: no ids, no hashes, no generations."""
    if isinstance(value, SessionRecord):
        return repr((value.owner, value.reason, value.version, value.expires_us, value.ended_us, value.data))
    if isinstance(value, tuple):
        return repr(list(map(_shape, value)))
    if hasattr(value, "__attrs_attrs__"):
        return repr({field.name: _shape(getattr(value, field.name)) for field in value.__attrs_attrs__})
    return repr(value)


def test_t17_purge_cut_in_the_middle(redis_server: RedisServer, open_session: OpenSession) -> None:
    """A purge and a sweep of several shards, cut after any of their steps, end with the first answer and one effect."""
    for step in range(1, 9):
        with TcpProxy("127.0.0.1", redis_server.port) as proxy:
            session = open_session(proxy.url_of(redis_server.url), prefix=f"cut{step}")
            opened = [session.opened(f"owner-{number}") for number in range(3)]
            sweep, purge = session.s.sweep(2, at=IDLE), session.s.purge(at=IDLE + RETENTION)
            swept = _asked_through_a_cut(session, sweep, proxy, step)
            assert {record.id for record in swept.records} < {record.id for record in opened}
            assert (len(swept.records), swept.has_more) == (2, True)
            assert session.ask(sweep) == swept
            purged = _asked_through_a_cut(session, purge, proxy, step)
            assert (purged.count, purged.has_more) == (2, False)
            assert session.ask(purge) == purged
            assert sum(session.ask(session.s.get(record)) is not None for record in opened) == 1


def _asked_through_a_cut(session: Session, command: c.Command[Any], proxy: TcpProxy, step: int) -> Any:
    proxy.cut_after_request(nth=step)
    try:
        return session.ask(command)
    except StoreUnavailableError:
        return session.ask(command)
    finally:
        proxy.heal()
