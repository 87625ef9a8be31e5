"""The file store keeps the contract."""

from functools import partial
from pathlib import Path

import pytest

from sessionguard.stores.file import FileStore
from sessionguard.testing import StoreContract
from sessionguard.testing.contracts.candidate import MakeStore


class TestFileStore(StoreContract):
    """Every case, with every ability, in threads, tasks and processes."""

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        """Connections to one new folder."""
        return partial(FileStore, tmp_path / "sessions")
