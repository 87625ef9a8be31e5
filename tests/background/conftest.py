"""What the processes of a fleet have together in these tests."""

import pytest

from sessionguard.stores.memory import MemoryStore
from tests.guard.clock import Clock
from tests.guard.watching import WatchedStore


@pytest.fixture
def clock() -> Clock:
    """The time of the test."""
    return Clock()


@pytest.fixture
def store() -> WatchedStore:
    """The one store of the fleet."""
    return WatchedStore(MemoryStore())
