"""Guards for the tests: on memory and on SQLite, blocking and async, all behind the same blocking calls."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from sessionguard import AsyncSessionGuard, SessionGuard, SessionPolicy
from sessionguard.core.events import Event
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing.machines.awaited import Awaited
from tests.guard.clock import Clock
from tests.guard.watching import WatchedStore

POLICY = SessionPolicy(idle_timeout=timedelta(minutes=20), absolute_timeout=timedelta(hours=2))

OpenGuard = Callable[..., SessionGuard]


@pytest.fixture
def clock() -> Clock:
    """The time of the test."""
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WatchedStore]:
    """The one store of the test."""
    opened = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "sessions.db")
    yield WatchedStore(opened)
    opened.close()


@pytest.fixture(params=["blocking", "async"])
def open_guard(request: pytest.FixtureRequest, store: WatchedStore, clock: Clock) -> Iterator[OpenGuard]:
    """Opens guards over the store of the test, with its clock and without a background sweep unless told otherwise."""
    opened: list[SessionGuard] = []
    with asyncio.Runner() as runner:

        def open_guard(**options: Any) -> SessionGuard:
            settings: dict[str, Any] = {"policy": POLICY, "clock": clock, "sweep_interval": None} | options
            if request.param == "blocking":
                guard = SessionGuard(cast(Any, store), **settings)
            else:
                guard = cast(SessionGuard, Awaited(AsyncSessionGuard(cast(Any, store), **settings), runner))
            opened.append(guard)
            return guard

        yield open_guard
        for guard in opened:
            guard.close()


@pytest.fixture
def guard(open_guard: OpenGuard) -> SessionGuard:
    """A guard without workspaces."""
    return open_guard()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where workspaces are."""
    return tmp_path / "work"


@pytest.fixture
def filing_guard(open_guard: OpenGuard, work: Path) -> SessionGuard:
    """A guard with workspaces."""
    return open_guard(workspaces=work)


@pytest.fixture
def heard(guard: SessionGuard) -> list[Event]:
    """The events of `guard`, as they come."""
    events: list[Event] = []
    guard.subscribe(events.append)
    return events
