"""Incident B: a table that already holds several active sessions per user is brought to one, and kept there."""

import threading
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sessionguard.errors import ConfigurationError, StoreTimeoutError
from sessionguard.stores.postgres import PostgresStore, adopting
from sessionguard.stores.postgres.adopting import adopt
from sessionguard.stores.postgres.adoption import Adoption
from sessionguard.stores.postgres.duplicates import condition, duplicates, ending_statement, newest_first
from sessionguard.stores.postgres.fitting import require_fit
from sessionguard.stores.postgres.repairing import repair
from sessionguard.stores.postgres.schema import Script
from sessionguard.testing.contracts.stage import SECOND, Stage
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.bots import BOTS
from tests.stores.postgres.conftest import OpenStore


def active(line: psycopg.Connection[tuple[object, ...]]) -> list[object]:
    """Give the ids of the active rows that have an owner."""
    rows = line.execute("SELECT id FROM bot.session WHERE status = 'active' AND user_id IS NOT NULL ORDER BY id")
    return [row[0] for row in rows]


def test_the_newest_of_each_stays(store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]]) -> None:
    """A dry run lists exactly what the adoption then ends; the rest stays, and a second active row is refused."""
    before = bots.execute("SELECT * FROM bot.session ORDER BY id").fetchall()
    planned = adopt(store.settings, BOTS, dry_run=True)
    assert bots.execute("SELECT * FROM bot.session ORDER BY id").fetchall() == before
    done = adopt(store.settings, BOTS)
    assert (done.ended, done.without_slot, done.indexes) == (planned.ended, planned.without_slot, planned.indexes)
    assert (planned.dry_run, done.dry_run) == (True, False)
    told = {(row.slot["user_id"], row.key["id"], row.kept["id"]) for row in done.ended}
    # Of two of one instant the higher key is the newer; no instant at all is older than any.
    assert told == {("ana", "1", "2"), ("ana", "3", "2"), ("cy", "6", "7"), ("dan", "10", "11")}
    assert done.without_slot == 2
    assert active(bots) == [2, 4, 7, 11]
    after = bots.execute("SELECT * FROM bot.session WHERE id IN (2, 4, 5, 7, 8, 9, 11) ORDER BY id").fetchall()
    assert after == [row for row in before if row[0] in (2, 4, 5, 7, 8, 9, 11)]
    assert bots.execute(
        "SELECT count(*) FROM bot.session WHERE status = 'ended' AND ended_at IS NOT NULL"
    ).fetchone() == (4,)
    with pytest.raises(psycopg.errors.UniqueViolation):
        bots.execute("INSERT INTO bot.session (user_id, status) VALUES ('ana', 'active')")
    bots.execute("INSERT INTO bot.session (user_id, status) VALUES ('ana', 'ended')")


def test_an_adopted_table_is_adopted(store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]]) -> None:
    """A second adoption ends nothing and makes nothing."""
    adopt(store.settings, BOTS)
    again = adopt(store.settings, BOTS)
    assert (again.ended, again.indexes) == ((), ())


def test_a_slot_of_several_columns_and_an_active_row_by_null(
    store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]]
) -> None:
    """One row per user and kind, active as long as it has not ended."""
    bots.execute("UPDATE bot.session SET ended_at = now() WHERE status = 'ended'")
    done = adopt(
        store.settings,
        Adoption("bot.session", ("user_id", "kind"), ("ended_at", None), "created_at", {"ended_at": "now()"}),
    )
    assert {row.key["id"] for row in done.ended} == {"1", "6", "10"}
    with pytest.raises(psycopg.errors.UniqueViolation):
        bots.execute("INSERT INTO bot.session (user_id, kind, status) VALUES ('ana', 'tool', 'x')")


