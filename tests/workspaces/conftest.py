"""Workspaces in a temporary root, and sessions to own them."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, Quota
from sessionguard.workspaces.local import beneath

UNLIMITED = Quota(bytes=None, files=None)


@pytest.fixture(params=["openat2", "walk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How names are resolved: by the kernel in one call, or component by component, as where that call is missing."""
    if request.param == "walk":
        monkeypatch.setattr(beneath, "kernel_call", lambda: None)
    elif beneath.kernel_call() is None:
        pytest.skip("this kernel has no openat2, or a filter forbids it")
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A place for a root that does not exist yet."""
    return tmp_path / "workspaces"


@pytest.fixture
def workspaces(root: Path) -> LocalWorkspaces:
    """Open workspaces of one deployment."""
    opened = LocalWorkspaces(root)
    opened.open("deployment one")
    return opened


@pytest.fixture
def session_id() -> str:
    """A session_id never seen before."""
    return secrets.token_hex(17)


@pytest.fixture
def workspace(workspaces: LocalWorkspaces, session_id: str) -> Iterator[LocalWorkspace]:
    """A leased workspace without limits."""
    with workspaces.lease(session_id, UNLIMITED) as leased:
        yield leased


@pytest.fixture
def outside(tmp_path: Path) -> Callable[[str], Path]:
    """Make a file outside of every workspace and give its path."""
    folder = tmp_path / "outside"
    folder.mkdir()

    def make(content: str) -> Path:
        path = folder / secrets.token_hex(4)
        path.write_text(content)
        return path

    return make
