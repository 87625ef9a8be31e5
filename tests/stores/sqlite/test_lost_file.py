"""Database files that are replaced, deleted or tampered with while a store uses them: noticed, told, recovered from."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import StoreError, StoreUnavailableError
from sessionguard.stores.sqlite import SQLiteStore, placement
from sessionguard.testing import ChildProcess
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.conftest import OpenStore
from tests.stores.sqlite.workers import change_elsewhere, hold_open


def delete_all(path: Path) -> None:
    """Delete the database with its logs."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def delete_main(path: Path) -> None:
    """Delete the database and leave its logs."""
    path.unlink()


def replace(path: Path) -> None:
    """Put another database in its place."""
    other = path.with_name("other.db")
    store = SQLiteStore(other)
    store.create(Stage("0" * 32).create("other"))
    store.close()
    other.replace(path)


LOSSES = pytest.mark.parametrize("lose", [delete_all, delete_main, replace])
Lose = Callable[[Path], None]


@LOSSES
def test_a_lost_file_is_told_once_and_the_next_call_works(
    path: Path, store: SQLiteStore, stage: Stage, lose: Lose, caplog: pytest.LogCaptureFixture
) -> None:
    """The first call after the loss raises; the next ones use the file that is there now, without a restart."""
    opened = store.create(stage.create()).record
    lose(path)
    with pytest.raises(StoreUnavailableError, match="replaced or deleted while it was in use"):
        store.load(stage.load(opened))
    assert [record.levelname for record in caplog.records if "was replaced" in record.message] == ["ERROR"]
    assert store.load(stage.load(opened)).refusal == "unknown"
    assert store.create(stage.create("after")).record.owner == "after"
    assert in_the_file(path, "after")


def in_the_file(path: Path, owner: str) -> bool:
    """Whether another program finds sessions of `owner` at `path`."""
    script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2], sys.argv[3:]).fetchone()[0])"
    query = "SELECT count(*) FROM sg_session WHERE owner = ?"
    found = subprocess.run([sys.executable, "-c", script, path, query, owner], capture_output=True, check=True)
    return int(found.stdout) > 0


@pytest.mark.processes
@LOSSES
def test_all_processes_come_to_use_the_new_file(path: Path, store: SQLiteStore, stage: Stage, lose: Lose) -> None:
    """While other processes still hold the lost file, every acknowledged write is in the file at the path."""
    with ChildProcess(hold_open, str(path)) as holder, ChildProcess(hold_open, str(path)) as idle:
        holder.hear(), idle.hear()
        lose(path)
        with pytest.raises(StoreUnavailableError):
            store.create(stage.create())
        store.create(stage.create("after"))
        holder.tell("create")
        assert isinstance(holder.hear(), StoreUnavailableError)
        holder.tell("create")
        assert isinstance(holder.hear(), str)
        store.create(stage.create("after all"))
        assert in_the_file(path, "after")
        assert in_the_file(path, "holder")
        assert in_the_file(path, "after all")


