"""`touch` and the two timeouts: extended while used, over when its time is over, whatever the clock does."""

from datetime import timedelta

import pytest

from sessionguard import SessionEndedError, SessionGuard, SessionPolicy
from tests.guard.clock import START, Clock
from tests.guard.conftest import POLICY, OpenGuard
from tests.guard.watching import WatchedStore

IDLE, ABSOLUTE = POLICY.idle_timeout, POLICY.absolute_timeout
TICK = timedelta(microseconds=1)


def test_touch_always_extends(guard: SessionGuard, clock: Clock) -> None:
    """However short ago the last one was."""
    session = guard.create("ada")
    clock.advance(TICK)
    touched = guard.touch(session)
    assert (touched.last_seen_at, touched.expires_at) == (START + TICK, START + TICK + IDLE)
    assert touched.version == 1


def test_t21_touch_at_the_deadline_is_refused(guard: SessionGuard, clock: Clock) -> None:
    """One tick before it is in time, at it it is too late, and nothing changed by being refused."""
    session = guard.create("ada")
    clock.advance(IDLE - TICK)
    guard.touch(session)
    clock.advance(IDLE)
    for _ in range(2):
        with pytest.raises(SessionEndedError) as caught:
            guard.touch(session)
        assert caught.value.reason == "expired"
    found = guard.get(session.id)
    assert found is not None
    assert (found.owner, found.last_seen_at) == ("ada", START + IDLE - TICK)


def test_touch_of_an_ended_session_is_refused(guard: SessionGuard) -> None:
    """Nothing brings it back."""
    session = guard.create("ada")
    guard.end(session, "escalated")
    with pytest.raises(SessionEndedError) as caught:
        guard.touch(session)
    assert caught.value.reason == "escalated"


def test_touch_when_due_is_a_load_by_who_has_no_token(guard: SessionGuard, clock: Clock, store: WatchedStore) -> None:
    """Until then nothing is asked; from then on one question, which writes down that it was seen."""
    session = guard.create("ada")
    store.forget()
    clock.advance(timedelta(minutes=1) - TICK)
    assert guard.touch(session, when_due=True) is session
    assert store.asked == []
    clock.advance(TICK)
    touched = guard.touch(session, when_due=True)
    assert (touched.last_seen_at, [asked.verb for asked in store.asked]) == (clock.now, ["load"])
    # Known as it was before, and rotated twice since: found by its id.
    guard.rotate(guard.rotate(session))
    clock.advance(minutes=5)
    assert guard.touch(session, when_due=True).last_seen_at == clock.now
    guard.end(session)
    with pytest.raises(SessionEndedError) as caught:
        guard.touch(session, when_due=True)
    assert caught.value.reason == "revoked"
    with pytest.raises(ValueError, match="True or False"):
        guard.touch(session, when_due="yes")  # type: ignore[arg-type]


def test_touch_when_due_gives_no_session_of_an_owner_to_who_knew_the_visitor(guard: SessionGuard, clock: Clock) -> None:
    """To him it is over."""
    visitor = guard.create()
    guard.rotate(visitor, owner="ada")
    clock.advance(minutes=5)
    with pytest.raises(SessionEndedError) as caught:
        guard.touch(visitor, when_due=True)
    assert caught.value.reason == "login"


@pytest.mark.parametrize("by_load", [True, False])
def test_t24_absolute_timeout_ends_the_busiest_session(guard: SessionGuard, clock: Clock, by_load: bool) -> None:
    """Seen every few minutes, it still ends, exactly when that was set at the opening."""
    session = guard.create("ada")
    for _ in range(11):
        clock.advance(minutes=10)
        assert guard.load(session.token) if by_load else guard.touch(session)
    clock.advance(timedelta(minutes=10) - TICK)
    assert guard.touch(session).expires_at == START + ABSOLUTE
    assert guard.load(session.token) is not None
    clock.advance(TICK)
    assert guard.load(session.token) is None
    with pytest.raises(SessionEndedError):
        guard.touch(session)


def test_t23_touch_interval_of_zero_touches_at_every_load(open_guard: OpenGuard, clock: Clock) -> None:
    """Who wants exact idle times pays with a write per load."""
    guard = open_guard(policy=SessionPolicy(idle_timeout=IDLE, touch_interval=timedelta(0)))
    session = guard.create("ada")
    clock.advance(TICK)
    loaded = guard.load(session.token)
    assert loaded is not None
    assert loaded.last_seen_at == START + TICK


def test_t57_clock_that_goes_back_neither_ends_nor_prolongs(guard: SessionGuard, clock: Clock) -> None:
    """An hour back, as at a wrong time server: the session stays usable and its deadline stays where it was."""
    session = guard.create("ada")
    clock.advance(minutes=10)
    deadline = guard.touch(session).expires_at
    clock.advance(hours=-1)
    assert guard.load(session.token) is not None
    assert guard.touch(session).expires_at == deadline
    clock.advance(timedelta(minutes=50) + IDLE)
    clock.advance(minutes=10)
    assert guard.load(session.token) is None


def test_t57_clock_far_ahead_of_one_guard_is_the_engines_affair(open_guard: OpenGuard, clock: Clock) -> None:
    """Without `clock` the engine's own time decides, and a session opened now is active now."""
    guard = open_guard(clock=None)
    session = guard.create("ada")
    assert guard.load(session.token) is not None
    assert session.created_at != clock.now


def test_clock_without_a_zone_is_refused(open_guard: OpenGuard) -> None:
    """Nobody guesses what a naive instant means."""
    guard = open_guard(clock=lambda: START.replace(tzinfo=None))
    with pytest.raises(ValueError, match="aware"):
        guard.create("ada")
