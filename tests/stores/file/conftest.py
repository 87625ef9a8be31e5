"""A folder of its own for every test, stores that are closed at its end, and commands to ask them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.stores.file import FileStore
from sessionguard.testing.contracts.stage import Stage

OpenStore = Callable[..., FileStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the folder of this test is, or will be."""
    return tmp_path / "sessions"


@pytest.fixture
def open_store(path: Path) -> Iterator[OpenStore]:
    """Open a store at `path`; it is closed when the test ends."""
    opened: list[FileStore] = []

    def open_one(at: Path = path, **options: Any) -> FileStore:
        store = FileStore(at, **options)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> FileStore:
    """One store that has made its folder."""
    store = open_store()
    store.identify(c.Identify())
    return store


@pytest.fixture
def stage(store: FileStore) -> Stage:
    """Builds commands at one instant, about sessions whose ids begin with the shards of their owners."""
    return Stage(store.identify(c.Identify()))
