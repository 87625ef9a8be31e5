"""Where a command looks: what is not a store of sessionguard stays as it is, and is told in one line."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sessionguard import SessionGuard
from sessionguard.cli.__main__ import main
from sessionguard.stores.sqlite import SQLiteStore, versions

COMMANDS = [["list"], ["show", "x"], ["end", "x"], ["end", "--owner", "x"], ["sweep"], ["stats"], ["doctor"]]
each_command = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


@pytest.fixture(autouse=True)
def _without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store is named but by the test."""
    monkeypatch.delenv("SESSIONGUARD_URL", raising=False)
    monkeypatch.delenv("SESSIONGUARD_WORKSPACES", raising=False)


def contents_of(folder: Path) -> dict[str, bytes]:
    """Give every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@each_command
@pytest.mark.parametrize("journal_mode", ["delete", "wal", None], ids=str)
def test_a_foreign_or_empty_database_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], journal_mode: str | None
) -> None:
    """Another application's database, and an empty file, are refused with status 2 and keep every byte."""
    path = tmp_path / "other.db"
    path.touch()
    if journal_mode is not None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {journal_mode}")
            connection.execute("CREATE TABLE customer (name TEXT)")
    before = path.read_bytes()
    assert main([*command, "--store", f"sqlite:///{path}"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("no sessionguard schema there; run `sessionguard migrate`\n")
    assert path.read_bytes() == before
    assert {name for name in contents_of(tmp_path) if not name.endswith(("-wal", "-shm"))} == {"other.db"}


@each_command
def test_a_path_without_a_database_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """A mistyped path is an error with status 2 in every command that looks, and nothing is made there."""
    assert main([*command, "--store", f"sqlite:///{tmp_path}/typo.db"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("there is no database at that path\n")
    assert contents_of(tmp_path) == {}
    assert main([*command, "--store", f"sqlite:///{tmp_path}"]) == 2
    assert capsys.readouterr().err.endswith("there is no database at that path\n")


@pytest.mark.parametrize("command", [["list"], ["stats"], ["sweep"]], ids=" ".join)
def test_a_schema_that_is_out_of_date_is_not_migrated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Only `migrate` migrates: the others say so, and `doctor` reports it as a finding."""
    path = tmp_path / "sessions.db"
    with SessionGuard.open(f"sqlite:///{path}", sweep_interval=None) as guard:
        guard.create("ada")
    asked = []

    def migrate(store: SQLiteStore, *, dry_run: bool = False) -> list[str]:
        asked.append(dry_run)
        return ["0002_later.sql", "0003_latest.sql"]

    monkeypatch.setattr(SQLiteStore, "migrate", migrate)
    assert main([*command, "--store", f"sqlite:///{path}"]) == 2
    assert "its schema is out of date; run `sessionguard migrate`\n" in capsys.readouterr().err
    assert main(["doctor", "--store", f"sqlite:///{path}"]) == 0
    assert set(asked) == {True}


@pytest.mark.parametrize("command", COMMANDS[:-1], ids=" ".join)
def test_what_is_no_database_is_told_without_the_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """A file that is no database is named as that, not as what the library asked of it."""
    path = tmp_path / "diary.txt"
    path.write_text("Dear diary, " * 100)
    assert main([*command, "--store", f"sqlite:///{path}"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("sessionguard: sqlite store: file is not a database")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("command", [["sweep"], ["end", "--owner", "ada"]], ids=" ".join)
@pytest.mark.parametrize("by_environment", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_a_mistyped_workspaces_folder_is_left_alone(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    by_environment: bool,
    exists: bool,
) -> None:
    """A folder that no files of this store were ever in is refused before any session is ended; nothing is made."""
    url, folder = f"sqlite:///{tmp_path}/sessions.db", tmp_path / "typo"
    if exists:
        folder.mkdir(mode=0o700)
    with SessionGuard.open(url, sweep_interval=None) as guard:
        session = guard.create("ada")
        options = [] if by_environment else ["--workspaces", str(folder)]
        if by_environment:
            monkeypatch.setenv("SESSIONGUARD_WORKSPACES", str(folder))
        assert main([*command, "--store", url, *options]) == 2
        told = f"sessionguard: --workspaces {folder}: no files of this store's sessions were ever kept there; "
        assert capsys.readouterr().err == f"{told}name the folder that the application uses\n"
        assert [path for path in tmp_path.iterdir() if path == folder or folder in path.parents] == [folder] * exists
        assert not exists or list(folder.iterdir()) == []
        found = guard.get(session.id)
        assert found is not None
        assert found.status == "active"


@pytest.mark.parametrize("command", [["list"], ["stats"], ["sweep"], ["end", "--owner", "x"], ["doctor"]], ids=" ".join)
def test_the_warning_about_sqlite_is_left_to_doctor(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    command: list[str],
) -> None:
    """No command logs that SQLite has a known bug, which cron would mail each time; the logger stays as it was."""
    url = f"sqlite:///{tmp_path}/sessions.db"
    main(["migrate", "--store", url])
    monkeypatch.setattr(versions, "has_wal_reset_bug", lambda version: True)
    monkeypatch.setattr(versions._warned, "_flag", False)
    main([*command, "--store", url])
    assert capsys.readouterr().err == ""
    assert caplog.records == []
    assert logging.getLogger("sessionguard.sqlite").level == logging.NOTSET


@pytest.mark.parametrize("arguments", [[], ["nosuch"], ["list", "--limit", "many"], ["end"]], ids=" ".join)
def test_wrong_arguments_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """What cannot be parsed is told in one line, which names where the usage is."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    captured = capsys.readouterr()
    assert (caught.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert captured.err.startswith("sessionguard: ")
    assert captured.err.endswith(" --help\n")
