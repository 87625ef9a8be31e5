"""Quotas and fences, judged where the manifest is replaced."""

import threading

import pytest

from sessionguard.core.commands import Fence
from sessionguard.errors import LockLostError, QuotaExceededError, WorkspaceError
from sessionguard.workspaces import Quota, Usage
from sessionguard.workspaces.s3 import S3Workspaces
from sessionguard.workspaces.s3.manifest import CLAIM_SECONDS
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents, Place

MEGABYTE = 1_000_000


def test_what_does_not_fit_is_refused_while_it_arrives(workspaces: S3Workspaces, session_id: str) -> None:
    """A file is refused when its bytes pass the quota, before it is closed; the old one stays, all is free again."""
    with workspaces.lease(session_id, Quota(bytes=10 * MEGABYTE, files=2)) as workspace:
        workspace.write("a", b"a" * MEGABYTE)
        with workspace.open("b", "wb") as file:
            file.write(b"b" * 8 * MEGABYTE)
            with pytest.raises(QuotaExceededError) as refused:
                file.write(b"b" * 2 * MEGABYTE)
        assert (refused.value.limit, refused.value.unit) == (10 * MEGABYTE, "bytes")
        assert workspace.list() == ["a"]
        workspace.write("b", b"b" * 9 * MEGABYTE)
        assert workspace.usage() == Usage(10 * MEGABYTE, 2)


def test_files_are_counted_from_their_opening(workspaces: S3Workspaces, session_id: str) -> None:
    """An open file takes its place among the files; one that replaces another takes none."""
    with workspaces.lease(session_id, Quota(bytes=None, files=2)) as workspace:
        workspace.write("a", b"1")
        with workspace.open("b", "wb"):
            workspace.write("a", b"2")
            with pytest.raises(QuotaExceededError) as refused:
                workspace.open("c", "wb")
        assert refused.value.unit == "files"
        assert workspace.list() == ["a", "b"]


def test_writers_in_many_processes_share_one_quota(place: Place, session_id: str, contents: Contents) -> None:
    """Eight write at once into room for five: five succeed, three are refused, nothing else is left in the bucket."""
    refused = []

    def write(number: int) -> None:
        with place().lease(session_id, Quota(bytes=5000, files=None)) as workspace:
            try:
                workspace.write(f"f{number}", b"x" * 1000)
            except QuotaExceededError:
                refused.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    with place().lease(session_id, UNLIMITED) as workspace:
        assert workspace.usage() == Usage(5000, 5)
        assert len(refused) == 3
        assert len(contents.keys(session_id)) == 6


def test_a_dead_writers_claim_lapses_and_a_late_one_must_fit_again(place: Place, session_id: str) -> None:
    """What a silent writer reserved is free after five minutes; coming back, it is judged anew, and may fit."""
    now = [1e9]
    with place(clock=lambda: now[0]).lease(session_id, Quota(bytes=100, files=None)) as workspace:
        late = workspace.open("late", "wb")
        late.write(b"x" * 60)
        with pytest.raises(QuotaExceededError):
            workspace.write("a", b"x" * 50)
        now[0] += CLAIM_SECONDS + 1
        workspace.write("a", b"x" * 50)
        with pytest.raises(QuotaExceededError):
            late.close()
        later = workspace.open("later", "wb")
        later.write(b"x" * 50)
        now[0] += CLAIM_SECONDS + 1
        workspace.delete("nothing")
        later.close()
        assert workspace.list() == ["a", "later"]


def test_a_lower_fence_is_refused_from_the_moment_a_higher_one_is_shown(
    workspaces: S3Workspaces, session_id: str, contents: Contents
) -> None:
    """Who held the lock before publishes and deletes nothing more, even what he began before."""
    with workspaces.lease(session_id, UNLIMITED, Fence("lock", 1)) as former:
        former.write("a", b"former")
        unfinished = former.open("a", "wb")
        unfinished.write(b"late")
        with workspaces.lease(session_id, UNLIMITED, Fence("lock", 2)) as latter:
            with pytest.raises(LockLostError):
                unfinished.close()
            with pytest.raises(LockLostError):
                former.delete("a")
            with pytest.raises(LockLostError):
                workspaces.lease(session_id, UNLIMITED, Fence("lock", 1))
            latter.write("b", b"latter")
            assert latter.read("a") == b"former"
    assert len(contents.keys(session_id)) == 3


def test_a_manifest_that_cannot_be_read_is_told_and_left(
    workspaces: S3Workspaces, session_id: str, contents: Contents
) -> None:
    """A damaged manifest is an error that says so; it is neither guessed nor replaced, and the session can be ended."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
    contents.bucket.put(contents.layout.manifest(session_id), b"{}")
    with pytest.raises(WorkspaceError, match="manifest cannot be read"):
        workspaces.lease(session_id, UNLIMITED)
    workspaces.remove(session_id)
    assert contents.keys() == []


def test_nobody_is_refused_by_what_was_true_a_while_ago(workspaces: S3Workspaces, session_id: str) -> None:
    """What another process deleted since is free at once, and a name that it took since is taken."""
    quota = Quota(bytes=100, files=None)
    with workspaces.lease(session_id, quota) as one, workspaces.lease(session_id, quota) as other:
        one.write("a", b"x" * 100)
        assert other.delete("a")
        one.write("b", b"x" * 100)
        assert other.delete("b")
        other.write("c", b"x")
        with pytest.raises(FileExistsError):
            one.open("c", "xb")
