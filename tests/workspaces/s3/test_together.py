"""Many files that appear at one instant, and archives of a workspace in a bucket."""

import io
import os
import signal
import threading
from collections.abc import Hashable, Iterable
from multiprocessing.connection import Connection

import pytest

from sessionguard.core import points
from sessionguard.errors import ArchiveRefusedError, LeaseLostError, PathEscapeError, QuotaExceededError
from sessionguard.testing import ChildProcess
from sessionguard.workspaces import Quota, Usage
from sessionguard.workspaces.s3 import S3Workspace, S3Workspaces
from sessionguard.workspaces.s3.manifest import CLAIM_SECONDS
from sessionguard.workspaces.s3.settings import SMALLEST_PART
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents, Place

FILES: list[tuple[str, bytes | str | Iterable[bytes]]] = [
    ("a", b"1"),
    ("b/c", "zwei"),
    ("large", [bytes(SMALLEST_PART), b"3"]),
]


def test_all_appear_at_once(workspace: S3Workspace) -> None:
    """A reader who looks all the time sees none or all."""
    seen, is_over = set(), threading.Event()

    def look() -> None:
        while not is_over.is_set():
            seen.add(tuple(workspace.list()))

    reader = threading.Thread(target=look)
    reader.start()
    assert workspace.write_all(FILES) == ["a", "b/c", "large"]
    is_over.set()
    reader.join()
    assert seen <= {(), ("a", "b/c", "large")}
    assert workspace.usage() == Usage(1 + 4 + SMALLEST_PART + 1, 3)
    assert workspace.read("b/c") == b"zwei"


def test_none_appears_when_one_fails(workspaces: S3Workspaces, session_id: str, contents: Contents) -> None:
    """A name that is refused, a source that fails, a quota that is used up: nothing of the others is left."""
    with workspaces.lease(session_id, Quota(bytes=100, files=3)) as workspace:
        workspace.write("old", b"old")
        for files, error in [
            ([("a", b"1"), ("A", b"2")], PathEscapeError),
            ([("a", b"1"), ("old/a", b"2")], PathEscapeError),
            ([("a", b"1"), ("b", (1 / 0 for _ in "x"))], ZeroDivisionError),
            ([("a", b"1"), ("b", b"x" * 100)], QuotaExceededError),
            ([("a", b"1"), ("b", b"2"), ("c", b"3")], QuotaExceededError),
        ]:
            with pytest.raises(error):
                workspace.write_all(files)  # type: ignore[arg-type]
            assert workspace.list() == ["old"]
            assert len(contents.keys(session_id)) == 2
        with pytest.raises(FileExistsError):
            workspace.write_all([("a", b"1"), ("old", b"2")], replace=False)
        with pytest.raises(QuotaExceededError):
            workspace.write_all([("a", b"1")], expected=Usage(98, 1))
        assert workspace.write_all([("a", b"1" * 48), ("b", b"2" * 49)], expected=Usage(97, 2)) == ["a", "b"]
        assert workspace.read("old") == b"old"


def test_a_removal_meanwhile_lets_none_appear(workspaces: S3Workspaces, session_id: str, contents: Contents) -> None:
    """Whoever removes the workspace while files are gathered has the last word."""

    def files() -> object:
        yield "a", b"1"
        workspaces.remove(session_id)
        yield "b", b"2"

    with workspaces.lease(session_id, UNLIMITED) as workspace, pytest.raises(LeaseLostError):
        workspace.write_all(files())  # type: ignore[arg-type]
    assert contents.keys() == []


def test_an_archive_goes_out_and_comes_in(workspaces: S3Workspaces, session_id: str, workspace: S3Workspace) -> None:
    """What `export_zip` wrote, `import_zip` gives to another workspace; a broken one leaves nothing."""
    workspace.write_all([("a", b"1"), ("b/c", b"2" * 100_000)])
    archive = io.BytesIO()
    workspace.export_zip(archive)
    with workspaces.lease(session_id[::-1], UNLIMITED) as other:
        assert other.import_zip(archive, into="in") == ["in/a", "in/b/c"]
        assert other.read("in/b/c") == b"2" * 100_000
        with pytest.raises(FileExistsError):
            other.import_zip(archive, into="in")
        broken = bytearray(archive.getvalue())
        broken[31] ^= 0xFF
        with pytest.raises(ArchiveRefusedError):
            other.import_zip(io.BytesIO(archive.getvalue()[:-30]), into="broken")
        assert other.list() == ["in/a", "in/b/c"]


def die_while_gathering(line: Connection, workspaces: S3Workspaces, session_id: str, number: int) -> None:
    """Be killed before the request of that number."""
    left = [number]

    def hook(label: str, resource: Hashable, mode: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with workspaces.lease(session_id, UNLIMITED) as workspace, points.installed(hook):
        workspace.write_all([("a", b"new"), ("b", b"new")])
    os._exit(0)


@pytest.mark.processes
def test_killed_at_any_request_all_appear_or_none(place: Place, session_id: str) -> None:
    """There is no moment at which a crash shows one of two files without the other."""
    now = [1e9]
    workspaces = place(clock=lambda: now[0])
    seen = set()
    for number in range(1, 12):
        with workspaces.lease(session_id, Quota(bytes=12, files=2)) as workspace:
            workspace.write_all([("a", b"old"), ("b", b"old")])
            with ChildProcess(die_while_gathering, workspaces, session_id, number, start="fork") as writer:
                exit_code = writer.wait_for_end()
            seen.add((workspace.read("a"), workspace.read("b")))
            now[0] += 2 * CLAIM_SECONDS
        if exit_code == 0:
            break
    assert exit_code == 0
    assert number > 4
    assert seen == {(b"old", b"old"), (b"new", b"new")}
