"""`sessionguard adopt`, and the other commands on PostgreSQL."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from sessionguard import SessionGuard
from sessionguard.cli.__main__ import main
from sessionguard.testing.servers import PostgresServer

ADOPT = ["adopt", "--slot", "user_id", "--active", "status=active", "--newest", "created_at", "--end", "status=ended"]


@pytest.fixture
def url(postgres_server: PostgresServer, schema_name: str) -> Iterator[str]:
    """A store URL with a schema of its own; nothing is there yet."""
    yield f"{postgres_server.url}?schema={schema_name}"
    postgres_server.execute(f"DROP SCHEMA IF EXISTS {schema_name} CASCADE")


@pytest.fixture
def table(postgres_server: PostgresServer, schema_name: str) -> Iterator[str]:
    """An application's table in which ana has two active sessions."""
    name = f"app_{schema_name}"
    postgres_server.execute(
        f"CREATE TABLE public.{name} (id int PRIMARY KEY, user_id text NOT NULL, status text, created_at int); "
        f"INSERT INTO public.{name} VALUES (1, 'ana', 'active', 1), (2, 'ana', 'active', 2), (3, 'bea', 'active', 1)"
    )
    yield f"public.{name}"
    postgres_server.execute(f"DROP TABLE public.{name}")


def test_a_dry_run_and_then_the_adoption(
    url: str, table: str, postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dry run lists what the adoption then ends; afterwards nothing is left to do."""
    arguments = [*ADOPT, "--store", url, "--table", table]
    assert main([*arguments, "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert planned.startswith("3 of 3 rows active\n")
    assert "user_id=ana" in planned
    assert "1 row would be ended" in planned
    assert postgres_server.execute(f"SELECT count(*) FROM {table} WHERE status = 'active'") == [("3",)]
    assert main(arguments) == 0
    assert "1 row ended" in capsys.readouterr().out
    assert postgres_server.execute(f"SELECT id FROM {table} WHERE status = 'active' ORDER BY id") == [("2",), ("3",)]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "row_count": 3, "active_count": 2, "ended": [], "without_slot": 0, "untried_count": 0, "indexes": [],
        "dry_run": False, "renumbered_count": 0,
    }  # fmt: skip


def test_json_names_every_row(url: str, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get slot, key and what stays."""
    assert main([*ADOPT, "--store", url, "--table", table, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ended"] == [{"key": {"id": "1"}, "slot": {"user_id": "ana"}, "kept": {"id": "2"}}]
    assert len(told["indexes"]) == 1


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["adopt"], "--table, --slot, --active, --newest, --end"),
        ([*ADOPT, "--table", "t", "--end", "nothing"], "COLUMN=VALUE"),
        ([*ADOPT, "--table", "no.such"], "no such table"),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    url: str, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, one line, nothing done."""
    assert main([*arguments, "--store", url]) == 2
    told = capsys.readouterr()
    assert complaint in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_nothing_is_active(url: str, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that no row has is legal, and most likely a mistake: it is told."""
    arguments = ["status=Active" if word == "status=active" else word for word in ADOPT]
    assert main([*arguments, "--store", url, "--table", table, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("0 of 3 rows active\nnone is active by status=Active: look what the column holds")


def test_rows_in_use(url: str, table: str, postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run tells how many rows it could not try to end."""
    with psycopg.connect(postgres_server.url) as other:
        other.execute(f"SELECT FROM {table} FOR UPDATE".encode())
        assert main([*ADOPT, "--store", url, "--table", table, "--dry-run"]) == 0
    assert "1 row of them not tried: in use by others" in capsys.readouterr().out


def test_a_wrong_end_is_told_by_the_dry_run(url: str, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with the column and its type."""
    wrong = [*ADOPT, "--end", "created_at=now()", "--store", url, "--table", table, "--dry-run"]
    assert main(wrong) == 2
    told = capsys.readouterr().err
    assert told.startswith("sessionguard: end = 'created_at=now()': the column is of type integer, and ")
    assert told.count("\n") == 1


def test_only_postgresql_has_tables(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    """Another store is refused."""
    assert main([*ADOPT, "--table", "t", "--store", f"sqlite:///{tmp_path}/x.db"]) == 2
    assert "only a PostgreSQL database" in capsys.readouterr().err


def test_every_other_command_works_on_postgresql(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the schema is there all but migrate refuse; then each does its work."""
    for command in (["list"], ["stats"], ["doctor"]):
        assert main([*command, "--store", url]) == 2
        assert capsys.readouterr().err.endswith("no sessionguard schema there; run `sessionguard migrate`\n")
    assert main(["migrate", "--dry-run", "--store", url]) == 0
    assert "0001_tables.sql" in capsys.readouterr().out
    assert main(["migrate", "--store", url]) == 0
    with SessionGuard.open(url, sweep_interval=None) as guard:
        session = guard.get_or_create("ana")
    for command in (["list"], ["show", session.id], ["stats"], ["doctor"], ["sweep"], ["adopt", "--repair"]):
        assert main([*command, "--store", url]) == 0, command
    capsys.readouterr()
    assert main(["end", session.id, "--store", url]) == 0
    assert capsys.readouterr().out.startswith(f"ended {session.id}")
