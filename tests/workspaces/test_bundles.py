"""Files that appear together, on the disk: killed writers, full folders, and whoever comes next."""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from sessionguard.core.commands import Fence
from sessionguard.errors import LockLostError, MisuseError, PathEscapeError
from sessionguard.testing import DEEP, ChildProcess, Profile
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, Quota, Usage
from sessionguard.workspaces.local import publishing
from sessionguard.workspaces.local.descriptors import make_directory
from sessionguard.workspaces.local.holdings import Holdings
from tests.workspaces.conftest import UNLIMITED

OLD, NEW = b"old" * 20, b"new content" * 20
FILES = [("a/b", NEW), ("c/d/e", NEW), ("top", NEW)]
STEPS = (
    "open",
    "write",
    "pwrite",
    "fsync",
    "rename",
    "unlink",
    "ftruncate",
    "fchmod",
    "mkdir",
    "rmdir",
    "close",
    "stat",
)


def private(workspace: LocalWorkspace) -> list[str]:
    """Give what is in the private part of a workspace."""
    return sorted(os.listdir(workspace.path.parent / "private"))


def die_at_step(line: Connection, workspaces: LocalWorkspaces, session_id: str, step: int, after: bool) -> None:
    """Write three files together and crash before or after the given system call."""
    left, counting = [step], threading.Lock()

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            # Files are flushed by several threads at once.
            with counting:
                left[0] -= 1
                is_it = left[0] == 0
            if is_it and not after:
                os._exit(9)
            try:
                return real(*args, **kwargs)
            finally:
                if is_it:
                    os._exit(9)

        return call

    with workspaces.lease(session_id, UNLIMITED) as workspace:
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        workspace.write_all(FILES, expected=Usage(3 * len(NEW), 2))
        os._exit(0)


@pytest.mark.processes
def test_t54_a_crash_at_any_system_call_leaves_all_files_or_none(
    workspaces: LocalWorkspaces, session_id: str, sg_profile: Profile
) -> None:
    """At whatever call the writer dies, the next lease reads the old state or the whole new one, and may write."""
    # Room for both versions and no more: a claim of the dead that were still counted would be in the way.
    quota = Quota(bytes=len(OLD) + 3 * len(NEW), files=3)
    seen = set()
    # An odd stride, so that it is struck before a call and after one in turn.
    for step in range(1, 400, 1 if sg_profile is DEEP else 5):
        with workspaces.lease(session_id, quota) as workspace:
            for name in workspace.list():
                workspace.delete(name)
            workspace.write("a/b", OLD)
            assert private(workspace) == ["ledger"]
        with ChildProcess(die_at_step, workspaces, session_id, step, step % 2 == 0, start="fork") as writer:
            exit_code = writer.wait_for_end()
        with workspaces.lease(session_id, quota) as workspace:
            seen.add(tuple((name, workspace.read(name)) for name in workspace.list()))
            held = Usage(sum(len(workspace.read(name)) for name in workspace.list()), len(workspace.list()))
            assert workspace.usage() == held
        if exit_code == 0:
            break

    assert exit_code == 0, "the writer never came to its end"
    assert step > 60
    assert seen == {(("a/b", OLD),), tuple(FILES)}


@pytest.fixture
def interrupted(workspaces: LocalWorkspaces, session_id: str) -> Iterator[LocalWorkspace]:
    """A lease that is held while another writer dies after the first of three files got its name."""

    def die(line: Connection) -> None:
        with workspaces.lease(session_id, UNLIMITED) as dying:
            real, calls = publishing._rename, []

            def once(*arguments: Any) -> None:
                calls.append(1)
                if len(calls) == 2:
                    os._exit(9)
                real(*arguments)

            with mock.patch.object(publishing, "_rename", once):
                dying.write_all(FILES)

    with workspaces.lease(session_id, UNLIMITED) as held:
        with ChildProcess(die, start="fork") as writer:
            assert writer.wait_for_end() == 9
        assert held.list() == ["a/b"]
        yield held


