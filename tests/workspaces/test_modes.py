"""Permissions of everything we make."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionguard.workspaces import LocalWorkspaces
from tests.workspaces.conftest import UNLIMITED

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """A file mode creation mask of the process, for one test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_t55_only_the_owner_may_enter_whatever_the_umask(tmp_path: Path, session_id: str, umask: int) -> None:
    """Directories are 0700 and files 0600, from the root and what is made above it down to marks and trash."""
    root = tmp_path / "var" / "workspaces"
    workspaces = LocalWorkspaces(root)
    workspaces.open("deployment")
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a/b/c", b"1")
        with workspace.open("open", "wb") as file:
            file.write(b"1")
            workspaces.remove(session_id)
            found = {path: path.lstat().st_mode for path in (root.parent, *root.parent.rglob("*"))}

    assert len(found) == 14
    for path, mode in found.items():
        assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), path


def test_t55_an_existing_root_keeps_its_mode(root: Path, session_id: str) -> None:
    """A root that others may read, but not write, is left as its owner made it; what is below is private."""
    root.mkdir()
    root.chmod(0o755)
    workspaces = LocalWorkspaces(root)
    workspaces.open("deployment")

    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    assert [stat.S_IMODE(path.stat().st_mode) for path in root.iterdir()] == [0o700]
