"""Writers that are stopped while they keep the ledger: others pass them by, and once woken they change nothing."""

import errno
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core.commands import Fence
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.errors import LeaseLostError, LockLostError, QuotaExceededError, WorkspaceError
from sessionguard.testing import ChildProcess
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, OwnerQuota, Quota, Usage
from sessionguard.workspaces.local import deleting, keeping
from sessionguard.workspaces.local.accounts import Account
from sessionguard.workspaces.local.descriptors import open_directory
from sessionguard.workspaces.local.pages import Page
from tests.workspaces.conftest import UNLIMITED

OLD, MINE, THEIRS = b"old", b"mine", b"theirs" * 1000
OWNED = Quota(bytes=20_000, files=10, owner=OwnerQuota("a" * 32, bytes=20_000))

Step = tuple[type[Any] | Any, str]
RENAME, UNLINK, OPEN = (os, "rename"), (os, "unlink"), (os, "mkdir")
ANNOUNCE, CHECK, WRITE = (Page, "announce"), (Page, "check"), (Page, "write")


@pytest.fixture(autouse=True)
def short_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gives no sign of life for a tenth of a second is passed by."""
    monkeypatch.setattr(keeping, "_QUIET_SECONDS", 0.1)


def stopped_at(step: Step, when: int, line: Connection, *, after: bool = False) -> None:
    """Have this process stop itself at the `when`th call of something."""
    owner, name = step
    real = getattr(owner, name)
    left = [when]

    def call(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not after:
            line.send("stopping")
            os.kill(os.getpid(), signal.SIGSTOP)
        result = real(*args, **kwargs)
        if left[0] == 0 and after:
            line.send("stopping")
            os.kill(os.getpid(), signal.SIGSTOP)
        return result

    setattr(owner, name, call)


def outcome_of(
    line: Connection, workspaces: LocalWorkspaces, session_id: str, step: Step, when: int, after: bool, action: str
) -> str:
    """Write or delete "a" and be stopped at a step of it; say how that ended."""
    with workspaces.lease(session_id, OWNED) as workspace:
        stopped_at(step, when, line, after=after)
        try:
            if action == "write":
                workspace.write("a", THEIRS)
            else:
                workspace.delete("a")
        except LeaseLostError:
            return "refused"
        return "done"


def wait_until_stopped(child: ChildProcess) -> None:
    """Return when the child stands still."""
    assert child.hear() == "stopping"
    while Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
        time.sleep(0.001)


CASES = [
    ("write", WRITE, 1, False, "refused"),
    ("write", WRITE, 1, True, "refused"),
    ("write", ANNOUNCE, 1, False, "refused"),
    ("write", CHECK, 2, True, "refused"),
    ("write", RENAME, 1, False, "refused"),
    ("write", RENAME, 1, True, "done"),
    ("delete", OPEN, 1, False, "refused"),
    ("delete", ANNOUNCE, 1, True, "refused"),
    ("delete", RENAME, 1, False, "refused"),
    ("delete", RENAME, 1, True, "done"),
    ("delete", UNLINK, 1, False, "done"),
]


@pytest.mark.processes
@pytest.mark.parametrize("action, step, when, after, expected", CASES)
def test_who_was_stopped_in_the_ledger_keeps_nobody_waiting_and_overwrites_nothing(
    workspaces: LocalWorkspaces, session_id: str, action: str, step: Step, when: int, after: bool, expected: str
) -> None:
    """Others write at once; what the stopped one then tries is refused, or came before what they wrote."""
    with workspaces.lease(session_id, OWNED) as workspace:
        workspace.write("a", OLD)
        arguments = (workspaces, session_id, step, when, after, action)
        with ChildProcess(outcome_of, *arguments, start="fork") as child:
            wait_until_stopped(child)
            began = time.monotonic()
            workspace.write("a", MINE)
            assert time.monotonic() - began < 3
            child.thaw()
            assert child.finish() == expected

        assert workspace.read("a") == MINE
        workspace.write("b", b"")
        assert os.listdir(workspace.path.parent / "private") == ["ledger"]
        assert workspace.usage() == Usage(len(MINE), 2)


def delete_on_a_full_disk(line: Connection, workspaces: LocalWorkspaces, session_id: str, step: Step) -> str:
    """Delete "a" where no directory can be made any more, and be stopped at a step of it; say how that ended."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with workspaces.lease(session_id, OWNED) as workspace:
        workspace.read("a")
        os.mkdir = full
        stopped_at(step, 1, line)
        try:
            workspace.delete("a")
        except LeaseLostError:
            return "refused"
        return "done"


