"""An owner's sessions in other shards: found wherever calls meet, and noted no longer than there is one to find."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve

from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.stores.redis import RedisStore, owning
from sessionguard.stores.redis.asking import Ask, Call, Procedure
from sessionguard.testing.contracts.stage import RETENTION
from sessionguard.testing.servers import RedisCluster, RedisServer
from sessionguard.testing.servers.redis_wire import RedisLine
from tests.stores.redis.asking import Session, keys_of

Place = RedisServer | RedisCluster
DAY_US = 86_400_000_000


class Paused:
    """A procedure that asks its store one thing after the other, when it is told to."""

    def __init__(self, store: RedisStore, procedure: Procedure[Any]) -> None:
        self._store = store
        self._procedure = procedure
        self.ask: Ask | None = next(procedure)
        self.result: Any = None

    @property
    def script(self) -> str:
        """What it would ask next; "" if it is done."""
        return self.ask.script.name if isinstance(self.ask, Call) else ""

    def step(self) -> None:
        """Ask once."""
        assert self.ask is not None
        try:
            self.ask = self._procedure.send(self._store._reply(self.ask))
        except StopIteration as done:
            self.ask, self.result = None, done.value

    def finish(self) -> Any:
        """Ask until it is done, and give what it gives."""
        while self.ask is not None:
            self.step()
        return self.result


def _visitor(session: Session, owner: str = "ana") -> SessionRecord:
    """Open a session of nobody in a shard that is not the owner's."""
    home = session.s.new(owner).id[:2]
    names = (f"anonymous-{number}" for number in range(100))
    return session.ask(session.s.create(next(n for n in names if session.s.new(n).id[:2] != home))).record


def _rotation(session: Session, visitor: SessionRecord, owner: str = "ana") -> Paused:
    return Paused(session.store, owning.rotated(session.store._home, session.s.rotate(visitor, owner=owner)))


def _listing(session: Session) -> Paused:
    return Paused(session.store, owning.listed(session.store._home, session.s.page(owner="ana")))


def _ending(session: Session) -> Paused:
    return Paused(session.store, owning.owner_ended(session.store._home, session.s.end_owner("ana")))


VISITS = pytest.mark.parametrize("visit", [_listing, _ending])
Visit = Callable[[Session], Paused]


def _notes(session: Session, place: Place) -> Iterator[tuple[RedisLine, bytes]]:
    return ((line, key) for line, key in keys_of(place, session.store.keys.prefix) if b":x:" in key)


def _kept_ms(session: Session, place: Place, part: str) -> int:
    """Give how long the server is to keep the key with this in its name."""
    found = keys_of(place, session.store.keys.prefix)
    (kept,) = [line.command("PTTL", key) for line, key in found if part.encode() in key]
    return int(kept)


def _noted(session: Session, place: Place) -> list[str]:
    """Give the shards that are noted for anybody."""
    return [tag for line, key in _notes(session, place) for tag in line.command("ZRANGE", key, 0, -1)]


def _age(session: Session, place: Place, by_us: int = 2 * DAY_US) -> None:
    """Make all notes older."""
    for line, key in _notes(session, place):
        for tag in line.command("ZRANGE", key, 0, -1):
            line.command("ZINCRBY", key, -by_us, tag)


def _listed(session: Session) -> list[str]:
    return [record.id for record in session.ask(session.s.page(owner="ana", status=None)).records]


