"""What Python and SQL must agree about, for nothing else would notice."""

import re

import attrs

from sessionguard.core.records import REMEMBERED_OPERATIONS, REMEMBERED_US, SessionRecord
from sessionguard.stores.postgres import PostgresStore, questions, schema, wire
from sessionguard.testing.servers import PostgresServer

SQL = "\n".join(text for _, _, text in schema.MIGRATIONS)


def test_every_verb_has_its_function(store: PostgresStore, postgres_server: PostgresServer, schema_name: str) -> None:
    """Each question calls a function that takes as many parameters as it sends."""
    rows = postgres_server.execute(
        "SELECT proname, pronargs FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace "
        f"WHERE n.nspname = '{schema_name}' AND proconfig IS NOT NULL"
    )
    functions = {(str(name).removeprefix("sg_"), int(count or 0)) for name, count in rows}
    assert functions >= set(wire.ARITIES.items())
    # A verb that got a parameter keeps the shorter function beneath the longer one.
    assert {name for name, _ in functions} == set(wire.ARITIES)
    asked = {question.verb for question in vars(questions).values() if isinstance(question, questions.Question)}
    assert asked == set(wire.ARITIES)


def test_an_answer_is_a_record() -> None:
    """After echo, part and number, the columns of an answer are the fields of a record, in their order."""
    found = re.search(r"CREATE TYPE sg_reply AS \((.*?)\);", SQL, re.DOTALL)
    assert found is not None
    columns = [column.split()[0] for column in found[1].split(",")]
    assert columns == ["echo", "part", "number", *(field.name for field in attrs.fields(SessionRecord))]


def test_as_much_is_remembered_as_was_promised() -> None:
    """The lists of operations and of releases, and the log of operations, keep what the core says."""
    kept = {int(number) for number in re.findall(r"\[1:(\d+)\]", SQL)}
    assert kept == {REMEMBERED_OPERATIONS}
    assert f"now_us - {REMEMBERED_US}" in SQL


def test_functions_keep_their_search_path(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str
) -> None:
    """Every function that a client calls finds names in its own schema and in the catalogue, and nowhere else."""
    rows = postgres_server.execute(
        "SELECT DISTINCT array_to_string(proconfig, '; ') FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace "
        f"WHERE n.nspname = '{schema_name}' AND proconfig IS NOT NULL"
    )
    assert [str(config).replace('"', "") for (config,) in rows] == [f"search_path={schema_name}, pg_temp"]


def test_migrations_are_numbered_without_gaps() -> None:
    """They are applied by their numbers."""
    assert [number for number, _, _ in schema.MIGRATIONS] == list(range(1, schema.NEWEST + 1))
