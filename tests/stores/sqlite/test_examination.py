"""What the doctor finds: one finding per subject, good ones too, and for each problem what to do."""

import logging
import os
import shutil
from pathlib import Path

import pytest

from sessionguard.core.findings import Finding
from sessionguard.stores.sqlite import SQLiteStore, examination, placement, schema, versions
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.conftest import OpenStore


def finding(store: SQLiteStore, subject: str) -> Finding:
    """Give the one finding about `subject`."""
    (found,) = [found for found in store.examine() if found.subject == subject]
    return found


def test_a_healthy_database_gives_a_finding_for_every_subject(store: SQLiteStore) -> None:
    """Library, place, permissions, schema, journal and integrity are each looked at."""
    assert [found.subject for found in store.examine()] == [
        "SQLite", "place", "permissions", "schema", "journal", "integrity",
    ]  # fmt: skip
    assert {found.level for found in store.examine()[1:]} == {"ok"}
    assert finding(store, "journal").message == "wal"
    assert finding(store, "schema").message == f"version {schema.NEWEST} of {schema.NEWEST}"


def test_a_database_that_does_not_exist_yet_is_not_made(path: Path, open_store: OpenStore) -> None:
    """An examination before first use says that there is no file, and leaves it at that."""
    found = finding(open_store(), "file")
    assert (found.level, "does not exist yet" in found.message) == ("warning", True)
    assert not path.exists()


def test_an_older_schema_is_told_and_not_touched(path: Path, open_store: OpenStore) -> None:
    """Migrations that are due are named; looking does not apply them."""
    path.touch(0o600)
    found = finding(open_store(), "schema")
    assert found == Finding(
        "warning",
        "schema",
        f"version 0 of {schema.NEWEST}; due: {', '.join(name for _, name, _ in schema.MIGRATIONS)}",
        "it is brought up to date at first use, or by `sessionguard migrate`",
    )
    assert path.stat().st_size == 0


def test_a_newer_schema_is_a_problem(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database from a newer release is a problem for this one."""
    monkeypatch.setattr(schema, "NEWEST", 0)
    found = finding(store, "database")
    assert found.level == "problem"
    assert "upgrade" in found.message


def test_a_file_that_others_may_read_is_warned_of(path: Path, store: SQLiteStore) -> None:
    """Wider permissions are shown with the command that narrows them."""
    path.chmod(0o644)
    assert finding(store, "permissions") == Finding(
        "warning", "permissions", "others may use the file (0644)", f"chmod 600 {path}"
    )


def test_a_network_file_system_is_a_problem(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that has got onto a network file system is told to move."""
    monkeypatch.setattr(placement, "current_file_system", lambda path: "nfs4")
    found = finding(store, "place")
    assert (found.level, found.remedy) == ("problem", "move it to a local disk")


def test_an_unknown_file_system_is_no_problem(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not tell, the finding says that."""
    monkeypatch.setattr(placement, "current_file_system", lambda path: "")
    assert "unknown" in finding(store, "place").message


def test_damage_is_a_problem(path: Path, open_store: OpenStore, stage: Stage) -> None:
    """A page full of rubbish is found, though no call has met it yet."""
    store = SQLiteStore(path)
    for number in range(50):
        store.create(stage.create(f"owner {number}", data={"text": "x" * 500}))
    store.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 2 * 4096)
        file.write(os.urandom(4096))
    problems = [found for found in open_store().examine() if found.level == "problem"]
    assert len(problems) == 1
    assert problems[0].subject in ("integrity", "database")
    assert "backup" in problems[0].remedy


def test_another_file_is_a_problem(path: Path, open_store: OpenStore) -> None:
    """What is no database is told without a traceback."""
    path.write_text("Dear diary, " * 100)
    path.chmod(0o600)
    found = finding(open_store(), "database")
    assert found.level == "problem"
    assert "not a database" in found.message


def test_a_lost_file_is_a_finding(path: Path, store: SQLiteStore) -> None:
    """After the file was deleted the doctor says that it is not there."""
    path.unlink()
    assert finding(store, "file").level == "warning"


@pytest.mark.parametrize(
    "version, has_bug",
    [((3, 6, 23), False), ((3, 7, 0), True), ((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False)],
)
def test_which_releases_have_the_log_reset_bug(version: versions.Version, has_bug: bool) -> None:
    """It came with write-ahead logs in 3.7.0 and went with 3.51.3."""
    assert versions.has_wal_reset_bug(version) is has_bug


@pytest.mark.parametrize("has_bug, level", [(True, "warning"), (False, "ok")])
def test_the_log_reset_bug_is_a_finding(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, has_bug: bool, level: str
) -> None:
    """A library with the bug gets a warning with both remedies; one without is good."""
    monkeypatch.setattr(examination, "has_wal_reset_bug", lambda version: has_bug)
    found = finding(store, "SQLite")
    assert found.level == level
    assert ("journal=delete" in found.remedy) is has_bug


def test_the_log_reset_bug_gets_one_log_line(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that opens several stores is warned once, and only if a log is used."""
    monkeypatch.setattr(versions, "has_wal_reset_bug", lambda version: True)
    for name, journal_mode in [("c.db", "delete"), ("a.db", "wal"), ("b.db", "wal")]:
        store = SQLiteStore(tmp_path / name, journal_mode=journal_mode)
        store.create(stage.create())
        store.close()
        lines = [record for record in caplog.records if "WAL-reset bug" in record.getMessage()]
        assert len(lines) == (0 if name == "c.db" else 1)
    assert lines[0].levelno == logging.WARNING
    assert "?journal=delete" in lines[0].getMessage()


def test_an_examination_changes_nothing(path: Path, store: SQLiteStore, stage: Stage) -> None:
    """Neither the file nor what is stored differs after it."""
    opened = store.create(stage.create()).record
    store.distrust()
    before = path.with_name("before.db")
    shutil.copyfile(path, before)
    store.examine()
    assert path.read_bytes() == before.read_bytes()
    assert store.get(stage.get(opened)) == opened