@VISITS
def test_note_without_sessions_is_withdrawn_when_old(session: Session, place: Place, visit: Visit) -> None:
    """Listing and ending take off the list what was noted a day ago and has nothing of the owner, not even history."""
    visitor = _visitor(session)
    rotated = _rotation(session, visitor).finish().record
    for _ in range(2):
        visit(session).finish()
        _age(session, place)
    assert _noted(session, place) == [visitor.id[:2]]
    session.ask(session.s.end(rotated))
    assert session.ask(session.s.purge(at=2 * RETENTION)).count == 1
    _age(session, place, -2 * 2 * DAY_US)
    visit(session).finish()
    assert _noted(session, place) == [visitor.id[:2]]
    _age(session, place, 3 * DAY_US)
    visit(session).finish()
    assert _noted(session, place) == []


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("is_old", [False, True])
@VISITS
def test_visit_in_the_middle_of_a_rotation(
    session: Session, place: Place, visit: Visit, is_old: bool, steps: int
) -> None:
    """Wherever a login is when somebody looks, its session is found afterwards, also if an old note was there."""
    former = _rotation(session, _visitor(session)).finish().record
    session.ask(session.s.end(former))
    session.ask(session.s.purge(at=2 * RETENTION))
    if is_old:
        _age(session, place)
    visitor = _visitor(session)
    rotation = _rotation(session, visitor)
    for _ in range(steps):
        rotation.step()
    assert rotation.script == ["rotate", "announce", "rotate", ""][steps]
    visit(session).finish()
    if steps < 2:
        assert _noted(session, place) == ([] if is_old else [visitor.id[:2]])
    assert rotation.finish().outcome is Outcome.DONE
    assert _listed(session) == [visitor.id]
    assert [record.id for record in session.ask(session.s.end_owner("ana")).records] == (
        [visitor.id] if visit is _listing or steps < 3 else []
    )


@VISITS
def test_rotation_that_slept_for_days(session: Session, place: Place, visit: Visit) -> None:
    """A login that stopped for two days behind its note makes a new one: the old one may have been withdrawn."""
    visitor = _visitor(session)
    rotation = _rotation(session, visitor)
    rotation.step()
    rotation.step()
    _age(session, place)
    visit(session).finish()
    assert _noted(session, place) == []
    assert isinstance(rotation.ask, Call)
    *described, holds_until = rotation.ask.arguments[:7]
    slept = (*described, int(holds_until) - 2 * DAY_US, *rotation.ask.arguments[7:])
    rotation.ask = rotation.ask._replace(arguments=slept)
    assert rotation.finish().outcome is Outcome.DONE
    assert _listed(session) == [visitor.id]
    assert _noted(session, place) == [visitor.id[:2]]


@VISITS
def test_login_in_the_middle_of_a_visit(session: Session, place: Place, visit: Visit) -> None:
    """Who found nothing does not withdraw a note that was renewed meanwhile."""
    former = _rotation(session, _visitor(session)).finish().record
    session.ask(session.s.end(former))
    session.ask(session.s.purge(at=2 * RETENTION))
    _age(session, place)
    visiting = visit(session)
    while visiting.script != "withdraw":
        visiting.step()
    visitor = _visitor(session)
    _rotation(session, visitor).finish()
    visiting.finish()
    assert _listed(session) == [visitor.id]
    assert len(session.ask(session.s.end_owner("ana")).records) == 1


def test_note_is_kept_as_long_as_the_session(session: Session, place: Place) -> None:
    """Once the server may forget the session it may forget the note, and not before; a longer one prolongs it."""
    home = session.s.new("ana").id[:2]
    usual = session.s.new().lifetime
    kept: list[int] = []
    for retention_us in (0, 40 * DAY_US, 0):
        lifetime = evolve(usual, retention_us=retention_us)
        names = (session.s.new(f"anonymous-{number}", lifetime=lifetime) for number in range(100))
        visitor = session.ask(session.s.create(next(new for new in names if new.id[:2] != home))).record
        kept.append(_kept_ms(session, place, f":s:{visitor.id}"))
        _rotation(session, visitor).finish()
        # Both run off while this asks.
        assert max(kept) - 60_000 < _kept_ms(session, place, ":x:") <= max(kept)


def test_refused_rotation_notes_nothing(session: Session, place: Place) -> None:
    """A login that comes to nothing leaves no trace in the owner's shard."""
    visitor = _visitor(session)
    stale = session.s.rotate(visitor, owner="ana")
    current = session.ask(session.s.rotate(visitor)).record
    assert current is not None
    assert session.ask(stale).outcome is Outcome.CONFLICT
    session.ask(session.s.end(current))
    assert session.ask(session.s.rotate(current, owner="ana")).outcome is Outcome.ENDED
    assert session.ask(session.s.rotate(session.s.new("bea"), owner="ana")).outcome is Outcome.ENDED
    assert _noted(session, place) == []
