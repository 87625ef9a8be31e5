"""`sessions()`: whom it shows, in which order, and what it shows while others come and go."""

from typing import Any

import pytest

from sessionguard import InvalidArgumentError, MisuseError, SessionGuard
from tests.guard.clock import Clock
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore


def ids(sessions: Any) -> list[str]:
    """Give the ids of `sessions`, in order."""
    return [session.id for session in sessions]


def opened(guard: SessionGuard, clock: Clock, count: int, owner: str = "ada") -> list[str]:
    """Open `count` sessions, one a second, and give their ids."""
    sessions = []
    for _ in range(count):
        sessions.append(guard.create(owner).id)
        clock.advance(seconds=1)
    return sessions


def test_newest_first_for_one_owner(guard: SessionGuard, clock: Clock) -> None:
    """As a user would want to see them."""
    mine = opened(guard, clock, 3)
    opened(guard, clock, 2, "bob")
    assert ids(guard.sessions(owner="ada")) == mine[::-1]


def test_active_means_what_load_would_accept(guard: SessionGuard, clock: Clock) -> None:
    """Expired sessions are shown as ended, before anyone wrote that down."""
    expired, ended = guard.create("ada"), guard.create("ada")
    guard.end(ended)
    clock.advance(minutes=20)
    active = guard.create("ada")
    assert ids(guard.sessions()) == [active.id]
    assert set(ids(guard.sessions(status="ended"))) == {expired.id, ended.id}
    assert {session.reason for session in guard.sessions(status="ended")} == {"expired", "revoked"}
    assert set(ids(guard.sessions(status=None))) == {active.id, expired.id, ended.id}


def test_scope_and_owner_select_together(guard: SessionGuard) -> None:
    """Each narrows the list."""
    wanted = guard.create("ada", scope="upload")
    guard.create("ada")
    guard.create("bob", scope="upload")
    assert ids(guard.sessions(owner="ada", scope="upload")) == [wanted.id]
    assert len(list(guard.sessions(scope="upload"))) == 2


def test_long_list_comes_in_pages(guard: SessionGuard, clock: Clock, store: WatchedStore) -> None:
    """No question asks for everything at once, and nothing is shown twice or left out."""
    mine = opened(guard, clock, 401)
    store.forget()
    assert ids(guard.sessions(owner="ada")) == mine[::-1]
    assert store.verbs() == ["page", "page", "page"]


def test_session_present_throughout_is_seen_once_while_others_come_and_go(guard: SessionGuard, clock: Clock) -> None:
    """Sessions that open, end and change between two pages neither hide nor repeat the others."""
    mine = opened(guard, clock, 250)
    listing = guard.sessions(owner="ada")
    seen = [next(listing).id for _ in range(200)]
    for session_id in (seen[-1], seen[0], mine[0]):
        session = guard.get(session_id)
        assert session is not None
        guard.end(session)
    opened(guard, clock, 5)
    touched = guard.get(mine[10])
    assert touched is not None
    guard.touch(touched)
    seen += ids(listing)
    assert seen == [session_id for session_id in mine[::-1] if session_id != mine[0]]


def test_listed_sessions_carry_no_token(guard: SessionGuard) -> None:
    """A list shows handles, and what is listed can be ended."""
    guard.create("ada", data={"a": 1})
    (listed,) = guard.sessions(owner="ada")
    assert listed.token is None
    assert dict(listed.data) == {"a": 1}
    assert guard.end(listed) is not None


def test_listing_touches_nothing(guard: SessionGuard, clock: Clock) -> None:
    """Being looked at by an operator keeps no session alive."""
    session = guard.create("ada")
    clock.advance(minutes=10)
    (listed,) = guard.sessions()
    assert listed.expires_at == session.expires_at


@pytest.mark.parametrize(
    "selection", [{"status": "alive"}, {"status": ""}, {"owner": ""}, {"scope": 0}, {"owner": "None"}]
)
def test_t07_wrong_selection_is_refused(guard: SessionGuard, store: WatchedStore, selection: dict[str, Any]) -> None:
    """A missing owner never lists everybody's sessions."""
    guard.create("ada")
    store.forget()
    with pytest.raises(InvalidArgumentError):
        list(guard.sessions(**selection))
    assert store.asked == []


def test_store_that_cannot_list_says_so(open_guard: OpenGuard, store: WatchedStore) -> None:
    """The message names a store that can."""
    store.__dict__["page"] = None
    store.__dict__["acquire_lock"] = None
    guard = open_guard()
    with pytest.raises(MisuseError, match="sqlite://"):
        list(guard.sessions())
    with pytest.raises(MisuseError, match="sqlite://"):
        guard.lock(guard.create("ada"), "name")
