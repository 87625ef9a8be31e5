"""Repeating what was done to many sessions: the store remembers what it answered, for a while, and answers it again."""

from attrs import evolve

from sessionguard.core.driving import perform
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, LIFETIME, REMEMBERED, RETENTION, SECOND, START, TICK, Stage


@case
def repeated_end_owner_answers_the_same(s: Stage) -> Steps:
    """The same `end_owner` twice reports the same sessions in the same order, whichever connection asks."""
    for external_id in (None, "a", "b", "c"):
        yield from perform(s.get_or_create("ana", external_id=external_id))
    command = s.end_owner("ana")
    first = yield from perform(command)
    assert len(first.records) == 4
    assert (yield from perform(s.elsewhere(command))) == first


@case
def repeated_end_owner_spares_later_sessions(s: Stage) -> Steps:
    """An `end_owner` that is repeated after the owner came back leaves the sessions opened since."""
    yield from perform(s.get_or_create("ana"))
    command = s.end_owner("ana")
    first = yield from perform(command)
    back = (yield from perform(s.get_or_create("ana"))).record
    assert (yield from perform(command)) == first
    assert (yield from perform(s.load(back))).record == back


@case
def repeated_end_owner_of_nobody_spares_who_came_since(s: Stage) -> Steps:
    """An `end_owner` that ended nothing, repeated after the owner logged in, spares the session and reports nobody."""
    command = s.end_owner("ana")
    first = yield from perform(command)
    assert (first.records, first.has_more) == ((), False)
    opened = (yield from perform(s.get_or_create("ana"))).record
    visitor = (yield from perform(s.create(s.visitors("ana", 1)[0]))).record
    login = (yield from perform(s.rotate(visitor, owner="ana"))).record
    assert login is not None
    for again in (command, s.elsewhere(command)):
        assert (yield from perform(again)) == first
    assert (yield from perform(s.load(opened))).record == opened
    assert (yield from perform(s.load(login))).record == login


@case
def repeated_end_owner_leaves_out_who_was_purged(s: Stage) -> Steps:
    """An `end_owner` that is repeated after some of its sessions were purged reports the others, and ends no more."""
    soon = evolve(LIFETIME, retention_us=1_000_000)
    opened = []
    for number, lifetime in enumerate((LIFETIME, soon, LIFETIME, soon)):
        opened.append((yield from perform(s.get_or_create("ana", external_id=str(number), lifetime=lifetime))).record)
    command = s.end_owner("ana", at=SECOND)
    first = yield from perform(command)
    back = (yield from perform(s.get_or_create("ana", external_id="back", at=2 * SECOND))).record
    assert (yield from perform(s.purge(at=2 * SECOND))).count == 2
    again = yield from perform(command)
    assert again.records == tuple(record for record in first.records if record.id in {opened[0].id, opened[2].id})
    assert (yield from perform(s.purge(START, at=2 * SECOND))).count == 2
    assert (yield from perform(command)).records == ()
    assert (yield from perform(s.load(back, at=2 * SECOND))).record == back


@case
def repeated_sweep_answers_the_same(s: Stage) -> Steps:
    """The same sweep twice reports the same sessions and whether more were waiting, and ends none of those."""
    opened = []
    for number in range(5):
        opened.append((yield from perform(s.create(f"owner-{number}", at=number * SECOND))).record)
    command = s.sweep(2, at=IDLE + 5 * SECOND)
    first = yield from perform(command)
    assert ([record.id for record in first.records], first.has_more) == ([opened[0].id, opened[1].id], True)
    for again in (command, s.elsewhere(command)):
        assert (yield from perform(again)) == first
    rest = yield from perform(s.sweep(at=IDLE + 5 * SECOND))
    assert [record.id for record in rest.records] == [record.id for record in opened[2:]]
    assert (yield from perform(command)) == first


@case
def repeated_sweep_harms_nobody(s: Stage) -> Steps:
    """A sweep that is repeated ends nobody who was opened or has expired since, and leaves out who was purged."""
    opened = (yield from perform(s.get_or_create("ana"))).record
    command = s.sweep(at=IDLE)
    first = yield from perform(command)
    assert [record.id for record in first.records] == [opened.id]
    back = (yield from perform(s.get_or_create("ana", at=IDLE))).record
    late = (yield from perform(s.create("ana", at=START))).record
    assert (yield from perform(command)) == first
    assert (yield from perform(s.purge(START, at=IDLE))).count == 1
    again = yield from perform(command)
    assert (again.records, again.has_more) == ((), False)
    assert (yield from perform(s.load(back, at=IDLE))).record == back
    assert (yield from perform(s.load(late, at=IDLE - TICK))).record is not None


@case
def repeated_purge_answers_the_same(s: Stage) -> Steps:
    """The same purge twice gives the same count and whether more were waiting, and forgets none of those."""
    for number in range(5):
        opened = (yield from perform(s.create(f"owner-{number}"))).record
        yield from perform(s.end(opened, at=number * SECOND))
    command = s.purge(START, 2, at=RETENTION)
    first = yield from perform(command)
    assert (first.count, first.has_more) == (2, True)
    for again in (command, s.elsewhere(command)):
        assert (yield from perform(again)) == first
    rest = yield from perform(s.purge(START, at=RETENTION))
    assert (rest.count, rest.has_more) == (3, False)
    assert (yield from perform(command)) == first


@case
def repeated_purge_harms_nobody(s: Stage) -> Steps:
    """A purge that is repeated forgets nothing that ended since, and no one who lives."""
    former = (yield from perform(s.replace("ana"))).record
    current = (yield from perform(s.replace("ana"))).record
    command = s.purge(RETENTION, at=RETENTION)
    first = yield from perform(command)
    assert first.count == 1
    assert (yield from perform(s.get(former, at=START))) is None
    ended = (yield from perform(s.end(current, at=START))).record
    assert (yield from perform(command)) == first
    assert (yield from perform(s.get(current, at=SECOND))) == ended


@case
def what_was_answered_lately_outlives_a_purge(s: Stage) -> Steps:
    """A purge may forget what was answered long ago, and never what was answered less than ten minutes before it."""
    yield from perform(s.end_owner("ana", at=START))
    for number in range(3):
        yield from perform(s.create(f"owner-{number}", at=START - number * SECOND))
    kept = IDLE + SECOND
    sweep, end_owner = s.sweep(2, at=kept), s.end_owner("ana", at=kept)
    swept, ended = (yield from perform(sweep)), (yield from perform(end_owner))
    purge = s.purge(START, 1, at=kept)
    purged = yield from perform(purge)
    back = (yield from perform(s.get_or_create("ana", at=kept))).record
    last = kept + REMEMBERED - TICK
    assert (yield from perform(s.purge(START, at=last))).count == 1
    assert (yield from perform(end_owner)) == ended
    assert (yield from perform(s.load(back, at=kept))).record == back
    again = yield from perform(sweep)
    assert (again.records, again.has_more) == ((), swept.has_more)
    assert (yield from perform(purge)) == purged
    # Whatever else is forgotten, history is.
    yield from perform(s.end(back, at=kept))
    assert (yield from perform(s.purge(START, at=last + RETENTION))).count == 1
