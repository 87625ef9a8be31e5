"""T61: a full or read-only disk, too many open files: clean errors, what was there stays, all can be removed."""

import errno
import os
import resource
import secrets
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

import pytest

from sessionguard import SessionGuard
from sessionguard.core.commands import Fence
from sessionguard.errors import LockLostError
from sessionguard.testing import ChildProcess, small_disk
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, OwnerQuota, Quota, Removal, Usage

pytestmark = pytest.mark.usefixtures("way")

OLD = b"old" * 1000
OWNED = Quota(owner=OwnerQuota("a" * 32, bytes=10**9))


@pytest.fixture
def full() -> Iterator[tuple[LocalWorkspaces, str]]:
    """Workspaces on a disk without a free byte, one of which holds a file of old."""
    try:
        with small_disk(1024 * 1024, "mount") as disk:
            workspaces = LocalWorkspaces(disk.path / "workspaces")
            workspaces.open("deployment")
            session_id = secrets.token_hex(17)
            with workspaces.lease(session_id, OWNED) as workspace:
                workspace.write("a/old", OLD)
            fill(disk.path / "ballast")
            yield workspaces, session_id
    except PermissionError:
        pytest.skip("only root can make a small file system")


def fill(path: Path) -> None:
    """Use up all that is free."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            with pytest.raises(OSError, match="No space left on device"):
                write_for_ever(file, b"x" * size)


def write_for_ever(file: IO[bytes], piece: bytes) -> None:
    """Write until that raises."""
    while True:
        file.write(piece)


def private_of(workspace: LocalWorkspace) -> list[str]:
    """Give what is beside the files."""
    return os.listdir(workspace.path.parent / "private")


@pytest.mark.parametrize("size", [10, 100_000, 5_000_000])
def test_t61_a_full_disk_keeps_the_old_and_can_be_cleared(full: tuple[LocalWorkspaces, str], size: int) -> None:
    """A write that does not fit says so and leaves nothing; reading, counting, deleting and removing go on."""
    workspaces, session_id = full
    with workspaces.lease(session_id, OWNED) as workspace:
        for name in ("a/old", "new", "b/c/new"):
            with pytest.raises(OSError, match="No space left on device"):
                workspace.write(name, b"n" * size)
        assert workspace.read("a/old") == OLD
        assert workspace.list() == ["a/old"]
        assert workspace.usage() == Usage(len(OLD), 1)
        assert private_of(workspace) == ["ledger"]

        assert workspace.delete("a/old")
        workspace.write("a/small", b"n")
        assert workspaces.remove(session_id).deferred
    assert workspaces.candidates(10) == []
    assert workspaces.remove(session_id) == Removal(0, 0, deferred=False)


def test_t61_on_a_full_disk_a_session_ends_with_its_files(full: tuple[LocalWorkspaces, str]) -> None:
    """Removal needs no room."""
    workspaces, session_id = full
    assert workspaces.remove(session_id) == Removal(1, len(OLD), deferred=False)


def test_t61_t68_a_full_disk_forgets_no_fence(full: tuple[LocalWorkspaces, str]) -> None:
    """A ledger that has no room to grow stays as it was: who lost a lock writes nothing, also when there is room."""
    workspaces, session_id = full
    ballast = Path(workspaces.root).parent / "ballast"
    ballast.unlink()
    with (
        workspaces.lease(session_id, OWNED, Fence("mine", 1)) as stale,
        workspaces.lease(session_id, OWNED, Fence("mine", 2)) as holder,
    ):
        fill(ballast)
        with pytest.raises(OSError, match="No space left"):
            use_many_locks(workspaces, session_id)
        ballast.unlink()
        with pytest.raises(LockLostError):
            stale.write("a/old", b"stale")
        holder.write("a/old", b"new")
        assert holder.read("a/old") == b"new"


def use_many_locks(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Have ever more fences kept."""
    for number in range(40):
        workspaces.lease(session_id, OWNED, Fence(f"{number:03}" + "k" * 120, 1)).close()


def test_t61_a_disk_that_fills_up_while_a_file_is_written(tmp_path: Path) -> None:
    """The file that was being written is gone, the former one and its session are there, and the session ends."""
    try:
        with (
            small_disk(1024 * 1024, "mount") as disk,
            SessionGuard.open(f"sqlite:///{tmp_path}/s.db", workspaces=disk.path / "w", sweep_interval=None) as guard,
        ):
            session = guard.create("ana")
            with guard.workspace(session) as workspace:
                workspace.write("a", OLD)
                with pytest.raises(OSError, match="No space"), workspace.open("a", "wb") as file:
                    write_for_ever(file, b"x" * 50_000)
                assert workspace.read("a") == OLD
                workspace.write("b", b"x" * 500_000)
            ended = guard.end(session)
            assert ended is not None
            assert ended.removed is not None
            assert (ended.removed.files, ended.removed.bytes) == (2, len(OLD) + 500_000)
    except PermissionError:
        pytest.skip("only root can make a small file system")


