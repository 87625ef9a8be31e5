"""The SQLite store keeps the contract."""

from functools import partial
from pathlib import Path

import pytest

from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import StoreContract
from sessionguard.testing.contracts.candidate import MakeStore


class TestSQLiteStore(StoreContract):
    """Every case, with every ability, in threads, tasks and processes."""

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        """Connections to one new database file."""
        return partial(SQLiteStore, tmp_path / "sessions.db")
