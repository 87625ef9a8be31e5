"""Opening, using and closing a guard: what it owns, what it refuses, what is left when it is closed."""

import asyncio
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, ConfigurationError, MisuseError, Session, SessionGuard
from sessionguard.async_sweeping import AsyncSweeper
from sessionguard.core.commands import Identify
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.offload import OffloadedStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.sweeping import Sweeper
from sessionguard.testing import in_children
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore


def test_open_does_no_work(tmp_path: Path) -> None:
    """Neither files nor directories are made before the first use."""
    url = f"sqlite:///{tmp_path}/deep/sessions.db"
    SessionGuard.open(url, workspaces=tmp_path / "work").close()
    AsyncSessionGuard.open(url, workspaces=tmp_path / "work")
    assert list(tmp_path.iterdir()) == []


def test_guard_closes_the_store_it_opened() -> None:
    """And no other."""
    guard = SessionGuard.open("memory://", sweep_interval=None)
    with guard as entered:
        assert entered is guard
        guard.create("ada")
    with pytest.raises(MisuseError):
        guard._store.identify(Identify())


def test_store_passed_in_stays_open(open_guard: OpenGuard, store: WatchedStore) -> None:
    """Whoever opened it closes it."""
    guard = open_guard()
    token = guard.create("ada").token
    guard.close()
    assert open_guard().load(token) is not None


CALLS: dict[str, Callable[[SessionGuard, Session], object]] = {
    "create": lambda guard, session: guard.create("ada"),
    "get_or_create": lambda guard, session: guard.get_or_create("ada"),
    "replace": lambda guard, session: guard.replace("ada"),
    "load": lambda guard, session: guard.load(session.token),
    "load malformed": lambda guard, session: guard.load("nonsense"),
    "get": lambda guard, session: guard.get(session.id),
    "sessions": lambda guard, session: list(guard.sessions()),
    "save": lambda guard, session: guard.save(session, {"a": 1}),
    "modify": lambda guard, session: guard.modify(session, lambda data: {"a": 1}),
    "touch": lambda guard, session: guard.touch(session),
    "rotate": lambda guard, session: guard.rotate(session),
    "end": lambda guard, session: guard.end(session),
    "end_owner": lambda guard, session: guard.end_owner("ada"),
    "sweep": lambda guard, session: guard.sweep(),
    "purge": lambda guard, session: guard.purge(),
    "workspace": lambda guard, session: guard.workspace(session).__enter__(),
    "lock": lambda guard, session: guard.lock(session, "name").__enter__(),
}


@pytest.mark.parametrize("name", CALLS)
def test_t10_every_call_after_closing_is_refused(
    open_guard: OpenGuard, store: WatchedStore, work: Path, name: str
) -> None:
    """No store is asked, and no directory that was removed comes back."""
    guard = open_guard(workspaces=work)
    session = guard.create("ada")
    with guard.workspace(session) as files:
        files.write("a", b"1")
    guard.close()
    shutil.rmtree(work)
    store.forget()
    with pytest.raises(MisuseError, match="closed"):
        CALLS[name](guard, session)
    assert store.asked == []
    assert not work.exists()


def test_t10_closed_store_makes_no_new_file(tmp_path: Path) -> None:
    """A background task that outlives its guard and its database file does not bring that back."""
    path = tmp_path / "sessions.db"
    guard = SessionGuard.open(f"sqlite:///{path}", sweep_interval=None)
    session = guard.create("ada")
    guard.close()
    for leftover in tmp_path.iterdir():
        leftover.unlink()
    for call in CALLS.values():
        with pytest.raises((MisuseError, ConfigurationError)):
            call(guard, session)
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_is_fine(open_guard: OpenGuard) -> None:
    """Also without having been used."""
    for guard in (open_guard(), open_guard(sweep_interval=timedelta(hours=1))):
        guard.close()
        guard.close()


