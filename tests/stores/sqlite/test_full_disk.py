"""No space left: writes fail with what helps, what was stored stays, and everything works again with space."""

from collections import deque
from contextlib import suppress
from pathlib import Path

import pytest

from sessionguard.core.commands import Identify, Loaded
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import ChildProcess
from sessionguard.testing.contracts.stage import IDLE, TOUCH, Stage
from sessionguard.testing.faults.disk import DiskKind, small_disk
from tests.stores.sqlite.workers import SPACE_BYTES, outgrow_the_disk


@pytest.mark.processes
@pytest.mark.parametrize("kind", ["best", "limit"])
@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_disk_without_space(journal_mode: str, kind: DiskKind) -> None:
    """T61: writes raise, all earlier sessions are intact, and with space the same store works.

    "best" is a real small disk where one can be mounted; "limit" lets single files grow no further.
    """
    with ChildProcess(outgrow_the_disk, journal_mode, kind) as child:
        outgrown = child.hear()
    assert isinstance(outgrown.failure, StoreUnavailableError)
    assert "space" in str(outgrown.failure)
    assert outgrown.intact == outgrown.stored - 1 > 5
    assert outgrown.listed == outgrown.stored
    assert outgrown.integrity == ["ok"]


def test_a_full_database_names_the_remedy(store: SQLiteStore, stage: Stage) -> None:
    """SQLite's own word for a full disk becomes an outage that says what to do; sessions can still be read."""
    opened = store.create(stage.create(data={"text": "x" * 3000})).record
    limit_pages(store, "1")
    commands = [stage.create(f"owner {number}", data={"text": "x" * 3000}) for number in range(100)]
    with pytest.raises(StoreUnavailableError, match="full; free some space; what was stored before is intact"):
        deque(map(store.create, commands), maxlen=0)
    assert store.load(stage.load(opened)).record == opened
    limit_pages(store, "100000")
    assert store.create(commands[-1]).record.owner == "owner 99"


def test_a_session_is_given_though_it_cannot_be_noted_that_it_was_seen(store: SQLiteStore, stage: Stage) -> None:
    """Where nothing can be written, whoever is valid is let in, and whoever is not is refused as ever."""
    opened = store.create(stage.create()).record
    connection = store._connections.take()
    connection.sqlite.execute("PRAGMA query_only = ON")
    store._connections.give_back(connection)
    assert store.load(stage.load(opened, at=TOUCH)) == Loaded(opened)
    assert store.load(stage.load(opened, at=IDLE)).refusal == "expired"
    with pytest.raises(StoreUnavailableError, match="readonly"):
        store.end(stage.end(opened))


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_full_disk_keeps_nobody_out(journal_mode: str) -> None:
    """T61: with no space left, a valid session is given without the touch that was due."""
    try:
        with small_disk(SPACE_BYTES, "mount") as disk:
            store = SQLiteStore(disk.path / "s.db", journal_mode=journal_mode)
            stage = Stage(store.identify(Identify()))
            opened = store.create(stage.create()).record
            fill(disk.path / "other")
            with pytest.raises(StoreUnavailableError, match="full"):
                deque((store.save(stage.save(opened, {"n": number})) for number in range(2000)), maxlen=0)
            record = store.get(stage.get(opened))
            assert store.load(stage.load(opened, at=TOUCH)) == Loaded(record)
            store.close()
    except PermissionError as error:
        pytest.skip(str(error))


def fill(path: Path) -> None:
    """Write until there is no space."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def limit_pages(store: SQLiteStore, pages: str) -> None:
    """Let the database hold so many pages, or what it has already."""
    connection = store._connections.take()
    connection.sqlite.execute(f"PRAGMA max_page_count = {pages}")
    store._connections.give_back(connection)
