"""A store that becomes another one, by a fork or by losing its file: no file of the former deployment is touched."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, Session, SessionEndedError, SessionGuard, StoreUnavailableError
from sessionguard.core.events import CleanupFailed, Event
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import in_children
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore

DATABASE = "sessions.db"


def with_file(guard: SessionGuard, session: Session) -> Session:
    """Give `session` a workspace with one file."""
    with guard.workspace(session) as files:
        files.write("a.bin", b"x" * 10)
    return session


@pytest.mark.processes
def test_forked_child_with_a_store_of_its_own_removes_nothing_of_its_parents(work: Path) -> None:
    """To its store every session of the parent is unknown, which says nothing about the parent's files."""
    guard = SessionGuard(MemoryStore(allow_per_process=True), work, sweep_interval=None)
    session = with_file(guard, guard.create("ada"))

    def use(number: int) -> None:
        guard.sweep()
        with pytest.raises(SessionEndedError):
            with_file(guard, session)
        with_file(guard, guard.create("bob"))
        guard.sweep()

    in_children(1, use)
    with guard.workspace(session) as files:
        assert files.list() == ["a.bin"]


@pytest.mark.processes
def test_forked_child_of_an_async_guard_removes_nothing_of_its_parents(work: Path) -> None:
    """The same for tasks."""
    guard = AsyncSessionGuard(MemoryStore(allow_per_process=True), work, sweep_interval=None)

    async def begin() -> Session:
        session = await guard.create("ada")
        async with guard.workspace(session) as files:
            await files.write("a.bin", b"x")
        return session

    async def use() -> None:
        await guard.sweep()
        with pytest.raises(SessionEndedError):
            async with guard.workspace(session):
                pass

    session = asyncio.run(begin())
    in_children(1, lambda number: asyncio.run(use()))

    async def found() -> list[str]:
        async with guard.workspace(session) as files:
            return await files.list()

    assert asyncio.run(found()) == ["a.bin"]


def park(database: Path, aside: str) -> None:
    """Rename the database and its logs."""
    for ending in ("", "-wal", "-shm"):
        path = database.with_name(database.name + ending)
        if path.exists():
            path.rename(path.with_name(aside + ending))


def test_files_outlive_a_database_that_was_set_aside(tmp_path: Path, work: Path) -> None:
    """Another database in its place sweeps its own files only; set back, the first finds all it had."""
    database = tmp_path / DATABASE

    def opened() -> SessionGuard:
        return SessionGuard(SQLiteStore(database), work, sweep_interval=None)

    guard = opened()
    old = with_file(guard, guard.create("ada"))
    park(database, "parked.db")
    with pytest.raises(StoreUnavailableError):
        guard.get(old.id)
    guard.sweep()
    with pytest.raises(SessionEndedError):
        with_file(guard, old)
    new = with_file(guard, guard.create("bob"))
    with opened().workspace(new) as files:
        assert files.list() == ["a.bin"]
    guard.end(new)
    guard.sweep()
    guard._store.close()

    database.unlink()
    park(tmp_path / "parked.db", DATABASE)
    with opened().workspace(old) as files:
        assert files.list() == ["a.bin"]


def become_another(store: WatchedStore, tmp_path: Path) -> None:
    """Let `store` be one that has never heard of any session."""
    other: Any = MemoryStore() if store.name == "memory" else SQLiteStore(tmp_path / "other.db")
    store.inner = other


def at(verb: str, store: WatchedStore, action: Callable[[], object]) -> None:
    """Do `action` before the next `verb`."""

    def around(command: Any, ask: Callable[[], Any]) -> Any:
        if command.verb == verb:
            store.around = None
            action()
            return command.apply(store.inner)
        return ask()

    store.around = around


def test_nothing_is_collected_when_the_store_changes_during_the_search(
    open_guard: OpenGuard, store: WatchedStore, tmp_path: Path, work: Path
) -> None:
    """What one store lists as garbage, the other may be full of: subscribers are told why nothing was removed."""
    guard = open_guard(workspaces=work, orphan_age=timedelta(0))
    session = with_file(guard, guard.create("ada"))
    heard: list[Event] = []
    guard.subscribe(heard.append)
    former = store.inner
    at("get", store, lambda: become_another(store, tmp_path))
    guard.sweep()
    assert [event.error for event in heard if isinstance(event, CleanupFailed)] == [
        "the store became another one meanwhile, so no garbage was removed"
    ]
    store.inner = former
    with guard.workspace(session) as files:
        assert files.list() == ["a.bin"]


def test_nothing_is_removed_when_the_store_changes_while_a_lease_is_taken(
    open_guard: OpenGuard, store: WatchedStore, tmp_path: Path, work: Path
) -> None:
    """The session is unknown to the other store, and its files are not that store's."""
    guard = open_guard(workspaces=work)
    session = with_file(guard, guard.create("ada"))
    former = store.inner
    at("touch", store, lambda: become_another(store, tmp_path))
    with pytest.raises(SessionEndedError), guard.workspace(session):
        pass
    store.inner = former
    with guard.workspace(session) as files:
        assert files.list() == ["a.bin"]
