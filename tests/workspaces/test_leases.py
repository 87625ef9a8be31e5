"""Leases across threads, processes and forks."""

import os
import weakref
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from sessionguard.errors import LeaseLostError, MisuseError
from sessionguard.testing import ChildProcess
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, Removal
from sessionguard.workspaces.local import cleanup, descriptors, inspection, leases
from sessionguard.workspaces.local.descriptors import open_directory
from sessionguard.workspaces.local.tree import FileTree
from tests.workspaces.conftest import UNLIMITED


def hold(line: Connection, workspaces: LocalWorkspaces, session_id: str) -> None:
    """Hold a workspace until told to let go."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write(f"by {os.getpid()}", b"1")
        line.send("held")
        line.recv()


def test_two_processes_hold_one_workspace(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A lease is shared: two processes use one workspace at the same time."""
    with (
        ChildProcess(hold, workspaces, session_id, start="fork") as one,
        ChildProcess(hold, workspaces, session_id, start="fork") as other,
    ):
        one.hear()
        other.hear()
        with workspaces.lease(session_id, UNLIMITED) as workspace:
            assert len(workspace.list()) == 2
        for process in (one, other):
            process.tell()
            assert process.wait_for_end() == 0


def test_t53_what_another_process_holds_is_removed_when_it_lets_go(
    workspaces: LocalWorkspaces, session_id: str
) -> None:
    """Removal does not wait and does not harm; the process that held the workspace removes it at its end."""
    with ChildProcess(hold, workspaces, session_id, start="fork") as holder:
        holder.hear()
        path = workspaces._opened()[0].session_path(session_id)

        assert workspaces.remove(session_id) == Removal(0, 0, deferred=True)
        assert len(os.listdir(os.path.join(path, "files"))) == 1
        holder.tell()
        assert holder.wait_for_end() == 0

    assert not os.path.exists(path)
    assert workspaces.candidates(10) == []


def test_a_killed_holder_leaves_no_lease(workspaces: LocalWorkspaces, session_id: str) -> None:
    """The lease of a process that was killed ends with it."""
    with ChildProcess(hold, workspaces, session_id, start="fork") as holder:
        holder.hear()
        assert workspaces.remove(session_id).deferred
        holder.kill()

        assert workspaces.candidates(10) == [session_id]
        assert workspaces.remove(session_id) == Removal(files=1, bytes=1, deferred=False)


def use_in_child(line: Connection, workspace: LocalWorkspace) -> None:
    """Try to use what the parent opened, then leave as a `with` block would."""
    found = []
    writer = workspace.open
    for call in (lambda: writer("a"), lambda: workspace.write("b", b""), workspace.list, lambda: workspace.delete("a")):
        try:
            call()
            found.append("worked")
        except MisuseError:
            found.append("refused")
    descriptors = [
        os.readlink(f"/proc/self/fd/{number}")
        for number in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{number}")
    ]
    found.append("open" if any(workspace.session_id in path for path in descriptors) else "closed")
    workspace.close()
    line.send(found)
    line.recv()


def test_t69_a_forked_child_neither_uses_nor_ends_the_lease(workspaces: LocalWorkspaces, session_id: str) -> None:
    """In a forked child every call is a misuse, closing does nothing, and the parent's lease holds on."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
        with ChildProcess(use_in_child, workspace, start="fork") as forked:
            assert forked.hear() == ["refused"] * 4 + ["closed"]
            assert workspaces.remove(session_id).deferred
            assert workspace.read("a") == b"1"
            workspace.close()
            assert workspaces.candidates(10) == []


def lease_and_fork(line: Connection, workspaces: LocalWorkspaces, session_id: str) -> None:
    """Hold a workspace, fork, and let the forked child live on."""
    workspace = workspaces.lease(session_id, UNLIMITED)
    if os.fork() == 0:
        line.send(os.getpid())
        line.recv()
        os._exit(0)
    line.recv()
    workspace.close()


def test_t69_a_child_that_outlives_its_parent_does_not_keep_the_lease(
    workspaces: LocalWorkspaces, session_id: str
) -> None:
    """A forked child keeps nothing in use after the process that held the lease was killed."""
    with ChildProcess(lease_and_fork, workspaces, session_id, start="fork") as parent:
        parent.hear()
        parent.kill()

        assert not workspaces.remove(session_id).deferred
        parent.tell()


def wait(line: Connection) -> None:
    """Do nothing until told to end."""
    line.send("waiting")
    line.recv()


def test_t69_letting_go_does_not_wait_for_children_that_python_does_not_know(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease ends when it is closed, even if a child forked behind Python's back still has its descriptor."""
    with workspaces.lease(session_id, UNLIMITED), monkeypatch.context() as patch:
        patch.setattr(leases, "_held", weakref.WeakSet())
        forked = ChildProcess(wait, start="fork")
        forked.hear()
    try:
        assert not workspaces.remove(session_id).deferred
    finally:
        forked.close()


