"""`on_end`: an application hears of each session that ended, whatever ended it, when its files were dealt with."""

import asyncio
import logging
from pathlib import Path

import pytest

from sessionguard import AsyncSessionGuard, InvalidArgumentError, Session, SessionGuard
from sessionguard.core.commands import Get
from sessionguard.core.instants import from_us
from sessionguard.stores.memory import MemoryStore
from tests.guard.clock import Clock
from tests.guard.conftest import POLICY
from tests.guard.test_cleaning import directories, with_file
from tests.guard.watching import WatchedStore

IDLE = POLICY.idle_timeout


def test_every_way_to_end_is_heard(filing_guard: SessionGuard, clock: Clock, work: Path) -> None:
    """By a call, for an owner, by a successor, in the slot and by a sweep: once each, with what was removed."""
    heard: list[tuple[str, str | None, int]] = []

    def hear(session: Session) -> None:
        assert session.id not in directories(work)
        heard.append((session.id, session.reason, session.removed.bytes))

    filing_guard.on_end(hear)
    ended = with_file(filing_guard, filing_guard.create("ada"), 1)
    of_owner = with_file(filing_guard, filing_guard.create("bob"), 2)
    replaced = with_file(filing_guard, filing_guard.get_or_create("cy"), 3)
    filing_guard.end(ended)
    filing_guard.end(ended)
    filing_guard.end_owner("bob")
    in_slot = with_file(filing_guard, filing_guard.replace("cy"), 4)
    clock.advance(IDLE)
    swept = with_file(filing_guard, filing_guard.get_or_create("cy"), 5)
    clock.advance(IDLE)
    filing_guard.sweep()
    assert heard == [
        (ended.id, "revoked", 1),
        (of_owner.id, "revoked", 2),
        (replaced.id, "replaced", 3),
        (in_slot.id, "expired", 4),
        (swept.id, "expired", 5),
    ]


def test_hooks_are_called_when_the_record_has_ended(guard: SessionGuard, store: WatchedStore, clock: Clock) -> None:
    """Whoever looks into the store meanwhile finds it ended, and not only because its time is over."""
    heard: list[tuple[str, str | None]] = []

    def hear(session: Session) -> None:
        stored = store.get(Get(session.id, from_us(0)))
        heard.append((session.id, stored and stored.reason))

    guard.on_end(hear)
    first, *others = [guard.create(owner) for owner in ("ada", "bob", "bob")]
    guard.end(first)
    guard.end_owner("bob")
    due = [guard.create("cy") for _ in range(3)]
    clock.advance(IDLE)
    guard.sweep()
    expected = [(one.id, "revoked") for one in (first, *others)] + [(one.id, "expired") for one in due]
    assert sorted(heard) == sorted(expected)


def test_replace_tells_what_was_removed(filing_guard: SessionGuard) -> None:
    """The new session begins clean and empty, and says what became of the files of the former."""
    assert not filing_guard.get_or_create("ada").removed.files
    with_file(filing_guard, filing_guard.get_or_create("ada"), 7)
    new = filing_guard.replace("ada")
    assert (new.removed.files, new.removed.bytes, new.removed.deferred) == (1, 7, False)
    assert new.is_new
    assert filing_guard.load(new.token) is not None
    with filing_guard.workspace(new) as files:
        assert files.list() == []
        assert filing_guard.replace("ada").removed.deferred


def test_a_hook_that_fails_hinders_nobody(guard: SessionGuard, caplog: pytest.LogCaptureFixture) -> None:
    """The session has ended, other hooks are called, and the log says which one failed."""
    heard: list[str] = []

    def fail(session: Session) -> None:
        raise RuntimeError("the mail server is down")

    guard.on_end(fail)
    remove = guard.on_end(lambda session: heard.append(session.id))
    first, second = guard.create("ada"), guard.create("ada")
    with caplog.at_level(logging.ERROR, logger="sessionguard"):
        assert guard.end(first) is not None
    assert "the mail server is down" in caplog.text
    assert "fail" in caplog.text
    remove()
    remove()
    assert guard.end(second) is not None
    assert heard == [first.id]


def test_hooks_of_an_async_guard_are_awaited() -> None:
    """One after the other, before the call that ended the session returns; plain functions are called."""
    heard: list[str] = []

    async def slow(session: Session) -> None:
        await asyncio.sleep(0)
        heard.append(f"slow {session.reason}")

    async def scene() -> None:
        async with AsyncSessionGuard(MemoryStore(), sweep_interval=None) as guard:
            guard.on_end(slow)
            guard.on_end(lambda session: heard.append(f"plain {session.reason}"))
            await guard.end(await guard.create("ada"))
            assert heard == ["slow revoked", "plain revoked"]

    asyncio.run(scene())


def test_what_cannot_be_called_is_refused() -> None:
    """A blocking guard has no loop in which to await an async hook."""

    async def asynchronous(session: Session) -> None:
        raise AssertionError

    class Callable:
        """Awaits in its call."""

        async def __call__(self, session: Session) -> None:
            raise AssertionError

    with SessionGuard(MemoryStore(), sweep_interval=None) as guard:
        for function in (asynchronous, Callable(), "print", None):
            with pytest.raises(InvalidArgumentError, match="function"):
                guard.on_end(function)  # type: ignore[arg-type]
