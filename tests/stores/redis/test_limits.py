"""Limits per owner where sessions lie in several shards: every seat counts, and none is kept by who does not come."""

from typing import Any

from sessionguard.core.lifecycle import Outcome
from sessionguard.core.limits import ActiveLimit
from sessionguard.core.records import SessionRecord
from sessionguard.stores.redis import limiting, owning
from sessionguard.testing.contracts.stage import IDLE, SECOND
from tests.stores.redis.asking import Session
from tests.stores.redis.test_elsewhere import Paused

ONE = ActiveLimit(1, "refuse")
NEWEST = ActiveLimit(1, "end_oldest")


def begin(session: Session) -> None:
    """Begin the shard of ana, as the first opening there does."""
    session.ask(session.s.end(session.ask(session.s.create("ana")).record))


def opening(session: Session, limit: ActiveLimit, **details: Any) -> tuple[Any, Paused]:
    """Give an opening for ana that is paused before its first question."""
    command = session.s.create("ana", at_most=limit, **details)
    return command, Paused(session.store, limiting.opened(session.store._home, command))


def login(session: Session, limit: ActiveLimit | None, visit: SessionRecord | None = None) -> Paused:
    """Give the login of a visitor from another shard, which is paused before its first question."""
    if visit is None:
        visit = session.ask(session.s.create(session.s.visitors("ana", 1)[0])).record
    command = session.s.rotate(visit, owner="ana", at_most=limit)
    return Paused(session.store, owning.rotated(session.store._home, command))


def scripts(paused: Paused, until: str = "") -> list[str]:
    """Ask until that script is next, or to the end, and give what was asked."""
    asked: list[str] = []
    while paused.ask is not None and (not asked or paused.script != until):
        asked.append(paused.script)
        paused.step()
    return asked


def actives(session: Session, **when: Any) -> int:
    """Tell how many active sessions ana has."""
    return len(session.ask(session.s.page(owner="ana", **when)).records)


def test_an_opening_is_one_script_where_all_lie_in_one_shard(session: Session) -> None:
    """Whether it ends nobody, ends another or is refused."""
    begin(session)
    for limit in (ONE, NEWEST, ONE):
        assert scripts(opening(session, limit)[1]) == ["create"]
    assert actives(session) == 1


def test_a_login_takes_its_three_trips(session: Session) -> None:
    """With room for it, and with another one in its way that lies at home."""
    assert scripts(login(session, ONE)) == ["rotate", "announce", "rotate"]
    session.ask(session.s.end_owner("ana"))
    assert scripts(opening(session, ONE)[1])[-1] == "create"
    assert scripts(login(session, NEWEST)) == ["rotate", "announce", "rotate"]
    assert actives(session) == 1


def test_a_seat_counts_before_its_session_has_the_owner(session: Session) -> None:
    """Who opens while a login is under way waits for it, and is refused once that is done."""
    begin(session)
    arriving = login(session, ONE)
    assert scripts(arriving, "announce") == ["rotate"]
    arriving.step()
    _, other = opening(session, ONE)
    assert scripts(other, "look") == ["create"]
    other.step()
    assert other.script == "create"
    assert arriving.finish().outcome is Outcome.DONE
    assert other.finish().is_refused
    assert actives(session) == 1


def test_who_does_not_come_keeps_no_seat(session: Session) -> None:
    """A login that stands still between its seat and its rotation is barred after a few looks, and asks anew then."""
    arriving = login(session, ONE)
    scripts(arriving, "announce")
    arriving.step()
    command, other = opening(session, ONE)
    assert len(scripts(other)) < 40
    assert other.result.record.id == command.new.id
    assert arriving.finish().outcome is Outcome.FULL
    assert actives(session) == 1


def test_a_login_goes_on_however_often_others_are_given_its_seat(session: Session) -> None:
    """Many who log in as one owner at once take each other's seats; each of them comes to his end."""
    arriving = login(session, NEWEST)
    for _ in range(5):
        scripts(arriving, "announce")
        arriving.step()
        scripts(opening(session, NEWEST)[1])
    assert arriving.finish().outcome is Outcome.DONE
    assert actives(session) == 1


def test_a_seat_that_was_taken_anew_is_not_taken_away_with_the_former_one(session: Session) -> None:
    """Between being barred and losing its seat a login may take another one, which then counts."""
    arriving = login(session, ONE)
    scripts(arriving, "announce")
    arriving.step()
    _, other = opening(session, ONE)
    scripts(other, "vacate")
    assert arriving.finish().outcome is Outcome.DONE
    assert other.finish().is_refused
    assert actives(session) == 1


def test_who_has_left_keeps_no_seat(session: Session) -> None:
    """A session that ended or expired where it lies is found out by the next one that needs its place."""
    for leave in ("end", "expire"):
        record = login(session, ONE).finish().record
        if leave == "end":
            session.ask(session.s.end(record))
            command, other = opening(session, ONE)
            assert other.finish().record.id == command.new.id
            session.ask(session.s.end(command.new))
        else:
            command, other = opening(session, ONE, at=IDLE)
            opened = other.finish()
            assert [(one.id, one.reason) for one in opened.ended] == [(record.id, "expired")]
            assert actives(session, at=IDLE) == 1


def test_an_interrupted_opening_is_told_whole_when_it_is_repeated(session: Session) -> None:
    """Whom it had ended in another shard before it broke off is told with the rest, wherever it can break off."""
    breaks = 0
    while True:
        session.ask(session.s.end_owner("ana"))
        record = login(session, NEWEST).finish().record
        command, broken = opening(session, NEWEST, at=SECOND)
        for _ in range(breaks):
            if broken.ask is not None:
                broken.step()
        is_whole = broken.ask is None
        again = session.ask(command)
        assert [(one.id, one.reason) for one in again.ended] == [(record.id, "limit")], breaks
        assert session.ask(command) == again
        assert actives(session, at=SECOND) == 1
        session.ask(session.s.end_owner("ana", at=SECOND))
        if is_whole:
            break
        breaks += 1
    assert breaks > 4


def test_a_login_that_lost_its_race_gives_its_seat_back(session: Session) -> None:
    """Of two logins of one visitor one is done; the other one's seat is nobody's."""
    visit = session.ask(session.s.create(session.s.visitors("ana", 1)[0])).record
    late = login(session, ONE, visit)
    scripts(late, "announce")
    late.step()
    assert login(session, ONE, visit).finish().outcome is Outcome.DONE
    assert late.finish().outcome is Outcome.CONFLICT
    assert opening(session, ONE)[1].finish().is_refused
    session.ask(session.s.end_owner("ana"))
    assert not opening(session, ONE)[1].finish().is_refused


def test_a_login_without_a_limit_counts_for_those_with_one(session: Session) -> None:
    """It takes a seat all the same."""
    assert login(session, None).finish().outcome is Outcome.DONE
    assert opening(session, ONE)[1].finish().is_refused


def test_who_left_before_it_was_decided_is_in_nobodys_way(session: Session) -> None:
    """A refusal is looked at once more: it is none if a session that was seen in another shard had ended by then."""
    two = ActiveLimit(2, "refuse")
    record = login(session, two).finish().record
    session.ask(session.s.create("ana"))
    command, other = opening(session, two)
    scripts(other, "look")
    other.step()
    session.ask(session.s.end(record))
    assert other.finish().record.id == command.new.id
    assert actives(session) == 2