def test_t69_who_held_a_directory_alone_lets_go_of_it_for_children_that_python_does_not_know(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal or quarantine that found nothing to do ends when it says so, also if a child was forked meanwhile."""
    monkeypatch.setattr(leases, "_PATIENCE_SECONDS", 0.1)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        place = workspace.path.parent
    shard = open_directory(str(place.parent))
    alone = leases.take_exclusive(session_id, shard)
    assert alone is not None
    with ChildProcess(wait, start="fork") as forked:
        forked.hear()
        leases.let_go_exclusive(session_id, alone)
        with workspaces.lease(session_id, UNLIMITED) as workspace:
            workspace.write("a", b"1")
        forked.tell()
    os.close(shard)


def test_a_dry_run_keeps_nobody_waiting(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it counts what a removal would remove, others use the workspace, or remove it."""
    monkeypatch.setattr(leases, "_PATIENCE_SECONDS", 0.1)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
        assert workspaces.measure(session_id).deferred
    walked = []

    class Tree(FileTree):
        """Used by others in the middle of a walk."""

        def files(self) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
            with workspaces.lease(session_id, UNLIMITED) as workspace:
                walked.append(workspace.list())
            yield from super().files()
            assert not workspaces.remove(session_id).deferred

    monkeypatch.setattr(inspection, "FileTree", Tree)
    assert workspaces.measure(session_id) == Removal(1, 1, deferred=False)
    assert walked == [["a"]]
    assert workspaces.measure(session_id) == Removal(0, 0, deferred=False)


def test_t69_a_forked_child_does_not_publish_the_file_of_its_parent(
    workspaces: LocalWorkspaces, session_id: str
) -> None:
    """A child that inherits an open file can neither write it nor publish it by ending."""

    def meddle(line: Connection) -> None:
        for file in (text, binary):
            try:
                file.write("child" if file is text else b"child")
                file.flush()
                line.send("worked")
            except MisuseError:
                line.send("refused")
            file.close()

    with workspaces.lease(session_id, UNLIMITED) as workspace:
        with workspace.open("text", "w") as text, workspace.open("binary", "wb") as binary:
            text.write("parent")
            binary.write(b"parent")
            with ChildProcess(meddle, start="fork") as forked:
                heard = [forked.hear(), forked.hear()]
                forked.wait_for_end()
            assert heard[1] == "refused"
            assert workspace.list() == []
        assert workspace.read("binary") == workspace.read("text") == b"parent"


def test_t53_a_directory_removed_between_opening_and_locking_is_not_used(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory moved to the trash between opening and locking is not written into, and none is made anew."""
    real = leases.lock_shared
    # Moved and not yet deleted: everything that is opened below it would still work.
    monkeypatch.setattr(cleanup, "_delete", lambda *_: Removal(0, 0, deferred=False))

    def late(descriptor: int) -> bool:
        workspaces.remove(session_id)
        return real(descriptor)

    monkeypatch.setattr(leases, "lock_shared", late)
    with pytest.raises(LeaseLostError):
        workspaces.lease(session_id, UNLIMITED)

    assert workspaces.candidates(10) == []


def test_t53_a_directory_removed_between_making_and_opening_is_not_used(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a removal comes between making and opening a directory, the lease fails and nothing is made anew."""
    real = descriptors.open_directory

    def late(name: str, parent: int | None = None) -> int:
        if name == session_id:
            monkeypatch.setattr(descriptors, "open_directory", real)
            workspaces.remove(session_id)
        return real(name, parent)

    monkeypatch.setattr(descriptors, "open_directory", late)
    with pytest.raises(LeaseLostError):
        workspaces.lease(session_id, UNLIMITED)

    assert workspaces.candidates(10) == []


def test_t53_a_removal_that_comes_late_does_not_take_the_next_directory(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remover overtaken by another one leaves alone what was made under the name since."""
    workspaces.lease(session_id, UNLIMITED).close()
    real = leases.lock_exclusive
    held: list[LocalWorkspace] = []

    def late(descriptor: int) -> bool:
        monkeypatch.setattr(leases, "lock_exclusive", real)
        workspaces.remove(session_id)
        held.append(workspaces.lease(session_id, UNLIMITED))
        held[0].write("a", b"1")
        return real(descriptor)

    monkeypatch.setattr(leases, "lock_exclusive", late)
    assert workspaces.remove(session_id) == Removal(0, 0, deferred=False)

    assert held[0].read("a") == b"1"
    held[0].write("b", b"2")
    held[0].close()


def test_a_lease_waits_out_a_removal_that_does_not_happen(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone who holds the directory exclusively for a moment only delays a lease."""
    answers = iter([False, False])
    real = leases.lock_shared
    monkeypatch.setattr(leases, "lock_shared", lambda descriptor: next(answers, None) is None and real(descriptor))

    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert workspace.list() == []


def test_a_lease_does_not_wait_for_ever(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remover that was stopped in the middle costs a bounded wait."""
    monkeypatch.setattr(leases, "lock_shared", lambda descriptor: False)
    monkeypatch.setattr(leases, "_PATIENCE_SECONDS", 0.0)

    with pytest.raises(LeaseLostError):
        workspaces.lease(session_id, UNLIMITED)


def test_a_forgotten_workspace_lets_go(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A workspace that is dropped without being closed does not stay in use."""
    workspaces.lease(session_id, UNLIMITED)

    assert not workspaces.remove(session_id).deferred


def test_nothing_stays_open(workspaces: LocalWorkspaces, session_id: str) -> None:
    """After all is closed the process has as many descriptors open as before."""
    workspaces.lease(session_id, UNLIMITED).close()
    before = os.listdir("/proc/self/fd")
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a/b", b"1")
        workspace.read("a/b")
        workspace.open("c", "wb")
        with pytest.raises(FileNotFoundError):
            workspace.read("x/y")
        workspace.list()
        workspace.usage()
        workspace.delete("a/b")
        workspaces.remove(session_id)
        with pytest.raises(LeaseLostError):
            workspaces.lease(session_id, UNLIMITED)
    workspaces.remove(session_id)
    workspaces.candidates(10)

    assert os.listdir("/proc/self/fd") == before
