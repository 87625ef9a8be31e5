"""The memory store keeps the contract."""

import pytest

from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import PER_PROCESS, StoreContract
from sessionguard.testing.contracts.candidate import MakeStore


class TestMemoryStore(StoreContract):
    """Every case, on sessions that live in one object of one process."""

    capabilities = PER_PROCESS

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """An empty store; another call would be another place."""
        return MemoryStore
