"""The rollback journal, for where write-ahead logs cannot be trusted: the same answers, without a log."""

import json
import os
from pathlib import Path

import pytest

from sessionguard.errors import ConfigurationError
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import Profile, play_all
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.conftest import OpenStore
from tests.stores.sqlite.workers import guard_on, load_and_save


@pytest.mark.processes
def test_readers_and_writers_of_several_processes_meet(path: Path, sg_profile: Profile) -> None:
    """Where readers and writers lock each other out, every call still succeeds and is kept."""
    guard = guard_on(str(path), journal_mode="delete")
    session = guard.create("ana")
    turns = 5 * sg_profile.rounds
    play_all(load_and_save, *[(str(path), session.token, f"field {number}", turns) for number in range(4)])
    stored = guard.get(session.id)
    assert stored is not None
    assert dict(stored.data) == {f"field {number}": turns - 1 for number in range(4)}
    guard._store.close()


def test_there_is_no_log(path: Path, open_store: OpenStore, stage: Stage) -> None:
    """Only the file itself is left between calls, and nothing looks for a log."""
    store = open_store(journal_mode="delete")
    store.create(stage.create())
    assert os.listdir(path.parent) == [path.name]
    store.save(stage.save(store.create(stage.create()).record, {"a": 1}))


@pytest.mark.parametrize("first, second", [("wal", "delete"), ("delete", "wal")])
def test_a_file_at_rest_changes_its_journal(path: Path, stage: Stage, first: str, second: str) -> None:
    """When nobody uses the file, opening it with another journal changes it and keeps what is stored."""
    former = SQLiteStore(path, journal_mode=first)
    opened = former.create(stage.create()).record
    former.close()
    latter = SQLiteStore(path, journal_mode=second)
    assert latter.load(stage.load(opened)).record == opened
    assert [finding.message for finding in latter.examine() if finding.subject == "journal"] == [second]
    latter.close()


def test_a_log_in_use_cannot_be_done_without(path: Path, stage: Stage) -> None:
    """While others use a log, a store that wants none is told that all need the same setting."""
    former = SQLiteStore(path)
    opened = former.create(stage.create()).record
    latter = SQLiteStore(path, journal_mode="delete", patience_seconds=0.05)
    with pytest.raises(ConfigurationError, match=r"with journal=wal; give all the same setting"):
        latter.create(stage.create())
    former.close()
    assert latter.load(stage.load(opened)).record == opened
    latter.close()


def test_all_come_to_use_a_log(path: Path, stage: Stage) -> None:
    """Once one store uses a log, the others use it with it, and none loses a write."""
    former, latter = SQLiteStore(path, journal_mode="delete"), SQLiteStore(path)
    opened = former.create(stage.create()).record
    latter.save(stage.save(opened, {"latter": 1}))
    former.save(stage.save(opened, {"former": 1}))
    record = latter.get(stage.get(opened))
    assert record is not None
    assert json.loads(record.data) == {"latter": 1, "former": 1}
    former.close()
    latter.close()
