"""Signal handlers that raise, such as Ctrl-C and the alarm of a request's time limit, wherever they strike."""

import sqlite3
from pathlib import Path
from typing import cast

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import StoreDataError
from sessionguard.stores.sqlite import SQLiteStore, rows
from sessionguard.testing import ChildProcess, Profile
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.workers import be_interrupted


@pytest.mark.processes
def test_t04_interrupts_at_random_instants_leave_nothing(path: Path, sg_profile: Profile) -> None:
    """After hundreds of them every call works at once, no connection is lent for ever, and the pool has not grown."""
    with ChildProcess(be_interrupted, str(path), min(0.4 * sg_profile.rounds, 15.0)) as child:
        aftermath = child.hear()
    assert aftermath.interrupted > 100
    # At one instant sqlite3 makes an outage of the interrupt: before the first line of a SQL function.
    assert {failure for failure in aftermath.failures if "user-defined function raised" not in failure} == set()
    assert len(aftermath.failures) <= aftermath.interrupted / 10
    assert aftermath.saved
    assert aftermath.lent == 0
    assert aftermath.open <= 1
    assert aftermath.fork_seconds < 0.9
    assert aftermath.recovered


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, TimeoutError])
def test_an_interrupt_inside_a_sql_function_is_itself(
    store: SQLiteStore, stage: Stage, interrupt: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is raised while SQLite calls back reaches the caller as what it is; nothing was saved."""
    opened = store.create(stage.create()).record

    def merge(*arguments: object) -> str:
        raise interrupt("now")

    with monkeypatch.context() as there:
        there.setattr(rows, "merge", merge)
        with pytest.raises(interrupt, match="now"):
            store.save(stage.save(opened, {"a": 1}))
    assert store.get(stage.get(opened)) == opened
    assert store.save(stage.save(opened, {"a": 1})).record.version == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("data", ["not json", "[1]", "null", ""])
@pytest.mark.parametrize("limit_bytes", [10, 1000])
def test_stored_data_that_is_no_json_object_is_a_data_error(
    path: Path, store: SQLiteStore, stage: Stage, data: str, limit_bytes: int
) -> None:
    """A save tells that the data is damaged, which repeating does not help, and quotes nothing of it."""
    opened = store.create(stage.create()).record
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE sg_session SET data = ?", (data,))
    other.close()
    with pytest.raises(StoreDataError, match="not a JSON object") as caught:
        store.save(stage.save(opened, {"text": "xxxxxxxx"}, limit_bytes=limit_bytes))
    assert not caught.value.retryable
    assert "not json" not in str(caught.value)


def test_a_connection_that_was_never_given_back_is_closed(store: SQLiteStore) -> None:
    """When nobody has a lent connection any more, it is closed before another is opened."""
    lent = store._connections.take()
    assert store._connections.living == [lent]
    sqlite = lent.sqlite
    del lent
    assert store.identify(c.Identify())
    assert len(store._connections.living) == 1
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        sqlite.execute("SELECT 1")


def test_a_connection_that_cannot_be_rolled_back_is_closed(store: SQLiteStore, stage: Stage) -> None:
    """It is not lent again, and its locks are free."""
    lent = store._connections.take()
    lent.sqlite.execute("BEGIN IMMEDIATE")

    class Failing:
        in_transaction, close = True, lent.sqlite.close

        def rollback(self) -> None:
            raise sqlite3.OperationalError("disk I/O error")

    lent.sqlite = cast("sqlite3.Connection", Failing())
    store._connections.give_back(lent)
    assert store._connections.living == []
    assert store.create(stage.create()).record.owner == "ana"
