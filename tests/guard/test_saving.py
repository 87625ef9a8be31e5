"""`save` and `modify`: nobody's change is lost, nothing ended comes back, nothing is written for nothing."""

from datetime import timedelta
from typing import Any

import pytest

from sessionguard import (
    InvalidArgumentError,
    Session,
    SessionConflictError,
    SessionEndedError,
    SessionGuard,
    SessionPolicy,
    SessionTooLargeError,
)
from sessionguard.core.commands import End, Save
from tests.guard.clock import START, Clock
from tests.guard.conftest import POLICY, OpenGuard
from tests.guard.watching import WatchedStore, before

IDLE = POLICY.idle_timeout


def stored(guard: SessionGuard, session: Session) -> dict[str, Any]:
    """Give the data as it is in the store now."""
    found = guard.get(session.id)
    assert found is not None
    return dict(found.data)


def test_save_gives_the_saved_session_and_leaves_the_argument_alone(guard: SessionGuard) -> None:
    """A session is a value: the new one shows the change, the old one what it always showed."""
    session = guard.create("ada", data={"a": 1, "b": 2})
    saved = guard.save(session, {"a": None, "c": (3,)}, remove=["b"])
    assert dict(saved.data) == {"a": None, "c": [3]}
    assert (saved.version, session.version) == (2, 1)
    assert dict(session.data) == {"a": 1, "b": 2}
    assert stored(guard, session) == {"a": None, "c": [3]}


def test_save_is_one_question(guard: SessionGuard, store: WatchedStore) -> None:
    """One atomic operation and one round trip."""
    session = guard.create("ada")
    store.forget()
    guard.save(session, {"a": 1})
    assert store.verbs() == ["save"]


def test_stale_session_merges(guard: SessionGuard) -> None:
    """Two requests that write different fields both survive; the same field goes to the later."""
    session = guard.create("ada", data={"both": 0})
    guard.save(session, {"mine": 1, "both": 1})
    saved = guard.save(session, {"yours": 2, "both": 2})
    assert dict(saved.data) == {"mine": 1, "yours": 2, "both": 2}
    assert saved.version == 3


def test_fields_are_replaced_whole(guard: SessionGuard) -> None:
    """A nested value is not merged into the stored one."""
    session = guard.create("ada", data={"a": {"x": 1}})
    assert dict(guard.save(session, {"a": {"y": 2}}).data) == {"a": {"y": 2}}


def test_removing_what_is_not_there_is_fine(guard: SessionGuard) -> None:
    """Removal says how it is to be afterwards."""
    session = guard.create("ada", data={"a": 1})
    assert dict(guard.save(session, remove=("b",)).data) == {"a": 1}


@pytest.mark.parametrize("name", ["a.b", "$.a", "a'b", 'a"b', "[0]", "#", "é", "\n", "a\\b", "__proto__"])
def test_field_names_are_only_names(guard: SessionGuard, name: str) -> None:
    """No name is read as a path or as part of a query."""
    session = guard.create("ada", data={"a": {"b": 1}})
    guard.save(session, {name: 1})
    assert stored(guard, session) == {"a": {"b": 1}, name: 1}
    guard.save(session, remove=[name])
    assert stored(guard, session) == {"a": {"b": 1}}


def test_expected_version_conflicts(guard: SessionGuard) -> None:
    """Compare and set: with the version of a stale session nothing is changed, and the error names both."""
    session = guard.create("ada")
    guard.save(session, {"a": 1}, expected_version=session.version)
    with pytest.raises(SessionConflictError) as caught:
        guard.save(session, {"a": 2}, expected_version=session.version)
    assert (caught.value.expected, caught.value.found) == (1, 2)
    assert stored(guard, session) == {"a": 1}


@pytest.mark.parametrize("nothing", [None, {}])
def test_saving_nothing_writes_nothing(guard: SessionGuard, clock: Clock, nothing: Any) -> None:
    """Neither version nor instants move."""
    session = guard.create("ada", data={"a": 1})
    clock.advance(minutes=5)
    saved = guard.save(session, nothing)
    assert (saved.version, saved.expires_at, dict(saved.data)) == (1, START + IDLE, {"a": 1})


def test_saving_nothing_still_judges(guard: SessionGuard) -> None:
    """It raises if the session is over, and on a wrong version."""
    session = guard.create("ada")
    guard.save(session, {"a": 1})
    with pytest.raises(SessionConflictError):
        guard.save(session, expected_version=1)
    guard.end(session)
    with pytest.raises(SessionEndedError):
        guard.save(session)


def test_t20_save_after_logout_is_refused(guard: SessionGuard) -> None:
    """A slow request loads, another ends the session, the slow one saves: nothing comes back."""
    session = guard.create("ada", data={"a": 1})
    slow = guard.load(session.token)
    assert slow is not None
    guard.end(session)
    with pytest.raises(SessionEndedError) as caught:
        guard.save(slow, {"a": 2})
    assert (caught.value.session_id, caught.value.reason) == (session.id, "revoked")
    assert guard.load(session.token) is None
    assert stored(guard, session) == {}


def test_t21_save_after_expiry_is_refused(guard: SessionGuard, clock: Clock) -> None:
    """At the deadline it is too late, and the data is as it was until the sweep comes."""
    session = guard.create("ada", data={"a": 1})
    clock.advance(IDLE)
    with pytest.raises(SessionEndedError) as caught:
        guard.save(session, {"a": 2})
    assert caught.value.reason == "expired"
    assert stored(guard, session) == {"a": 1}


