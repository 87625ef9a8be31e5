"""Writers that are killed: what they had acknowledged is there, nothing is half done, and no one waits for the dead."""

import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import ChildProcess, Profile
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.workers import Acknowledged, guard_on, stand_in_a_transaction, write_and_acknowledge

OWNERS = ("ana", "bo")


@pytest.mark.processes
@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_killed_writer_loses_nothing_it_acknowledged(path: Path, sg_profile: Profile, journal_mode: str) -> None:
    """After kill -9 at any instant every acknowledged change is stored, each slot has one session, the file is whole.

    This is about the death of processes. Without synchronous=FULL it would pass too, for the kernel has what a dead
    process wrote; only a power cut tells the difference. So the next test asks for the setting itself.
    """
    SQLiteStore(path, journal_mode=journal_mode).close()
    for _ in range(sg_profile.kills):
        writers = [ChildProcess(write_and_acknowledge, str(path), owner, journal_mode) for owner in OWNERS]
        heard = [writer.hear() for writer in writers]
        heard += [writers[0].hear() for _ in range(random.randrange(40))]
        for writer in writers:
            heard += writer.heard_before_death()
        assert_all_there(path, heard, journal_mode)


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_every_connection_waits_for_the_disk(path: Path, journal_mode: str) -> None:
    """The first connection of a store and every later one are durable, and wait for locks in our way, not SQLite's."""
    store = SQLiteStore(path, journal_mode=journal_mode)
    for connection in [store._connections.take(), store._connections.take()]:
        settings = [
            connection.sqlite.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "busy_timeout")
        ]
        assert settings == [journal_mode, 2, 0]
        store._connections.give_back(connection)
    store.close()


def assert_all_there(path: Path, acknowledged: list[Acknowledged], journal_mode: str) -> None:
    """Every acknowledged number is stored, or a later one of the same writer; another writer needs no wait."""
    latest: dict[str, Acknowledged] = {change.owner: change for change in acknowledged}
    guard = guard_on(str(path), journal_mode=journal_mode)
    for change in latest.values():
        session = guard.get(change.session_id)
        assert session is not None
        if session.status == "active":
            # Killed after the save of a later number and before its acknowledgement: that one counts as well.
            assert session.data["number"] in (change.number, change.number + 1)
        else:
            # Or after the replacement by the next session of the slot.
            assert (session.reason, (change.number + 1) % 5) == ("replaced", 0)
    for change in acknowledged:
        assert guard.get(change.session_id) is not None
    assert guard.create("survivor").id
    guard._store.close()
    assert_whole(path)


def assert_whole(path: Path) -> None:
    """The file is what SQLite calls whole, and no slot has two active sessions."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    slots = Counter(connection.execute("SELECT owner FROM sg_session WHERE active AND seat = 0").fetchall())
    assert {owner: count for (owner,), count in slots.items() if count > 1} == {}
    connection.close()


@pytest.mark.processes
def test_the_dead_hold_no_lock(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """A writer killed inside its transaction is followed by the next one at once."""
    writer = ChildProcess(stand_in_a_transaction, str(path))
    assert writer.hear() == "inside"
    writer.kill()
    assert store.create(stage.create()).record.owner == "ana"