def test_no_duplicate_slips_in(store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]]) -> None:
    """While a writer of the application holds its row, the adoption waits; what it wrote is judged, too."""
    with psycopg.connect(bots.info.dsn, user=bots.info.user, autocommit=False) as writer:
        writer.execute("INSERT INTO bot.session (user_id, status, created_at) VALUES ('bea', 'active', '2026-01-01')")
        told: list[object] = []
        thread = threading.Thread(target=lambda: told.append(adopt(store.settings, BOTS)))
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'bot.session'::regclass"
        while bots.execute(waiting).fetchone() == (0,):
            assert thread.is_alive()
        writer.commit()
        thread.join(30)
    assert len(told) == 1
    assert bots.execute("SELECT count(*) FROM bot.session WHERE user_id = 'bea' AND status = 'active'").fetchone() == (
        1,
    )


def test_two_at_once(
    open_store: OpenStore,
    store: PostgresStore,
    bots: psycopg.Connection[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second waits before it has any lock, so that neither waits for the other: then it finds the table adopted."""
    told: list[int] = []
    arrived: list[threading.Event] = []
    settings = open_store(patience_seconds=60.0).settings

    def looked(*given: Any) -> Script[None]:
        go_on = threading.Event()
        arrived.append(go_on)
        assert go_on.wait(30)
        yield from require_fit(*given)

    monkeypatch.setattr(adopting, "require_fit", looked)
    threads = [threading.Thread(target=lambda: told.append(len(adopt(settings, BOTS).ended))) for _ in "ab"]
    for thread in threads:
        thread.start()
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'bot.session'::regclass"
    while bots.execute(waiting).fetchone() != (1,):
        assert len(arrived) < 2
    while not arrived:
        assert any(thread.is_alive() for thread in threads)
    arrived[0].set()
    while len(arrived) < 2:
        assert any(thread.is_alive() for thread in threads)
    arrived[1].set()
    for thread in threads:
        thread.join(30)
    assert sorted(told) == [0, 4]


def test_rows_that_stay_are_not_fetched(bots: psycopg.Connection[tuple[object, ...]]) -> None:
    """What is read grows with the duplicates, and not with the active rows."""
    order = [newest_first(BOTS.newest)]
    script = duplicates(sql.Identifier("bot", "session"), condition(BOTS.active), BOTS.slot, order, ["id"])
    statement, _ = next(script)
    assert len(bots.execute(statement.encode()).fetchall()) == 4


def test_it_waits_for_others_only_so_long(
    postgres_server: PostgresServer, schema_name: str, bots: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Where the application keeps the table locked, nothing is done, and said so."""
    hasty = PostgresStore(postgres_server.url, schema=schema_name, patience_seconds=0.2)
    with psycopg.connect(bots.info.dsn, user=bots.info.user) as writer:
        writer.execute("UPDATE bot.session SET kind = 'x' WHERE id = 1")
        with pytest.raises(StoreTimeoutError):
            adopt(hasty.settings, BOTS)
    assert len(active(bots)) == 8


@pytest.mark.parametrize(
    "changed, complaint",
    [
        ({"table": "bot.nothing"}, "no such table"),
        ({"table": "a.b.c"}, "table or schema.table"),
        ({"table": ""}, "table or schema.table"),
        ({"slot": ()}, "slot"),
        ({"end": {"status": "active"}}, "something else than in active rows"),
        ({"end": {"ended_at": "now()"}}, "something else than in active rows"),
        ({"newest": "x" * 64}, "name a column"),
    ],
)
def test_what_cannot_be_is_refused_first(
    store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]], changed: dict[str, object], complaint: str
) -> None:
    """A table that is not there, a slot of nothing, an end that ends nothing: told before anything is locked."""
    given = {name: getattr(BOTS, name) for name in ("table", "slot", "active", "newest", "end")} | changed
    with pytest.raises(ConfigurationError, match=complaint):
        adopt(store.settings, Adoption(**given))
    assert len(active(bots)) == 8


