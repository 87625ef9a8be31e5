"""`end` and `end_owner`: over at once and for good, the first reason stays, nobody else is touched."""

import threading
from typing import Any

import pytest

from sessionguard import InvalidArgumentError, SessionEndedError, SessionGuard, SessionPolicy
from sessionguard.testing import Profile
from tests.guard.clock import START, Clock
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore


def test_end_gives_the_ended_session(guard: SessionGuard, clock: Clock) -> None:
    """History keeps who, when and why, and by default nothing of the data."""
    session = guard.create("ada", data={"secret": 1})
    clock.advance(minutes=5)
    ended = guard.end(session, "escalated")
    assert ended is not None
    assert (ended.id, ended.status, ended.reason, ended.ended_at) == (session.id, "ended", "escalated", clock.now)
    assert dict(ended.data) == {}
    assert ended.token is None
    assert guard.load(session.token) is None


def test_policy_may_keep_the_data(open_guard: OpenGuard) -> None:
    """Who needs it as history says so."""
    guard = open_guard(policy=SessionPolicy(keep_ended_data=True))
    ended = guard.end(guard.create("ada", data={"a": 1}))
    assert ended is not None
    assert dict(ended.data) == {"a": 1}


def test_first_reason_stays(guard: SessionGuard) -> None:
    """Ending twice is none; so is ending what was never known or has expired."""
    session = guard.create("ada")
    guard.end(session, "escalated")
    assert guard.end(session, "revoked") is None
    found = guard.get(session.id)
    assert found is not None
    assert found.reason == "escalated"


def test_end_of_an_expired_session_is_none(guard: SessionGuard, clock: Clock) -> None:
    """It had ended before, `expired`."""
    session = guard.create("ada")
    clock.advance(minutes=20)
    assert guard.end(session) is None
    found = guard.get(session.id)
    assert found is not None
    assert (found.reason, found.ended_at) == ("expired", session.expires_at)


def test_end_of_a_forgotten_session_is_none(guard: SessionGuard, clock: Clock) -> None:
    """Absence is None here too."""
    session = guard.create("ada")
    guard.end(session)
    clock.advance(days=31)
    assert guard.purge().purged == 1
    assert guard.end(session) is None


def test_t20_every_token_of_the_session_is_dead(guard: SessionGuard) -> None:
    """The current one and the one in its grace."""
    session = guard.create("ada")
    rotated = guard.rotate(session)
    guard.end(rotated)
    assert [guard.load(session.token), guard.load(rotated.token)] == [None, None]


def test_end_frees_the_slot_and_touches_no_sibling(guard: SessionGuard) -> None:
    """The next caller gets a new session; others of the owner live."""
    slotted, sibling = guard.get_or_create("ada"), guard.create("ada")
    guard.end(slotted)
    assert guard.get_or_create("ada").is_new
    assert guard.load(sibling.token) is not None


@pytest.mark.parametrize("reason", ["", "Bad Reason", "a\nb", None, 1])
def test_reason_is_checked_before_anything_ends(guard: SessionGuard, store: WatchedStore, reason: Any) -> None:
    """A wrong reason ends nothing."""
    session = guard.create("ada")
    store.forget()
    with pytest.raises(InvalidArgumentError, match="reason"):
        guard.end(session, reason)
    assert store.asked == []


def test_t25_end_owner_ends_all_of_the_owner_and_nothing_else(guard: SessionGuard) -> None:
    """In every scope and slot, with tokens and without; it tells how many."""
    mine = [guard.create("ada"), guard.create("ada", scope="upload"), guard.get_or_create("ada", external_id="x")]
    others = [guard.create("Ada"), guard.create("ada2"), guard.create()]
    assert guard.end_owner("ada") == 3
    assert [guard.load(session.token) for session in mine] == [None] * 3
    assert all(guard.load(session.token) for session in others)
    assert guard.end_owner("ada") == 0
    assert {session.reason for session in guard.sessions(owner="ada", status=None)} == {"revoked"}


def test_t25_end_owner_in_one_scope(guard: SessionGuard) -> None:
    """The other scopes live on."""
    kept = guard.create("ada")
    ended = guard.create("ada", scope="upload")
    assert guard.end_owner("ada", scope="upload") == 1
    assert guard.load(kept.token) is not None
    assert guard.load(ended.token) is None


@pytest.mark.parametrize("by_id", [True, False])
def test_t25_end_owner_keeps_the_one_that_asks(guard: SessionGuard, by_id: bool) -> None:
    """After a change of password: all other sessions end."""
    kept = guard.create("ada")
    others = [guard.create("ada") for _ in range(3)]
    assert guard.end_owner("ada", keep=kept.id if by_id else kept) == 3
    assert guard.load(kept.token) is not None
    assert [guard.load(session.token) for session in others] == [None] * 3


@pytest.mark.parametrize("keep", ["", " ", "None", 0, True, "../x", b"0" * 34, "0" * 33])
def test_t07_what_cannot_be_kept_is_refused(guard: SessionGuard, store: WatchedStore, keep: Any) -> None:
    """A wrong `keep` would end the very session that was to be kept: nothing ends, and no store is asked."""
    session = guard.create("ada")
    store.forget()
    with pytest.raises(InvalidArgumentError, match="keep"):
        guard.end_owner("ada", keep=keep)
    assert store.asked == []
    assert guard.load(session.token) is not None


def test_end_owner_does_not_count_what_had_expired(guard: SessionGuard, clock: Clock) -> None:
    """It was over before, and stays `expired`."""
    session = guard.create("ada")
    clock.advance(minutes=20)
    assert guard.end_owner("ada") == 0
    found = guard.get(session.id)
    assert found is not None
    assert found.reason == "expired"


def test_t25_end_owner_against_many_openings(store: WatchedStore, clock: Clock, sg_profile: Profile) -> None:
    """Whoever opens sessions meanwhile: what was open before the call is over when it returns."""
    guard = SessionGuard(store, clock=clock, sweep_interval=None)
    opened: list[Any] = []
    begin = threading.Barrier(5)

    def open_again_and_again() -> None:
        begin.wait()
        for _ in range(25):
            opened.append(guard.get_or_create("ada"))

    threads = [threading.Thread(target=open_again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    begin.wait()
    for _ in range(sg_profile.rounds):
        before = {session.id for session in list(opened)}
        guard.end_owner("ada")
        for session_id in before:
            found = guard.get(session_id)
            assert found is not None
            assert found.reason == "revoked"
    for thread in threads:
        thread.join()
    assert len(opened) == 100
    guard.end_owner("ada")
    assert list(guard.sessions(owner="ada")) == []
    for session in opened:
        with pytest.raises(SessionEndedError):
            guard.touch(session)


def test_ended_at_is_when_it_ended(guard: SessionGuard) -> None:
    """With the clock of the test, exactly."""
    ended = guard.end(guard.create("ada"))
    assert ended is not None
    assert ended.ended_at == START