def test_interrupted_close_closes_the_store_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while it waits for a sweep, it goes on with the store; what is left, a second call does."""
    guard = SessionGuard.open(f"sqlite:///{tmp_path}/sessions.db", sweep_interval=timedelta(hours=1))
    guard.create("ada")

    def interrupted(self: Sweeper) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Sweeper, "stop", interrupted)
        with pytest.raises(KeyboardInterrupt):
            guard.close()
    with pytest.raises(MisuseError):
        guard._store.identify(Identify())
    assert guard._sweeper is not None
    assert guard._sweeper._thread.is_alive()
    guard.close()
    assert not guard._sweeper._thread.is_alive()


def test_interrupted_store_is_closed_by_the_second_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing is over only when all of it is done."""
    guard = SessionGuard.open("memory://", sweep_interval=None)

    def interrupted(self: MemoryStore) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            guard.close()
    guard.close()
    with pytest.raises(MisuseError):
        guard._store.identify(Identify())


def test_cancelled_close_of_an_async_guard_closes_the_store_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for tasks."""

    async def interrupted(self: AsyncSweeper) -> None:
        raise asyncio.CancelledError

    async def scene() -> None:
        guard = AsyncSessionGuard.open("memory://", sweep_interval=timedelta(hours=1))
        await guard.create("ada")
        with monkeypatch.context() as patch:
            patch.setattr(AsyncSweeper, "stop", interrupted)
            with pytest.raises(asyncio.CancelledError):
                await guard.close()
        with pytest.raises(MisuseError):
            await guard._store.identify(Identify())
        await guard.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scene())


def test_block_closes(open_guard: OpenGuard) -> None:
    """Leaving the block closes the guard, on errors too."""
    guard = open_guard()
    with pytest.raises(ZeroDivisionError), guard:
        raise ZeroDivisionError
    with pytest.raises(MisuseError):
        guard.create("ada")


def test_blocking_guard_refuses_an_async_store() -> None:
    """The message says which guard to use."""
    with pytest.raises(ConfigurationError, match="AsyncSessionGuard"):
        SessionGuard(OffloadedStore(MemoryStore()))


def test_async_guard_takes_an_async_store() -> None:
    """Without putting threads in between."""
    store = OffloadedStore(MemoryStore())

    async def use() -> None:
        async with AsyncSessionGuard(store, sweep_interval=None) as guard:
            assert guard._store is store
            assert (await guard.load((await guard.create("ada")).token)) is not None
        await store.close()

    asyncio.run(use())


@pytest.mark.parametrize("guard_class", [SessionGuard, AsyncSessionGuard])
@pytest.mark.parametrize(
    "settings, setting",
    [
        ({"store": "memory://"}, "store"),
        ({"store": None}, "store"),
        ({"store": MemoryStore}, "store"),
        ({"workspaces": ""}, "workspaces"),
        ({"workspaces": 7}, "workspaces"),
        ({"policy": "short"}, "policy"),
        ({"policy": {}}, "policy"),
        ({"keys": {"k1": "x" * 40}}, "keys"),
        ({"keys": "x" * 40}, "keys"),
        ({"sweep_interval": 60}, "sweep_interval"),
        ({"sweep_interval": timedelta(0)}, "sweep_interval"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_by_name(guard_class: Any, settings: dict[str, Any], setting: str) -> None:
    """At once, not at the first request."""
    if settings.get("store") is MemoryStore:
        settings = {"store": object()}
    with pytest.raises(ConfigurationError) as caught:
        guard_class(**({"store": MemoryStore()} | settings))
    assert setting in caught.value.setting
    assert "xxxx" not in str(caught.value)


@pytest.mark.processes
def test_forked_child_goes_on(tmp_path: Path) -> None:
    """A guard used before a fork works in the child and in the parent, on the same sessions."""
    guard = SessionGuard(SQLiteStore(tmp_path / "sessions.db"), tmp_path / "work", sweep_interval=timedelta(hours=1))
    token = guard.create("ada").token

    def use(number: int) -> None:
        session = guard.load(token)
        assert session is not None
        guard.save(session, {"child": True})
        with guard.workspace(session) as files, guard.lock(session, "name"):
            files.write("child.txt", b"1")
        guard.close()

    in_children(1, use)
    session = guard.load(token)
    assert session is not None
    assert dict(session.data) == {"child": True}
    with guard.workspace(session) as files:
        assert files.list() == ["child.txt"]
    guard.close()
    guard._store.close()
