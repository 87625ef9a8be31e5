"""Outages that pass: a guard asks again by itself, the call has one effect, and every repetition is told."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, ConfigurationError, SessionGuard, StoreUnavailableError
from sessionguard.core.commands import Command
from sessionguard.core.events import CallRepeated, Event, SessionReplaced
from sessionguard.stores.memory import MemoryStore
from tests.guard.clock import Clock
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore

OUTAGES = 3


def fails(store: WatchedStore, verb: str, times: int, *, lost: str = "question", transient: bool = True) -> list[Any]:
    """Make `store` fail this often at `verb`, before or after doing it; gives the commands it was then asked."""
    asked: list[Command[Any]] = []

    def around(command: Command[Any], ask: Callable[[], Any]) -> Any:
        if command.verb != verb:
            return ask()
        asked.append(command)
        if len(asked) > times:
            return ask()
        if lost == "answer":
            ask()
        raise StoreUnavailableError(store.name, verb, f"planted outage {len(asked)}", transient=transient)

    store.around = around
    return asked


def repetitions(heard: list[Event]) -> list[tuple[str, str, str]]:
    """Give what was told about repetitions."""
    return [(event.store, event.verb, event.error) for event in heard if isinstance(event, CallRepeated)]


CALLS: dict[str, Callable[[SessionGuard, Any], Any]] = {
    "create": lambda guard, mine: guard.create("bea").owner,
    "get_or_create": lambda guard, mine: guard.get_or_create("bea").is_new,
    "replace": lambda guard, mine: guard.replace("ana").id != mine.id,
    "load": lambda guard, mine: guard.load(mine.token).id == mine.id,  # type: ignore[union-attr]
    "get": lambda guard, mine: guard.get(mine.id).id == mine.id,  # type: ignore[union-attr]
    "save": lambda guard, mine: guard.save(mine, {"n": 2}).version == 2,
    "touch": lambda guard, mine: guard.touch(mine).version == 1,
    "rotate": lambda guard, mine: guard.rotate(mine).token != mine.token,
    "end": lambda guard, mine: guard.end(mine).reason,  # type: ignore[union-attr]
    "end_owner": lambda guard, mine: guard.end_owner("ana") == 1,
    "page": lambda guard, mine: [session.id for session in guard.sessions()] == [mine.id],
}


@pytest.mark.parametrize("lost", ["question", "answer"])
@pytest.mark.parametrize("verb", CALLS)
def test_a_call_outlasts_outages(
    guard: SessionGuard, store: WatchedStore, heard: list[Event], verb: str, lost: str
) -> None:
    """The caller sees the answer as if nothing had happened; the same command was sent each time, and each was told."""
    mine = guard.get_or_create("ana", data={"n": 1})
    asked = fails(store, verb, OUTAGES, lost=lost)
    assert CALLS[verb](guard, mine)
    assert len(asked) == OUTAGES + 1
    assert all(command is asked[0] for command in asked)
    error = f"{store.name} store, {verb}: planted outage"
    assert repetitions(heard) == [(store.name, verb, f"{error} {number}") for number in range(1, OUTAGES + 1)]


@pytest.mark.parametrize("lost", ["question", "answer"])
def test_what_is_repeated_has_one_effect(
    guard: SessionGuard, store: WatchedStore, heard: list[Event], lost: str
) -> None:
    """One session, one version, one end; and what the caller is told was done by it."""
    fails(store, "get_or_create", OUTAGES, lost=lost)
    mine = guard.get_or_create("ana")
    assert mine.is_new
    assert mine.token is not None
    fails(store, "save", OUTAGES, lost=lost)
    saved = guard.save(mine, {"n": 1})
    assert saved.version == 2
    assert guard.modify(saved, lambda data: {"n": data["n"] + 1}).data == {"n": 2}
    fails(store, "replace", OUTAGES, lost=lost)
    successor = guard.replace("ana")
    assert [event.session_id for event in heard if isinstance(event, SessionReplaced)] == [mine.id]
    fails(store, "end", OUTAGES, lost=lost)
    assert guard.end(successor) is not None
    store.around = None
    assert len(list(guard.sessions(status=None))) == 2


@pytest.mark.parametrize("lost", ["question", "answer"])
def test_cleaning_outlasts_outages(guard: SessionGuard, store: WatchedStore, clock: Clock, lost: str) -> None:
    """A sweep and a purge whose answers were lost report what they did, each session once."""
    opened = {guard.create("ana").id for _ in range(3)}
    clock.advance(hours=1)
    asked = fails(store, "sweep", OUTAGES, lost=lost)
    assert guard.sweep().ended == len(opened)
    assert len({id(command) for command in asked}) < len(asked)
    fails(store, "purge", OUTAGES, lost=lost)
    assert guard.purge(timedelta(0)).purged == len(opened)


@pytest.mark.parametrize("lost", ["question", "answer"])
def test_a_lock_outlasts_outages(guard: SessionGuard, store: WatchedStore, lost: str) -> None:
    """A lock whose taking and whose release had to be repeated was held once, and is free afterwards."""
    mine = guard.create("ana")
    fails(store, "acquire_lock", OUTAGES, lost=lost)
    with guard.lock(mine, "a") as lock:
        assert lock.fence == 1
        fails(store, "release_lock", OUTAGES, lost=lost)
    with guard.lock(mine, "a", timeout=timedelta(0)) as lock:
        assert lock.fence == 2


def test_an_outage_at_the_first_use_of_the_workspaces_passes(
    filing_guard: SessionGuard, store: WatchedStore, work: Path
) -> None:
    """Whatever a guard asks before its first call is repeated, too."""
    asked = fails(store, "identify", OUTAGES)
    filing_guard.create("ana")
    assert len(asked) >= OUTAGES + 1


@pytest.mark.parametrize("transient, patience", [(True, timedelta(0)), (False, timedelta(seconds=5))])
def test_nothing_is_repeated_without_patience_or_hope(
    open_guard: OpenGuard, store: WatchedStore, transient: bool, patience: timedelta
) -> None:
    """With no patience, or after an outage that does not pass by itself, the first error is raised and nothing told."""
    guard = open_guard(patience=patience)
    heard: list[Event] = []
    guard.subscribe(heard.append)
    mine = guard.create("ana")
    asked = fails(store, "save", 1, transient=transient)
    with pytest.raises(StoreUnavailableError, match="planted outage 1") as caught:
        guard.save(mine, {"n": 1})
    assert caught.value.transient is transient
    assert (len(asked), repetitions(heard)) == (1, [])


def test_patience_ends(open_guard: OpenGuard, store: WatchedStore) -> None:
    """An outage that lasts longer is raised as it was last seen, and each repetition before was told."""
    guard = open_guard(patience=timedelta(milliseconds=30))
    heard: list[Event] = []
    guard.subscribe(heard.append)
    mine = guard.create("ana")
    asked = fails(store, "save", 1_000_000)
    with pytest.raises(StoreUnavailableError) as caught:
        guard.save(mine, {"n": 1})
    assert str(caught.value).endswith(f"planted outage {len(asked)}")
    assert len(repetitions(heard)) == len(asked) - 1


@pytest.mark.parametrize("kind", [SessionGuard, AsyncSessionGuard])
@pytest.mark.parametrize("patience", [5, "5", None, timedelta(microseconds=-1)])
def test_patience_is_a_timedelta_of_zero_or_more(kind: Any, patience: Any) -> None:
    """Anything else is refused as the guard is made, by either way."""
    with pytest.raises(ConfigurationError) as made:
        kind(MemoryStore(), patience=patience)
    with pytest.raises(ConfigurationError) as opened:
        kind.open("memory://", patience=patience)
    assert made.value.setting == opened.value.setting == "patience"
