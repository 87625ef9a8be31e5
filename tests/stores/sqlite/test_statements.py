"""The SQL: every statement is used, its columns fit the record, and every frequent one is answered by an index."""

import ast
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from sessionguard.core.records import SessionRecord
from sessionguard.stores.sqlite import SQLiteStore, placement, rows
from sessionguard.stores.sqlite.statements import STATEMENTS

SOURCES = Path(placement.__file__).parent

# Each statement and the indexes that may answer it.
INDEXES = {
    "by_id": {"sqlite_autoindex_sg_session_1"},
    "by_token": {"sg_token"},
    "by_previous_token": {"sg_previous"},
    "by_slot": {"sg_slot"},
    "ended_in_slot": {"sg_generation"},
    "ended_of_owner": {"sg_owner"},
    "owned": {"sg_owner_active"},
    "has_done": {"sqlite_autoindex_sg_session_1"},
    "next_generation": {"sg_generation", "PRIMARY KEY"},
    "touch": {"sqlite_autoindex_sg_session_1"},
    "save": {"sqlite_autoindex_sg_session_1"},
    "save_fenced": {"sqlite_autoindex_sg_session_1", "PRIMARY KEY"},
    "rotate": {"sqlite_autoindex_sg_session_1", "sg_token"},
    "give_owner": {"sqlite_autoindex_sg_session_1"},
    "end": {"sqlite_autoindex_sg_session_1"},
    "end_expired": {"sqlite_autoindex_sg_session_1"},
    "sweep": {"INTEGER PRIMARY KEY", "sg_due"},
    "is_due": {"sg_due"},
    "count_due": {"sg_due"},
    "count_living": {"sg_due"},
    "find_due": {"sg_due"},
    "give_turn": {"PRIMARY KEY"},
    "has_turn": {"PRIMARY KEY"},
    "answer": {"PRIMARY KEY"},
    "has_old_answers_or_this": {"sg_answer_age", "PRIMARY KEY"},
    "is_due_or_answered": {"sg_due", "PRIMARY KEY"},
    "forget_old_answers": {"PRIMARY KEY", "sg_answer_age"},
    "forgettable": {"sg_forget"},
    "forgettable_at_age": {"sg_ended"},
    "forget": {"INTEGER PRIMARY KEY"},
    "forget_locks": {"PRIMARY KEY", "INTEGER PRIMARY KEY"},
    "page": {"sqlite_autoindex_sg_session_1"},
    "page_of_owner": {"sg_owner"},
    "acquire_lock": {"sqlite_autoindex_sg_session_1"},
    "renew_lock": {"PRIMARY KEY"},
    "release_lock": {"PRIMARY KEY"},
    "lock_fence": {"PRIMARY KEY"},
    "released": {"PRIMARY KEY"},
    "identify": {"PRIMARY KEY"},
    "raise_generation_floor": {"PRIMARY KEY"},
}


@pytest.fixture
def connection(store: SQLiteStore) -> Iterator[sqlite3.Connection]:
    """A plain connection to a database of the newest schema, with some history and statistics."""
    connection = sqlite3.connect(store.path, isolation_level=None)
    connection.create_function("sg_merge", 3, rows.sg_merge, deterministic=True)
    connection.create_function("sg_size", 4, rows.sg_size, deterministic=True)
    yield connection
    connection.close()


def plan_of(connection: sqlite3.Connection, statement: str) -> list[str]:
    """Give the steps in which SQLite would run the named statement."""
    text = STATEMENTS[statement]
    parameters: object = dict.fromkeys(re.findall(r":(\w+)", text), 1) or (1,) * text.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]  # type: ignore[arg-type]


@pytest.mark.parametrize("statement", sorted(STATEMENTS))
def test_every_statement_is_one_that_sqlite_accepts(connection: sqlite3.Connection, statement: str) -> None:
    """No statement has a mistake that only its first use would show."""
    plan_of(connection, statement)


def test_every_statement_is_used() -> None:
    """Each name of the file of statements stands in the code, or is the verb of a lock command."""
    literals = {
        node.value
        for source in SOURCES.glob("*.py")
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(STATEMENTS) - literals - {"acquire_lock", "renew_lock", "release_lock"} == set()


@pytest.mark.parametrize("statement", sorted(INDEXES))
def test_a_frequent_statement_reads_an_index_and_sorts_nothing(connection: sqlite3.Connection, statement: str) -> None:
    """No table is scanned and nothing is sorted on the way, however many sessions there are."""
    plan = plan_of(connection, statement)
    # What a statement found by itself is counted by going through it.
    assert [step for step in plan if step.startswith("SCAN") and not re.match(r"SCAN (CONSTANT|\(sub)", step)] == []
    assert [step for step in plan if "TEMP B-TREE" in step] == []
    named = re.findall(r"USING (?:COVERING )?(?:INDEX (\w+)|(INTEGER PRIMARY KEY|PRIMARY KEY))", "\n".join(plan))
    assert named
    assert {one or other for one, other in named} <= INDEXES[statement]


def test_what_is_asked_about_an_owner_reads_only_that_owner(connection: sqlite3.Connection) -> None:
    """Ending everything of an owner searches by the owner."""
    (step,) = plan_of(connection, "end_owner")
    assert re.match(r"SEARCH sg_session USING INDEX \w+ \(owner=\?", step)


def test_a_query_that_scans_is_seen(connection: sqlite3.Connection) -> None:
    """The check above can fail: a search by data scans the table."""
    (step,) = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN SELECT 1 FROM sg_session WHERE data = '{}'")]
    assert step.startswith("SCAN")


def test_the_columns_of_a_record_stand_in_the_order_of_its_fields(connection: sqlite3.Connection) -> None:
    """Column n of `@record` is made of the column that field n of `SessionRecord` is named after."""
    named = [column[0] for column in connection.execute(STATEMENTS["by_id"], {"id": ""}).description]
    written = {"nullif(external_id, '')": "external_id", "seat = 0": "exclusive"}
    assert [written.get(name, name) for name in named] == [field.name for field in attrs.fields(SessionRecord)]


def test_a_row_becomes_the_record_with_each_value_in_its_field() -> None:
    """`to_record` gives every column to the field of the same place."""
    names = [field.name for field in attrs.fields(SessionRecord)]
    record = rows.to_record([name if name != "exclusive" else 1 for name in names])
    assert [getattr(record, name) for name in names] == [name if name != "exclusive" else True for name in names]
