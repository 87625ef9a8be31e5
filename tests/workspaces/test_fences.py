"""T68: whoever lost a lock writes nothing more into a workspace that a later holder has entered."""

import pytest

from sessionguard.core.commands import Fence
from sessionguard.errors import LockLostError
from sessionguard.workspaces import LocalWorkspaces, Quota
from tests.workspaces.conftest import UNLIMITED


def test_t68_a_later_holder_ends_what_an_earlier_one_was_writing(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A file begun under a lower fence is discarded when it is closed; what was there before stays."""
    with workspaces.lease(session_id, UNLIMITED, Fence("door", 1)) as earlier:
        earlier.write("a", "first")
        unfinished = earlier.open("a", "w")
        unfinished.write("stale")
        with workspaces.lease(session_id, UNLIMITED, Fence("door", 2)) as later:
            with pytest.raises(LockLostError):
                unfinished.close()
            with pytest.raises(LockLostError):
                earlier.write("b", "stale")
            with pytest.raises(LockLostError):
                earlier.delete("a")
            assert later.list() == ["a"]
            assert later.read("a") == b"first"
            later.write("a", "second")
        assert earlier.read("a") == b"second", "reading is nobody's loss"


def test_t68_whoever_comes_with_a_lower_fence_is_not_let_in(workspaces: LocalWorkspaces, session_id: str) -> None:
    """An earlier holder that wakes up before it opened the workspace is refused at the door, and holds nothing."""
    workspaces.lease(session_id, UNLIMITED, Fence("door", 7)).close()
    with pytest.raises(LockLostError) as refused:
        workspaces.lease(session_id, UNLIMITED, Fence("door", 6))
    assert (refused.value.name, refused.value.fence) == ("door", 6)
    assert not workspaces.remove(session_id).deferred


def test_t68_the_workspace_knows_a_later_holder_when_he_opens_it(workspaces: LocalWorkspaces, session_id: str) -> None:
    """What an earlier holder writes before that is there when the later one comes, and is not changed afterwards."""
    with workspaces.lease(session_id, UNLIMITED, Fence("door", 1)) as earlier:
        earlier.write("a", "before he came")
        with workspaces.lease(session_id, UNLIMITED, Fence("door", 2)) as later:
            assert later.read("a") == b"before he came"
            with pytest.raises(LockLostError):
                earlier.write("a", "after")
            assert later.read("a") == b"before he came"


def test_other_locks_and_no_lock_are_not_in_the_way(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Fences are counted lock by lock, and a workspace leased without a lock is not fenced."""
    with (
        workspaces.lease(session_id, UNLIMITED, Fence("door", 7)) as door,
        workspaces.lease(session_id, UNLIMITED, Fence("window", 1)) as window,
        workspaces.lease(session_id, Quota(bytes=100, files=9)) as unfenced,
    ):
        for number, workspace in enumerate((door, window, unfenced, door)):
            workspace.write(f"{number}", "x")
        assert door.list() == ["0", "1", "2", "3"]
