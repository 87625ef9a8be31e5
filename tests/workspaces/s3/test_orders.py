"""What is done before what: each order is the promise that somebody who comes in between finds all or nothing."""

import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from sessionguard.core import points
from sessionguard.errors import LeaseLostError
from sessionguard.testing import ChildProcess
from sessionguard.workspaces.s3 import S3Workspaces
from sessionguard.workspaces.s3.manifest import CLAIM_SECONDS
from sessionguard.workspaces.s3.settings import SMALLEST_PART
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents, Place
from tests.workspaces.s3.test_cleaning import Later, interrupted_at, later

__all__ = ["later"]

OLD, NEW, LARGE = b"old", b"new", b"l" * (SMALLEST_PART + 1)


@contextmanager
def before_each_request(act: Callable[[], None]) -> Iterator[list[str]]:
    """Do something before every request, but not before those it makes itself; gives the requests."""
    made: list[str] = []
    is_acting = False

    def hook(label: str, resource: Hashable, mode: str) -> None:
        nonlocal is_acting
        if not is_acting:
            made.append(label)
            is_acting = True
            try:
                act()
            finally:
                is_acting = False

    with points.installed(hook):
        yield made


@pytest.mark.parametrize("data", [NEW, LARGE], ids=["small", "parts"])
def test_whoever_reads_while_a_file_is_written_finds_one_whole(
    workspaces: S3Workspaces, place: Place, session_id: str, data: bytes
) -> None:
    """Before every request of one who replaces a file, or many, another machine reads the old file or the new."""
    seen: list[bytes] = []
    with workspaces.lease(session_id, UNLIMITED) as workspace, place().lease(session_id, UNLIMITED) as other:
        workspace.write("a", OLD)
        with before_each_request(lambda: seen.append(other.read("a"))) as made:
            workspace.write("a", data)
            workspace.write_all([("a", OLD), ("b", data)])
        assert len(made) >= 7
        assert set(seen) == {OLD, data}


def test_whoever_reads_while_a_workspace_is_removed_finds_all_or_nothing(
    workspaces: S3Workspaces, place: Place, session_id: str, contents: Contents
) -> None:
    """Before every request of a removal another machine reads every file, or is told that it is over."""
    seen: list[object] = []
    with workspaces.lease(session_id, UNLIMITED) as workspace, place().lease(session_id, UNLIMITED) as other:
        workspace.write_all([("a", OLD), ("b", NEW)])

        def look() -> None:
            try:
                seen.append([other.read(name) for name in other.list()])
            except LeaseLostError:
                seen.append("over")

        with before_each_request(look):
            workspaces.remove(session_id)
    assert [OLD, NEW] in seen
    assert seen[seen.index("over") :].count("over") == len(seen) - seen.index("over") >= 3
    assert contents.keys() == []


def test_a_removal_that_began_lets_nobody_in(workspaces: S3Workspaces, session_id: str, contents: Contents) -> None:
    """Interrupted after its first change, neither those who hold it nor those who come can use it, until it is done."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", OLD)
        unfinished = workspace.open("b", "wb")
        with interrupted_at(4), pytest.raises(ZeroDivisionError):
            workspaces.remove(session_id)
        assert len(contents.keys(session_id)) == 2
        for call in (
            lambda: workspaces.lease(session_id, UNLIMITED),
            lambda: workspace.read("a"),
            lambda: workspace.write("a", NEW),
            unfinished.close,
        ):
            with pytest.raises(LeaseLostError, match="being removed"):
                call()
    workspaces.remove(session_id)
    assert contents.keys(session_id) == []


def test_what_was_condemned_goes_only_when_all_can_see_it(
    workspaces: S3Workspaces, place: Place, session_id: str, later: Later
) -> None:
    """A late writer who publishes just before his content is condemned has it; nobody removes it on the way there."""
    now = [1e9]
    writer = place(clock=lambda: now[0])
    with writer.lease(session_id, UNLIMITED) as workspace:
        file = workspace.open("a", "wb")
        file.write(NEW)
        uploading = file._uploading  # type: ignore[attr-defined]
        uploading.finish()
        uploading.finish = lambda: None
        now[0] += CLAIM_SECONDS + 1
        later(timedelta(hours=25))
        has_published: list[bool] = []

        def publish(label: str, resource: Hashable, mode: str) -> None:
            if label == "swap" and not has_published:
                has_published.append(True)
                file.close()

        with points.installed(publish):
            workspaces.candidates(10)
        assert has_published
        assert workspace.read("a") == NEW


def ask(line: object, workspaces: S3Workspaces, clients: list[object], session_id: str) -> None:
    """Write and read a file, by a client that the parent does not have."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("child", NEW)
        assert workspace.read("child") == NEW
    assert workspaces._bucket._client not in clients
    os._exit(0)


@pytest.mark.processes
def test_a_forked_child_has_connections_of_its_own(workspaces: S3Workspaces, session_id: str) -> None:
    """Nothing that a child asks goes over a connection of its parent, where their replies would be mixed up."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("parent", OLD)
        clients = [workspaces._bucket._client]
        with ChildProcess(ask, workspaces, clients, session_id, start="fork") as child:
            assert child.wait_for_end() == 0
        assert workspace.list() == ["child", "parent"]
        assert workspaces._bucket._client in clients
