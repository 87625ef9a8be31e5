"""`rotate`: a new token, a short grace for the old one, one winner, and the owner at login."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from sessionguard import InvalidArgumentError, MisuseError, Session, SessionEndedError, SessionGuard, SessionPolicy
from sessionguard.core.events import Event, RotationLost, TokenRejected, TokenRotated
from tests.guard.clock import Clock
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore

GRACE = SessionPolicy().rotation_grace
TICK = timedelta(microseconds=1)


def loaded(guard: SessionGuard, token: str | None) -> Session:
    """Give the session of `token`, which must be one."""
    session = guard.load(token)
    assert session is not None
    return session


def test_rotate_gives_a_new_token_to_the_same_session(guard: SessionGuard) -> None:
    """Everything else stays: id, data, version, deadlines."""
    session = guard.create("ada", data={"a": 1})
    rotated = guard.rotate(session)
    assert rotated.token not in (None, session.token)
    assert (rotated.id, rotated.version, dict(rotated.data)) == (session.id, 1, {"a": 1})
    assert rotated.expires_at == session.expires_at
    assert not rotated.is_new
    assert loaded(guard, rotated.token).id == session.id


def test_rotate_is_one_question(guard: SessionGuard, store: WatchedStore) -> None:
    """One atomic operation and one round trip."""
    session = guard.create("ada")
    store.forget()
    guard.rotate(session)
    assert store.verbs() == ["rotate"]


def test_t22_old_token_lives_for_its_grace_only(guard: SessionGuard, clock: Clock) -> None:
    """Requests already under way still find the session; at the end of the grace the old token is dead."""
    session = guard.create("ada")
    rotated = guard.rotate(session)
    clock.advance(GRACE - TICK)
    assert loaded(guard, session.token).id == session.id
    clock.advance(TICK)
    assert guard.load(session.token) is None
    assert loaded(guard, rotated.token).id == session.id


def test_t22_use_after_the_grace_is_an_event_and_no_punishment(
    guard: SessionGuard, heard: list[Event], clock: Clock
) -> None:
    """It names the session, and the session lives on."""
    session = guard.create("ada")
    rotated = guard.rotate(session)
    clock.advance(GRACE)
    guard.load(session.token)
    assert heard[-1] == TokenRejected("after grace", session.id)
    assert guard.load(rotated.token) is not None


def test_no_grace_kills_the_old_token_at_once(open_guard: OpenGuard) -> None:
    """A policy may leave none."""
    guard = open_guard(policy=SessionPolicy(rotation_grace=timedelta(0)))
    session = guard.create("ada")
    rotated = guard.rotate(session)
    assert guard.load(session.token) is None
    assert guard.load(rotated.token) is not None


def test_only_the_last_token_has_a_grace(guard: SessionGuard) -> None:
    """Rotated twice, the first token is dead whatever its grace was."""
    first = guard.create("ada")
    second = guard.rotate(first)
    third = guard.rotate(second)
    assert guard.load(first.token) is None
    assert loaded(guard, second.token).id == loaded(guard, third.token).id == first.id


def test_t22_raced_rotation_has_one_winner(guard: SessionGuard, heard: list[Event]) -> None:
    """The loser gets the session without a token, so it sets no cookie; the winner's token stays valid."""
    token = guard.create("ada").token
    one, other = loaded(guard, token), loaded(guard, token)
    won, lost = guard.rotate(one), guard.rotate(other)
    assert won.token is not None
    assert lost.token is None
    assert lost.id == won.id
    assert guard.load(won.token) is not None
    assert [type(event) for event in heard[-2:]] == [TokenRotated, RotationLost]


CHANGES: list[Callable[[SessionGuard, Session], Session]] = [
    lambda guard, session: session,
    lambda guard, session: guard.save(session, {"a": 1}),
    lambda guard, session: guard.save(session),
    lambda guard, session: guard.modify(session, lambda data: {"a": 1}),
    lambda guard, session: guard.touch(session),
    lambda guard, session: guard.rotate(session),
]


@pytest.mark.parametrize("change", CHANGES)
def test_t22_loser_cannot_win_by_a_detour(
    guard: SessionGuard, change: Callable[[SessionGuard, Session], Session]
) -> None:
    """Whatever it does with the session in between: its token is in its grace and never rotates again."""
    token = guard.create("ada").token
    slow = loaded(guard, token)
    won = guard.rotate(loaded(guard, token))
    assert guard.rotate(change(guard, slow)).token is None
    assert guard.load(won.token) is not None


@pytest.mark.parametrize("change", CHANGES)
def test_t22_token_in_its_grace_never_rotates(
    guard: SessionGuard, change: Callable[[SessionGuard, Session], Session]
) -> None:
    """A session loaded by the old token can be used, but gives no new token, before and after every change."""
    session = guard.create("ada")
    won = guard.rotate(session)
    assert guard.rotate(change(guard, loaded(guard, session.token))).token is None
    assert loaded(guard, won.token).id == session.id


