"""Threads that share one store."""

import gc
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import MisuseError, StoreTimeoutError
from sessionguard.stores.deadline import Deadline
from sessionguard.stores.sqlite import SQLiteStore, transactions
from sessionguard.stores.sqlite.retrying import Turn, wait_for
from sessionguard.testing import Profile
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.conftest import OpenStore
from tests.stores.sqlite.workers import guard_on


def test_threads_share_one_store(path: Path, sg_profile: Profile) -> None:
    """Saves of many threads to one session all survive, and readers between them always see a whole session."""
    guard = guard_on(str(path))
    session = guard.create("ana")

    def caller(number: int) -> None:
        for turn in range(sg_profile.rounds):
            guard.save(session, {f"field {number}": turn})
            loaded = guard.load(session.token)
            assert loaded is not None
            assert loaded.data[f"field {number}"] == turn

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(caller, range(16)))
    stored = guard.get(session.id)
    assert stored is not None
    assert stored.version == 1 + 16 * sg_profile.rounds
    guard._store.close()


def test_threads_may_meet_at_first_use(open_store: OpenStore) -> None:
    """Threads whose first calls meet make one database."""
    store = open_store()
    start = threading.Barrier(8)

    def caller(_: int) -> str:
        start.wait(10)
        return store.identify(c.Identify())

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(caller, range(8)))) == 1


def test_queueing_writers_hold_no_connections(
    path: Path, store: SQLiteStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many threads wait to write, they take one connection, so that file descriptors do not run out."""
    pool, all_queue = store._connections, threading.Barrier(33)

    def queue(turn: Turn, operation: str, deadline: Deadline, others: str) -> None:
        all_queue.wait(10)
        wait_for(turn, operation, deadline, others)

    monkeypatch.setattr(transactions, "wait_for", queue)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(32) as threads:
        calls = [threads.submit(store.create, stage.create(f"owner {number}")) for number in range(32)]
        all_queue.wait(10)
        held = len(pool.living)
        blocker.execute("ROLLBACK")
        assert len({call.result(timeout=30).record.id for call in calls}) == 32
    blocker.close()
    assert held <= 1
    assert len(pool.living) == 1


def test_waiting_for_other_threads_is_bounded(open_store: OpenStore, stage: Stage) -> None:
    """A thread whose turn does not come within the patience gets a timeout, and nothing was done."""
    store = open_store(patience_seconds=0.05)
    store.identify(c.Identify())
    with ThreadPoolExecutor(1) as other:
        turn = store._connections.writers_turn
        assert other.submit(turn.acquire, timeout=1).result()
        with pytest.raises(StoreTimeoutError, match="other threads kept writing"):
            store.create(stage.create())
        other.submit(turn.release).result()
    assert store.sweep(stage.sweep()).records == ()
    assert store.create(stage.create()).record.owner == "ana"


def test_a_store_closed_amid_calls_closes_what_comes_back(open_store: OpenStore) -> None:
    """A call that is underway when another thread closes the store ends well, and its connection is closed."""
    store = open_store()

    def work(connection: sqlite3.Connection, command: c.Identify) -> int:
        store.close()
        return int(connection.execute("SELECT 1").fetchone()[0])

    assert store._run.read(work, c.Identify()) == 1
    assert store._connections.living == []
    with pytest.raises(MisuseError, match="closed"):
        store.identify(c.Identify())
    with pytest.raises(MisuseError, match="closed"):
        store.examine()


def test_distrusted_connections_are_closed_even_when_lent(store: SQLiteStore) -> None:
    """After `distrust` no connection that was open before is used again."""
    lent, before = store._connections.take(), set(store._connections.living)
    store.distrust()
    store._connections.give_back(lent)
    store.identify(c.Identify())
    assert store._connections.living
    assert before.isdisjoint(store._connections.living)


def test_a_transaction_that_raises_leaves_nothing(store: SQLiteStore, stage: Stage) -> None:
    """Whatever is raised amid a transaction, its writes are undone and the next caller finds the lock free."""

    def work(connection: sqlite3.Connection, command: c.Identify) -> None:
        connection.execute("UPDATE sg_meta SET value = 99 WHERE name = 'generation_floor'")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store._run.transact(work, c.Identify())
    assert store.get_or_create(stage.get_or_create()).record.generation == 1


def test_a_dropped_store_leaves_nothing_open(path: Path, stage: Stage) -> None:
    """Without `close`, dropping the store closes its connections, whoever still refers to one."""
    store = SQLiteStore(path)
    store.create(stage.create())
    (idle,) = store._connections._idle
    connection = idle.sqlite
    del store, idle
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
