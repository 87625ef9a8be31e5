"""No space left: writes fail with what helps, what was stored stays, and everything works again with space."""

from collections import deque
from pathlib import Path

import pytest

from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.children import Child
from tests.stores.sqlite.workers import outgrow_the_disk


@pytest.mark.processes
@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_file_that_may_not_grow(path: Path, stage: Stage, journal_mode: str) -> None:
    """At the size limit writes raise, all earlier sessions are intact, and with the limit gone the same store works."""
    with Child(outgrow_the_disk, str(path), journal_mode) as child:
        failure, stored, intact = child.hear()
    assert isinstance(failure, StoreUnavailableError)
    assert "space" in str(failure)
    assert intact == stored - 1 > 5
    store = SQLiteStore(path, journal_mode=journal_mode)
    assert len(store.page(stage.page(status=None, limit=1000)).records) == stored
    assert [finding.level for finding in store.examine() if finding.subject == "integrity"] == ["ok"]
    store.close()


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
