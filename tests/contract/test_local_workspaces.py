"""Workspaces on the local disk keep the contract of places for files."""

from functools import partial
from pathlib import Path

import pytest

from sessionguard.testing import WorkspaceContract
from sessionguard.testing.contracts.places.site import MakeWorkspaces
from sessionguard.workspaces import LocalWorkspaces


class TestLocalWorkspaces(WorkspaceContract):
    """Every case, in threads, forks and processes."""

    @pytest.fixture
    def make_workspaces(self, tmp_path: Path) -> MakeWorkspaces:
        """Workspaces below one folder."""
        return partial(LocalWorkspaces, tmp_path / "workspaces")
