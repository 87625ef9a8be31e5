"""Schema versions: made once however many open the file, whole or not at all, and told before they are done."""

import sqlite3
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.deadline import Deadline
from sessionguard.stores.sqlite import SQLiteStore, schema
from sessionguard.testing import Profile, play_all
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.workers import open_fresh

KNOWN = [name for _, name, _ in schema.MIGRATIONS]
NEXT = schema.NEWEST + 1
GOOD = (NEXT, "9999_note.sql", "ALTER TABLE sg_session ADD COLUMN note TEXT; CREATE TABLE sg_note (x INTEGER) STRICT;")
BROKEN = (NEXT, "9999_broken.sql", "CREATE TABLE sg_half (x INTEGER) STRICT; INSERT INTO sg_nowhere VALUES (1);")


def with_migration(monkeypatch: pytest.MonkeyPatch, migration: tuple[int, str, str]) -> None:
    """Let this release know one migration more."""
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS[: len(KNOWN)], migration))
    monkeypatch.setattr(schema, "NEWEST", migration[0])


def tables(path: Path) -> set[str]:
    """Give the names of the tables in the file."""
    connection = sqlite3.connect(path)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


@pytest.mark.processes
def test_processes_that_open_a_fresh_file_at_once_make_one_database(tmp_path: Path, sg_profile: Profile) -> None:
    """All see the same deployment id, so it was drawn once."""
    for number in range(sg_profile.rounds):
        path = str(tmp_path / f"fresh-{number}.db")
        assert len(set(play_all(open_fresh, *[(path,)] * 6))) == 1


def test_a_dry_run_names_what_is_due_and_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a file that is not there, everything is due and it is not made; after `migrate` nothing is due."""
    store = SQLiteStore(path)
    assert store.migrate(dry_run=True) == KNOWN
    assert not path.exists()
    assert store.migrate() == KNOWN
    assert store.migrate(dry_run=True) == store.migrate() == []
    store.close()
    with_migration(monkeypatch, GOOD)
    newer = SQLiteStore(path)
    assert newer.migrate(dry_run=True) == ["9999_note.sql"]
    assert "sg_note" not in tables(path)
    newer.close()


def test_an_empty_file_is_migrated_like_a_new_one(path: Path) -> None:
    """A file of no bytes, as left by a crash right after it was made, needs everything."""
    path.touch()
    store = SQLiteStore(path)
    assert store.migrate(dry_run=True) == KNOWN
    assert store.migrate() == KNOWN
    store.close()


def test_first_use_migrates_and_keeps_what_was_stored(
    path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer release opens the file of an older one and finds its sessions."""
    older = SQLiteStore(path)
    opened = older.create(stage.create()).record
    older.close()
    with_migration(monkeypatch, GOOD)
    newer = SQLiteStore(path)
    assert newer.load(stage.load(opened)).record == opened
    assert newer.migrate(dry_run=True) == []
    assert "sg_note" in tables(path)
    newer.close()


def test_a_migration_that_fails_leaves_nothing_half_done(
    path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statements before the failing one are undone, the release before goes on, and a mended one succeeds."""
    older = SQLiteStore(path)
    opened = older.create(stage.create()).record
    with monkeypatch.context() as there:
        with_migration(there, BROKEN)
        newer = SQLiteStore(path)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="sg_nowhere"):
                newer.migrate()
        assert "sg_half" not in tables(path)
        assert newer.migrate(dry_run=True) == ["9999_broken.sql"]
    assert older.load(stage.load(opened)).record == opened
    with_migration(monkeypatch, GOOD)
    assert newer.load(stage.load(opened)).record == opened
    assert newer.migrate(dry_run=True) == []
    older.close()
    newer.close()


def test_a_migration_is_one_transaction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its statements nor its version can be seen by others before it is whole."""
    SQLiteStore(path).identify(c.Identify())
    with_migration(monkeypatch, GOOD)
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    seen: list[set[str]] = []
    connection.set_trace_callback(lambda statement: seen.append(tables(path)))
    schema.migrate(connection, Deadline(1.0))
    # The trace of COMMIT is heard before it is done.
    assert seen
    assert all("sg_note" not in names for names in seen)
    assert "sg_note" in tables(path)
    connection.close()


def test_tokens_of_the_first_schema_go_on_leading_to_their_sessions(
    path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes of the first release have no shard; the migration gives each the one that its token names."""
    store = SQLiteStore(path)
    mint, deployment_id = stage.mint, store.identify(c.Identify())
    store.close()
    path.unlink()
    with monkeypatch.context() as there:
        there.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        there.setattr(schema, "NEWEST", 1)
        connection = sqlite3.connect(path, isolation_level=None)
        schema.migrate(connection, Deadline(1.0))
    connection.execute("UPDATE sg_meta SET value = ? WHERE name = 'deployment_id'", (deployment_id,))
    stayed, received = mint.new(deployment_id, "ana"), mint.new(deployment_id, "anonymous-0")
    login = mint.new(deployment_id, "ana")
    for minted, token, previous in ((stayed, stayed, None), (received, login, received)):
        connection.execute(
            "INSERT INTO sg_session (id, scope, owner, created_us, last_seen_us, expires_us, absolute_us, token_hash, "
            "previous_hash, previous_until_us, idle_us, touch_us, retention_us) "
            "VALUES (?, 'desk', 'ana', 1, 1, ?, ?, ?, ?, ?, 1, ?, 1)",
            (
                minted.session_id,
                *(2**60, 2**60),
                token.token_hash[1:],
                previous and previous.token_hash[1:],
                *(previous and 2**60, 2**60),
            ),
        )
    connection.close()
    newer = SQLiteStore(path)
    assert newer.migrate() == KNOWN[1:]
    for token, minted in ((stayed, stayed), (login, received), (received, received)):
        record = newer.load(stage.load(token.token_hash)).record
        assert record is not None
        assert record.id == minted.session_id
    newer.close()