def test_save_of_a_forgotten_session_is_refused(guard: SessionGuard) -> None:
    """Save never creates."""
    session = guard.create("ada")
    guard.end(session)
    guard.purge(timedelta(0))
    with pytest.raises(SessionEndedError) as caught:
        guard.save(session, {"a": 1})
    assert caught.value.reason is None
    assert guard.get(session.id) is None


def test_save_does_not_extend(guard: SessionGuard, clock: Clock) -> None:
    """Writing is not being seen."""
    session = guard.create("ada")
    clock.advance(minutes=10)
    assert guard.save(session, {"a": 1}).expires_at == START + IDLE


def test_field_both_changed_and_removed_is_refused(guard: SessionGuard, store: WatchedStore) -> None:
    """Which of the two was meant is not guessed."""
    session = guard.create("ada")
    store.forget()
    with pytest.raises(InvalidArgumentError, match="either changed or removed"):
        guard.save(session, {"a": 1}, remove=["a"])
    assert store.asked == []


@pytest.mark.parametrize("version", ["1", 1.0, True])
def test_expected_version_is_a_version(guard: SessionGuard, version: Any) -> None:
    """Anything but a whole number is refused."""
    session = guard.create("ada")
    with pytest.raises(InvalidArgumentError, match="expected_version"):
        guard.save(session, {"a": 1}, expected_version=version)


def test_data_over_the_limit_is_refused_whole(open_guard: OpenGuard) -> None:
    """The limit holds for what would be stored, not for what is sent; nothing of it is written."""
    guard = open_guard(policy=SessionPolicy(max_data_bytes=20))
    session = guard.create("ada", data={"a": "12345"})
    with pytest.raises(SessionTooLargeError) as caught:
        guard.save(session, {"b": "12345", "c": 1})
    assert (caught.value.limit_bytes, caught.value.size_bytes) == (20, 31)
    assert stored(guard, session) == {"a": "12345"}


def test_modify_changes_a_private_copy_in_place(guard: SessionGuard) -> None:
    """What the function does to its argument is stored; the session it was given stays as it was."""
    session = guard.create("ada", data={"list": [1]})
    modified = guard.modify(session, lambda data: data["list"].append(2))
    assert dict(modified.data) == {"list": [1, 2]}
    assert dict(session.data) == {"list": [1]}
    assert stored(guard, session) == {"list": [1, 2]}


def test_modify_takes_a_returned_mapping(guard: SessionGuard) -> None:
    """It is the whole of the new data: what is absent is removed."""
    session = guard.create("ada", data={"a": 1, "b": 2})
    assert dict(guard.modify(session, lambda data: {"a": data["a"] + 1}).data) == {"a": 2}


@pytest.mark.parametrize("returned", [1, "text", [1], True])
def test_modify_refuses_what_is_no_mapping(guard: SessionGuard, returned: Any) -> None:
    """A function that returns something else was written by mistake."""
    with pytest.raises(InvalidArgumentError, match="mapping"):
        guard.modify(guard.create("ada"), lambda data: returned)


def test_modify_without_a_change_writes_nothing(guard: SessionGuard) -> None:
    """The version stays."""
    session = guard.create("ada", data={"n": 1})
    assert guard.modify(session, lambda data: None).version == 1


def test_modify_is_tried_again_with_the_newer_data(guard: SessionGuard, store: WatchedStore) -> None:
    """Others who save in between make the function run again on what they stored: no increment is lost."""
    session = guard.create("ada", data={"n": 0})
    seen: list[int] = []

    def increment(data: dict[str, Any]) -> None:
        seen.append(data["n"])
        data["n"] += 1

    def other(number: int) -> Any:
        return lambda: store.inner.save(_save(session, number))

    before(store, "save", iter([other(10), other(20)]))
    modified = guard.modify(session, increment)
    assert seen == [0, 10, 20]
    assert modified.data["n"] == 21
    assert modified.version == 4


def _save(session: Session, number: int) -> Any:
    return Save(session.id, START, f"{number:016x}", {"n": str(number)}, (), None, 1000)


def test_modify_of_a_stale_session_succeeds(guard: SessionGuard) -> None:
    """It is enough to know which session is meant."""
    session = guard.create("ada", data={"n": 0})
    for _ in range(5):
        guard.modify(session, lambda data: data.update(n=data["n"] + 1))
    assert stored(guard, session) == {"n": 5}


def test_modify_of_an_ended_session_is_refused(guard: SessionGuard, store: WatchedStore) -> None:
    """Also when it ends between reading and writing, and also when there was nothing to write."""
    session, other = guard.create("ada"), guard.create("ada")
    before(store, "save", iter([lambda: store.inner.end(_end(session))]))
    with pytest.raises(SessionEndedError):
        guard.modify(session, lambda data: {"n": 1})
    guard.end(other)
    with pytest.raises(SessionEndedError):
        guard.modify(other, lambda data: None)


def _end(session: Session) -> Any:
    return End(session.id, START, "0" * 16, "revoked")


def test_error_of_the_function_is_the_callers(guard: SessionGuard) -> None:
    """It comes out as it is, and nothing was stored."""
    session = guard.create("ada", data={"n": 0})
    with pytest.raises(ZeroDivisionError):
        guard.modify(session, lambda data: {"n": 1 // data["n"]})
    assert stored(guard, session) == {"n": 0}
    assert guard.save(session, {"n": 1}).version == 2
