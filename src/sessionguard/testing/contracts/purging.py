"""Purging: history is forgotten when its time is over, the living never."""

from sessionguard.core.driving import perform
from sessionguard.core.records import SessionRecord
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, RETENTION, SECOND, START, TICK, Stage


@case
def purge_keeps_history_until_its_retention_is_over(s: Stage) -> Steps:
    """Without an age, a purge forgets each ended session when its own retention is over, and not a tick before."""
    opened = (yield from perform(s.get_or_create("ana"))).record
    yield from perform(s.end(opened, at=SECOND))
    early = yield from perform(s.purge(at=SECOND + RETENTION - TICK))
    assert (early.count, early.has_more) == (0, False)
    assert (yield from perform(s.get(opened, at=SECOND))) is not None
    due = yield from perform(s.purge(at=SECOND + RETENTION))
    assert (due.count, due.has_more) == (1, False)
    assert (yield from perform(s.get(opened, at=SECOND + RETENTION))) is None


@case
def purge_takes_an_age(s: Stage) -> Steps:
    """With an age, a purge forgets the sessions that ended at least that long ago, and no younger ones."""
    old = (yield from perform(s.create())).record
    young = (yield from perform(s.create())).record
    yield from perform(s.end(old, at=START))
    yield from perform(s.end(young, at=TICK))
    purged = yield from perform(s.purge(IDLE, at=IDLE))
    assert (purged.count, purged.has_more) == (1, False)
    assert (yield from perform(s.get(old, at=IDLE))) is None
    assert (yield from perform(s.get(young, at=IDLE))) is not None


@case
def purge_spares_the_living(s: Stage) -> Steps:
    """A purge forgets no session that has not been ended, be it active or expired and not yet swept."""
    active = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    assert (yield from perform(s.purge(START, at=SECOND))).count == 0
    assert (yield from perform(s.load(active, at=SECOND))).record == active
    expired = (yield from perform(s.create())).record
    assert (yield from perform(s.purge(START, at=IDLE + RETENTION))).count == 0
    assert (yield from perform(s.get(expired, at=IDLE))) is not None


@case
def purge_is_bounded(s: Stage) -> Steps:
    """A purge forgets at most its limit and says whether more are waiting, until all are gone."""
    for number in range(5):
        opened = (yield from perform(s.create(f"owner-{number}"))).record
        yield from perform(s.end(opened, at=number * SECOND))
    seen = []
    for _ in range(4):
        purged = yield from perform(s.purge(START, 2, at=RETENTION))
        seen.append((purged.count, purged.has_more))
    assert seen == [(2, True), (2, True), (1, False), (0, False)]


@case
def a_forgotten_session_is_unknown(s: Stage) -> Steps:
    """After a purge neither the id nor any token of the session is known, and no verb brings it back."""
    opened = (yield from perform(s.create("ana"))).record
    rotated = (yield from perform(s.rotate(opened))).record
    assert rotated is not None
    yield from perform(s.end(opened))
    yield from perform(s.purge(START, at=SECOND))
    for token in (opened, rotated):
        assert (yield from perform(s.load(token, at=SECOND))).refusal == "unknown"
    for command in (s.save(opened, {"n": 1}, at=SECOND), s.touch(opened, at=SECOND), s.end(opened, at=SECOND)):
        assert (yield from perform(command)).record is None, command.verb
    assert (yield from perform(s.get(opened, at=SECOND))) is None


@case
def a_purge_spares_the_successor(s: Stage) -> Steps:
    """Purging the history of a slot leaves its active session, which the slot goes on giving."""
    former = (yield from perform(s.get_or_create("ana"))).record
    current = (yield from perform(s.replace("ana", data={"n": 1}))).record
    assert (yield from perform(s.purge(START, at=SECOND))).count == 1
    assert (yield from perform(s.get(former, at=SECOND))) is None
    assert (yield from perform(s.get_or_create("ana", at=SECOND))).record == current
    yield from perform(s.end(current, at=SECOND))
    later: SessionRecord = (yield from perform(s.get_or_create("ana", at=SECOND))).record
    assert later.generation > current.generation
