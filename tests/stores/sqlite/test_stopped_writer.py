"""A writer that stops with the write lock held: others wait as long as they have patience, and readers not at all."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import ChildProcess
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.conftest import OpenStore
from tests.stores.sqlite.workers import stand_in_a_transaction

pytestmark = pytest.mark.processes

PATIENCE_SECONDS = 0.2


@pytest.fixture
def store(open_store: OpenStore) -> SQLiteStore:
    """A store with little patience."""
    return open_store(patience_seconds=PATIENCE_SECONDS)


@pytest.fixture
def writer(path: Path) -> Iterator[ChildProcess]:
    """A process that is stopped inside a transaction."""
    with ChildProcess(stand_in_a_transaction, str(path)) as child:
        assert child.hear() == "inside"
        child.freeze()
        yield child


def test_writers_time_out_and_nothing_was_done(store: SQLiteStore, stage: Stage, writer: ChildProcess) -> None:
    """A write raises a timeout when the patience is over, not before; a retry after the writer went on succeeds."""
    new = stage.new()
    began = time.monotonic()
    with pytest.raises(StoreTimeoutError, match="another process kept the database locked") as caught:
        store.create(stage.create(new))
    assert time.monotonic() - began >= PATIENCE_SECONDS
    assert caught.value.retryable
    assert store.get(stage.get(new)) is None
    writer.thaw()
    writer.tell("leave")
    assert writer.hear() == "outside"
    assert store.create(stage.create(new)).record.id == new.id


def test_the_waits_of_one_call_have_one_patience(open_store: OpenStore, stage: Stage, writer: ChildProcess) -> None:
    """Many writers of one process give up together: the wait for their turn and the wait for SQLite are one."""
    store = open_store(patience_seconds=1.0)
    store.load(stage.load(b"unknown"))

    def wait(number: int) -> float:
        began = time.monotonic()
        with pytest.raises(StoreTimeoutError):
            store.create(stage.create(f"owner {number}"))
        return time.monotonic() - began

    with ThreadPoolExecutor(8) as threads:
        assert max(threads.map(wait, range(8))) < 1.7


def test_readers_go_on(store: SQLiteStore, stage: Stage) -> None:
    """Loads, hits of get_or_create and lists need no writer."""
    opened = store.get_or_create(stage.get_or_create()).record
    with ChildProcess(stand_in_a_transaction, store.path) as writer:
        assert writer.hear() == "inside"
        writer.freeze()
        assert store.load(stage.load(opened)).record == opened
        assert store.get_or_create(stage.get_or_create()).record == opened
        assert store.get(stage.get(opened)) == opened
        assert opened in store.page(stage.page()).records


def test_a_killed_writer_frees_the_lock_at_once(store: SQLiteStore, stage: Stage, writer: ChildProcess) -> None:
    """With the writer dead the next write succeeds, without any wait for its patience."""
    writer.kill()
    assert store.create(stage.create()).record.owner == "ana"
