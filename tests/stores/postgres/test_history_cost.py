"""What a verb reads does not grow with the history of an owner."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.stores.postgres import PostgresStore, questions, wire
from sessionguard.stores.postgres.settings import settings_of
from sessionguard.testing.contracts.stage import IDLE, TOUCH, Stage
from sessionguard.testing.servers import PostgresServer

HISTORY = 3_000
OTHERS = 20_000
FEW = 20


@frozen
class Crowded:
    """A table with one owner who came back again and again, among many who came once."""

    line: psycopg.Connection[tuple[Any, ...]]
    schema: str
    current: SessionRecord

    def read_by(self, question: questions.Question[Any, Any], command: c.Command[Any]) -> int:
        """Give how many rows of sessions the statement of a verb fetches."""
        settings = settings_of(
            "postgresql://", schema=self.schema, pool_size=1, patience_seconds=1, prepare=True, migrate=False
        )
        statement = wire.wire_of(settings).statements[question.verb]
        with self.line.transaction(force_rollback=True):
            psycopg.RawCursor(self.line).execute(statement, question.parameters(command)).fetchall()
            found = self.line.execute(
                "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables "
                "WHERE relname = 'sg_session' AND schemaname = %s",
                [self.schema],
            ).fetchone()
        assert found is not None
        return int(found[0])


@pytest.fixture
def crowded(store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage) -> Iterator[Crowded]:
    """Let ana have a long history and one session, and everyone else a session."""
    current = store.get_or_create(stage.get_or_create("ana")).record
    with psycopg.connect(postgres_server.url, autocommit=True) as line:
        line.execute(f"SET search_path = {schema_name}; SET plan_cache_mode = force_generic_plan")
        line.execute(_copies("'ana'", "false", HISTORY))
        line.execute(_copies("'other-' || n", "true", OTHERS))
        line.execute("ANALYZE sg_session")
        yield Crowded(line, schema_name, current)


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


def test_a_slot_is_found_without_its_history(crowded: Crowded, stage: Stage) -> None:
    """Who is in a slot, to be found, touched, ended or replaced, is looked up among the living alone."""
    asked = [
        (questions.GET_OR_CREATE, stage.get_or_create("ana")),
        (questions.GET_OR_CREATE, stage.get_or_create("ana", at=TOUCH)),
        (questions.GET_OR_CREATE, stage.get_or_create("ana", at=IDLE)),
        (questions.REPLACE, stage.replace("ana")),
    ]
    assert max(counts := [crowded.read_by(*one) for one in asked]) < FEW, counts


def test_history_is_listed_by_the_page(crowded: Crowded, stage: Stage) -> None:
    """A page of an owner's history costs the page."""
    assert crowded.read_by(questions.PAGE, stage.page(owner="ana", limit=5, status=None)) < FEW
