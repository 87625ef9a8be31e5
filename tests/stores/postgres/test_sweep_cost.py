"""What a clean-up asks costs what is due, however many sessions live: no plan of it reads the table from end to end."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.stores.postgres import PostgresStore, questions, wire
from sessionguard.testing.contracts.stage import IDLE, Stage
from sessionguard.testing.servers import PostgresServer

DUE = 20
# Among fewer it is right to read the table, which is a few pages then.
FEW, MANY = 4_000, 16_000
AT = IDLE

Asked = tuple[questions.Question[Any, Any], Callable[[Stage], c.Command[Any]]]

# In the order in which a pass asks them; after the sweep nothing is due any more.
PASS: list[Asked] = [
    (questions.TAKE_TURN, lambda s: f.TakeTurn("sweep", "one", s.instant(AT), 60_000_000)),
    (questions.CENSUS, lambda s: s.census(0.3, 10, at=AT)),
    (questions.FIND_DUE, lambda s: s.find_due(DUE + 1, at=AT)),
    (questions.SWEEP, lambda s: s.sweep(DUE // 2, at=AT)),
    (questions.SWEEP, lambda s: s.sweep(DUE, at=AT)),
    (questions.SWEEP, lambda s: s.sweep(DUE, at=AT)),
    (questions.CENSUS, lambda s: s.census(0.3, 10, at=AT)),
    (questions.PURGE, lambda s: s.purge(at=AT)),
    (questions.GIVE_TURN, lambda s: f.GiveTurn("sweep", "one", s.instant(AT))),
]


@frozen
class Read:
    """What statements read of the sessions."""

    scans: int
    """Passes over the whole table, also those that were left early: where they begin is luck."""
    rows: int


@frozen
class Watched:
    """A connection set up as the store's own are, and what it reads."""

    line: psycopg.Connection[tuple[Any, ...]]
    schema: str
    store: PostgresStore

    def fill(self, living: int) -> None:
        """Have this many, and some that are due scattered among them; the planner is told how many there are."""
        every, due_us = living // DUE + 1, Stage("0" * 32).us(AT)
        self.line.execute(
            f"""
            TRUNCATE {self.schema}.sg_session;
            INSERT INTO {self.schema}.sg_session (id, scope, owner, created_us, last_seen_us, expires_us, absolute_us,
                                                  token_hash, idle_us, touch_us, retention_us)
            SELECT md5(n::text) || 'ab', 'desk', 'owner ' || n, n, n,
                   {due_us} + CASE WHEN n % {every} = 0 THEN -n ELSE n END, {due_us} * 2,
                   decode(md5(n::text), 'hex'), 1000000, 0, {due_us}
              FROM generate_series(1, {living + DUE}) AS n;
            ANALYZE {self.schema}.sg_session""".encode()
        )

    def answer(self, question: questions.Question[Any, Any], command: c.Command[Any]) -> Read:
        """Ask one question, and give what was read for it."""
        # In one transaction: then these are the counts of nobody else.
        with self.line.transaction():
            before = self._counted()
            cursor = psycopg.RawCursor(self.line)
            cursor.execute(
                wire.wire_of(self.store.settings).statements[question.verb], question.parameters(command)
            ).fetchall()
            after = self._counted()
        return Read(after[0] - before[0], after[1] - before[1])

    def _counted(self) -> tuple[int, int]:
        ((scans, rows),) = self.line.execute(
            "SELECT seq_scan, seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables "
            "WHERE relname = 'sg_session' AND schemaname = %s",
            [self.schema],
        ).fetchall()
        return int(scans), int(rows)


@pytest.fixture
def watched(store: PostgresStore, schema_name: str) -> Iterator[Watched]:
    """The schema of this test."""
    with psycopg.connect(**store.settings.parameters, autocommit=True) as line:
        yield Watched(line, schema_name, store)


def test_a_pass_reads_what_is_due(watched: Watched, stage: Stage) -> None:
    """Among four and among sixteen thousand the same rows are read, each by an index."""
    seen: list[list[Read]] = []
    for living in (FEW, MANY):
        watched.fill(living)
        seen.append([watched.answer(question, command(stage)) for question, command in PASS])
    few, many = seen
    assert [read.scans for read in many] == [0] * len(PASS)
    assert [read.rows for read in few] == [read.rows for read in many]
    assert 0 < sum(read.rows for read in many) < 20 * DUE


def test_a_scan_is_seen(watched: Watched, postgres_server: PostgresServer, stage: Stage) -> None:
    """The counts above can fail: a question that a plan for all values answers from the table is counted as a scan."""
    watched.fill(MANY)
    with psycopg.connect(postgres_server.url, autocommit=True) as line:
        line.execute(f"SET search_path = {watched.schema}".encode())
        line.execute("""
            CREATE OR REPLACE FUNCTION sg_is_due(now_us bigint) RETURNS boolean LANGUAGE plpgsql AS $$
            BEGIN RETURN EXISTS (SELECT FROM sg_session WHERE active AND expires_us <= now_us); END $$""")
    assert watched.answer(questions.SWEEP, stage.sweep(DUE, at=AT)).scans > 0
    read = watched.answer(questions.SWEEP, stage.sweep(DUE, at=AT))
    assert (read.scans, read.rows >= MANY) == (1, True)
