"""The workspace of a session that the store has lost: out of reach, kept, and removed only long after."""

import os
import secrets
import shutil
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sessionguard.testing import ChildProcess
from sessionguard.workspaces import LocalWorkspaces
from tests.workspaces.conftest import UNLIMITED

STEPS = ("rename", "unlink", "rmdir", "fsync")


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


def test_what_lies_deeper_than_any_name_is_kept(workspaces: LocalWorkspaces, session_id: str, root: Path) -> None:
    """A file of another program is one, however deep; only what is empty is not kept."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        deep = workspace.path.joinpath(*["d"] * 70)
        deep.mkdir(parents=True)
        (deep / "plan").write_text("the only copy")
    assert workspaces.quarantine(session_id)
    workspaces.lease(session_id, UNLIMITED).close()
    assert not workspaces.quarantine(session_id)
    (kept,) = quarantined(root)
    assert kept.joinpath("files", *["d"] * 70, "plan").read_text() == "the only copy"


def die_at_step(line: Connection, workspaces: LocalWorkspaces, session_id: str, step: int) -> None:
    """Write two files together and crash before the given system call."""
    left = [step]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return real(*args, **kwargs)

        return call

    with workspaces.lease(session_id, UNLIMITED) as workspace:
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        workspace.write_all([("a/b", b"1"), ("c", b"2")])
        os._exit(0)


@pytest.mark.processes
def test_what_a_crash_kept_from_its_name_is_kept_in_quarantine(
    workspaces: LocalWorkspaces, root: Path, tmp_path: Path
) -> None:
    """At whatever call the writer dies: what the next lease would have found is in quarantine, and can be put back."""
    found = []
    for step in range(1, 60):
        session_id = secrets.token_hex(17)
        with ChildProcess(die_at_step, workspaces, session_id, step, start="fork") as writer:
            exit_code = writer.wait_for_end()
        shutil.copytree(root, tmp_path / "copy")
        copy = LocalWorkspaces(tmp_path / "copy")
        copy.open("deployment one")
        with copy.lease(session_id, UNLIMITED) as workspace:
            expected = workspace.list()
        (place,) = root.glob(f"*/*/{session_id}")

        is_kept = workspaces.quarantine(session_id)
        assert is_kept or not expected
        if expected:
            (kept,) = quarantined(root)
            kept.rename(place)
            with workspaces.lease(session_id, UNLIMITED) as workspace:
                assert workspace.list() == expected
                assert [workspace.read(name) for name in expected] == [b"1", b"2"]
        found.append(len(expected))
        shutil.rmtree(root)
        shutil.rmtree(tmp_path / "copy")
        if exit_code == 0:
            break

    assert exit_code == 0, "the writer never came to its end"
    assert step > 10
    assert set(found) == {0, 2}
