"""What does not fit the table is told by a dry run, before anything is done: columns, values, rules, rights."""

from collections.abc import Mapping

import psycopg
import pytest
from attrs import evolve

from sessionguard.errors import ConfigurationError, StoreTimeoutError
from sessionguard.stores.postgres import PostgresStore
from sessionguard.stores.postgres.adopting import adopt
from sessionguard.stores.postgres.adoption import Adoption
from sessionguard.stores.postgres.holding import command_of
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.asking import as_role
from tests.stores.postgres.bots import BOTS
from tests.stores.postgres.conftest import OpenStore

Line = psycopg.Connection[tuple[object, ...]]
COLUMNS = "bot.session has no such column; it has id, user_id, kind, status, created_at, ended_at"


def refusals(store: PostgresStore, bots: Line, adoption: Adoption) -> set[str]:
    """Give what a dry run and the adoption itself say against it; neither changes anything."""
    before = bots.execute("SELECT * FROM bot.session ORDER BY id").fetchall()
    told = set()
    for dry_run in (True, False):
        with pytest.raises(ConfigurationError) as caught:
            adopt(store.settings, adoption, dry_run=dry_run)
        told.add(str(caught.value))
    assert bots.execute("SELECT * FROM bot.session ORDER BY id").fetchall() == before
    assert bots.execute("SELECT count(*) FROM pg_indexes WHERE schemaname = 'bot'").fetchone() == (1,)
    return told


def ended_as(**end: str) -> Adoption:
    """Give an adoption that ends rows otherwise."""
    return evolve(BOTS, end=end)


@pytest.mark.parametrize(
    "adoption, setting",
    [
        (evolve(BOTS, slot=("user",)), "slot = 'user'"),
        (evolve(BOTS, newest="created"), "newest = 'created'"),
        (evolve(BOTS, active=("state", "active"), end={"state": "ended"}), "active = 'state'"),
        (ended_as(status="ended", finished_at="now()"), "end = 'finished_at'"),
    ],
)
def test_a_column_that_is_not_there(store: PostgresStore, bots: Line, adoption: Adoption, setting: str) -> None:
    """It is told which of the options named it, and which columns there are; nothing in the words of SQL."""
    assert refusals(store, bots, adoption) == {f"{setting}: {COLUMNS}"}


@pytest.mark.parametrize("with_duplicates", [True, False])
@pytest.mark.parametrize(
    "change, end, words",
    [
        ("", {"status": "ended", "ended_at": "yesterday-ish"}, ["ended_at=yesterday-ish", "timestamp with time zone"]),
        ("ADD n int", {"status": "ended", "n": "now()"}, ["n=now()", "type integer", "now() is an instant"]),
        ("ADD n int", {"status": "ended", "n": "12x"}, ["n=12x", "type integer", "give what can be written"]),
        ("ADD v varchar(3)", {"status": "ended", "v": "ended"}, ["v=ended", "character varying(3)", "too long"]),
        (
            "ALTER status TYPE bot.state USING status::bot.state",
            {"status": "stopped"},
            ["status=stopped", "bot.state (active, ended)", "invalid input value"],
        ),
        (
            "ADD n int GENERATED ALWAYS AS (id * 2) STORED",
            {"status": "ended", "n": "1"},
            ["n=1", "leave it out", "type integer"],
        ),
    ],
)
def test_a_value_that_cannot_be_written(
    store: PostgresStore, bots: Line, with_duplicates: bool, change: str, end: Mapping[str, str], words: list[str]
) -> None:
    """It is told with its column and the type of that, also where there is no row to be ended yet."""
    bots.execute("CREATE TYPE bot.state AS ENUM ('active', 'ended')")
    if not with_duplicates:
        bots.execute("DELETE FROM bot.session WHERE status = 'active'")
    if change:
        bots.execute(f"ALTER TABLE bot.session {change}".encode())
    (told,) = refusals(store, bots, ended_as(**end))
    assert told.startswith("end = ")
    for word in words:
        assert word in told, told


