"""Nothing that authenticates is kept, shown, logged or carried by an error."""

import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionguard import KeyRing, Session, SessionGuard, SessionGuardError
from sessionguard.core.commands import Get
from sessionguard.core.events import Event
from tests.guard.clock import Clock
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore

KEY = "Qm5zH0yT8vKd2LwXrP6aJ3uE9cNfGb1s"


def parts_of(token: str | None) -> list[str]:
    """Give the token and pieces of it long enough to be no chance."""
    secret = str(token)[-43:]
    return [str(token), secret, secret[:20], secret[-20:]]


def kept(tmp_path: Path, store: WatchedStore) -> bytes:
    """Give everything that is kept, on disk and in memory, as bytes."""
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    shelf = getattr(store.inner, "_shelf", None)
    return files if shelf is None else files + repr(vars(shelf)).encode()


@pytest.mark.parametrize("keys", [None, KeyRing({"k1": KEY}, current="k1")])
def test_t29_nothing_kept_authenticates(
    open_guard: OpenGuard, store: WatchedStore, tmp_path: Path, work: Path, keys: KeyRing | None
) -> None:
    """Neither the store nor the workspaces hold a token or the key, and no value from them loads a session."""
    guard = open_guard(keys=keys, workspaces=work)
    session = guard.create("ada", data={"a": 1})
    with guard.workspace(session) as files:
        files.write("a.txt", b"text")
    rotated = guard.rotate(session)
    everything = kept(tmp_path, store)
    assert session.id.encode() in everything
    for piece in [*parts_of(session.token), *parts_of(rotated.token), KEY]:
        assert piece.encode() not in everything
    record = store.inner.get(Get(session.id, None))
    for value in (record.token_hash, record.previous_hash):
        for form in (value.hex(), f"sg1_0_{value.hex()[:45]}", f"sg1_0_{value.hex()}", value.decode("latin-1")):
            assert guard.load(form) is None


def test_t29_listing_shows_nothing_that_authenticates(guard: SessionGuard) -> None:
    """Handles, owners and instants: none of it loads a session."""
    session = guard.create("ada")
    (listed,) = guard.sessions()
    shown = [getattr(listed, name) for name in dir(listed) if not name.startswith("_")]
    assert listed.token is None
    for value in shown:
        assert str(session.token) not in str(value)
        assert guard.load(value) is None


def test_t36_session_and_guard_show_no_token(guard: SessionGuard) -> None:
    """Neither in a repr nor in a format string."""
    session = guard.create("ada")
    assert session.id in repr(session)
    for shown in (repr(session), str(session), f"{session}", repr([session]), repr(guard), repr(vars(guard))):
        assert not any(piece in shown for piece in parts_of(session.token))


def test_t36_owner_cannot_forge_a_log_line(guard: SessionGuard, heard: list[Event]) -> None:
    """No accepted owner, scope or name shows as more than one line, in sessions, events and errors."""
    session = guard.create("ada\N{RIGHT-TO-LEFT OVERRIDE}x'\"", scope="a b")
    shown = [repr(session), *map(repr, heard)]
    with pytest.raises(SessionGuardError) as caught:
        guard.get_or_create("ada\r\n2026-01-01 admin logged in")
    shown += [str(caught.value), repr(caught.value)]
    assert all(len(line.splitlines()) == 1 for line in shown)


MISTAKES: list[Callable[[SessionGuard, Session, str], object]] = [
    lambda guard, session, token: guard.create(token),
    lambda guard, session, token: guard.create("ada", scope=token),
    lambda guard, session, token: guard.create("ada", external_id=token),
    lambda guard, session, token: guard.get_or_create(token + " "),
    lambda guard, session, token: guard.load(token, scope=token),
    lambda guard, session, token: guard.save(token, {"a": 1}),  # type: ignore[arg-type]
    lambda guard, session, token: guard.save(session, {"a": 1}, expected_version=token),  # type: ignore[arg-type]
    lambda guard, session, token: guard.save(session, token),  # type: ignore[arg-type]
    lambda guard, session, token: guard.save(session, remove=token),  # type: ignore[arg-type]
    lambda guard, session, token: guard.save(session, {token: object()}),
    lambda guard, session, token: guard.end(session, token),
    lambda guard, session, token: guard.end_owner(token),
    lambda guard, session, token: guard.end_owner("ada", keep=token),
    lambda guard, session, token: list(guard.sessions(status=token)),  # type: ignore[arg-type]
    lambda guard, session, token: guard.rotate(session, owner=token),
    lambda guard, session, token: guard.lock(session, token),
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_t36_token_in_the_wrong_place_stays_secret(
    guard: SessionGuard, store: WatchedStore, mistake: Callable[[SessionGuard, Session, str], object]
) -> None:
    """A program that confuses token and name gets an error that does not print the token."""
    session = guard.create("ada")
    token = str(session.token)
    with pytest.raises(SessionGuardError) as caught:
        mistake(guard, session, token)
    error = caught.value
    for shown in (str(error), repr(error), repr(vars(error)), repr(pickle.dumps(error))):
        assert not any(piece in shown for piece in parts_of(token))


def test_t36_nothing_is_logged_or_told_that_authenticates(
    open_guard: OpenGuard, store: WatchedStore, work: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Through a whole life with every refusal on the way, no event, log line, error or question shows a token."""
    guard = open_guard(workspaces=work)
    shown: list[str] = []
    guard.subscribe(lambda event: shown.extend((repr(event), repr(pickle.dumps(event)))))
    guard.subscribe(lambda event: 1 // 0)
    tokens: list[str | None] = []
    with caplog.at_level(logging.DEBUG):
        session = guard.create("ada", data={"a": 1})
        rotated = guard.rotate(session)
        tokens += [session.token, rotated.token]
        guard.rotate(session)
        for token in (*tokens, str(session.token)[:-1] + "A", f"{rotated.token}x"):
            guard.load(token)
        clock.advance(minutes=1)
        guard.load(session.token)
        with guard.workspace(rotated) as files:
            files.write("a", b"1")
        guard.end(rotated)
        changes: list[Callable[[], object]] = [lambda: guard.save(rotated, {"a": 1}), lambda: guard.touch(rotated)]
        for change in changes:
            with pytest.raises(SessionGuardError) as caught:
                change()
            shown += ["".join(traceback.format_exception(caught.value)), repr(pickle.dumps(caught.value))]
    shown += [caplog.text, repr(store.asked)]
    assert "ZeroDivisionError" in caplog.text
    for token in tokens:
        assert not any(piece in text for piece in parts_of(token) for text in shown)
