"""A missing value never becomes a key: every call refuses it before any store is asked."""

from collections.abc import Callable
from typing import Any

import pytest

from sessionguard import Session, SessionGuard
from tests.guard.watching import WatchedStore

MISSING = [None, "", " ", "None", "null", "undefined", 0, True]

Call = Callable[[SessionGuard, Any], object]
OWNER_CALLS: dict[str, Call] = {
    "get_or_create": lambda guard, owner: guard.get_or_create(owner),
    "replace": lambda guard, owner: guard.replace(owner),
    "end_owner": lambda guard, owner: guard.end_owner(owner),
}
OPTIONAL_OWNER_CALLS: dict[str, Call] = {
    "create": lambda guard, owner: guard.create(owner),
    "sessions": lambda guard, owner: list(guard.sessions(owner=owner)),
}
SCOPE_CALLS: dict[str, Call] = {
    "create": lambda guard, scope: guard.create("ada", scope=scope),
    "get_or_create": lambda guard, scope: guard.get_or_create("ada", scope=scope),
    "replace": lambda guard, scope: guard.replace("ada", scope=scope),
}
OPTIONAL_SCOPE_CALLS: dict[str, Call] = {
    "load": lambda guard, scope: guard.load("sg1_0_" + "a" * 45, scope=scope),
    "end_owner": lambda guard, scope: guard.end_owner("ada", scope=scope),
    "sessions": lambda guard, scope: list(guard.sessions(scope=scope)),
}
SESSION_CALLS: dict[str, Call] = {
    "save": lambda guard, session: guard.save(session, {"a": 1}),
    "modify": lambda guard, session: guard.modify(session, lambda data: {}),
    "touch": lambda guard, session: guard.touch(session),
    "rotate": lambda guard, session: guard.rotate(session),
    "end": lambda guard, session: guard.end(session),
    "lock": lambda guard, session: guard.lock(session, "name"),
}


def refused(guard: SessionGuard, store: WatchedStore, call: Call, value: Any) -> None:
    """Hold that `call` refuses `value` without a question to the store, also as the very first call of a guard."""
    with pytest.raises(ValueError, match=r"give|missing|white space"):
        call(guard, value)
    assert store.asked == []
    guard.create("ada")
    store.forget()
    with pytest.raises(ValueError, match=r"give|missing|white space"):
        call(guard, value)
    assert store.asked == []


@pytest.mark.parametrize("value", MISSING, ids=ascii)
@pytest.mark.parametrize("name", OWNER_CALLS)
def test_t07_missing_owner(guard: SessionGuard, store: WatchedStore, name: str, value: Any) -> None:
    """No session belongs to nobody, and nobody's sessions are never ended."""
    refused(guard, store, OWNER_CALLS[name], value)


@pytest.mark.parametrize("value", MISSING[1:], ids=ascii)
@pytest.mark.parametrize("name", OPTIONAL_OWNER_CALLS)
def test_t07_missing_owner_where_none_is_allowed(
    guard: SessionGuard, store: WatchedStore, name: str, value: Any
) -> None:
    """Only None itself means anonymous, or everybody; whatever else is missing is a mistake."""
    refused(guard, store, OPTIONAL_OWNER_CALLS[name], value)


@pytest.mark.parametrize("value", MISSING, ids=ascii)
@pytest.mark.parametrize("name", SCOPE_CALLS)
def test_t07_missing_scope(guard: SessionGuard, store: WatchedStore, name: str, value: Any) -> None:
    """No session is of no kind."""
    refused(guard, store, SCOPE_CALLS[name], value)


@pytest.mark.parametrize("value", MISSING[1:], ids=ascii)
@pytest.mark.parametrize("name", OPTIONAL_SCOPE_CALLS)
def test_t07_missing_scope_where_none_is_allowed(
    guard: SessionGuard, store: WatchedStore, name: str, value: Any
) -> None:
    """Only None itself means any scope."""
    refused(guard, store, OPTIONAL_SCOPE_CALLS[name], value)


@pytest.mark.parametrize("value", [*MISSING, "ab" * 17, {}, object()], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", SESSION_CALLS)
def test_t07_missing_session(guard: SessionGuard, store: WatchedStore, name: str, value: Any) -> None:
    """A session is named by a `Session`, not by an id or by nothing."""
    refused(guard, store, SESSION_CALLS[name], value)


@pytest.mark.parametrize("value", [*MISSING, "ab" * 17], ids=ascii)
def test_t07_missing_session_has_no_workspace(filing_guard: SessionGuard, store: WatchedStore, value: Any) -> None:
    """No directory is made for it."""
    with pytest.raises(ValueError, match="session"), filing_guard.workspace(value):
        pass
    assert store.asked == []


@pytest.mark.parametrize("value", ["", " ", "None", "null", "undefined", 0, True, "../x", "a b"], ids=ascii)
def test_t07_missing_external_id(guard: SessionGuard, store: WatchedStore, value: Any) -> None:
    """Absent is None; everything else must be one."""
    for call in (guard.create, guard.get_or_create, guard.replace):
        with pytest.raises(ValueError, match="external_id"):
            call("ada", external_id=value)
    assert store.asked == []


@pytest.mark.parametrize("value", MISSING, ids=ascii)
def test_t07_missing_lock_name(guard: SessionGuard, store: WatchedStore, value: Any) -> None:
    """A lock without a name would be one lock for everything."""
    session: Session = guard.create("ada")
    store.forget()
    with pytest.raises(ValueError, match="name"):
        guard.lock(session, value)
    assert store.asked == []
