"""No space left: writes fail with what helps, what was stored stays, and everything works again with space."""

from collections import deque

import pytest

from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import ChildProcess
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults.disk import DiskKind
from tests.stores.sqlite.workers import outgrow_the_disk


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


def limit_pages(store: SQLiteStore, pages: str) -> None:
    """Let the database hold so many pages, or what it has already."""
    connection = store._connections.take()
    connection.sqlite.execute(f"PRAGMA max_page_count = {pages}")
    store._connections.give_back(connection)