@pytest.mark.parametrize(
    "change, adoption, words",
    [
        ("ALTER status TYPE bot.state USING status::bot.state", evolve(BOTS, active=("status", "Active")),
         ["active = 'status=Active'", "bot.state (active, ended)"]),
        ("ADD n int", evolve(BOTS, active=("n", "one"), end={"n": "0"}), ["active = 'n=one'", "type integer"]),
        ("ADD j json", evolve(BOTS, slot=("user_id", "j")), ["slot = 'j'", "type json", "have an order"]),
        ("ADD j json", evolve(BOTS, newest="j"), ["newest = 'j'", "type json", "have an order"]),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(
    store: PostgresStore, bots: Line, change: str, adoption: Adoption, words: list[str]
) -> None:
    """A value that no active row can have, and a column whose values have no order."""
    bots.execute("CREATE TYPE bot.state AS ENUM ('active', 'ended')")
    bots.execute(f"ALTER TABLE bot.session {change}".encode())
    (told,) = refusals(store, bots, adoption)
    for word in words:
        assert word in told, told


RULES = {
    "check": (
        "ALTER TABLE bot.session ADD CONSTRAINT told CHECK (status <> 'ended' OR kind = 'x') NOT VALID",
        ["told", "CHECK (((status <> 'ended'::text) OR (kind = 'x'::text)))", "for further columns"],
    ),
    "foreign key": (
        "CREATE TABLE bot.states (name text PRIMARY KEY); INSERT INTO bot.states VALUES ('active'); "
        "ALTER TABLE bot.session ADD CONSTRAINT known FOREIGN KEY (status) REFERENCES bot.states NOT VALID",
        ["known", "FOREIGN KEY (status) REFERENCES bot.states(name)", "give a value that the other table has"],
    ),
    "foreign key that is looked at in the end": (
        "CREATE TABLE bot.states (name text PRIMARY KEY); INSERT INTO bot.states VALUES ('active'); "
        "ALTER TABLE bot.session ADD CONSTRAINT known FOREIGN KEY (status) REFERENCES bot.states "
        "DEFERRABLE INITIALLY DEFERRED NOT VALID",
        ["known", "FOREIGN KEY (status) REFERENCES bot.states(name)"],
    ),
    "unique": (
        "CREATE UNIQUE INDEX one_ended ON bot.session (user_id) WHERE status = 'ended'",
        ["one_ended", "UNIQUE INDEX", "more than once"],
    ),
    "not null, by a trigger": (
        "CREATE FUNCTION bot.clear() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.kind := NULL; RETURN NEW; END $$; "
        "CREATE TRIGGER clear BEFORE UPDATE ON bot.session FOR EACH ROW EXECUTE FUNCTION bot.clear()",
        ["kind", "--end kind=VALUE"],
    ),
    "a trigger": (
        "CREATE FUNCTION bot.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not so'; END $$; "
        "CREATE TRIGGER refuse BEFORE UPDATE ON bot.session FOR EACH ROW EXECUTE FUNCTION bot.refuse()",
        ["not so", "a trigger of the table refuses it"],
    ),
}


@pytest.mark.parametrize("change, words", RULES.values(), ids=RULES)
def test_what_the_table_forbids(store: PostgresStore, bots: Line, change: str, words: list[str]) -> None:
    """The values are tried on the very rows; what the table asks for is told as it is defined, and no row is shown."""
    if "one_ended" in change:
        bots.execute("UPDATE bot.session SET user_id = 'eve' WHERE id = 5")
    bots.execute(change.encode())
    with pytest.raises(ConfigurationError) as caught:
        adopt(store.settings, BOTS, dry_run=True)
    told = str(caught.value)
    assert told.startswith("end = 'status=ended, ended_at=now()': the rows cannot be ended so: ")
    assert "2025" not in told
    for word in words:
        assert word in told, told
    with pytest.raises(ConfigurationError) as again:
        adopt(store.settings, BOTS)
    assert str(again.value) == told
    assert bots.execute("SELECT count(*) FROM bot.session WHERE status = 'active'").fetchone() == (10,)


def test_constraints_that_are_looked_at_in_the_end_do_not_forbid_the_index(store: PostgresStore, bots: Line) -> None:
    """Ending rows whose foreign keys are checked at the commit, and making the index, go together."""
    bots.execute("CREATE TABLE bot.states (name text PRIMARY KEY)")
    bots.execute("INSERT INTO bot.states VALUES ('active'), ('ended')")
    bots.execute("ALTER TABLE bot.session ADD FOREIGN KEY (status) REFERENCES bot.states DEFERRABLE INITIALLY DEFERRED")
    assert adopt(store.settings, BOTS).indexes == (BOTS.index,)


def test_what_is_tried_is_taken_back_and_waits_for_nobody(
    postgres_server: PostgresServer, open_store: OpenStore, bots: Line
) -> None:
    """A dry run leaves out rows that others have locked and says how many; they go on, and nothing has changed."""
    hasty = open_store(patience_seconds=0.2)
    before = bots.execute("SELECT xmin, * FROM bot.session ORDER BY id").fetchall()
    with psycopg.connect(postgres_server.url) as writer:
        writer.execute("SELECT FROM bot.session WHERE id = 1 FOR UPDATE")
        planned = adopt(hasty.settings, BOTS, dry_run=True)
    assert planned.untried_count == 1
    assert (planned.row_count, planned.active_count, len(planned.ended)) == (11, 10, 4)
    assert bots.execute("SELECT xmin, * FROM bot.session ORDER BY id").fetchall() == before
    assert adopt(hasty.settings, BOTS, dry_run=True).untried_count == 0


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_role_that_may_not(
    open_store: OpenStore, postgres_server: PostgresServer, bots: Line, schema_name: str, dry_run: bool
) -> None:
    """Who does not own the table is told who does; who may not read it, that, too."""
    role = f"guest_{schema_name}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA bot TO {role}")
    settings = open_store(as_role(postgres_server.url, role)).settings
    try:
        with pytest.raises(ConfigurationError, match="permission denied for table session; name the role that owns"):
            adopt(settings, BOTS, dry_run=dry_run)
        postgres_server.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA bot TO {role}")
        with pytest.raises(ConfigurationError, match="name the role postgres in the store URL"):
            adopt(settings, BOTS, dry_run=dry_run)
        # With the index there, no owner is needed.
        postgres_server.execute(
            f"CREATE UNIQUE INDEX {BOTS.index} ON bot.session (user_id) WHERE status = 'active' AND false"
        )
        with pytest.raises(ConfigurationError, match="drop it first"):
            adopt(settings, BOTS, dry_run=dry_run)
    finally:
        postgres_server.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_rows_that_a_policy_hides_are_not_left_out_without_a_word(
    open_store: OpenStore, postgres_server: PostgresServer, bots: Line, schema_name: str
) -> None:
    """Where the owner is held to the table's own policies, the adoption is refused and not half done."""
    role = f"held_{schema_name}"
    postgres_server.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE, CREATE ON SCHEMA bot TO {role}; "
        f"ALTER TABLE bot.session OWNER TO {role}; "
        "ALTER TABLE bot.session ENABLE ROW LEVEL SECURITY; ALTER TABLE bot.session FORCE ROW LEVEL SECURITY; "
        "CREATE POLICY few ON bot.session USING (user_id = 'bea')"
    )
    try:
        settings = open_store(as_role(postgres_server.url, role)).settings
        with pytest.raises(ConfigurationError, match=r"row-level security.*BYPASSRLS"):
            adopt(settings, BOTS)
    finally:
        postgres_server.execute(f"ALTER TABLE bot.session OWNER TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_a_view_is_no_table(store: PostgresStore, bots: Line, kind: str) -> None:
    """It is told what it is."""
    bots.execute(f"CREATE {kind} bot.seen AS SELECT * FROM bot.session".encode())
    with pytest.raises(ConfigurationError, match=f"it is a {kind.lower()}; name the table itself"):
        adopt(store.settings, evolve(BOTS, table="bot.seen"), dry_run=True)


def test_who_keeps_the_table_locked(open_store: OpenStore, postgres_server: PostgresServer, bots: Line) -> None:
    """It is told which process, of which application, for how long, with its statement but none of its values."""
    hasty = open_store(patience_seconds=0.2)
    with psycopg.connect(postgres_server.url, application_name="the-bot") as writer:
        writer.execute("UPDATE bot.session SET kind = 'a secret' WHERE id = 1")
        with psycopg.connect(postgres_server.url) as reader:
            reader.execute("SELECT count(*) FROM bot.session")
            who_reads = f"process {reader.info.backend_pid}"
            with pytest.raises(StoreTimeoutError) as caught:
                adopt(hasty.settings, BOTS)
        pid = writer.info.backend_pid
    told = str(caught.value)
    assert who_reads not in told
    assert 'others kept "bot"."session" locked for 0.2 s, and nothing was done' in told
    assert f"process {pid} of the-bot, idle in transaction for " in told
    assert "last command: UPDATE bot.session." in told
    assert "secret" not in told
    assert "?patience=60" in told
    assert "quiet hour" in told


def test_who_is_in_the_way_of_a_role_that_may_not_see_it(
    open_store: OpenStore, postgres_server: PostgresServer, bots: Line, schema_name: str
) -> None:
    """It is told at least which process, and what shows more."""
    role = f"owner_{schema_name}"
    postgres_server.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE, CREATE ON SCHEMA bot TO {role}; "
        f"ALTER TABLE bot.session OWNER TO {role}"
    )
    settings = open_store(as_role(postgres_server.url, role), patience_seconds=0.2).settings
    try:
        with psycopg.connect(postgres_server.url) as writer:
            writer.execute("UPDATE bot.session SET kind = 'a secret' WHERE id = 1")
            with pytest.raises(StoreTimeoutError, match=f"process {writer.info.backend_pid}.*pg_read_all_stats"):
                adopt(settings, BOTS)
    finally:
        postgres_server.execute(f"ALTER TABLE bot.session OWNER TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")


