"""Decisions that only an instant between two statements, or another program, could make wrong."""

import sqlite3
from datetime import datetime, timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import Outcome
from sessionguard.stores.sqlite import SQLiteStore, openings
from sessionguard.testing.contracts.stage import IDLE, RETENTION, START, TICK, TOUCH, Stage
from tests.stores.sqlite.conftest import OpenStore


def test_a_session_that_expires_between_reading_and_touching_is_over(
    store: SQLiteStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the touch finds the session expired, the row that was read before is given to no one."""
    opened = store.create(stage.create()).record
    instants = chain(repeat(stage.us(IDLE - TICK), 2), repeat(stage.us(IDLE)))
    monkeypatch.setattr(openings, "instant_us", lambda at: next(instants))
    assert store.load(c.Load(opened.token_hash, None, None, "")) == c.Loaded(None, False, "expired", opened.id)


def test_the_clock_is_read_after_the_wait_for_the_lock(
    path: Path, open_store: OpenStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change is judged at the instant at which it is made, not at the one at which its caller began to wait."""
    store = open_store(patience_seconds=1.0)
    opened = store.create(stage.create()).record
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    attempts = 0

    def instant_us(at: datetime | None) -> int:
        nonlocal attempts
        attempts += 1
        if at is not None:
            return to_us(at)
        if attempts == 3:
            blocker.execute("COMMIT")
        return stage.us(TOUCH if attempts < 3 else IDLE)

    monkeypatch.setattr(openings, "instant_us", instant_us)
    monkeypatch.setattr("sessionguard.stores.sqlite.changes.instant_us", instant_us)
    touched = store.touch(c.Touch(opened.id, None, stage.operation()))
    blocker.close()
    assert touched.record is not None
    assert touched.record.reason == "expired"


def test_a_transaction_has_the_write_lock_before_it_reads(path: Path, store: SQLiteStore) -> None:
    """Nobody can write between what a transaction reads and what it writes, so it never has to begin again."""
    other = sqlite3.connect(path, isolation_level=None, timeout=0)

    def work(connection: sqlite3.Connection, command: c.Identify) -> None:
        connection.execute("SELECT count(*) FROM sg_session").fetchone()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")

    store._run.transact(work, c.Identify())
    other.close()


def test_no_program_gets_a_second_active_session_into_a_slot(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """The database itself refuses it, whoever asks."""
    store.get_or_create(stage.get_or_create(at=START))
    connection = sqlite3.connect(path)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(sg_session)")]
    copied = ", ".join({"id": "'other'", "token_hash": "x'00'"}.get(name, name) for name in columns)
    insert = f"INSERT INTO sg_session ({', '.join(columns)}) SELECT {copied} FROM sg_session"
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: sg_session\.owner"):
        connection.execute(insert)
    connection.close()


@pytest.mark.parametrize(
    "change",
    ["active = 0", "reason = 'revoked'", "ended_us = 1", "owner = ''", "scope = ''", "id = NULL", "active = 2"],
)
def test_no_program_gets_an_impossible_row_in(path: Path, store: SQLiteStore, stage: Stage, change: str) -> None:
    """A row is active or has a reason and an end, and has an owner and a scope."""
    store.create(stage.create())
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"UPDATE sg_session SET {change}")
    connection.close()


@pytest.mark.parametrize("late", [TICK, TOUCH])
def test_a_repetition_whose_session_has_ended_gives_the_one_in_the_slot(
    store: SQLiteStore, stage: Stage, late: timedelta
) -> None:
    """Whether a touch is due or not: the slot's active session first, and only without one the own, ended record."""
    first = stage.new()
    store.get_or_create(stage.get_or_create(first))
    store.end(stage.end(first))
    assert store.get_or_create(stage.get_or_create(first, at=late)).record.reason == "revoked"
    second = store.get_or_create(stage.get_or_create()).record
    assert store.get_or_create(stage.get_or_create(first, at=late)).record.id == second.id


def test_numbers_that_sqlite_cannot_hold_are_compared_all_the_same(store: SQLiteStore, stage: Stage) -> None:
    """No version is that large, and nothing is that old."""
    opened = store.create(stage.create()).record
    for number in (2**70, -(2**70)):
        conflict = store.save(stage.save(opened, {"a": 1}, expected_version=number))
        assert conflict == c.Changed(Outcome.CONFLICT, opened)
    store.end(stage.end(opened))
    assert store.purge(c.Purge(2**70, 10, stage.instant(RETENTION), stage.operation())) == c.Purged(0, False)
