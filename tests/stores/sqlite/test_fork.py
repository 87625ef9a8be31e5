"""Forks of a process that uses a store: the child has connections of its own, and no one loses a write."""

import ctypes
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.sqlite import SQLiteStore, connections
from sessionguard.testing import ChildProcess
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.workers import change_elsewhere, guard_on


@pytest.fixture
def guard(path: Path) -> SessionGuard:
    """A guard whose store has an open connection."""
    guard = guard_on(str(path))
    guard.get_or_create("parent")
    return guard


def forked(work: Callable[[], object]) -> Any:
    """Play `work` in a fork of this very process, as it is now, and give its result."""
    with ChildProcess(lambda pipe: work(), start="fork") as child:
        return child.hear()


def open_connections(guard: SessionGuard) -> int:
    """How many connections the pool of this process has."""
    store = guard._store
    assert isinstance(store, SQLiteStore)
    return len(store._connections.living)


def test_children_and_parent_work_on_side_by_side(guard: SessionGuard) -> None:
    """Each of several children, and a child of a child, sees what the parent wrote and is seen by it."""
    session = guard.get_or_create("parent")

    def child(number: int) -> str:
        assert guard.get(session.id) is not None
        guard.save(session, {f"child {number}": os.getpid()})
        return guard.get_or_create(f"child {number}").id

    ids = [forked(lambda number=number: child(number)) for number in range(3)]  # type: ignore[misc]
    ids.append(forked(lambda: forked(lambda: child(3))))
    assert [guard.get_or_create(f"child {number}").id for number in range(4)] == ids
    stored = guard.get(session.id)
    assert stored is not None
    assert set(stored.data) == {f"child {number}" for number in range(4)}


def test_children_inherit_no_connection(guard: SessionGuard) -> None:
    """There is nothing to inherit: connections are closed before the fork and opened again when they are needed."""
    assert open_connections(guard) == 1
    assert forked(lambda: open_connections(guard)) == 0
    assert open_connections(guard) == 0
    assert guard.create("parent").id


def test_what_a_child_acknowledged_outlives_the_store_of_its_parent(guard: SessionGuard, path: Path) -> None:
    """A child goes on writing after the parent has closed its store and other programs have come and gone."""
    session = guard.get_or_create("parent")

    def child(pipe: Connection) -> str:
        pipe.send(guard.save(session, {"before": 1}).version)
        pipe.recv()
        guard.save(session, {"after": 2})
        return guard.create("child").id

    with ChildProcess(child, start="fork") as heir:
        assert heir.hear() == 2
        guard._store.close()
        with ChildProcess(change_elsewhere, str(path)) as elsewhere:
            elsewhere.hear()
        heir.tell("go on")
        created = heir.hear()
    again = guard_on(str(path))
    stored = again.get(session.id)
    assert stored is not None
    assert dict(stored.data) == {"before": 1, "after": 2}
    assert again.get(created) is not None


@pytest.mark.processes
def test_a_fork_amid_writes_harms_neither_side(guard: SessionGuard) -> None:
    """While a thread of the parent writes without pause, children are forked, write, and end; nothing fails."""
    session = guard.get_or_create("parent")
    enough = threading.Event()
    saved: list[int] = []
    failed: list[BaseException] = []

    def writer() -> None:
        try:
            while not enough.is_set():
                guard.save(session, {"parent": len(saved)})
                saved.append(len(saved))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        for number in range(10):
            forked(lambda number=number: guard.save(session, {f"child {number}": number}).version)  # type: ignore[misc]
    finally:
        enough.set()
        thread.join()
    stored = guard.get(session.id)
    assert failed == []
    assert stored is not None
    assert dict(stored.data) == {"parent": saved[-1]} | {f"child {number}": number for number in range(10)}


def test_a_fork_waits_until_lent_connections_are_back(guard: SessionGuard) -> None:
    """A fork does not begin before the last transaction of another thread has ended."""
    store = guard._store
    assert isinstance(store, SQLiteStore)
    inside, leave = threading.Event(), threading.Event()

    def work(connection: object, command: c.Identify) -> str:
        inside.set()
        leave.wait(10)
        return "done"

    thread = threading.Thread(target=lambda: store._run.read(work, c.Identify()))
    thread.start()
    assert inside.wait(10)
    threading.Timer(0.05, leave.set).start()
    assert forked(lambda: open_connections(guard)) == 0
    assert leave.is_set()
    thread.join()


@pytest.mark.skipif(not hasattr(ctypes, "PyDLL"), reason="no way to fork behind Python's back")
def test_a_fork_behind_pythons_back_is_noticed(guard: SessionGuard, path: Path, stage: Stage) -> None:
    """Where no fork hook ran, the child opens anew, leaves what it inherited alone, and loses nothing silently.

    SQLite in the child believes the inherited locks to be its own. When others delete the log under
    it, its next write says so instead of going to a file that no one will read.
    """
    session = guard.get_or_create("parent")
    ours, theirs = multiprocessing.Pipe()
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        try:
            theirs.send(_go_on_in_the_child(theirs, guard, session))
        except BaseException as error:
            theirs.send(repr(error))
        finally:
            os._exit(0)
    theirs.close()
    try:
        assert ours.poll(30)
        assert ours.recv() == ("child wrote", 1)
        assert guard.save(session, {"parent": 1}).version == 3
        guard._store.close()
        with ChildProcess(change_elsewhere, str(path)) as elsewhere:
            elsewhere.hear()
        ours.send("go on")
        assert ours.poll(30)
        assert ours.recv() == "noticed, recovered"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    stored = guard_on(str(path)).get(session.id)
    assert stored is not None
    assert dict(stored.data) == {"child": 1, "parent": 1, "again": 1}


def _go_on_in_the_child(pipe: Any, guard: SessionGuard, session: Any) -> str:
    logging.disable()
    assert guard.save(session, {"child": 1}).version == 2
    pipe.send(("child wrote", len(connections._inherited)))
    pipe.recv()
    try:
        guard.save(session, {"lost": 1})
    except StoreUnavailableError:
        guard.save(session, {"again": 1})
        return "noticed, recovered"
    return "not noticed"
