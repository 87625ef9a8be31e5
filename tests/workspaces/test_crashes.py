"""Killed writers: the old file or the new one, at every step and at any moment."""

import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest

from sessionguard.testing import DEEP, ChildProcess, Profile
from sessionguard.workspaces import LocalWorkspaces, Quota, Usage
from tests.workspaces.conftest import UNLIMITED

pytestmark = pytest.mark.usefixtures("way")

OLD, NEW = b"old" * 50, b"new content" * 50
STEPS = ("open", "pwrite", "fsync", "rename", "unlink", "ftruncate", "fchmod", "mkdir", "close", "stat", "fstat")


def die_at_step(line: Connection, workspaces: LocalWorkspaces, session_id: str, step: int, after: bool) -> None:
    """Replace a file, piece by piece, and crash before or after the given system call."""
    left = [step]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and not after:
                os._exit(9)
            try:
                return real(*args, **kwargs)
            finally:
                # Also where it fails, as the search for a name that is free does.
                if left[0] == 0:
                    os._exit(9)

        return call

    with workspaces.lease(session_id, UNLIMITED) as workspace:
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        workspace.write("a/b", iter([NEW[:100], NEW[100:]]))
        os._exit(0)


@pytest.mark.processes
def test_t54_a_crash_at_any_system_call_leaves_the_old_file_or_the_new(
    workspaces: LocalWorkspaces, session_id: str, sg_profile: Profile
) -> None:
    """At whatever call a writer dies, a reader finds one whole version, and the next write cleans up and fits."""
    # Room for both versions and no more: a claim of the dead that were still counted would be in the way.
    quota = Quota(bytes=len(OLD) + len(NEW), files=1)
    seen = set()
    # An odd stride, so that it is struck before a call and after one in turn.
    for step in range(1, 400, 1 if sg_profile is DEEP else 3):
        with workspaces.lease(session_id, quota) as workspace:
            workspace.write("a/b", OLD)
            assert os.listdir(workspace.path.parent / "private") == ["ledger"]
            with ChildProcess(die_at_step, workspaces, session_id, step, step % 2 == 0, start="fork") as writer:
                exit_code = writer.wait_for_end()
            seen.add(workspace.read("a/b"))
            assert workspace.list() == ["a/b"]
        if exit_code == 0:
            break

    assert exit_code == 0, "the writer never came to its end"
    assert step > 30
    assert seen == {OLD, NEW}
    with workspaces.lease(session_id, quota) as workspace:
        assert workspace.usage() == Usage(len(NEW), 1)


def write_for_ever(line: Connection, workspaces: LocalWorkspaces, session_id: str) -> None:
    """Replace one file by ever new whole contents, and say what was acknowledged."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        number = 0
        while True:
            number += 1
            workspace.write("a", (b"%06d" % number) * 20_000)
            line.send(number)


@pytest.mark.processes
def test_t54_killed_at_any_moment_a_writer_loses_nothing_acknowledged(
    workspaces: LocalWorkspaces, session_id: str
) -> None:
    """After kill -9 the file is whole and at least as new as the last acknowledged version."""
    with workspaces.lease(session_id, Quota(bytes=400_000, files=1)) as workspace:
        for round_ in range(10):
            with ChildProcess(write_for_ever, workspaces, session_id, start="fork") as writer:
                for _ in range(round_ % 4 + 1):
                    acknowledged = writer.hear()
                writer.kill()
            content = workspace.read("a")
            assert len(content) == 120_000
            assert content == content[:6] * 20_000
            assert int(content[:6]) >= acknowledged
            workspace.write("a", b"0" * 120_000)

        assert os.listdir(workspace.path.parent / "private") == ["ledger"]
