"""Forks of a process that uses a store: locks stay with whoever took them, and no one reads or writes amiss."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.stores.file import FileStore, changeset, journal, shards
from sessionguard.stores.file.folder import Folder
from sessionguard.stores.file.waiting import Turns
from sessionguard.testing.contracts.stage import SECOND, Stage
from sessionguard.testing.faults import ChildProcess, in_children
from tests.stores.file.conftest import OpenStore
from tests.stores.file.inspecting import disorder
from tests.stores.file.workers import guard_on

pytestmark = pytest.mark.processes


@pytest.fixture
def guard(path: Path) -> SessionGuard:
    """A guard whose store was used."""
    guard = guard_on(str(path))
    guard.get_or_create("parent")
    return guard


def test_t02_children_of_an_open_store_read_nothing_amiss(guard: SessionGuard) -> None:
    """Four children that hammer the store they inherited see only what they asked for, and the parent sees theirs."""
    session = guard.get_or_create("parent")

    def child(number: int) -> str:
        mine = guard.get_or_create(f"child {number}", data={"canary": number})
        for turn in range(20):
            guard.save(mine, {"turn": turn})
            guard.save(session, {f"child {number}": turn})
            loaded = guard.load(mine.token)
            assert loaded is not None
            assert (loaded.owner, loaded.data["canary"], loaded.data["turn"]) == (f"child {number}", number, turn)
        return mine.id

    ids = in_children(4, child)
    assert [guard.get_or_create(f"child {number}").id for number in range(4)] == ids
    stored = guard.get(session.id)
    assert stored is not None
    assert dict(stored.data) == {f"child {number}": 19 for number in range(4)}
    guard.close()


def test_t69_a_fork_with_a_lock_held_keeps_no_lock(store: FileStore, stage: Stage, open_store: OpenStore) -> None:
    """A child forked while a thread of its parent holds a lock neither frees it nor holds it when the parent is done.

    The child can write itself as soon as the parent is done, whatever queue of threads it inherited.
    """
    opened = store.create(stage.create()).record
    inside, leave = threading.Event(), threading.Event()
    other = open_store(patience_seconds=0.2)

    def hold() -> None:
        with store._shards.changing("hold", {opened.id[:2]}):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)

    def child(pipe: Any) -> int:
        pipe.send("forked")
        pipe.recv()
        record = store.save(stage.save(opened, {"child": 1})).record
        pipe.send(record and record.version)
        pipe.recv()
        return 0

    with ChildProcess(child, start="fork") as forked:
        assert forked.hear() == "forked"
        with pytest.raises(TimeoutError):
            other.save(stage.save(opened, {"parent": 1}))
        leave.set()
        thread.join()
        assert other.save(stage.save(opened, {"parent": 1})).record is not None
        forked.tell()
        assert forked.hear() == 3
        assert other.save(stage.save(opened, {"parent": 2})).record is not None
        forked.tell()


def test_t69_a_child_does_not_keep_the_lock_of_a_parent_that_died(
    path: Path, stage: Stage, open_store: OpenStore
) -> None:
    """A lock that was held in a process as it forked is free when that one is dead, however long the child lives."""
    new = stage.new()
    with ChildProcess(hold_and_fork, str(path), new.id[:2], start="fork") as parent:
        heir = parent.hear()
        try:
            parent.kill()
            assert open_store(patience_seconds=0.5).create(stage.create(new)).record.id == new.id
        finally:
            os.kill(heir, signal.SIGKILL)


def hold_and_fork(pipe: Any, path: str, shard: str) -> None:
    """Hold the lock of a shard in one thread, fork in another, tell of the child, and wait."""
    store, inside = FileStore(path), threading.Event()

    def hold() -> None:
        with store._shards.changing("hold", {shard}):
            inside.set()
            threading.Event().wait()

    threading.Thread(target=hold, daemon=True).start()
    assert inside.wait(10)
    pid = os.fork()
    if pid == 0:
        signal.pause()
    pipe.send(pid)
    pipe.recv()


@pytest.mark.parametrize(
    "at, in_child",
    [
        ("lock_exclusively", "MisuseError"),
        ("prepare", "MisuseError"),
        ("append", "MisuseError"),
        ("write_header", "MisuseError"),
        ("apply", "MisuseError"),
        # By then it is done.
        ("leave", "done"),
    ],
)
def test_t04_a_signal_handler_may_fork_in_a_call(path: Path, at: str, in_child: str) -> None:
    """The parent goes on with the call and finishes it; in the child it raises, and changes nothing, however late.

    Whatever the child opens meanwhile is not mistaken for a descriptor of the call, and afterwards it can write.
    """
    with ChildProcess(fork_in_a_call, str(path), at, start="fork") as parent:
        assert parent.hear() == Aftermath("done", in_child, {"untouched"})
    assert disorder(path) == []


@frozen
class Aftermath:
    """What the parent and the child got from one touch, and what files of the child's own held then."""

    in_parent: str
    in_child: str
    own_files: set[str]


