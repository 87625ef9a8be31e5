"""What clean-up costs: it grows with what is ended, not with what lives."""

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core.records import Lifetime
from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.stores.sqlite.statements import STATEMENTS
from sessionguard.testing import Profile
from sessionguard.testing.contracts.stage import IDLE, KEEPS_DATA, LIFETIME, RETENTION, START, Stage
from tests.stores.sqlite.conftest import OpenStore

DUE = 100
MINUTE = timedelta(minutes=1)


def filled(path: Path, live: int) -> SQLiteStore:
    """Give a store with so many live sessions among which a hundred expire at the beginning of the case."""
    store, stage = SQLiteStore(path), Stage("0" * 32)
    lent = store._connections.take()
    connection = lent.sqlite
    connection.execute("BEGIN")
    for number in range(live + DUE):
        instant_us = stage.us(timedelta(0)) + number
        expires_us = instant_us + (10**10 if number % (live // DUE + 1) else 0)
        connection.execute(STATEMENTS["insert"], _row(f"{number:034x}", instant_us, expires_us, LIFETIME))
    connection.execute("COMMIT")
    store._connections.give_back(lent)
    return store


def _row(session_id: str, created_us: int, expires_us: int, lifetime: Lifetime) -> tuple[object, ...]:
    token_hash = session_id.encode()
    return (
        session_id, "desk", f"owner {session_id}", "", None, created_us, created_us, expires_us, expires_us + 10**12, 1,
        token_hash, lifetime.idle_us, lifetime.touch_us, lifetime.retention_us, 0, "{}",
    )  # fmt: skip


def steps_of(store: SQLiteStore, work: Callable[[], object], *, unit: int = 100) -> int:
    """Count the steps of SQLite's virtual machine, in units, that `work` takes on the one connection."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    lent = store._connections.take()
    connection = lent.sqlite
    connection.set_progress_handler(count, unit)
    store._connections.give_back(lent)
    work()
    connection.set_progress_handler(None, unit)
    return steps


def test_a_sweep_costs_what_it_ends(tmp_path: Path, sg_profile: Profile) -> None:
    """Ending a hundred sessions among many takes about as many steps as among few, and so does finding none."""
    stage = Stage("0" * 32)
    few, many = (filled(tmp_path / f"{live}.db", live) for live in (1_000, sg_profile.live_rows))
    sweep = stage.sweep(at=MINUTE)
    costs = []
    for store in (few, many):
        ended: list[int] = []
        costs.append(steps_of(store, lambda store=store, ended=ended: ended.append(len(store.sweep(sweep).records))))  # type: ignore[misc]
        assert ended == [DUE]
        assert steps_of(store, lambda store=store: store.sweep(stage.sweep(at=MINUTE))) <= 1  # type: ignore[misc]
    assert costs[1] < costs[0] * 1.5
    assert costs[0] > DUE / 10
    few.close()
    many.close()


def test_a_pass_takes_the_same_steps_among_few_and_many(tmp_path: Path) -> None:
    """Turn, census, dry run, batches, and the look that finds nothing: among a hundred and among ten thousand."""
    stage, costs = Stage("0" * 32), []
    for live in (100, 10_000):
        store = filled(tmp_path / f"{live}.db", live)
        asked: list[c.Command[Any]] = [
            f.TakeTurn("sweep", "one", stage.instant(MINUTE), 1_000_000),
            stage.census(0.6, 10, at=MINUTE),
            stage.find_due(DUE + 1, at=MINUTE),
            stage.sweep(DUE - 10, at=MINUTE),
            stage.sweep(DUE, at=MINUTE),
            stage.sweep(DUE, at=MINUTE),
            stage.census(0.6, 10, at=MINUTE),
            stage.purge(at=MINUTE),
            f.GiveTurn("sweep", "one", stage.instant(MINUTE)),
        ]
        costs.append([steps_of(store, lambda one=one, store=store: one.apply(store), unit=1) for one in asked])  # type: ignore[misc]
        store.close()
    assert costs[0] == costs[1]
    assert sum(costs[0]) > 10 * DUE


def test_the_count_sees_a_scan(tmp_path: Path, sg_profile: Profile) -> None:
    """The measure can fail: reading every session takes steps for every session."""
    store = filled(tmp_path / "s.db", sg_profile.live_rows)
    steps = steps_of(store, lambda: store.page(Stage("0" * 32).page(status="ended", limit=1)))
    assert steps > sg_profile.live_rows / 100
    store.close()


@pytest.mark.parametrize("lifetime", [LIFETIME, KEEPS_DATA])
def test_a_purge_costs_what_it_forgets(tmp_path: Path, sg_profile: Profile, lifetime: Lifetime) -> None:
    """Forgetting a hundred sessions does not read those that live."""
    stage, costs = Stage("0" * 32), []
    for live in (1_000, sg_profile.live_rows):
        store = filled(tmp_path / f"{live}.db", live)
        store.sweep(stage.sweep(at=MINUTE))
        purge = stage.purge(at=RETENTION + IDLE)
        costs.append(steps_of(store, lambda store=store, purge=purge: store.purge(purge)))  # type: ignore[misc]
        assert store.purge(stage.purge(at=RETENTION + IDLE)).count == 0
        store.close()
    assert costs[1] < costs[0] * 1.5


def test_a_purge_reads_no_history_that_is_kept(tmp_path: Path, sg_profile: Profile) -> None:
    """However many ended sessions are kept, a look that finds none to forget takes no steps for them."""
    stage = Stage("0" * 32)
    store = filled(tmp_path / "s.db", sg_profile.live_rows)
    store.sweep(stage.sweep(sg_profile.live_rows * 2, at=timedelta(hours=3)))
    for older_than in (None, timedelta(days=30)):
        purge = stage.purge(older_than, at=timedelta(hours=3))
        assert steps_of(store, lambda purge=purge: store.purge(purge)) <= 1  # type: ignore[misc]
    store.close()


def test_a_sweep_or_purge_with_nothing_due_waits_for_no_writer(path: Path, open_store: OpenStore, stage: Stage) -> None:
    """While another program holds the write lock, the clean-up in the background looks, finds nothing, and goes."""
    store = open_store(patience_seconds=0.05)
    store.create(stage.create())
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert store.sweep(stage.sweep()) == c.Ended(())
    assert store.purge(stage.purge()) == store.purge(stage.purge(START)) == c.Purged(0, False)
    with pytest.raises(StoreTimeoutError):
        store.sweep(stage.sweep(at=IDLE))
    writer.close()