@pytest.mark.processes
@pytest.mark.parametrize("step, expected", [((deleting, "not_passed_by"), "refused"), ((os, "unlink"), "done")])
def test_a_late_deletion_on_a_full_disk_takes_nothing_newer(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch, step: Step, expected: str
) -> None:
    """Where a deletion cannot be made void it is passed by before its last call, or else waited for in vain."""
    monkeypatch.setattr(keeping, "_PATIENCE_SECONDS", 0.4)
    with workspaces.lease(session_id, OWNED) as workspace:
        workspace.write("a", OLD)
        with ChildProcess(delete_on_a_full_disk, workspaces, session_id, step, start="fork") as child:
            wait_until_stopped(child)
            if expected == "refused":
                workspace.write("a", MINE)
            else:
                with pytest.raises(WorkspaceError, match=f"process {child.pid} .* ledger"):
                    workspace.write("a", MINE)
                assert workspace.read("a") == OLD
            child.thaw()
            assert child.finish() == expected

        assert workspace.list() == (["a"] if expected == "refused" else [])
        workspace.write("a", MINE)
        assert os.listdir(workspace.path.parent / "private") == ["ledger"]


@pytest.mark.processes
def test_what_was_promised_to_the_living_is_kept_when_one_is_passed_by(
    workspaces: LocalWorkspaces, session_id: str
) -> None:
    """Claims of others, the account of the owner and fences are those of before; the stopped one's claim is gone."""
    with (
        workspaces.lease(session_id, OWNED, Fence("work", 7)) as workspace,
        ChildProcess(outcome_of, workspaces, session_id, RENAME, 1, False, "write", start="fork") as child,
    ):
        wait_until_stopped(child)
        file = workspace.open("mine", "wb")
        file.write(b"x" * 15_000)
        with pytest.raises(QuotaExceededError):
            workspace.write("b", b"x" * 5_001)
        with pytest.raises(LockLostError):
            workspaces.lease(session_id, OWNED, Fence("work", 6))
        child.thaw()
        assert child.finish() == "refused"
        file.close()
        assert workspace.list() == ["mine"]
        workspace.write("b", b"x" * 5_000)


@pytest.mark.processes
@pytest.mark.parametrize("after", [False, True])
def test_who_was_stopped_in_the_account_of_an_owner_is_passed_by(
    root: Path, workspaces: LocalWorkspaces, session_id: str, after: bool
) -> None:
    """The other sessions of the owner go on, with the quota that he has."""
    other = "0" * 34
    with workspaces.lease(other, OWNED) as workspace:
        workspace.write("b", b"x" * 10_000)
        arguments = (workspaces, session_id, (Account, "tell"), 1, after, "write")
        with ChildProcess(outcome_of, *arguments, start="fork") as child:
            wait_until_stopped(child)
            workspace.write("c", b"x" * 9_000)
            child.thaw()
            assert child.finish() == "refused"
        with pytest.raises(QuotaExceededError) as caught:
            workspace.write("d", b"x" * 1_001)
        assert caught.value.used == 20_001
        assert [path.name for path in root.glob("*/.owners/*/*")] == ["a" * 32], "what was put aside is removed"
    with workspaces.lease(session_id, OWNED) as workspace:
        workspace.write("d", b"x" * 1_000)


def keep_alive(line: Connection, ledger: Path) -> None:
    """Keep the ledger as one who counts for long: with signs of life."""
    descriptor = os.open(ledger, os.O_RDWR)
    assert keeping.lock(descriptor)
    line.send("kept")
    while not line.poll(0.02):
        os.utime(descriptor)


