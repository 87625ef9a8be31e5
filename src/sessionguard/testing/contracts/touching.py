"""Touching: what being seen extends, and what it must leave alone."""

from sessionguard.core.driving import perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import ABSOLUTE, IDLE, SECOND, TICK, Stage


@case
def touch_extends_at_once(s: Stage) -> Steps:
    """`touch` extends a session by its idle timeout, without waiting for the touch interval."""
    opened = (yield from perform(s.create())).record
    touched = yield from perform(s.touch(opened, at=SECOND))
    assert touched.outcome is Outcome.DONE
    assert touched.record is not None
    assert (touched.record.last_seen_us, touched.record.expires_us) == (s.us(SECOND), s.us(SECOND + IDLE))
    assert (yield from perform(s.get(opened, at=SECOND))) == touched.record
    assert (yield from perform(s.load(opened, at=SECOND + IDLE - TICK))).record is not None


@case
def touch_carries_no_data(s: Stage) -> Steps:
    """A touch that follows another connection's save leaves the saved data and version as they are."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    yield from perform(s.load(opened))
    saved = (yield from perform(s.elsewhere(s.save(opened, {"n": 2})))).record
    assert saved is not None
    touched = (yield from perform(s.touch(opened, at=SECOND))).record
    assert touched is not None
    assert (touched.data, touched.version) == (saved.data, saved.version)
    stored = yield from perform(s.get(opened, at=SECOND))
    assert stored is not None
    assert (stored.data, stored.version) == (saved.data, saved.version)


@case
def a_touch_on_load_carries_no_data(s: Stage) -> Steps:
    """The touch that rides on `load` or `get_or_create` leaves data saved by another connection as it is."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    yield from perform(s.load(opened))
    saved = (yield from perform(s.elsewhere(s.save(opened, {"n": 2})))).record
    assert saved is not None
    loaded = yield from perform(s.load(opened, at=IDLE - TICK))
    again = yield from perform(s.get_or_create("ana", at=IDLE + IDLE - 3 * TICK))
    for touched, record in ((loaded.touched, loaded.record), (again.touched, again.record)):
        assert touched
        assert record is not None
        assert (record.id, record.data, record.version) == (opened.id, saved.data, saved.version)


@case
def touch_stops_at_the_absolute_deadline(s: Stage) -> Steps:
    """However often a session is touched, its deadline never passes the absolute one, and then touch is refused."""
    opened = (yield from perform(s.create())).record
    at = SECOND
    while at < ABSOLUTE:
        touched = yield from perform(s.touch(opened, at=at))
        assert touched.outcome is Outcome.DONE, at
        assert touched.record is not None
        assert touched.record.expires_us == min(s.us(at + IDLE), s.us(ABSOLUTE)), at
        at += IDLE - SECOND
    last = yield from perform(s.touch(opened, at=ABSOLUTE - TICK))
    assert last.outcome is Outcome.DONE
    for late in (ABSOLUTE, ABSOLUTE + TICK):
        assert (yield from perform(s.touch(opened, at=late))).outcome is Outcome.ENDED, late


@case
def touch_never_revives(s: Stage) -> Steps:
    """`touch` is done a tick before the deadline; at the deadline and after an end it is refused, without effect."""
    expired = (yield from perform(s.create())).record
    for at in (IDLE, IDLE + TICK):
        touched = yield from perform(s.touch(expired, at=at))
        assert touched.outcome is Outcome.ENDED, at
        assert (yield from perform(s.load(expired, at=at))).refusal == "expired", at
    assert (yield from perform(s.touch(expired, at=IDLE - TICK))).outcome is Outcome.DONE
    ended = (yield from perform(s.create())).record
    after = (yield from perform(s.end(ended))).record
    touched = yield from perform(s.touch(ended, at=SECOND))
    assert (touched.outcome, touched.record) == (Outcome.ENDED, after)
    assert (yield from perform(s.get(ended, at=SECOND))) == after


@case
def a_clock_that_went_back_shortens_nothing(s: Stage) -> Steps:
    """A touch at an earlier instant than the last one leaves the later last seen instant and deadline."""
    opened = (yield from perform(s.create())).record
    later = (yield from perform(s.touch(opened, at=IDLE - TICK))).record
    assert later is not None
    earlier = yield from perform(s.touch(opened, at=SECOND))
    assert earlier.outcome is Outcome.DONE
    assert earlier.record is not None
    assert (earlier.record.last_seen_us, earlier.record.expires_us) == (later.last_seen_us, later.expires_us)


@case
def a_touch_touches_no_sibling(s: Stage) -> Steps:
    """Touching one session extends no other session of the same owner."""
    sibling = (yield from perform(s.get_or_create("ana"))).record
    target = (yield from perform(s.create("ana"))).record
    yield from perform(s.touch(target, at=SECOND))
    assert (yield from perform(s.get(sibling, at=SECOND))) == sibling