@pytest.mark.processes
@pytest.mark.parametrize("act", ["lease", "write", "delete", "usage"])
def test_what_a_crash_kept_from_its_name_gets_it_from_whoever_comes_next(
    workspaces: LocalWorkspaces, session_id: str, interrupted: LocalWorkspace, act: str
) -> None:
    """A new lease, or whatever is written in one that is held, finishes it before anything else."""
    expected = ["a/b", "c/d/e", "top"]
    if act == "lease":
        workspaces.lease(session_id, UNLIMITED).close()
    elif act == "write":
        interrupted.write("top", b"later")
    elif act == "delete":
        assert interrupted.delete("top") is True
        expected.remove("top")
    else:
        assert interrupted.usage() == Usage(3 * len(NEW), 3)
    assert interrupted.list() == expected
    assert private(interrupted) == ["ledger"]
    if act == "write":
        assert interrupted.read("top") == b"later"


@pytest.mark.processes
def test_what_another_program_put_in_the_way_stays(
    workspaces: LocalWorkspaces, session_id: str, interrupted: LocalWorkspace, outside: Callable[[str], Path]
) -> None:
    """A link or a directory in the place of a published file is not followed; the other files get their names."""
    victim = outside("precious")
    shutil.rmtree(interrupted.path / "c")
    (interrupted.path / "c").symlink_to(victim.parent)
    (interrupted.path / "top").mkdir()
    workspaces.lease(session_id, UNLIMITED).close()

    assert interrupted.list() == ["a/b"]
    assert list(victim.parent.iterdir()) == [victim]
    assert private(interrupted) == ["ledger"]


@pytest.mark.parametrize(
    "call", ["bundle.os.write", "bundle.os.fsync", "bundle.write_plan", "publishing.make_directory"]
)
def test_a_full_disk_before_the_names_are_given_leaves_nothing(workspace: LocalWorkspace, call: str) -> None:
    """An error while writing, flushing or making directories reaches the caller; not even a directory is left."""

    def full(name: object, *arguments: Any) -> int:
        if call == "publishing.make_directory" and name != "d":
            return make_directory(str(name), *arguments)
        raise OSError(28, "No space left on device")

    patch = mock.patch(f"sessionguard.workspaces.local.{call}", full)
    with patch, pytest.raises(OSError, match="No space"):
        workspace.write_all(FILES)
    assert list(workspace.path.iterdir()) == []
    assert private(workspace) == ["ledger"]