def fork_in_a_call(pipe: Any, path: str, at: str) -> Aftermath:
    """Touch, while a signal handler forks in the middle.

    The parent is done and touches again before the child goes on; then the child touches, too.
    """
    store = FileStore(path)
    stage = Stage(store.identify(c.Identify()))
    opened = store.create(stage.create()).record
    from_child, to_child, children = os.pipe(), os.pipe(), list[int]()
    own = [Path(path).with_name(f"own file {number}") for number in range(3)]

    def fork(*_: object) -> None:
        children.append(os.fork())
        if children[-1] == 0:
            for file in own:
                os.write(os.open(file, os.O_RDWR | os.O_CREAT), b"untouched")
            os.read(to_child[0], 1)

    signal.signal(signal.SIGUSR1, fork)
    homes = {"prepare": changeset, "append": journal, "write_header": journal, "apply": changeset, "leave": Turns}
    home = homes.get(at, shards)
    plain = getattr(home, at)

    def fork_first(*arguments: Any) -> Any:
        if not children:
            signal.raise_signal(signal.SIGUSR1)
        return plain(*arguments)

    setattr(home, at, fork_first)
    try:
        store.touch(stage.touch(opened, at=SECOND))
        got = "done"
    except Exception as error:
        got = type(error).__name__
    if children[0] == 0:
        touched = store.touch(stage.touch(opened, at=3 * SECOND)).record
        assert touched is not None
        assert touched.last_seen_us == stage.us(3 * SECOND)
        os.write(from_child[1], got.encode())
        os._exit(0)
    store.touch(stage.touch(opened, at=2 * SECOND))
    os.write(to_child[1], b"!")
    os.close(from_child[1])
    os.waitpid(children[0], 0)
    return Aftermath(got, os.read(from_child[0], 1000).decode(), {file.read_text() for file in own})


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_waits_until_an_opened_journal_is_noted(
    store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child knows of every lock that it inherits: none is forked between opening a journal and noting it."""
    plain, forked, children = shards._open_journal, threading.Event(), list[int]()

    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        children.append(pid)
        forked.set()

    forking = threading.Thread(target=fork)

    def open_journal(folder: Folder, path: str) -> int:
        descriptor = plain(folder, path)
        if forking.ident is None:
            forking.start()
            assert not forked.wait(0.3)
        return descriptor

    monkeypatch.setattr(shards, "_open_journal", open_journal)
    store.create(stage.create())
    forking.join(10)
    assert forked.is_set()
    os.waitpid(children[0], 0)


def test_a_descriptor_that_is_closed_by_others_is_told(
    store: FileStore, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A call whose lock was closed behind its back raises and ends; the next one works."""
    opened = store.create(stage.create()).record

    def lock_and_lose() -> None:
        with store._shards.changing("hold", {opened.id[:2]}) as locked:
            os.close(locked[opened.id[:2]].descriptor)

    with pytest.raises(OSError, match="Bad file descriptor"):
        lock_and_lose()
    assert "a lock cannot be given back" in caplog.text
    assert store.save(stage.save(opened, {"n": 1})).record is not None


def test_no_descriptor_outlives_a_call(store: FileStore, stage: Stage) -> None:
    """Between calls a store has only its folder open, so that there is nothing to inherit."""

    def opened() -> list[str]:
        links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
        return [os.readlink(link) for link in links if os.path.lexists(link)]

    store.create(stage.create())
    store.sweep(stage.sweep())
    assert [name for name in opened() if name.startswith(store.path)] == [store.path]
    store.close()
    assert [name for name in opened() if name.startswith(store.path)] == []


@pytest.mark.parametrize("take", ["unlink", "replace"])
def test_t69_a_lock_file_that_is_taken_away_has_no_second_holder(
    path: Path, store: FileStore, stage: Stage, take: str
) -> None:
    """Whoever waits for the lock of a journal that is removed or replaced meanwhile never goes on with the old file."""
    opened = store.create(stage.create()).record
    journal = path / opened.id[:2] / "journal"
    waiting = FileStore(path, patience_seconds=10)
    waiting.get(stage.get(opened))
    errors: list[Exception] = []

    def write() -> None:
        try:
            waiting.save(stage.save(opened, {"n": 1}))
        except Exception as error:
            errors.append(error)

    with store._shards.changing("hold", {opened.id[:2]}):
        thread = threading.Thread(target=write)
        thread.start()
        # It has the file open, and waits.
        while not any(one.opened for one in list(waiting._shards._locking.values())):
            pass
        if take == "unlink":
            journal.unlink()
        else:
            copy = journal.with_name("copy")
            copy.write_bytes(journal.read_bytes())
            copy.rename(journal)
    thread.join()
    record = FileStore(path).get(stage.get(opened))
    assert record is not None
    # With another journal it says so; with the same one under another inode it has gone on with the new file.
    assert (bool(errors), record.version) == ((True, 1) if take == "unlink" else (False, 2))
    waiting.close()
