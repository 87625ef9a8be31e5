"""A store that answers with another session: nothing of it is given out, it is told, and the store is distrusted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from sessionguard import Session, SessionGuard
from sessionguard.core.events import Event, IdentityMismatched
from sessionguard.core.session import record_of
from sessionguard.errors import IdentityMismatchError
from tests.guard.clock import Clock
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore, replies_of

Call = Callable[[SessionGuard, Session], object]


def with_record(**changes: Any) -> Callable[[Any], Any]:
    """Give a lie: the right reply about another record."""
    return lambda reply: evolve(reply, record=evolve(reply.record, **changes))


def with_records(**changes: Any) -> Callable[[Any], Any]:
    """Give the same lie about every record of a reply."""
    return lambda reply: evolve(reply, records=tuple(evolve(record, **changes) for record in reply.records))


def load(guard: SessionGuard, session: Session) -> object:
    """Load by the token."""
    return guard.load(session.token, scope="default")


def save(guard: SessionGuard, session: Session) -> object:
    """Save a field."""
    return guard.save(session, {"a": 1})


def modify(guard: SessionGuard, session: Session) -> object:
    """Modify a field."""
    return guard.modify(session, lambda data: {"a": 1})


OTHER_ID = "cd" * 17
LIES: list[tuple[str, Callable[[Any], Any], Call, str]] = [
    ("create", with_record(owner="bob"), lambda guard, session: guard.create("ada"), "owner"),
    ("create", with_record(scope="upload"), lambda guard, session: guard.create("ada"), "scope"),
    ("create", with_record(external_id="x"), lambda guard, session: guard.create("ada"), "external_id"),
    ("create", with_record(id=OTHER_ID), lambda guard, session: guard.create("ada"), "id"),
    ("get_or_create", with_record(owner="bob"), lambda guard, session: guard.get_or_create("ada"), "owner"),
    ("get_or_create", with_record(scope="upload"), lambda guard, session: guard.get_or_create("ada"), "scope"),
    ("get_or_create", with_record(external_id="x"), lambda guard, session: guard.get_or_create("ada"), "external_id"),
    ("replace", with_record(owner="bob"), lambda guard, session: guard.replace("ada"), "owner"),
    ("replace", with_record(id=OTHER_ID), lambda guard, session: guard.replace("ada"), "id"),
    ("load", with_record(token_hash=b"x" * 32), load, "token"),
    ("load", with_record(scope="upload"), load, "scope"),
    ("get", lambda record: evolve(record, id=OTHER_ID), lambda guard, session: guard.get(session.id), "id"),
    ("page", with_records(owner="bob"), lambda guard, session: list(guard.sessions(owner="ada")), "owner"),
    ("page", with_records(scope="upload"), lambda guard, session: list(guard.sessions(scope="default")), "scope"),
    ("end_owner", with_records(owner="bob"), lambda guard, session: guard.end_owner("ada"), "owner"),
    ("end_owner", with_records(reason=None), lambda guard, session: guard.end_owner("ada"), "reason"),
    (
        "end_owner",
        with_records(scope="upload"),
        lambda guard, session: guard.end_owner("ada", scope="default"),
        "scope",
    ),
]
for verb, change in (
    ("save", save),
    ("save", modify),
    ("touch", lambda guard, session: guard.touch(session)),
    ("rotate", lambda guard, session: guard.rotate(session)),
    ("end", lambda guard, session: guard.end(session)),
):
    LIES += [
        (verb, with_record(id=OTHER_ID), change, "id"),
        (verb, with_record(owner="bob"), change, "owner"),
        (verb, with_record(scope="upload"), change, "scope"),
        (verb, with_record(generation=7), change, "generation"),
    ]


@pytest.mark.parametrize("verb, lie, call, field", LIES)
def test_t05_wrong_reply_is_never_given_out(
    guard: SessionGuard,
    store: WatchedStore,
    heard: list[Event],
    verb: str,
    lie: Callable[[Any], Any],
    call: Call,
    field: str,
) -> None:
    """It raises, tells which field differed, becomes an event, and the store drops its connections, once."""
    session = guard.create("ada")
    replies_of(store, verb, lie)
    with pytest.raises(IdentityMismatchError) as caught:
        call(guard, session)
    assert caught.value.field == field
    assert store.distrust_count == 1
    assert [event for event in heard if isinstance(event, IdentityMismatched)] == [heard[-1]]
    store.around = None
    assert guard.load(guard.create("ada").token) is not None


@pytest.mark.parametrize("verb", ["replace", "get_or_create"])
@pytest.mark.parametrize(
    "changes", [{"owner": "bob"}, {"scope": "upload"}, {"external_id": "x"}, {"reason": None}], ids=str
)
def test_lie_about_what_was_ended_removes_nobodys_files(
    filing_guard: SessionGuard, store: WatchedStore, clock: Clock, work: Path, verb: str, changes: dict[str, Any]
) -> None:
    """A former session that is not of the slot, or not ended, keeps its workspace."""
    victim = filing_guard.create("bob")
    with filing_guard.workspace(victim) as files:
        files.write("mine.txt", "precious")
    filing_guard.get_or_create("ada")
    clock.advance(minutes=20 if verb == "get_or_create" else 0)
    replies_of(
        store,
        verb,
        lambda reply: evolve(
            reply, ended=tuple(evolve(former, **({"id": victim.id} | changes)) for former in reply.ended)
        ),
    )
    with pytest.raises(IdentityMismatchError):
        getattr(filing_guard, verb)("ada")
    assert _files(work, victim) == ["mine.txt"]


@pytest.mark.parametrize("call", ["sweep", "end_owner"])
def test_session_said_to_be_ended_but_active_keeps_its_files(
    filing_guard: SessionGuard, store: WatchedStore, work: Path, call: str
) -> None:
    """Cleanup believes no reply that shows a living session."""
    victim = filing_guard.create("ada")
    with filing_guard.workspace(victim) as files:
        files.write("mine.txt", "precious")
    replies_of(store, call, lambda reply: evolve(reply, records=(record_of(victim),)))
    with pytest.raises(IdentityMismatchError):
        filing_guard.sweep() if call == "sweep" else filing_guard.end_owner("ada")
    assert _files(work, victim) == ["mine.txt"]


def _files(work: Path, session: Session) -> list[str]:
    return [path.name for path in work.glob(f"*/*/{session.id}/files/*")]


def test_guard_that_nobody_listens_to_is_as_strict(open_guard: OpenGuard, store: WatchedStore) -> None:
    """Without a subscriber it still raises, and distrusts the store."""
    guard = open_guard()
    session = guard.create("ada")
    replies_of(store, "load", with_record(token_hash=b"x" * 32))
    with pytest.raises(IdentityMismatchError):
        guard.load(session.token)
    assert store.distrust_count == 1
