"""The workspace of a session that the store has lost: out of reach, kept, and removed only long after."""

import os
import secrets
import time
from pathlib import Path

from sessionguard.workspaces import LocalWorkspaces
from tests.workspaces.conftest import UNLIMITED


def quarantined(root: Path) -> list[Path]:
    """Give what lies in quarantine."""
    return sorted(root.glob("*/.quarantine/*"))


def test_a_quarantined_workspace_is_kept_whole_and_never_given_out(
    workspaces: LocalWorkspaces, session_id: str, root: Path
) -> None:
    """Its files lie apart as they were; the same id would begin empty."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("plan", "the only copy")
    assert workspaces.quarantine(session_id)
    (kept,) = quarantined(root)
    assert (kept / "files" / "plan").read_text() == "the only copy"
    assert kept.name.startswith(session_id)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert workspace.list() == []
    assert not workspaces.quarantine("0" * 34), "there is none"


def test_quarantine_is_emptied_after_thirty_days(workspaces: LocalWorkspaces, root: Path) -> None:
    """A pass of the clean-up leaves the young ones, however many, and removes the old ones."""
    for _ in range(6):
        another = secrets.token_hex(17)
        with workspaces.lease(another, UNLIMITED) as workspace:
            workspace.write("a", "1")
        workspaces.quarantine(another)
    workspaces.candidates(10)
    old, *young = quarantined(root)
    assert len(young) == 5
    long_ago = time.time() - 31 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    workspaces.candidates(1)
    workspaces.candidates(1)
    assert quarantined(root) == young
    assert list(root.glob("*/.trash/*")) == []
