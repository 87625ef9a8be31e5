"""What the child processes of these tests do; kept apart from the tests, so that a child imports little."""

import contextlib
import itertools
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from threading import Barrier
from typing import Any

from attrs import frozen

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.errors import StoreError
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import at_once, small_disk
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults.disk import DiskKind

STAGE = Stage("0" * 32)
PATIENCE_SECONDS = 60.0
SPACE_BYTES, LITTLE_BYTES = 10_000_000, 400_000


def guard_on(path: str, **options: Any) -> SessionGuard:
    """Give a guard without background work over the database at `path`."""
    return SessionGuard(SQLiteStore(path, **options), sweep_interval=None)


# Killed while writing


@frozen
class Acknowledged:
    """One change whose call had returned: the session, who it belongs to and the number it was given to keep."""

    session_id: str
    owner: str
    number: int


def write_and_acknowledge(pipe: Connection, path: str, owner: str, journal_mode: str) -> None:
    """Open, save and replace without end, and tell of every change as soon as its call has returned."""
    guard = guard_on(path, journal_mode=journal_mode)
    for number in itertools.count():
        session = guard.get_or_create(owner) if number % 5 else guard.replace(owner)
        guard.save(session, {"number": number})
        pipe.send(Acknowledged(session.id, owner, number))


# Contention


def meet_in_slots(
    pipe: Connection, path: str, callers: int, rounds: int, meeting: Barrier
) -> list[tuple[set[str], int]]:
    """Open one slot per round from many threads at once; gives the ids that a round saw, and how many were new."""
    guard = guard_on(path)
    guard.get_or_create("warm-up")
    start = threading.Barrier(callers, action=lambda: _wait(meeting))
    seen: list[list[tuple[str, bool]]] = [[] for _ in range(rounds)]

    def caller(_: int) -> None:
        try:
            for number in range(rounds):
                start.wait(PATIENCE_SECONDS)
                session = guard.get_or_create(f"owner-{number}")
                seen[number].append((session.id, session.is_new))
        except BaseException:
            start.abort()
            raise

    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(caller, range(callers)))
    return [({session_id for session_id, _ in one}, sum(is_new for _, is_new in one)) for one in seen]


def _wait(meeting: Barrier) -> None:
    meeting.wait(PATIENCE_SECONDS)


def save_in_a_loop(pipe: Connection, path: str, field: str, session_id: str, seconds: float, journal: str) -> list[int]:
    """Save one field with growing numbers for so long; gives how many nanoseconds each call took."""
    guard = guard_on(path, journal_mode=journal)
    session = guard.get(session_id)
    assert session is not None
    took: list[int] = []
    at_once(pipe)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter_ns()
        guard.save(session, {field: len(took)})
        took.append(time.perf_counter_ns() - began)
    return took


def load_and_save(pipe: Connection, path: str, token: str, field: str, turns: int) -> None:
    """Save one field with growing numbers and load it after each save, with the rollback journal."""
    guard = guard_on(path, journal_mode="delete")
    at_once(pipe)
    for turn in range(turns):
        session = guard.load(token)
        assert session is not None
        guard.save(session, {field: turn})
        loaded = guard.load(token)
        assert loaded is not None
        assert loaded.data[field] == turn


# A writer that stops inside its transaction


def stand_in_a_transaction(pipe: Connection, path: str) -> None:
    """Write a session, and before the commit say so and wait for a message."""

    def work(connection: sqlite3.Connection, command: c.Create) -> c.Opened:
        connection.execute("UPDATE sg_meta SET value = value WHERE name = 'generation_floor'")
        pipe.send("inside")
        pipe.recv()
        return c.Opened(STAGE_RECORD)

    store = SQLiteStore(path)
    STAGE_RECORD = store.create(STAGE.create("writer")).record
    store._run.transact(work, STAGE.create())
    pipe.send("outside")
    pipe.recv()


# Opening


def open_fresh(pipe: Connection, path: str) -> str:
    """Use a file that does not exist yet, together with others; gives the deployment id that is seen."""
    store = SQLiteStore(path)
    at_once(pipe)
    return store.identify(c.Identify())


