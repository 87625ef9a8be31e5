"""What statements, commands and names are taken to mean by the io engine."""

from typing import Any

import pytest

from sessionguard.core.points import Part
from sessionguard.testing.schedule.io.naming import Place, stable
from sessionguard.testing.schedule.io.redis_commands import accessed
from sessionguard.testing.schedule.io.statements import parsed

DATABASE = Place(1, ("sqlite", "db"))


@pytest.mark.parametrize(
    "text, verb, tables, mode",
    [
        ("SELECT id FROM sessions WHERE slot = 'from x'", "SELECT", ["sessions"], "r"),
        ('select * from a.Sessions s, locks l join "Owners" o on 1', "SELECT", ["sessions", "locks", "owners"], "r"),
        ("INSERT OR IGNORE INTO sessions VALUES (?, ?)", "INSERT", ["sessions"], "w"),
        ("insert into t select 1 from u on conflict (id) do update set a = 1", "INSERT", ["t", "u"], "w"),
        ("UPDATE sessions SET a = 1 WHERE id IN (SELECT id FROM due)", "UPDATE", ["sessions", "due"], "w"),
        ("-- of t\nDELETE FROM t /* and u */", "DELETE", ["t"], "w"),
        ("SELECT * FROM t WHERE id = 1 FOR UPDATE", "SELECT", ["t"], "w"),
        ("WITH x AS (SELECT 1 FROM t) SELECT * FROM x", "SELECT", ["t"], "r"),
        ("WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone", "DELETE", ["t"], "w"),
        ("CREATE TABLE IF NOT EXISTS t (a TEXT)", "CREATE", ["t"], "w"),
        ("TRUNCATE t, u", "TRUNCATE", ["t", "u"], "w"),
        ("SELECT pg_advisory_lock(1)", "SELECT", None, "w"),
        ("BEGIN IMMEDIATE", "BEGIN", None, "w"),
        ("COMMIT", "COMMIT", None, "w"),
        ("VACUUM", "VACUUM", None, "w"),
    ],
)
def test_the_tables_of_a_statement(text: str, verb: str, tables: list[str] | None, mode: str) -> None:
    """A statement reaches the tables that it names, else the database."""
    access = parsed(text).access(DATABASE)
    assert access is not None
    assert access.label.startswith(verb)
    found = [resource.name if isinstance(resource, Part) else "" for resource, _ in access.touched]
    assert found == (tables or [""])
    assert {each for _, each in access.touched} == {mode}


@pytest.mark.parametrize("text", ["BEGIN", "SELECT 1", "PRAGMA a", "ROLLBACK", "SET a = 1", "SAVEPOINT x"])
def test_what_reaches_nothing_shared(text: str) -> None:
    """It is no point: nobody could come between anything."""
    assert parsed(text).access(DATABASE) is None


def packed(*commands: str) -> bytes:
    """Give commands as they are sent."""
    lines = []
    for command in commands:
        words = command.split()
        lines += [f"*{len(words)}", *(part for word in words for part in (f"${len(word)}", word))]
    return ("\r\n".join(lines) + "\r\n").encode()


@pytest.mark.parametrize(
    "commands, label, touched",
    [
        (["GET a"], "GET a", {("a", "r")}),
        (["SET session:0123456789abcdef x"], "SET session:*", {("session:0123456789abcdef", "w")}),
        (["DEL a b"], "DEL a, b", {("a", "w"), ("b", "w")}),
        (["MSET a 1 b 2"], "MSET a, b", {("a", "w"), ("b", "w")}),
        (["EVALSHA ab 2 a b c"], "EVALSHA a, b", {("a", "w"), ("b", "w")}),
        (["EVAL x 0"], "EVAL *", {(None, "w")}),
        (["MULTI", "SET a 1", "GET b", "EXEC"], "SET a; GET b", {("a", "w"), ("b", "r")}),
        (["SCAN 0"], "SCAN *", {(None, "r")}),
        (["FLUSHDB"], "FLUSHDB *", {(None, "w")}),
        (["ZUNIONSTORE a 2 b c"], "ZUNIONSTORE a, b, c", {("a", "w"), ("b", "w"), ("c", "w")}),
    ],
)
def test_the_keys_of_commands(commands: list[str], label: str, touched: set[Any]) -> None:
    """A command reaches the keys that it names, else all of them."""
    access = accessed(packed(*commands))
    assert access is not None
    assert access.label == label
    assert {(each.name if isinstance(each, Part) else None, mode) for each, mode in access.touched} == touched


def test_commands_that_reach_no_key() -> None:
    """A greeting, a ping and the end of a transaction are no points."""
    assert accessed(packed("HELLO 3", "PING", "CLIENT SETINFO a b", "EXEC")) is None
    assert accessed([packed("GET a")]) == accessed(packed("GET a"))


@pytest.mark.parametrize(
    "name, told",
    [
        ("sessions.db", "sessions.db"),
        ("ana.slot", "ana.slot"),
        ("lock2", "lock2"),
        ("tmpab1_x9zz", "*"),
        ("one.slot-31337-140213", "one.slot-*-*"),
        ("3f2a9c0d-11aa-4bcd-9eef-000000000000.json", "*-11aa-4bcd-9eef-*.json"),
        ("session:deadbeef", "session:*"),
        ("dGhpcyBpcyBhIHRva2Vu", "*"),
    ],
)
def test_names_are_told_without_what_is_drawn(name: str, told: str) -> None:
    """So a label is the same in every schedule and in every run."""
    assert stable(name) == told