def test_t61_a_file_that_may_not_grow(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A limit of the system on the size of files is told as what it is, and leaves the old file."""
    with (
        workspaces.lease(session_id, OWNED) as workspace,
        ChildProcess(write_beyond_a_limit, workspaces, session_id, start="fork") as child,
    ):
        assert child.finish() == errno.EFBIG
        assert workspace.read("a") == OLD
        assert private_of(workspace) == ["ledger"]


def write_beyond_a_limit(line: Connection, workspaces: LocalWorkspaces, session_id: str) -> int | None:
    """Replace a file by one that is too large for this process."""
    with workspaces.lease(session_id, OWNED) as workspace:
        workspace.write("a", OLD)
        with small_disk(50_000, "limit"):
            try:
                workspace.write("a", b"x" * 60_000)
            except OSError as error:
                return error.errno
    return None


def test_t61_a_disk_that_is_mounted_read_only(full: tuple[LocalWorkspaces, str]) -> None:
    """Files can be read; whatever would change something says why it does not; later all is as before."""
    workspaces, session_id = full
    (Path(workspaces.root).parent / "ballast").unlink()
    remount(workspaces, "ro")
    try:
        with workspaces.lease(session_id, OWNED) as workspace:
            assert workspace.read("a/old") == OLD
            assert workspace.list() == ["a/old"]
            changes: list[Callable[[], object]] = [
                lambda: workspace.write("a/old", b"new"),
                lambda: workspace.write("b", b"new"),
                lambda: workspace.delete("a/old"),
            ]
            for change in changes:
                with pytest.raises(OSError, match="Read-only file system"):
                    change()
        with pytest.raises(OSError, match="Read-only file system"):
            workspaces.remove(session_id)
    finally:
        remount(workspaces, "rw")
    with workspaces.lease(session_id, OWNED) as workspace:
        workspace.write("a/old", b"new")
    assert workspaces.remove(session_id) == Removal(1, 3, deferred=False)


def remount(workspaces: LocalWorkspaces, mode: str) -> None:
    """Let the disk be written, or not."""
    place = str(Path(workspaces.root).parent)
    subprocess.run(["mount", "-o", f"remount,{mode}", place], check=True, capture_output=True)


def test_t61_too_many_open_files(workspaces: LocalWorkspaces, session_id: str) -> None:
    """However few files a process may open, each call works or says so, and leaves no descriptor and no file behind."""
    with ChildProcess(work_with_few_descriptors, workspaces, session_id, start="fork") as child:
        assert child.finish() >= 5
    with workspaces.lease(session_id, OWNED) as workspace:
        assert workspace.list() == ["a/b"]
        workspace.write("c", b"1")
        assert private_of(workspace) == ["ledger"]


def work_with_few_descriptors(line: Connection, workspaces: LocalWorkspaces, session_id: str) -> int:
    """Write, read, list and delete with ever more files allowed, and say how often that was refused."""
    with workspaces.lease(session_id, OWNED) as workspace:
        workspace.write("a/b", OLD)
    # No number is free below the limit, so that it is what it says.
    used = list(range(max(int(name) for name in os.listdir("/proc/self/fd")) + 1))
    for number in used:
        if not os.path.exists(f"/proc/self/fd/{number}"):
            os.dup2(0, number)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    refused = 0
    for more in range(16):
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(used) + more, limits[1]))
        try:
            with workspaces.lease(session_id, OWNED) as workspace:
                assert workspace.read("a/b") == OLD
                workspace.write("a/b", OLD)
                workspace.write("x/y", OLD)
                assert workspace.list() == ["a/b", "x/y"]
                assert workspace.delete("x/y")
        except OSError as error:
            refused += 1
            if error.errno != errno.EMFILE:
                raise
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        # Listing opens one more, for as long as it lasts.
        assert sorted(int(name) for name in os.listdir("/proc/self/fd")) == [*used, len(used)]
        with workspaces.lease(session_id, OWNED) as workspace:
            assert workspace.read("a/b") == OLD
            workspace.delete("x/y")
    return refused