def test_who_only_reads_is_in_nobodys_way(open_store: OpenStore, postgres_server: PostgresServer, bots: Line) -> None:
    """A transaction that has read the table, and goes on, does not hinder the adoption."""
    hasty = open_store(patience_seconds=0.2)
    with psycopg.connect(postgres_server.url) as reader:
        reader.execute("SELECT count(*) FROM bot.session")
        assert adopt(hasty.settings, BOTS).indexes == (BOTS.index,)


@pytest.mark.parametrize(
    "statement, shown",
    [
        ("UPDATE t SET a = 'x'", "UPDATE t"),
        ('update\n  "a b"."T" SET a = TRUE', 'update "a b"."T"'),
        ("INSERT INTO bot.session VALUES (1)", "INSERT INTO bot.session"),
        ("SELECT a1 FROM t2", "SELECT"),
        ("SET app.tenant TO secret", "SET"),
        ("EXECUTE p(secret)", "EXECUTE"),
        ("/* owner=ana */ SELECT a", "not known"),
        ("secret", "not known"),
        ('DELETE FROM "a\x1b[31m"', 'DELETE FROM "a [31m"'),
        ("", "not known"),
    ],
)
def test_a_statement_is_shown_without_values(statement: str, shown: str) -> None:
    """Its command is, and the table if that stands beside it."""
    assert command_of(statement) == shown
