"""A database path of its own for every test, stores that are closed at its end, and commands to ask them."""

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.stores.sqlite import SQLiteStore, versions
from sessionguard.testing.contracts.stage import Stage

# Children fork from a clean server that has imported what they need: quick, and free of the threads of the test run.
multiprocessing.get_context("forkserver").set_forkserver_preload(["pytest", "tests.stores.sqlite.workers"])

OpenStore = Callable[..., SQLiteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database of this test is, or will be."""
    return tmp_path / "sessions.db"


@pytest.fixture
def open_store(path: Path) -> Iterator[OpenStore]:
    """Open a store at `path`; it is closed when the test ends."""
    opened: list[SQLiteStore] = []

    def open_one(**options: Any) -> SQLiteStore:
        store = SQLiteStore(path, **options)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> SQLiteStore:
    """One store that has made its file."""
    store = open_store()
    store.identify(c.Identify())
    return store


@pytest.fixture
def stage() -> Stage:
    """Builds commands at one instant; any deployment id will do, for no token is parsed here."""
    return Stage("0" * 32)


@pytest.fixture(autouse=True)
def _as_if_nothing_was_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one log line a process is due again in every test."""
    monkeypatch.setattr(versions._warned, "_flag", False)
