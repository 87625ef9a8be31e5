"""`create`, `get_or_create` and `replace`: what is new, what is found, what is ended on the way."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from sessionguard import SessionEndedError, SessionGuard, SessionPolicy, SessionTooLargeError
from sessionguard.core.commands import Opened
from tests.guard.clock import START, Clock
from tests.guard.conftest import POLICY, OpenGuard
from tests.guard.watching import WatchedStore, replies_of

IDLE = POLICY.idle_timeout


def test_create_gives_a_new_session_with_its_token(guard: SessionGuard) -> None:
    """Everything a caller may read of a session is there and right from the start."""
    session = guard.create("ada", scope="upload", data={"n": 1}, external_id="tab-7")
    assert (session.owner, session.scope, session.external_id, session.exclusive) == ("ada", "upload", "tab-7", False)
    assert (session.status, session.reason, session.version, session.is_new) == ("active", None, 1, True)
    assert (session.created_at, session.last_seen_at, session.expires_at) == (START, START, START + IDLE)
    assert session.ended_at is None
    assert dict(session.data) == {"n": 1}
    assert session.token is not None
    assert session.id not in session.token


def test_create_is_one_question(guard: SessionGuard, store: WatchedStore) -> None:
    """One atomic operation and one round trip, for each way of opening."""
    guard.create("ada")
    store.forget()
    guard.create("ada")
    guard.get_or_create("ada")
    guard.get_or_create("ada")
    guard.replace("ada")
    assert store.verbs() == ["create", "get_or_create", "get_or_create", "replace"]


def test_create_never_gives_what_existed(guard: SessionGuard) -> None:
    """Fresh is fresh, also for the same owner, scope and external id."""
    sessions = [guard.create("ada", external_id="x") for _ in range(5)]
    sessions += [guard.get_or_create("ada", external_id="x")]
    assert len({session.id for session in sessions}) == len({session.token for session in sessions}) == 6


def test_get_or_create_does_not_find_what_create_opened(guard: SessionGuard) -> None:
    """A session of `create` is in no slot."""
    created = guard.create("ada")
    slotted = guard.get_or_create("ada")
    assert slotted.is_new
    assert slotted.id != created.id
    assert slotted.exclusive


def test_anonymous_visitors_are_apart(guard: SessionGuard) -> None:
    """Without an owner each session belongs to an owner of its own."""
    assert len({guard.create().owner for _ in range(5)}) == 5


def test_get_or_create_gives_the_one_session_of_the_slot(guard: SessionGuard, clock: Clock) -> None:
    """The second caller gets the same session, without its token, and its data is not written."""
    first = guard.get_or_create("ada", data={"n": 1})
    clock.advance(seconds=5)
    second = guard.get_or_create("ada", data={"n": 2})
    assert (first.is_new, second.is_new) == (True, False)
    assert first.token is not None
    assert second.token is None
    assert second.id == first.id
    assert dict(second.data) == {"n": 1}
    assert (second.version, second.last_seen_at) == (1, START)


def test_get_or_create_touches_when_due(guard: SessionGuard, clock: Clock) -> None:
    """Being asked for counts as being seen, at most once per touch interval."""
    guard.get_or_create("ada")
    clock.advance(minutes=1)
    seen = guard.get_or_create("ada")
    assert seen.last_seen_at == START + timedelta(minutes=1)
    assert seen.expires_at == START + timedelta(minutes=1) + IDLE


@pytest.mark.parametrize(
    "other",
    [
        {"owner": "Ada"},
        {"owner": "ada", "scope": "upload"},
        {"owner": "ada", "external_id": "x"},
        {"owner": "ada", "external_id": "X"},
        {"owner": "ad", "scope": "adefault"},
        {"owner": "adadefault"},
    ],
)
def test_t15_slots_are_told_apart(guard: SessionGuard, other: dict[str, Any]) -> None:
    """Another owner, scope or external id is another slot, however alike they look side by side."""
    assert guard.get_or_create("ada").id != guard.get_or_create(**other).id


def test_t15_separators_cannot_join_two_slots(guard: SessionGuard) -> None:
    """("a:b", "c") is not ("a", "b:c"), whatever an engine may put in between."""
    pairs = [
        (f"a{separator}b", "c") if left else ("a", f"b{separator}c")
        for separator in (":", "|", "/", ",", "\\", "'", '"', "{", "}", "%", "\N{MIDDLE DOT}")
        for left in (True, False)
    ]
    assert len({guard.get_or_create(owner, scope=scope).id for scope, owner in pairs}) == len(pairs)


def test_get_or_create_on_an_expired_session_opens_a_new_one(guard: SessionGuard, clock: Clock) -> None:
    """The same operation ends the old one `expired`, at its deadline, and the generation goes on."""
    old = guard.get_or_create("ada", data={"n": 1})
    clock.advance(IDLE)
    new = guard.get_or_create("ada")
    assert new.is_new
    assert new.generation == old.generation + 1
    assert dict(new.data) == {}
    ended = guard.get(old.id)
    assert ended is not None
    assert (ended.status, ended.reason, ended.ended_at) == ("ended", "expired", START + IDLE)


def test_generations_are_never_used_twice(guard: SessionGuard) -> None:
    """However the sessions of a slot end, and also after their history is forgotten, the numbers grow."""
    generations = [guard.get_or_create("ada").generation, guard.replace("ada").generation]
    guard.end(guard.get_or_create("ada"))
    generations.append(guard.get_or_create("ada").generation)
    guard.end_owner("ada")
    guard.purge(timedelta(0))
    generations.append(guard.get_or_create("ada").generation)
    assert generations == sorted(set(generations))


def test_replace_ends_the_former_in_the_same_step(guard: SessionGuard) -> None:
    """The old session is history with the reason `replaced`, its token dead, its data not copied."""
    old = guard.get_or_create("ada", data={"n": 1})
    new = guard.replace("ada")
    assert new.is_new
    assert new.token is not None
    assert dict(new.data) == {}
    assert guard.load(old.token) is None
    ended = guard.get(old.id)
    assert ended is not None
    assert (ended.reason, dict(ended.data)) == ("replaced", {})
    assert guard.get_or_create("ada").id == new.id


def test_replace_of_nothing_opens(guard: SessionGuard) -> None:
    """An empty slot is no error."""
    assert guard.replace("ada", data={"n": 1}).is_new


def test_replace_leaves_other_sessions_of_the_owner(guard: SessionGuard) -> None:
    """Only the slot is replaced: neither other slots nor what `create` opened."""
    others = [
        guard.create("ada"),
        guard.get_or_create("ada", scope="upload"),
        guard.get_or_create("ada", external_id="x"),
    ]
    guard.get_or_create("ada")
    guard.replace("ada")
    assert all(guard.load(session.token) is not None for session in others)


def test_late_change_of_a_replaced_session_is_refused(guard: SessionGuard) -> None:
    """Whoever still holds the old session changes nothing."""
    old = guard.get_or_create("ada")
    new = guard.replace("ada")
    changes: list[Callable[[], object]] = [
        lambda: guard.save(old, {"n": 1}),
        lambda: guard.touch(old),
        lambda: guard.rotate(old),
    ]
    for change in changes:
        with pytest.raises(SessionEndedError) as caught:
            change()
        assert caught.value.reason == "replaced"
    assert dict(guard.get_or_create("ada").data) == {}
    assert guard.get_or_create("ada").id == new.id


def test_data_over_the_limit_opens_nothing(open_guard: OpenGuard, store: WatchedStore) -> None:
    """The limit holds from the first byte, and no session is left behind."""
    guard = open_guard(policy=SessionPolicy(max_data_bytes=20))
    guard.create("ada", data={"a": "x" * 12})
    with pytest.raises(SessionTooLargeError) as caught:
        guard.create("ada", data={"a": "é" * 7})
    assert (caught.value.limit_bytes, caught.value.size_bytes) == (20, 22)
    assert len(list(guard.sessions())) == 1


def test_policies_hold_per_scope_and_are_fixed_at_the_opening(open_guard: OpenGuard) -> None:
    """Each scope has its own deadlines, and a later policy does not change a session that lives."""
    short = open_guard(policy={"upload": SessionPolicy(idle_timeout=timedelta(minutes=1)), "*": POLICY})
    upload, other = short.create("ada", scope="upload"), short.create("ada")
    assert upload.expires_at == START + timedelta(minutes=1)
    assert other.expires_at == START + IDLE
    assert open_guard().touch(upload).expires_at == START + timedelta(minutes=1)


def test_repeated_opening_whose_session_has_ended_since_says_so(guard: SessionGuard, store: WatchedStore) -> None:
    """A repetition after a lost reply never gives an ended session as an active one."""
    replies_of(store, "create", lambda reply: Opened(evolve(reply.record, reason="revoked")))
    with pytest.raises(SessionEndedError):
        guard.create("ada")