def test_a_connection_that_was_lent_at_the_loss_is_not_used_again(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """A call that was underway in the former file gives its connection back to no one."""
    lent = store._connections.take()
    replace(path)
    with pytest.raises(StoreUnavailableError):
        store.identify(c.Identify())
    with pytest.raises(StoreUnavailableError, match="not done yet"):
        store.identify(c.Identify())
    store._connections.give_back(lent)
    store.create(stage.create("after"))
    assert in_the_file(path, "after")


@pytest.mark.processes
@pytest.mark.parametrize("call", ["save", "load"])
def test_a_file_that_our_process_opened_and_closed_is_noticed(
    path: Path, store: SQLiteStore, stage: Stage, call: str
) -> None:
    """`open(path).close()` in our process drops our locks, and others may delete the log; nothing is lost silently."""
    opened = store.create(stage.create()).record
    path.open("rb").close()
    with ChildProcess(change_elsewhere, str(path)) as elsewhere:
        elsewhere.hear()
    assert not path.with_name(f"{path.name}-wal").exists()
    # A reader looks only now and then; a writer also whenever the folder has changed.
    store._connections._watch.log_check_due = 0.0 if call == "load" else float("inf")
    command: c.Load | c.Save = stage.load(opened) if call == "load" else stage.save(opened, {"lost": 1})
    with pytest.raises(StoreUnavailableError, match="never open, copy or delete"):
        command.apply(store)
    store.save(stage.save(opened, {"kept": 1}))
    kept = SQLiteStore(path)
    record = kept.get(stage.get(opened))
    assert record is not None
    assert record.data == '{"kept":1}'
    kept.close()


def test_readers_notice_a_deleted_log_soon(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """Reading alone shows within moments that others no longer share the log."""
    opened = store.create(stage.create()).record
    path.with_name(f"{path.name}-wal").unlink()
    loads = (store.load(stage.load(opened)) for _ in range(1_000_000))
    with pytest.raises(StoreUnavailableError, match="write-ahead log was deleted"):
        deque(loads, maxlen=0)


def test_a_file_that_was_moved_away_keeps_what_was_acknowledged(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """What was still in the log when the file was renamed is in the file under its new name."""
    opened = store.create(stage.create()).record
    elsewhere = path.rename(path.with_name("elsewhere.db"))
    with pytest.raises(StoreUnavailableError):
        store.identify(c.Identify())
    former = SQLiteStore(elsewhere)
    assert former.get(stage.get(opened)) == opened
    former.close()


@pytest.mark.processes
@pytest.mark.parametrize("let_go", ["close_before_fork", "drop", "lose the only connection"])
def test_nothing_is_removed_by_the_identity_of_a_file_that_is_not_held(
    path: Path, store: SQLiteStore, stage: Stage, let_go: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no connection of ours is open, the next file may have got the inodes of the last: its logs stay."""
    removed: list[str] = []
    monkeypatch.setattr(placement, "remove_logs", lambda path, former: removed.append(path))
    pool = store._connections
    if let_go == "close_before_fork":
        pool.close_before_fork()
        pool.resume_after_fork()
    elif let_go == "drop":
        pool.drop()
    else:
        pool.take()
    path.rename(path.with_name("former.db"))
    with ChildProcess(hold_open, str(path)) as other:
        other.hear()
        assert store.create(stage.create("after")).record.owner == "after"
        other.tell("create")
        assert isinstance(other.hear(), str)
    assert removed == []
    assert in_the_file(path, "holder")
    assert in_the_file(path, "after")


def test_a_rollback_journal_is_never_taken_for_one_of_the_former_file(path: Path, open_store: OpenStore) -> None:
    """A journal lives as long as a transaction, and the next has its inode: it is not removed with a lost file."""
    store = open_store(journal_mode="delete")
    journal = path.with_name(f"{path.name}-journal")
    journal.touch()
    assert placement.log_identities(str(path)) == frozenset()
    store.identify(c.Identify())
    path.unlink()
    journal.write_text("of another database")
    with pytest.raises(StoreUnavailableError, match="replaced or deleted"):
        store.identify(c.Identify())
    assert journal.read_text() == "of another database"


def test_a_connection_that_comes_back_as_the_others_are_dropped_is_not_used(
    path: Path, store: SQLiteStore, stage: Stage
) -> None:
    """Even if it slips in among the idle ones: it may be to another file."""
    lent = store._connections.take()
    store.distrust()
    store._connections._idle.append(lent)
    replace(path)
    assert store.create(stage.create("after")).record.owner == "after"
    assert lent not in store._connections.living
    assert in_the_file(path, "after")


@pytest.mark.processes
def test_the_library_opens_the_file_only_through_sqlite(path: Path) -> None:
    """No call of ours opens and closes the file itself, which would drop the locks of this process."""
    with ChildProcess(opens_of_our_own, str(path)) as child:
        assert child.hear() == []


def opens_of_our_own(pipe: object, path: str) -> list[str]:
    """Use everything a store has, and give every `open` of the file that was not to make it new."""
    opened: list[str] = []

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(path):
            flags = arguments[2]
            assert isinstance(flags, int)
            if not flags & os.O_EXCL:
                opened.append(f"{arguments}")

    sys.addaudithook(hear)
    stage = Stage("0" * 32)
    store, other = SQLiteStore(path), SQLiteStore(path)
    store.migrate(dry_run=True)
    record = store.create(stage.create()).record
    other.get(stage.get(record))
    other.examine()
    other.migrate(dry_run=True)
    other.migrate()
    other.distrust()
    other.close()
    store.save(stage.save(record, {"a": 1}))
    try:
        Path(path).unlink()
        store.get(stage.get(record))
    except StoreError:
        store.identify(c.Identify())
    store.close()
    return opened