def test_an_error_while_names_are_given_is_made_up_for(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is decided it is not taken back: the caller is told, and all files are there."""
    real, calls = publishing._rename, []

    def second_fails(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        real(*arguments)

    monkeypatch.setattr(publishing, "_rename", second_fails)
    with pytest.raises(OSError, match="Input/output"):
        workspace.write_all(FILES)
    assert workspace.list() == ["a/b", "c/d/e", "top"]
    assert private(workspace) == ["ledger"]


def test_a_name_taken_meanwhile_refuses_all(workspace: LocalWorkspace) -> None:
    """Names are judged again, all at once, when they are given."""

    def files() -> Iterator[tuple[str, bytes]]:
        yield "a", b"1"
        workspace.write("A", b"twin")
        yield "b", b"1"

    with pytest.raises(PathEscapeError):
        workspace.write_all(files())
    assert workspace.list() == ["A"]
    assert private(workspace) == ["ledger"]


def test_t68_whoever_lost_the_lock_meanwhile_publishes_nothing(workspaces: LocalWorkspaces, session_id: str) -> None:
    """The fence is looked at when the names are given."""
    with workspaces.lease(session_id, UNLIMITED, Fence("door", 1)) as earlier:

        def files() -> Iterator[tuple[str, bytes]]:
            yield "a", b"1"
            workspaces.lease(session_id, UNLIMITED, Fence("door", 2)).close()

        with pytest.raises(LockLostError):
            earlier.write_all(files())
        assert earlier.list() == []
        assert private(earlier) == ["ledger"]


def test_closing_the_workspace_ends_it(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A workspace closed while its files arrive keeps none of them, and closing waits for no source."""
    workspace = workspaces.lease(session_id, UNLIMITED)

    def files() -> Iterator[tuple[str, bytes]]:
        yield "a", b"1"
        workspace.close()
        yield "b", b"1"

    with pytest.raises((ValueError, MisuseError)):
        workspace.write_all(files())
    with workspaces.lease(session_id, UNLIMITED) as again:
        assert again.list() == []
        assert private(again) == ["ledger"]


def test_a_damaged_ledger_keeps_the_room_of_files_that_are_to_appear_together(workspace: LocalWorkspace) -> None:
    """A count that meets them counts what is written of them, and removes nothing of a writer who lives."""

    def files() -> Iterator[tuple[str, bytes]]:
        yield "a", b"1" * 1000
        (workspace.path.parent / "private" / "ledger").write_bytes(b"damaged")
        assert workspace.usage() == Usage(0, 0)
        yield "b", b"1"

    assert workspace.write_all(files()) == ["a", "b"]
    assert workspace.usage() == Usage(1001, 2)


def test_reading_costs_no_look_for_interrupted_files(workspace: LocalWorkspace) -> None:
    """Only a lease and the ledger look; whoever reads and lists does not."""
    workspace.write("a", b"1")
    with mock.patch.object(Holdings, "publications") as looked:
        workspace.read("a")
        workspace.list()
        workspace.write("a", b"2")
    looked.assert_not_called()


def traced(monkeypatch: pytest.MonkeyPatch, place: Path) -> list[str]:
    """Write down what is flushed, renamed and removed from now on, by its path in a workspace."""
    told: list[str] = []

    def path(descriptor: int, name: str = "") -> str:
        found = os.path.relpath(os.path.join(os.readlink(f"/proc/self/fd/{descriptor}"), name), place)
        return re.sub(r"-[0-9a-f]{24}", "", found)

    fsync, rename, unlink = os.fsync, os.rename, os.unlink

    def flushing(descriptor: int) -> None:
        told.append(f"flush {path(descriptor)}" + (" empty" if os.fstat(descriptor).st_size == 0 else ""))
        fsync(descriptor)

    def renaming(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        told.append(f"{path(src_dir_fd, source)} -> {path(dst_dir_fd, target)}")
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def removing(name: str, *, dir_fd: int) -> None:
        told.append(f"remove {path(dir_fd, name)}")
        unlink(name, dir_fd=dir_fd)

    for name, call in (("fsync", flushing), ("rename", renaming), ("unlink", removing)):
        monkeypatch.setattr(os, name, call)
    return told


def test_t54_each_step_is_on_the_disk_before_the_next(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut finds the files before the plan, the plan before it is decided, the names before the plan is gone."""
    place = workspace.path.parent
    workspace.write("a/old", OLD)
    before = os.listdir("/proc/self/fd")
    told = traced(monkeypatch, place)
    workspace.write_all([("a/b", NEW), ("top", NEW)])
    many, decided = "private/write-many", "private/publish"
    assert sorted(told[1:3]) == [f"flush {many}/0", f"flush {many}/1"]
    assert told[3:7] == [f"flush {many}/plan", f"flush {many}", f"{many} -> {decided}", "flush private"]
    assert told.index(f"{decided}/0 -> files/a/b") < told.index("flush files/a")
    assert told.index(f"{decided}/1 -> files/top") < told.index("flush files")
    assert max(told.index("flush files"), told.index("flush files/a")) < told.index(f"remove {decided}/plan")

    told.clear()
    workspace.write("top", OLD)
    workspace.delete("a/b")
    assert told == [
        "flush private/write",
        "private/write -> files/top",
        "flush files",
        "files/a/b -> private/gone/b",
        "remove private/gone/b",
        "flush files/a",
    ]
    assert private(workspace) == ["ledger"]
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.processes
def test_whoever_finishes_gives_signs_of_life_and_bears_others_who_did(
    workspaces: LocalWorkspaces, session_id: str, interrupted: LocalWorkspace
) -> None:
    """One for each file; a folder that is gone, or whose removal had begun, is no error."""
    beats: list[int] = []
    (name,) = (name for name in private(interrupted) if name.startswith("publish-"))
    before = os.listdir("/proc/self/fd")
    for _ in range(2):
        publishing.finish(interrupted._lease, name, lambda: beats.append(1))
        assert len(beats) == 3
    assert interrupted.list() == ["a/b", "c/d/e", "top"]
    (interrupted.path.parent / "private" / "publish-00").mkdir()
    workspaces.lease(session_id, UNLIMITED).close()
    assert os.listdir("/proc/self/fd") == before
    assert private(interrupted) == ["ledger"]


def test_t52_a_directory_of_another_file_system_takes_no_files(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subvolume of btrfs is no mount; no file could be moved into it."""
    real = os.fstat

    def elsewhere(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("files/d"):
            return os.stat_result([*found[:2], found.st_dev + 1, *found[3:]])
        return found

    monkeypatch.setattr(os, "fstat", elsewhere)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(PathEscapeError, match="another file system"):
        workspace.write_all([("d/a", NEW)])
    assert os.listdir("/proc/self/fd") == before
    assert workspace.list() == []
    assert private(workspace) == ["ledger"]