def change_elsewhere(pipe: Connection, path: str, journal_mode: str = "wal") -> str:
    """Create a session and close everything, as a short-lived command would; gives its id."""
    store = SQLiteStore(path, journal_mode=journal_mode)
    opened = store.create(STAGE.create("elsewhere"))
    store.close()
    return opened.record.id


def hold_open(pipe: Connection, path: str) -> None:
    """Use the database, say so, and keep it open; then at each message create one more session and say how it went."""
    store = SQLiteStore(path)
    pipe.send(store.create(STAGE.create("holder")).record.id)
    while True:
        pipe.recv()
        try:
            pipe.send(store.create(STAGE.create("holder")).record.id)
        except StoreError as error:
            pipe.send(error)


# Limits


@frozen
class Outgrown:
    """What the store said when there was no space; how many sessions it had stored, how many of those could be read
    when nothing could be written, how many there were at the end, and what it then found about its file.
    """

    failure: StoreError
    stored: int
    intact: int
    listed: int
    integrity: Sequence[str]


def outgrow_the_disk(pipe: Connection, journal_mode: str, kind: DiskKind) -> Outgrown:
    """Write until there is no space, read, then write once more with space, and look at it all anew."""
    stored: list[str] = []
    with small_disk(SPACE_BYTES, kind) as disk:
        store = SQLiteStore(disk.path / "s.db", journal_mode=journal_mode)
        store.identify(c.Identify())
        disk.resize(LITTLE_BYTES)
        failure = _create_until_it_fails(store, stored)
        intact = sum(store.get(STAGE.get(_known(session_id))) is not None for session_id in stored)
        disk.resize(SPACE_BYTES)
        stored.append(store.create(STAGE.create()).record.id)
        store.close()
        again = SQLiteStore(disk.path / "s.db", journal_mode=journal_mode)
        listed = len(again.page(STAGE.page(status=None, limit=1000)).records)
        integrity = [finding.level for finding in again.examine() if finding.subject == "integrity"]
        again.close()
    return Outgrown(failure, len(stored), intact, listed, integrity)


def _create_until_it_fails(store: SQLiteStore, stored: list[str]) -> StoreError:
    while len(stored) < 1000:
        try:
            stored.append(store.create(STAGE.create(data={"text": "x" * 2000})).record.id)
        except StoreError as error:
            return error
    raise AssertionError("nothing failed")


def _known(session_id: str) -> Any:
    @frozen
    class Known:
        id: str

    return Known(session_id)


# Interrupted anywhere


class Interrupted(BaseException):
    """What the signal handler of `be_interrupted` raises."""


@frozen
class Aftermath:
    """How many calls were interrupted, what else they raised, and what is left of them."""

    interrupted: int
    failures: list[str]
    lent: int
    open: int
    saved: bool
    fork_seconds: float
    recovered: bool


def be_interrupted(pipe: Connection, path: str, seconds: float) -> Aftermath:
    """Save and load for so long, while a signal handler raises at random instants; then use the store as ever."""
    guard = guard_on(path, patience_seconds=1.0)
    session = guard.get_or_create("ana")
    interrupted, failures = 0, []
    signal.signal(signal.SIGALRM, _interrupt)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.0005))
                guard.load(session.token)
                guard.save(session, {"a": interrupted})
                guard.get_or_create("ana")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupted:
            interrupted += 1
        except StoreError as error:
            failures.append(str(error))
    pool = guard._store._connections  # type: ignore[attr-defined]
    open_count = len(pool.living)
    lent = open_count - len(pool._idle)
    saved = guard.save(session, {"done": 1}).data["done"] == 1
    began = time.monotonic()
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    fork_seconds = time.monotonic() - began
    guard.get(session.id)
    os.rename(path, f"{path}.former")
    with contextlib.suppress(StoreError):
        guard.get(session.id)
    recovered = guard.get(session.id) is None
    return Aftermath(interrupted, failures, lent, open_count, saved, fork_seconds, recovered)


def _interrupt(signal_number: int, frame: object) -> None:
    raise Interrupted
