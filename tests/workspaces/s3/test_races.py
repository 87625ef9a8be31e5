"""Two who write at the same time, and writers that die: the manifest decides, and it is whole."""

import os
import signal
from collections.abc import Callable, Hashable
from multiprocessing.connection import Connection

import pytest

from sessionguard.core import points
from sessionguard.testing import ChildProcess
from sessionguard.workspaces import Quota, Usage
from sessionguard.workspaces.s3 import S3Workspaces
from sessionguard.workspaces.s3.manifest import CLAIM_SECONDS
from sessionguard.workspaces.s3.settings import SMALLEST_PART
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents, Place

OLD, NEW, LARGE = b"old" * 50, b"new content" * 50, b"l" * (SMALLEST_PART + 7)


def write_all(line: Connection, workspaces: S3Workspaces, session_id: str, names: list[str], mark: bytes) -> None:
    """Write files one after the other, when told to."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        line.send("ready")
        line.recv()
        for number, name in enumerate(names):
            workspace.write(name, mark * (number + 1))
    line.send("done")


def both(workspaces: S3Workspaces, session_id: str, first: list[str], second: list[str]) -> None:
    """Have two processes write at once."""
    with (
        ChildProcess(write_all, workspaces, session_id, first, b"A", start="fork") as one,
        ChildProcess(write_all, workspaces, session_id, second, b"B", start="fork") as other,
    ):
        for message in ("ready", "done"):
            for child in (one, other):
                assert child.hear() == message
            if message == "ready":
                one.tell("go")
                other.tell("go")


@pytest.mark.processes
def test_two_processes_write_different_names(workspaces: S3Workspaces, session_id: str) -> None:
    """Not one file is lost, however their manifests collide."""
    first, second = [f"a{number}" for number in range(10)], [f"b{number}" for number in range(10)]
    both(workspaces, session_id, first, second)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert workspace.list() == sorted(first + second)
        assert workspace.usage() == Usage(2 * sum(range(1, 11)), 20)


@pytest.mark.processes
def test_two_processes_write_one_name(workspaces: S3Workspaces, session_id: str) -> None:
    """The file is one of theirs, whole, and counted once."""
    both(workspaces, session_id, ["a"] * 10, ["a"] * 10)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        found = workspace.read("a")
        assert found in (b"A" * 10, b"B" * 10)
        assert workspace.usage() == Usage(10, 1)


def die_at_request(
    line: Connection, workspaces: S3Workspaces, session_id: str, number: int, act: Callable[[S3Workspaces, str], None]
) -> None:
    """Be killed before the request of that number."""
    left = [number]

    def hook(label: str, resource: Hashable, mode: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with points.installed(hook):
        act(workspaces, session_id)
    os._exit(0)


def replace(workspaces: S3Workspaces, session_id: str) -> None:
    """Replace a file by a small one and another by one in parts."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", NEW)
        workspace.write("b", LARGE)


def remove(workspaces: S3Workspaces, session_id: str) -> None:
    """Remove the workspace."""
    workspaces.remove(session_id)


@pytest.mark.processes
def test_a_writer_killed_at_any_request_leaves_the_old_file_or_the_new(place: Place, session_id: str) -> None:
    """A reader finds one whole version of each; when the claims of the dead have lapsed, all of the quota is there."""
    hours = [0.0]
    workspaces = place(clock=lambda: 1e9 + hours[0] * 3600)
    quota = Quota(bytes=2 * len(LARGE) + 2 * len(NEW), files=2)
    seen: set[bytes] = set()
    for number in range(1, 30):
        with workspaces.lease(session_id, quota) as workspace:
            workspace.write("a", OLD)
            workspace.write("b", OLD)
            with ChildProcess(die_at_request, workspaces, session_id, number, replace, start="fork") as writer:
                exit_code = writer.wait_for_end()
            found = {name: workspace.read(name) for name in workspace.list()}
            assert found.keys() == {"a", "b"}
            assert found["a"] in (OLD, NEW)
            assert found["b"] in (OLD, LARGE)
            seen.update(found.values())
            hours[0] += 2 * CLAIM_SECONDS / 3600
        if exit_code == 0:
            break
    assert exit_code == 0
    assert number > 9
    assert seen == {OLD, NEW, LARGE}


@pytest.mark.processes
def test_a_removal_killed_at_any_request_is_finished_by_the_next(workspaces: S3Workspaces, session_id: str) -> None:
    """Until then nobody sees half of it: all files, or nothing that could be leased; after it no object is left."""
    for number in range(1, 30):
        with workspaces.lease(session_id, UNLIMITED) as workspace:
            workspace.write("a", OLD)
            workspace.write("b", OLD)
        with ChildProcess(die_at_request, workspaces, session_id, number, remove, start="fork") as child:
            exit_code = child.wait_for_end()
        assert workspaces.candidates(1000) in ([session_id], [])
        workspaces.remove(session_id)
        assert Contents(workspaces).keys() == []
        if exit_code == 0:
            break
    assert exit_code == 0
    assert number > 4
