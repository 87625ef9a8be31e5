"""Events: which call tells what, in which order, and that listeners disturb nothing."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from sessionguard import InvalidArgumentError, SessionConflictError, SessionEndedError, SessionGuard
from sessionguard.core.events import (
    ChangeRefused,
    Event,
    RotationLost,
    SaveConflicted,
    SessionCreated,
    SessionEnded,
    SessionExpired,
    SessionReplaced,
    SessionReused,
    SessionSaved,
    SessionTouched,
    TokenRejected,
    TokenRotated,
    WorkspaceRemoved,
)
from tests.guard.clock import Clock
from tests.guard.watching import WatchedStore


def told(heard: list[Event]) -> list[Event]:
    """Give what was heard since the last time."""
    events, heard[:] = list(heard), []
    return events


def test_events_of_opening(guard: SessionGuard, heard: list[Event], clock: Clock) -> None:
    """What ended on the way is told before what opened."""
    created = guard.create("ada")
    assert told(heard) == [SessionCreated(created.id, "default", "ada", "create")]
    first = guard.get_or_create("ada")
    assert told(heard) == [SessionCreated(first.id, "default", "ada", "get_or_create")]
    guard.get_or_create("ada")
    about = (first.id, "default", "ada")
    assert told(heard) == [SessionReused(*about)]
    clock.advance(minutes=1)
    guard.get_or_create("ada")
    assert told(heard) == [SessionReused(*about), SessionTouched(*about)]
    second = guard.replace("ada")
    assert told(heard) == [
        SessionReplaced(*about, second.id),
        SessionCreated(second.id, "default", "ada", "replace"),
    ]
    clock.advance(minutes=20)
    third = guard.get_or_create("ada")
    assert told(heard) == [
        SessionExpired(second.id, "default", "ada"),
        SessionCreated(third.id, "default", "ada", "get_or_create"),
    ]
    clock.advance(minutes=20)
    fourth = guard.replace("ada")
    assert told(heard) == [
        SessionExpired(third.id, "default", "ada"),
        SessionCreated(fourth.id, "default", "ada", "replace"),
    ]


def test_events_of_reading(guard: SessionGuard, heard: list[Event], clock: Clock) -> None:
    """A read that writes nothing tells nothing; a rejected token is told with its reason."""
    session = guard.create("ada")
    told(heard)
    guard.load(session.token)
    guard.get(session.id)
    list(guard.sessions())
    assert told(heard) == []
    clock.advance(minutes=1)
    guard.load(session.token)
    assert told(heard) == [SessionTouched(session.id, "default", "ada")]
    guard.load("nonsense")
    guard.load("sg1_0_" + "a" * 45)
    guard.load(session.token, scope="upload")
    guard.end(session)
    guard.load(session.token)
    assert told(heard) == [
        TokenRejected("malformed", None),
        TokenRejected("unknown", None),
        TokenRejected("foreign scope", session.id),
        SessionEnded(session.id, "default", "ada", "revoked"),
        TokenRejected("ended", session.id),
    ]


def test_events_of_changing(guard: SessionGuard, heard: list[Event]) -> None:
    """Done, conflicting, refused: each has its event."""
    session = guard.create("ada", data={"a": 1})
    about = (session.id, "default", "ada")
    told(heard)
    guard.save(session, {"b": 1, "c": 1}, remove=["a"])
    guard.save(session)
    guard.modify(session, lambda data: {"b": 2})
    with pytest.raises(SessionConflictError):
        guard.save(session, {"b": 3}, expected_version=1)
    guard.touch(session)
    guard.rotate(session)
    guard.rotate(session)
    assert told(heard) == [
        SessionSaved(*about, 2, 2, 1),
        SaveConflicted(*about, 1, 2),
        SessionSaved(*about, 3, 1, 1),
        SaveConflicted(*about, 1, 3),
        SessionTouched(*about),
        TokenRotated(*about),
        RotationLost(*about),
    ]
    guard.end(session)
    guard.end(session)
    changes: list[Callable[[], object]] = [
        lambda: guard.save(session, {"a": 1}),
        lambda: guard.touch(session),
        lambda: guard.rotate(session),
    ]
    for change in changes:
        with pytest.raises(SessionEndedError):
            change()
    assert told(heard) == [
        SessionEnded(*about, "revoked"),
        *(ChangeRefused(*about, verb, "revoked") for verb in ("save", "touch", "rotate")),
    ]


def test_events_of_cleaning(filing_guard: SessionGuard, clock: Clock) -> None:
    """Each ended session is told, then what became of its files."""
    heard: list[Event] = []
    filing_guard.subscribe(heard.append)
    first, second = filing_guard.create("ada"), filing_guard.create("ada")
    for session in (first, second):
        with filing_guard.workspace(session) as files:
            files.write("a", b"12345")
    told(heard)
    filing_guard.end_owner("ada", keep=second)
    assert told(heard) == [
        SessionEnded(first.id, "default", "ada", "revoked"),
        WorkspaceRemoved(first.id, 1, 5, False),
    ]
    clock.advance(minutes=20)
    filing_guard.sweep()
    assert told(heard) == [SessionExpired(second.id, "default", "ada"), WorkspaceRemoved(second.id, 1, 5, False)]


def test_events_of_replacing_with_files(filing_guard: SessionGuard) -> None:
    """Ended, opened, and only then removed: in the order in which it happened."""
    heard: list[Event] = []
    first = filing_guard.get_or_create("ada")
    with filing_guard.workspace(first) as files:
        files.write("a", b"12345")
    filing_guard.subscribe(heard.append)
    second = filing_guard.replace("ada")
    assert heard == [
        SessionReplaced(first.id, "default", "ada", second.id),
        SessionCreated(second.id, "default", "ada", "replace"),
        WorkspaceRemoved(first.id, 1, 5, False),
    ]


def test_refused_arguments_are_no_event(guard: SessionGuard, heard: list[Event]) -> None:
    """A mistake of the program is its error, not something that happened to a session."""
    with pytest.raises(InvalidArgumentError):
        guard.get_or_create("")
    assert heard == []


def test_failing_listener_disturbs_nothing(
    guard: SessionGuard, heard: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """The call succeeds, the other listeners hear everything, and the failure is in the log."""

    def fail(event: Event) -> None:
        raise RuntimeError("the metrics are down")

    guard.subscribe(fail)
    later: list[Event] = []
    guard.subscribe(later.append)
    with caplog.at_level(logging.ERROR, logger="sessionguard"):
        session = guard.create("ada")
        assert guard.load(session.token) is not None
        guard.end(session)
    assert later == heard
    assert len(later) == len(caplog.records) == 2
    assert str(session.token) not in caplog.text


def test_listener_may_call_the_guard(store: WatchedStore) -> None:
    """Nothing is locked while events are told."""
    guard = SessionGuard(store, sweep_interval=None)
    replacements: list[Any] = []

    def open_another(event: Event) -> None:
        if isinstance(event, SessionEnded):
            replacements.append(guard.get_or_create(event.owner))

    guard.subscribe(open_another)
    guard.end(guard.get_or_create("ada"))
    assert [session.generation for session in replacements] == [2]


def test_listener_can_leave(guard: SessionGuard, heard: list[Event]) -> None:
    """It hears nothing afterwards; leaving twice is fine; others stay."""
    left: list[Event] = []
    leave = guard.subscribe(left.append)
    leave()
    leave()
    guard.create("ada")
    assert (len(left), len(heard)) == (0, 1)


def test_adapters_publish_what_they_see(guard: SessionGuard, heard: list[Event]) -> None:
    """What no store is ever asked reaches the same listeners."""
    guard.publish(TokenRejected("malformed", None))
    assert heard == [TokenRejected("malformed", None)]