def test_who_is_alive_is_waited_for_in_bounded_time(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who keeps the ledger and shows that he lives is not passed by; who waits is told which process it is."""
    monkeypatch.setattr(keeping, "_QUIET_SECONDS", 0.7)
    monkeypatch.setattr(keeping, "_PATIENCE_SECONDS", 1.5)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", OLD)
        private = workspace.path.parent / "private"
        with ChildProcess(keep_alive, private / "ledger", start="fork") as keeper:
            keeper.hear()
            with pytest.raises(WorkspaceError, match=f"process {keeper.pid} .* ledger"):
                workspace.write("a", MINE)
            assert workspace.read("a") == OLD
            keeper.tell("stop")
            keeper.wait_for_end()
        workspace.write("a", MINE)
        assert os.listdir(private) == ["ledger"]


def test_a_wait_is_shorter_than_a_lease() -> None:
    """Whoever waits for a book and then for an account still has the lock under which he came, which lasts 15 s."""
    assert 2 * keeping._PATIENCE_SECONDS < LEASE_SECONDS


def put_aside_and_die(workspace: LocalWorkspace) -> None:
    """Leave what somebody leaves who passed another by and was killed before he had counted."""
    ledger = workspace.path.parent / "private" / "ledger"
    ledger.rename(ledger.with_name("ledger.aside-0011"))


def test_who_was_killed_while_he_passed_another_by_leaves_nothing_undone(
    workspaces: LocalWorkspaces, session_id: str
) -> None:
    """The next one finds the book that was put aside: claims, fences and owner are taken from it."""
    with workspaces.lease(session_id, OWNED, Fence("work", 7)) as workspace:
        file = workspace.open("a", "wb")
        file.write(b"x" * 15_000)
        put_aside_and_die(workspace)
        with pytest.raises(LockLostError):
            workspaces.lease(session_id, OWNED, Fence("work", 6))
        with pytest.raises(QuotaExceededError):
            workspace.write("b", b"x" * 5_001)
        file.close()
        assert os.listdir(workspace.path.parent / "private") == ["ledger"]
        assert workspace.usage() == Usage(15_000, 1)


def write_many_and_stop(line: Connection, workspaces: LocalWorkspaces, session_id: str, step: Step, when: int) -> str:
    """Let three files appear together, and be stopped at a step of it; say how that ended."""
    with workspaces.lease(session_id, OWNED) as workspace:
        stopped_at(step, when, line)
        try:
            workspace.write_all([("a", THEIRS), ("d/b", THEIRS), ("c", THEIRS)])
        except LeaseLostError:
            return "refused"
        return "done"


@pytest.mark.processes
@pytest.mark.parametrize("when, expected", [(1, "refused"), (2, "done"), (3, "done"), (4, "done")])
def test_files_that_appear_together_do_so_when_their_writer_is_stopped_half_way(
    workspaces: LocalWorkspaces, session_id: str, when: int, expected: str
) -> None:
    """Whoever passes him by gives all of them their names, or none if that was not decided; later nothing changes."""
    with workspaces.lease(session_id, OWNED) as workspace:
        workspace.write("a", OLD)
        with ChildProcess(write_many_and_stop, workspaces, session_id, RENAME, when, start="fork") as child:
            wait_until_stopped(child)
            for name in ("a", "c", "d/b"):
                workspace.write(name, MINE)
            child.thaw()
            assert child.finish() == expected

        assert [workspace.read(name) for name in workspace.list()] == [MINE] * 3
        assert os.listdir(workspace.path.parent / "private") == ["ledger"]
        assert workspace.usage() == Usage(3 * len(MINE), 3)


def keep_descriptors(line: Connection) -> None:
    """Have all that the parent has open for as long as it is not told to end."""
    line.recv()


@pytest.mark.processes
@pytest.mark.parametrize("keep", ["kept", "kept_if_free", "not_passed_by"])
def test_t69_what_was_kept_is_free_although_a_forked_child_has_it_open(tmp_path: Path, keep: str) -> None:
    """A child forked meanwhile, which knows nothing of it, keeps nobody waiting."""
    (tmp_path / "folder").mkdir()
    parent = os.open(tmp_path, os.O_RDONLY)
    ways: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "kept": lambda: keeping.kept("folder", parent, open_directory, "0" * 34),
        "kept_if_free": lambda: keeping.kept_if_free("folder", parent, open_directory),
        "not_passed_by": lambda: keeping.not_passed_by(parent),
    }
    with ExitStack() as stack:
        with ways[keep]():
            child = stack.enter_context(ChildProcess(keep_descriptors, start="fork"))
        other = os.open(tmp_path if keep == "not_passed_by" else tmp_path / "folder", os.O_RDONLY)
        assert keeping.lock(other)
        os.close(other)
        child.tell()
    opened = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if is_open(number)]
    assert [path for path in opened if path.startswith(str(tmp_path))] == [str(tmp_path)]
    os.close(parent)


def is_open(number: str) -> bool:
    """Whether a descriptor is there, as that of the listing is no more."""
    return os.path.lexists(f"/proc/self/fd/{number}")


def test_signs_of_life_are_given_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Often enough that nobody is passed by who lives, and however often one asks for them, not at each file."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    (tmp_path / "ledger").touch()
    descriptor = os.open(tmp_path / "ledger", os.O_RDWR)
    pulse, seen = keeping.Pulse(descriptor), []
    for _ in range(40):
        os.utime(descriptor, (0, 0))
        pulse.beat()
        seen.append(os.fstat(descriptor).st_mtime > 0)
        now[0] += 0.1
    assert 6 <= sum(seen) <= 8
    assert not seen[0]
    monkeypatch.setattr(os, "utime", unwritable)
    now[0] += 10
    pulse.beat()
    os.close(descriptor)


def unwritable(*_: Any) -> None:
    """As on a disk that is mounted read-only by now."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