def test_names_are_names(store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]]) -> None:
    """A name or value that looks like SQL is taken as it is: no such column, and the table is as it was."""
    evil = "user_id; DROP TABLE bot.session; --"
    for adoption in (
        Adoption("bot.session", (evil,), ("status", "active"), "created_at", {"status": "ended"}),
        Adoption("bot.session", ("user_id",), ("status", "active"), evil, {"status": "ended"}),
        Adoption("bot.session", ("user_id",), (evil, "active"), "created_at", {evil: "ended"}),
    ):
        with pytest.raises(
            Exception, match="has no such column; it has id, user_id, kind, status, created_at, ended_at"
        ):
            adopt(store.settings, adoption)
    quoted = "o'brien"
    adopt(store.settings, Adoption("bot.session", ("user_id",), ("status", quoted), "created_at", {"status": "x"}))
    assert len(active(bots)) == 8


def test_a_table_without_a_primary_key(store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]]) -> None:
    """Rows that cannot be told apart are not touched."""
    bots.execute("ALTER TABLE bot.session DROP CONSTRAINT session_pkey")
    with pytest.raises(ConfigurationError, match="no primary key"):
        adopt(store.settings, BOTS)


def test_our_own_table_is_mended(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """Where our index was dropped and two sessions are active in a slot, the newest stays and the index is back."""
    first = store.get_or_create(stage.get_or_create("ana", data={"n": 1})).record
    other = store.get_or_create(stage.get_or_create("bea")).record
    second = store.replace(stage.replace("ana", at=SECOND)).record
    postgres_server.execute(
        f"DROP INDEX {schema_name}.sg_slot; "
        f"UPDATE {schema_name}.sg_session SET active = true, reason = NULL, ended_us = NULL WHERE id = '{first.id}'"
    )
    problems = {found.subject for found in store.examine() if found.level == "problem"}
    assert problems == {"indexes", "slots"}
    planned = repair(store.settings, dry_run=True)
    done = repair(store.settings)
    assert planned.ended == done.ended
    assert [(row.key, row.kept) for row in done.ended] == [({"id": first.id}, {"id": second.id})]
    assert done.indexes == ("sg_slot",)
    assert store.load(stage.load(second, at=SECOND)).record == second
    assert store.load(stage.load(first, at=SECOND)).refusal == "ended"
    assert store.load(stage.load(other, at=SECOND)).record == other
    assert {found.subject for found in store.examine() if found.level == "problem"} == set()
    assert repair(store.settings).indexes == ()


def test_a_failure_leaves_everything_as_it_was(
    store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]]
) -> None:
    """If the rows cannot be ended, because the application's table forbids it, none is, and there is no index."""
    bots.execute("ALTER TABLE bot.session ADD CHECK (status <> 'ended' OR id <> 6) NOT VALID")
    with pytest.raises(ConfigurationError, match="check constraint"):
        adopt(store.settings, BOTS)
    assert len(active(bots)) == 8
    assert bots.execute("SELECT count(*) FROM pg_indexes WHERE schemaname = 'bot'").fetchone() == (1,)


WRONG = {
    "another column": "CREATE UNIQUE INDEX {} ON bot.session (kind) WHERE status = 'active'",
    "a column more": "CREATE UNIQUE INDEX {} ON bot.session (user_id, kind) WHERE status = 'active'",
    "other rows": "CREATE UNIQUE INDEX {} ON bot.session (user_id) WHERE status = 'ended'",
    "not unique": "CREATE INDEX {} ON bot.session (user_id) WHERE status = 'active'",
    "of an expression": "CREATE UNIQUE INDEX {} ON bot.session ((user_id || kind)) WHERE status = 'active'",
}


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("statement", WRONG.values(), ids=WRONG)
def test_an_index_that_only_has_the_name_is_no_constraint(
    store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]], statement: str, dry_run: bool
) -> None:
    """It is told, and nothing is done: no adoption is reported that does not hold."""
    bots.execute("DELETE FROM bot.session WHERE status = 'active' AND id NOT IN (2, 4)")
    bots.execute("UPDATE bot.session SET kind = id")
    bots.execute(statement.format(BOTS.index).encode())
    with pytest.raises(ConfigurationError, match="drop it first"):
        adopt(store.settings, BOTS, dry_run=dry_run)
    bots.execute(f"DROP INDEX bot.{BOTS.index}".encode())
    assert adopt(store.settings, BOTS, dry_run=dry_run).indexes == (BOTS.index,)


