"""What is kept so that a command that comes again gets its first answer: written by few verbs, bounded, forgotten."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import REMEMBERED_OPERATIONS
from sessionguard.stores.sqlite import SQLiteStore, answers
from sessionguard.testing.contracts.stage import IDLE, REMEMBERED, RETENTION, SECOND, START, TICK, Stage


def rows(path: Path, query: str) -> list[Any]:
    """Give the first column of what the file holds."""
    connection = sqlite3.connect(path)
    found = [row[0] for row in connection.execute(query)]
    connection.close()
    return found


def answered(path: Path) -> list[str]:
    """Give the operations whose answers are kept."""
    return rows(path, "SELECT operation FROM sg_answer ORDER BY at_us, operation")


def test_only_three_verbs_keep_answers(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """Not the frequent ones; nor a sweep or a purge that found nothing, which writes nothing at all."""
    opened = store.get_or_create(stage.get_or_create()).record
    for command in (
        stage.replace("bea"),
        stage.create(),
        stage.save(opened, {"n": 1}),
        stage.touch(opened),
        stage.rotate(opened),
        stage.load(opened),
        stage.acquire(opened, "one"),
        stage.release(opened, "one"),
        stage.end(opened),
    ):
        command.apply(store)
    before = version(path)
    store.sweep(stage.sweep())
    store.purge(stage.purge())
    assert answered(path) == []
    assert version(path) == before
    kept: list[Any] = [stage.end_owner("nobody", at=IDLE), stage.sweep(at=IDLE), stage.purge(START, at=IDLE)]
    for kept_command in kept:
        kept_command.apply(store)
    assert set(answered(path)) == {command.operation_id for command in kept}


def version(path: Path) -> tuple[int, bytes]:
    """Give what changes with every write: the log and its header."""
    log = Path(f"{path}-wal")
    return log.stat().st_size, log.read_bytes()[:32]


def test_old_answers_are_forgotten_by_a_purge_that_finds_nothing_else(
    path: Path, store: SQLiteStore, stage: Stage
) -> None:
    """At the instant at which they are old enough, and a tick before they are all there."""
    old, young = stage.end_owner("ana"), stage.end_owner("ana", at=TICK)
    for command in (old, young):
        store.end_owner(command)
    assert store.purge(stage.purge(at=REMEMBERED - TICK)) == c.Purged(0, False)
    assert answered(path) == [old.operation_id, young.operation_id]
    assert store.purge(stage.purge(at=REMEMBERED)) == c.Purged(0, False)
    assert answered(path) == [young.operation_id]


def test_no_purge_forgets_more_than_a_batch_of_answers(
    path: Path, store: SQLiteStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest first; the rest goes with the next ones."""
    monkeypatch.setattr(answers, "_BATCH", 2)
    asked = [stage.end_owner("ana", at=number * TICK) for number in range(5)]
    for command in asked:
        store.end_owner(command)
    for left in (3, 1, 0):
        store.purge(stage.purge(at=RETENTION))
        assert answered(path) == [command.operation_id for command in asked[5 - left :]]


def test_an_answer_is_kept_in_the_step_that_it_is_about(
    store: SQLiteStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it cannot be kept, nothing is ended and nothing forgotten."""
    opened = store.create(stage.create("ana")).record
    gone = store.create(stage.create("bea")).record
    store.end(stage.end(gone))

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    calls: list[Callable[[], object]] = [
        lambda: store.end_owner(stage.end_owner("ana")),
        lambda: store.sweep(stage.sweep(at=IDLE)),
        lambda: store.purge(stage.purge(START)),
    ]
    with monkeypatch.context() as there:
        there.setattr(answers, "remember", fail)
        for call in calls:
            with pytest.raises(ZeroDivisionError):
                call()
    assert store.get(stage.get(opened)) == opened
    assert store.get(stage.get(gone)) is not None


def test_operations_of_a_session_are_bounded(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """However often it is saved, its row keeps the last ones and no more."""
    opened = store.create(stage.create()).record
    saves = [stage.save(opened, {"n": number}) for number in range(2 * REMEMBERED_OPERATIONS)]
    for save in saves:
        store.save(save)
    (kept,) = rows(path, "SELECT operations FROM sg_session")
    assert kept.split(",") == [save.operation_id for save in saves[: REMEMBERED_OPERATIONS - 1 : -1]] + [""]


def test_releases_of_a_lock_are_bounded(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """However often it changes hands, its row keeps the last ones, whole, also where fences gain a digit."""
    opened = store.create(stage.create()).record
    holders = []
    for _ in range(120):
        holders.append(stage.operation())
        store.acquire_lock(stage.acquire(opened, holders[-1]))
        store.release_lock(stage.release(opened, holders[-1]))
    (kept,) = rows(path, "SELECT released FROM sg_lock")
    assert len(kept) <= 832
    for fence, holder in list(enumerate(holders, 1))[-REMEMBERED_OPERATIONS:]:
        assert store.release_lock(stage.release(opened, holder)) == c.LockReply(Outcome.DONE, fence)
    assert store.release_lock(stage.release(opened, holders[0])).outcome is Outcome.CONFLICT


def test_many_long_holders_are_remembered_as_many(store: SQLiteStore, stage: Stage) -> None:
    """Their number is bounded, not their length."""
    opened = store.create(stage.create()).record
    holders = [f"{number:02d}" + "h" * 500 for number in range(REMEMBERED_OPERATIONS)]
    for holder in holders:
        store.acquire_lock(stage.acquire(opened, holder))
        store.release_lock(stage.release(opened, holder))
    for fence, holder in enumerate(holders, 1):
        assert store.release_lock(stage.release(opened, holder)) == c.LockReply(Outcome.DONE, fence)


@pytest.mark.parametrize("holder", ["'", "a,'b':7,", "':1,'", "a':1", ",", ":", "é🦊", "%", ""])
def test_a_holder_is_never_taken_for_another(store: SQLiteStore, stage: Stage, holder: str) -> None:
    """Whatever it is called, it is known again, and nothing that looks like a part of it is."""
    opened = store.create(stage.create()).record
    store.acquire_lock(stage.acquire(opened, holder))
    first = store.release_lock(stage.release(opened, holder))
    assert store.release_lock(stage.release(opened, holder)) == first
    for other in {"'", "b", "a", "1", "'1", "a,'b'", "fox", "e", " ", "''"} - {holder}:
        assert store.release_lock(stage.release(opened, other)).outcome is Outcome.CONFLICT, other


def test_a_repetition_is_answered_where_nothing_is_due_any_more(store: SQLiteStore, stage: Stage) -> None:
    """The short way of a sweep or a purge that finds nothing does not hide what it answered before."""
    for _ in range(3):
        store.create(stage.create())
    sweep, purge = stage.sweep(at=IDLE), stage.purge(START, at=IDLE)
    swept = store.sweep(sweep)
    assert len(swept.records) == 3
    assert store.sweep(sweep) == swept
    purged = store.purge(purge)
    assert purged.count == 3
    assert store.purge(purge) == purged
    assert store.sweep(sweep) == c.Ended(())
    assert store.sweep(stage.sweep(at=IDLE + SECOND)) == c.Ended(())