@pytest.mark.parametrize("change", CHANGES)
def test_current_token_rotates_after_every_change(
    guard: SessionGuard, change: Callable[[SessionGuard, Session], Session]
) -> None:
    """The rule above hinders nobody else."""
    session = loaded(guard, guard.create("ada").token)
    assert guard.rotate(change(guard, session)).token is not None


def test_trusted_caller_gets_a_token_for_an_existing_session(guard: SessionGuard) -> None:
    """`get_or_create` on an existing session has no token; `rotate` makes one."""
    guard.get_or_create("ada")
    rotated = guard.rotate(guard.get_or_create("ada"))
    assert loaded(guard, rotated.token).owner == "ada"


def test_rotate_of_an_ended_session_is_refused(guard: SessionGuard, clock: Clock) -> None:
    """Ended or expired: no new token for it."""
    ended, expired = guard.create("ada"), guard.create("ada")
    guard.end(ended)
    clock.advance(hours=1)
    for session, reason in ((ended, "revoked"), (expired, "expired")):
        with pytest.raises(SessionEndedError) as caught:
            guard.rotate(session)
        assert caught.value.reason == reason


def test_anonymous_session_receives_its_owner(guard: SessionGuard) -> None:
    """Login: the same session with the same data, a new token, and from now on an owner."""
    visitor = guard.create(data={"cart": [1]})
    member = guard.rotate(visitor, owner="ada")
    assert (member.id, member.owner, dict(member.data)) == (visitor.id, "ada", {"cart": [1]})
    assert member.token not in (None, visitor.token)
    assert [session.id for session in guard.sessions(owner="ada")] == [visitor.id]
    assert list(guard.sessions(owner=visitor.owner)) == []
    assert guard.end_owner("ada") == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda guard, visitor: guard.save(visitor, {"a": 2}),
        lambda guard, visitor: guard.save(visitor, {}),
        lambda guard, visitor: guard.modify(visitor, lambda data: data.update(a=2)),
        lambda guard, visitor: guard.touch(visitor),
        lambda guard, visitor: guard.rotate(visitor),
        lambda guard, visitor: guard.rotate(visitor, owner="eve"),
    ],
    ids=["save", "save nothing", "modify", "touch", "rotate", "login"],
)
def test_session_is_over_for_who_knew_it_before_the_login(
    guard: SessionGuard, change: Callable[[SessionGuard, Session], Session]
) -> None:
    """Whoever planted the token is neither given the owner's session nor changes anything in it."""
    visitor = guard.create()
    member = guard.save(guard.rotate(visitor, owner="ada"), {"a": 1})
    with pytest.raises(SessionEndedError) as caught:
        change(guard, visitor)
    assert caught.value.reason == "login"
    assert guard.end(visitor) is None
    assert guard.get(member.id) == member


def test_second_login_of_the_same_owner_goes_on(guard: SessionGuard) -> None:
    """Two logins at once, as by a double click: the second is given the session without a token."""
    visitor = guard.create()
    member = guard.rotate(visitor, owner="ada")
    again = guard.rotate(visitor, owner="ada")
    assert (again.id, again.owner, again.token) == (member.id, "ada", None)


def test_login_takes_no_slot(guard: SessionGuard) -> None:
    """The owner's slot stays what it was: the session of `get_or_create` is another one."""
    slotted = guard.get_or_create("ada")
    member = guard.rotate(guard.create(), owner="ada")
    assert guard.get_or_create("ada").id == slotted.id
    assert not member.exclusive


def test_owner_never_changes(guard: SessionGuard, store: WatchedStore) -> None:
    """A session of one user never becomes another's; naming the same owner again is fine."""
    session = guard.create("ada")
    store.forget()
    with pytest.raises(MisuseError, match="already has an owner"):
        guard.rotate(session, owner="bob")
    assert store.asked == []
    assert guard.rotate(session, owner="ada").token is not None


def test_owner_of_a_visitor_is_not_given(guard: SessionGuard, store: WatchedStore) -> None:
    """Whoever may choose his name would get the sessions of that visitor; his own he keeps."""
    visitor, other = guard.create(), guard.create()
    store.forget()
    with pytest.raises(InvalidArgumentError, match="owner"):
        guard.rotate(visitor, owner=other.owner)
    assert store.asked == []
    assert guard.rotate(visitor, owner=visitor.owner).token is not None


@pytest.mark.parametrize("owner", ["", " ", "None", "null", "undefined", 0, True])
def test_t07_missing_owner_is_not_given(guard: SessionGuard, store: WatchedStore, owner: object) -> None:
    """A login without a name is an error, and no store is asked."""
    visitor = guard.create()
    store.forget()
    with pytest.raises(InvalidArgumentError):
        guard.rotate(visitor, owner=owner)  # type: ignore[arg-type]
    assert store.asked == []
