"""Sweeping: what expired ends, the longest expired first, and the living stay."""

from sessionguard.core.commands import Sweep
from sessionguard.core.driving import perform
from sessionguard.core.records import Lifetime, SessionRecord
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, LIFETIME, RETENTION, SECOND, START, TICK, Stage


def _idle_for(seconds: int) -> Lifetime:
    return Lifetime(seconds * 1_000_000, LIFETIME.absolute_us, 0, LIFETIME.retention_us)


@case
def sweep_ends_what_expired(s: Stage) -> Steps:
    """`sweep` ends expired sessions with the reason `expired`, at their own deadline, and reports them."""
    opened = (yield from perform(s.get_or_create("ana"))).record
    swept = yield from perform(s.sweep(at=IDLE + SECOND))
    assert [(record.id, record.reason, record.ended_us) for record in swept.records] == [
        (opened.id, "expired", opened.expires_us)
    ]
    assert not swept.has_more
    assert (yield from perform(s.get(opened, at=IDLE + SECOND))) == swept.records[0]


@case
def sweep_keeps_to_the_boundary(s: Stage) -> Steps:
    """A sweep a tick before the deadline leaves a session active; the sweep at the deadline ends it."""
    opened = (yield from perform(s.create())).record
    assert (yield from perform(s.sweep(at=IDLE - TICK))).records == ()
    assert (yield from perform(s.load(opened, at=IDLE - TICK - TICK))).record is not None
    other = (yield from perform(s.create())).record
    swept = yield from perform(s.sweep(at=IDLE))
    assert [record.id for record in swept.records] == [other.id]


@case
def sweep_spares_the_living(s: Stage) -> Steps:
    """`sweep` ends only what is expired now: neither a touched session, nor a sibling, nor one that had ended."""
    touched = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    expired = (yield from perform(s.create("ana"))).record
    ended = (yield from perform(s.create("ana"))).record
    after = (yield from perform(s.end(ended, "escalated"))).record
    yield from perform(s.touch(touched, at=IDLE - TICK))
    swept = yield from perform(s.sweep(at=IDLE))
    assert [record.id for record in swept.records] == [expired.id]
    assert (yield from perform(s.load(touched, at=IDLE))).record is not None
    assert (yield from perform(s.get(ended, at=IDLE))) == after


@case
def sweep_ends_nothing_twice(s: Stage) -> Steps:
    """A session that was swept is not in the report of the next sweep."""
    yield from perform(s.create())
    assert len((yield from perform(s.sweep(at=IDLE))).records) == 1
    again = yield from perform(s.sweep(at=IDLE + SECOND))
    assert (again.records, again.has_more) == ((), False)


@case
def sweep_goes_by_the_longest_expired_first(s: Stage) -> Steps:
    """A bounded sweep ends at most its limit, the longest expired first, and says whether more are waiting."""
    lives = (50, 10, 40, 20, 30)
    opened: dict[int, SessionRecord] = {}
    for seconds in lives:
        opened[seconds] = (yield from perform(s.create(f"owner-{seconds}", lifetime=_idle_for(seconds)))).record
    at = 45 * SECOND
    for expected, more in (((10, 20), True), ((30, 40), False), ((), False)):
        swept = yield from perform(s.sweep(2, at=at))
        assert [record.id for record in swept.records] == [opened[seconds].id for seconds in expected]
        assert swept.has_more == more
    assert (yield from perform(s.load(opened[50], at=at))).record is not None


@case
def a_touched_session_is_swept_at_its_new_deadline(s: Stage) -> Steps:
    """A touch moves the deadline by which the sweep goes: nothing at the old one, the session at the new one."""
    opened = (yield from perform(s.create())).record
    yield from perform(s.touch(opened, at=IDLE - SECOND))
    assert (yield from perform(s.sweep(at=IDLE))).records == ()
    assert (yield from perform(s.sweep(at=IDLE - SECOND + IDLE - TICK))).records == ()
    swept = yield from perform(s.sweep(at=IDLE - SECOND + IDLE))
    assert [record.id for record in swept.records] == [opened.id]


@case
def sweep_goes_by_the_deadlines_of_now(s: Stage) -> Steps:
    """A session that was touched is swept in the order of its new deadline, after one that expired before that."""
    touched = (yield from perform(s.create())).record
    other = (yield from perform(s.create(at=SECOND))).record
    yield from perform(s.touch(touched, at=2 * SECOND))
    for record, more in ((other, True), (touched, False)):
        swept = yield from perform(s.sweep(1, at=IDLE + IDLE))
        assert [ended.id for ended in swept.records] == [record.id]
        assert swept.has_more == more


@case
def sweep_expects_no_more_than_there_is(s: Stage) -> Steps:
    """A full sweep says that more are waiting only if there are: not for those who were touched or have ended."""
    yield from perform(s.create())
    ended = (yield from perform(s.create(at=TICK))).record
    touched = (yield from perform(s.create(at=TICK))).record
    yield from perform(s.end(ended, at=SECOND))
    yield from perform(s.touch(touched, at=SECOND))
    swept = yield from perform(s.sweep(1, at=IDLE + TICK))
    assert (len(swept.records), swept.has_more) == (1, False)


@case
def a_sweep_frees_the_slot(s: Stage) -> Steps:
    """After a sweep the slot of the expired session opens a new one and reports nothing as ended by it."""
    first = (yield from perform(s.get_or_create("ana"))).record
    yield from perform(s.sweep(at=IDLE))
    second = yield from perform(s.get_or_create("ana", at=IDLE))
    assert second.record.id != first.id
    assert second.ended == ()
    assert second.record.generation > first.generation


@case
def a_sweep_of_nothing_reports_nothing(s: Stage) -> Steps:
    """A sweep of an empty store, or of one where all live, reports nothing and no more."""
    for at in (START, IDLE - TICK):
        swept = yield from perform(s.sweep(at=at))
        assert (swept.records, swept.has_more) == ((), False)
        yield from perform(s.get_or_create("ana"))


@case
def sweeping_in_batches_ends_each_once(s: Stage) -> Steps:
    """Sweeping in small batches until nothing is left ends every expired session exactly once."""
    opened = []
    for number in range(7):
        opened.append((yield from perform(s.create(f"owner-{number}"))).record.id)
    swept: list[str] = []
    for _ in range(10):
        command: Sweep = s.sweep(3, at=RETENTION)
        report = yield from perform(command)
        assert len(report.records) <= 3
        swept.extend(record.id for record in report.records)
        if not report.has_more:
            break
    assert sorted(swept) == sorted(opened)
