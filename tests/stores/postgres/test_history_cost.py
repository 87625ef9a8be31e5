"""What a verb reads does not grow with the history of an owner."""

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.stores.postgres import PostgresStore, questions, wire
from sessionguard.testing.contracts.stage import IDLE, TOUCH, Stage
from sessionguard.testing.servers import PostgresServer

HISTORY = 10_000
FEW = 20
# Written as a statement and as a call of its function; among many others, and among few.
CROWDS = [(is_written, others) for is_written in (True, False) for others in (20_000, 3_000)]


@frozen
class Crowded:
    """A table with one owner who came back again and again, among many who came once."""

    line: psycopg.Connection[tuple[Any, ...]]
    """Set up as the store's own connections are."""
    schema: str
    statements: Mapping[str, bytes]

    def read_by(self, question: questions.Question[Any, Any], command: c.Command[Any]) -> int:
        """Give how many rows of sessions the statement of a verb fetches."""
        with self.line.transaction(force_rollback=True):
            before = self._read()
            psycopg.RawCursor(self.line).execute(
                self.statements[question.verb], question.parameters(command)
            ).fetchall()
            return self._read() - before

    def _read(self) -> int:
        counted = (
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables "
            "WHERE relname = 'sg_session' AND schemaname = %s"
        )
        ((count,),) = self.line.execute(counted, [self.schema]).fetchall()
        return int(count)


@pytest.fixture
def crowded(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage,
    request: pytest.FixtureRequest,
) -> Iterator[Crowded]:  # fmt: skip
    """Let ana have a long history and one session, and everyone else a session."""
    is_written, others = request.param
    store.get_or_create(stage.get_or_create("ana"))
    with psycopg.connect(postgres_server.url, autocommit=True) as line:
        line.execute(f"SET search_path = {schema_name}")
        line.execute(_copies("'ana'", "false", HISTORY))
        line.execute(_copies("'other-' || n", "true", others))
        line.execute("ANALYZE sg_session")
    statements = dict(wire.wire_of(store.settings).statements)
    if not is_written:
        for verb, arity in wire.ARITIES.items():
            places = ", ".join(f"${number + 1}" for number in range(arity))
            statements[verb] = f"SELECT * FROM {schema_name}.sg_{verb}({places})".encode()
    with psycopg.connect(**store.settings.parameters, autocommit=True) as line:
        yield Crowded(line, schema_name, statements)


def _copies(owner: str, active: str, count: int) -> str:
    columns = (
        "created_us, last_seen_us, expires_us, absolute_us, scope, external_id, seat, idle_us, touch_us, retention_us"
    )
    return (
        f"INSERT INTO sg_session (id, owner, active, reason, ended_us, token_hash, generation, {columns}) "
        f"SELECT {active} || '-' || n, {owner}, {active}, CASE WHEN NOT {active} THEN 'ended' END, "
        f"CASE WHEN NOT {active} THEN created_us END, decode(md5({owner} || n || {active}), 'hex'), n + 1, {columns} "
        f"FROM sg_session, generate_series(1, {count}) AS n WHERE owner = 'ana' AND active"
    )


@pytest.mark.parametrize("crowded", CROWDS, indirect=True)
def test_no_verb_reads_the_history_of_an_owner(crowded: Crowded, store: PostgresStore, stage: Stage) -> None:
    """Who is in a slot, or active, is looked up among the living alone; a page of the history costs the page."""
    replacing = stage.replace("ana")
    asked: list[tuple[questions.Question[Any, Any], c.Command[Any]]] = [
        (questions.GET_OR_CREATE, stage.get_or_create("ana")),
        (questions.GET_OR_CREATE, stage.get_or_create("ana", at=TOUCH)),
        (questions.GET_OR_CREATE, stage.get_or_create("ana", at=IDLE)),
        (questions.GET_OR_CREATE, stage.get_or_create("other-5")),
        (questions.REPLACE, replacing),
        (questions.PAGE, stage.page(owner="ana", limit=5, status=None)),
        (questions.PAGE, stage.page(owner="ana", limit=5, status="active")),
        (questions.PAGE, stage.page(owner="ana", limit=5, status="ended")),
        (questions.END_OWNER, stage.end_owner("ana")),
    ]
    counts = [(question.verb, crowded.read_by(question, command)) for question, command in asked]
    store.replace(replacing)
    counts.append(("replace, repeated", crowded.read_by(questions.REPLACE, replacing)))
    assert max(count for _, count in counts) < FEW, counts