def test_each_slot_has_an_index_of_its_own(store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]]) -> None:
    """One per user and kind, and later one per user: both are made, and the order of columns makes no difference."""
    one = Adoption("bot.session", ("user_id", "kind"), BOTS.active, BOTS.newest, BOTS.end)
    turned = Adoption("bot.session", ("kind", "user_id"), BOTS.active, BOTS.newest, BOTS.end)
    assert adopt(store.settings, one).indexes == (one.index,)
    assert adopt(store.settings, turned).indexes == ()
    assert adopt(store.settings, BOTS).indexes == (BOTS.index,)
    with pytest.raises(psycopg.errors.UniqueViolation):
        bots.execute("INSERT INTO bot.session (user_id, kind, status) VALUES ('ana', 'new', 'active')")


@pytest.mark.parametrize("name", ["t" * 62, "ü" * 31, "session"])
def test_names_of_any_length_are_told_apart(
    store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]], name: str
) -> None:
    """Two tables whose names differ at their end have two indexes; each is found again."""
    for end in ("a", "b"):
        bots.execute(f'CREATE TABLE bot."{name}{end}" (id int PRIMARY KEY, u text, st text)'.encode())
        mine = Adoption(f"bot.{name}{end}", ("u",), ("st", "active"), "id", {"st": "ended"})
        assert len(mine.index.encode()) <= 63
        assert adopt(store.settings, mine).indexes == (mine.index,)
        assert adopt(store.settings, mine).indexes == ()


@pytest.mark.parametrize("kind", ["text", "varchar(20)", "bot.state"])
def test_an_index_is_found_again_whatever_the_type(
    store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]], kind: str
) -> None:
    """The server writes the condition in its own words, which differ from type to type."""
    bots.execute("CREATE TYPE bot.state AS ENUM ('active', 'ended')")
    bots.execute(f"ALTER TABLE bot.session ALTER status TYPE {kind} USING status::{kind}".encode())
    assert adopt(store.settings, BOTS).indexes == (BOTS.index,)
    assert adopt(store.settings, BOTS).indexes == ()


def test_many_rows_with_a_key_of_several_columns(
    store: PostgresStore, bots: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Whatever is in the keys, exactly those rows end; and their list is not searched again for each row."""
    bots.execute("""
        CREATE TABLE bot.pairs (a int, b text, u text, st text, PRIMARY KEY (a, b));
        INSERT INTO bot.pairs SELECT i, 'b{"''\\, ' || i, 'u' || i / 2, 'active' FROM generate_series(2, 4001) AS i;
        INSERT INTO bot.pairs SELECT i, 'other', 'x' || i, 'active' FROM generate_series(2, 4001) AS i;
        ANALYZE bot.pairs""")
    pairs = Adoption("bot.pairs", ("u",), ("st", "active"), "a", {"st": "ended"})
    planned = adopt(store.settings, pairs, dry_run=True)
    statement = ending_statement(
        sql.Identifier("bot", "pairs"), {"a": "integer", "b": "text"}, pairs.end, planned.ended
    )
    plan = "\n".join(str(row[0]) for row in bots.execute(f"EXPLAIN {statement}".encode()))
    assert "Join" in plan
    assert "Nested" not in plan
    assert adopt(store.settings, pairs).ended == planned.ended
    told = bots.execute("SELECT a FROM bot.pairs WHERE st = 'ended' ORDER BY a").fetchall()
    assert told == [(number,) for number in range(2, 4001, 2)]
    assert bots.execute("SELECT count(*) FROM bot.pairs WHERE b = 'other' AND st = 'active'").fetchone() == (4000,)
