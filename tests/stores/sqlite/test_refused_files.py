"""Files and libraries that cannot be used: the error says which, what helps, and goes away with its cause."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import ConfigurationError, SessionGuardError, StoreDataError, StoreUnavailableError
from sessionguard.stores.sqlite import SQLiteStore, connecting, schema, versions
from sessionguard.testing import ChildProcess
from sessionguard.testing.contracts.stage import Stage


@pytest.mark.parametrize("version", [(3, 36, 0), (3, 7, 17)])
def test_a_too_old_sqlite_is_refused(path: Path, version: versions.Version, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is made, a SQLite without STRICT tables raises and names the version that is needed."""
    with monkeypatch.context() as there:
        there.setattr(connecting, "refuse_too_old", lambda: versions.refuse_too_old(version))
        store = SQLiteStore(path)
        with pytest.raises(ConfigurationError, match=r"SQLite 3\.37 or newer"):
            store.identify(c.Identify())
        assert not path.exists()
    store.identify(c.Identify())
    store.close()


def test_the_oldest_sqlite_that_has_all_is_accepted() -> None:
    """3.37.0 is not refused, nor is the one at hand."""
    versions.refuse_too_old((3, 37, 0))
    versions.refuse_too_old()


def test_a_newer_schema_is_refused(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """A database that a newer release has migrated raises and names both ways out."""
    set_schema_version(path, 99)
    other = SQLiteStore(path)
    for _ in range(2):
        with pytest.raises(StoreDataError, match=r"schema version 99, this release knows \d+; upgrade"):
            other.create(stage.create())
        with pytest.raises(StoreDataError, match="schema version 99"):
            other.migrate(dry_run=True)
    set_schema_version(path, schema.NEWEST)
    assert other.create(stage.create()).record.owner == "ana"
    other.close()


def set_schema_version(path: Path, version: int) -> None:
    """Make the database say that it has this schema version."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(
        "UPDATE sg_schema SET version = ? WHERE version = (SELECT max(version) FROM sg_schema)", (version,)
    )
    connection.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, stage: Stage) -> None:
    """Any other file at the path raises, is not changed, and is no obstacle once it is gone."""
    path.write_text("Dear diary, " * 100)
    store = SQLiteStore(path)
    with pytest.raises(StoreDataError, match="not a database; restore the file from a backup"):
        store.create(stage.create())
    with pytest.raises(StoreDataError, match="not a database"):
        store.migrate(dry_run=True)
    assert path.read_text().startswith("Dear diary")
    path.unlink()
    assert store.create(stage.create()).record.owner == "ana"
    store.close()


def test_a_damaged_database_is_told_from_one_that_is_unreachable(path: Path, stage: Stage) -> None:
    """Pages full of rubbish raise `StoreDataError`, for a load as for a write: never "no session"."""
    store = SQLiteStore(path)
    opened = [store.create(stage.create(f"owner {n}", data={"text": "x" * 500})).record for n in range(50)]
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(os.urandom(size - 2 * 4096))
    store = SQLiteStore(path)
    with pytest.raises(StoreDataError, match="restore the file from a backup"):
        store.load(stage.load(opened[0]))
    with pytest.raises(StoreDataError, match="restore the file from a backup"):
        store.create(stage.create())
    store.close()


def test_another_programs_database_is_not_taken_over(path: Path, stage: Stage) -> None:
    """Tables of others in the file stay as they are beside ours."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.execute("INSERT INTO theirs VALUES (1)")
    connection.commit()
    store = SQLiteStore(path)
    store.create(stage.create())
    assert connection.execute("SELECT x FROM theirs").fetchall() == [(1,)]
    connection.close()
    store.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def use_without_rights(pipe: object, path: str) -> list[SessionGuardError | None]:
    """As a user without rights, load and then create; give what was raised."""
    if os.getuid() == 0:
        os.setuid(65534)
    stage, store = Stage("0" * 32), SQLiteStore(path)
    raised: list[SessionGuardError | None] = []
    for ask in (lambda: store.load(stage.load(b"?")), lambda: store.create(stage.create())):
        try:
            ask()
            raised.append(None)
        except SessionGuardError as error:
            raised.append(error)
    return raised


@pytest.mark.processes
def test_a_folder_one_may_not_write_to_is_refused(open_folder: Path) -> None:
    """Where the file cannot be made, the error says so and what to name instead."""
    open_folder.chmod(0o555)
    with ChildProcess(use_without_rights, str(open_folder / "s.db")) as child:
        for error in child.hear():
            assert isinstance(error, ConfigurationError)
            assert "cannot be created (Permission denied); name a folder you may write to" in str(error)


@pytest.mark.processes
def test_a_file_one_may_only_read_says_so(open_folder: Path, stage: Stage) -> None:
    """A database of another user refuses writes with what would help."""
    store = SQLiteStore(open_folder / "s.db")
    store.create(stage.create())
    store.close()
    (open_folder / "s.db").chmod(0o444)
    open_folder.chmod(0o555)
    with ChildProcess(use_without_rights, str(open_folder / "s.db")) as child:
        *_, error = child.hear()
    assert isinstance(error, StoreUnavailableError)
    assert "write to" in str(error)


@pytest.mark.processes
def test_a_folder_one_may_not_enter_says_so(open_folder: Path) -> None:
    """A path that cannot be looked at is an outage, not an absent database."""
    (open_folder / "closed").mkdir(mode=0o700)
    if os.getuid() != 0:
        (open_folder / "closed").chmod(0o000)
    with ChildProcess(use_without_rights, str(open_folder / "closed" / "s.db")) as child:
        for error in child.hear():
            assert isinstance(error, ConfigurationError | StoreUnavailableError)
            assert "Permission denied" in str(error)
