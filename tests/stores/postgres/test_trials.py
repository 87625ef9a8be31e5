"""A dry run says all that it can know without the lock, is in nobody's way, and leaves nothing behind."""

from typing import Any

import psycopg
import pytest
from attrs import evolve

from sessionguard.errors import ConfigurationError, StoreTimeoutError
from sessionguard.stores.postgres import PostgresStore
from sessionguard.stores.postgres.adopting import TRIED_AT_MOST, adopt
from sessionguard.stores.postgres.adoption import Adoption
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.asking import as_role
from tests.stores.postgres.bots import BOTS
from tests.stores.postgres.conftest import OpenStore

Line = psycopg.Connection[tuple[Any, ...]]


def complaints(store: PostgresStore, adoption: Adoption) -> set[str]:
    """Give what the dry run and the adoption say against it."""
    told = set()
    for dry_run in (True, False):
        with pytest.raises(ConfigurationError) as caught:
            adopt(store.settings, adoption, dry_run=dry_run)
        told.add(str(caught.value))
    return told


def test_rows_that_stay_active(store: PostgresStore, bots: Line) -> None:
    """A trigger that leaves rows as they are, or a value that the server counts as the same, is told by both."""
    bots.execute("ALTER TABLE bot.session ADD n numeric NOT NULL DEFAULT 1")
    same = evolve(BOTS, active=("n", "1"), end={"n": "1.0"})
    (told,) = complaints(store, same)
    assert "end = 'n=1.0': 5 of 5 rows are active after it, too" in told
    bots.execute("CREATE FUNCTION bot.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    bots.execute("CREATE TRIGGER keep BEFORE UPDATE ON bot.session FOR EACH ROW EXECUTE FUNCTION bot.keep()")
    (told,) = complaints(store, BOTS)
    assert "or a trigger undoes it" in told


def test_an_owner_who_may_make_nothing_in_the_schema(
    open_store: OpenStore, postgres_server: PostgresServer, bots: Line, schema_name: str
) -> None:
    """Both say which right is missing, and with it both succeed, also in a database that allows no temporary tables."""
    role = f"owner_{schema_name}"
    postgres_server.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA bot TO {role}; ALTER TABLE bot.session OWNER TO {role}; "
        "REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC"
    )
    try:
        owner = open_store(as_role(postgres_server.url, role))
        (told,) = complaints(owner, BOTS)
        postgres_server.execute(told.partition("let the owner of that run ")[2])
        assert adopt(owner.settings, BOTS, dry_run=True).indexes == adopt(owner.settings, BOTS).indexes
        assert adopt(owner.settings, BOTS).indexes == ()
    finally:
        postgres_server.execute(
            f"GRANT TEMPORARY ON DATABASE postgres TO PUBLIC; ALTER TABLE bot.session OWNER TO postgres; "
            f"DROP OWNED BY {role}; DROP ROLE {role}"
        )


def test_a_name_that_is_taken(store: PostgresStore, bots: Line) -> None:
    """What has the name of the index, and is none of this table, is told by both."""
    bots.execute(f"CREATE TABLE bot.other (x int); CREATE INDEX {BOTS.index} ON bot.other (x)".encode())
    (told,) = complaints(store, BOTS)
    assert told.startswith(f"index = {BOTS.index!r}: its name is taken")


def test_a_partitioned_table(store: PostgresStore, bots: Line) -> None:
    """It can be kept to one row per slot if that has the columns by which it is parted; else both say so."""
    bots.execute("""
        CREATE TABLE bot.parted (id int, user_id text, status text, PRIMARY KEY (id, user_id))
          PARTITION BY HASH (user_id);
        CREATE TABLE bot.part PARTITION OF bot.parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        INSERT INTO bot.parted VALUES (1, 'ana', 'active'), (2, 'ana', 'active')""")
    parted = Adoption("bot.parted", ("status",), ("status", "active"), "id", {"status": "ended"})
    (told,) = complaints(store, parted)
    assert "partitioned by user_id" in told
    fitting = evolve(parted, slot=("user_id",))
    assert [row.key["id"] for row in adopt(store.settings, fitting, dry_run=True).ended] == ["1"]
    assert adopt(store.settings, fitting).indexes == (fitting.index,)
    assert adopt(store.settings, fitting).indexes == ()


def test_a_table_from_which_others_inherit(store: PostgresStore, bots: Line) -> None:
    """The rows of its heirs have keys of their own and no index together: it is refused, and no row is touched."""
    bots.execute("CREATE TABLE bot.kid () INHERITS (bot.session)")
    bots.execute("INSERT INTO bot.kid (id, user_id, status) OVERRIDING SYSTEM VALUE VALUES (1, 'zoe', 'active')")
    (told,) = complaints(store, BOTS)
    assert "other tables inherit from it" in told
    assert bots.execute("SELECT status FROM bot.kid").fetchall() == [("active",)]


def test_values_too_long_for_an_index(store: PostgresStore, bots: Line) -> None:
    """The real run makes the index, so it alone finds that; it is told as what it is, and nothing is done."""
    bots.execute(
        "UPDATE bot.session SET user_id = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n)"
    )
    with pytest.raises(ConfigurationError, match=r"slot = 'user_id': index row size .*shorter"):
        adopt(store.settings, BOTS)
    assert bots.execute("SELECT count(*) FROM bot.session WHERE status = 'active'").fetchone() == (10,)


def test_the_triggers_of_the_application_find_what_they_find_for_it(
    open_store: OpenStore, postgres_server: PostgresServer, bots: Line, schema_name: str
) -> None:
    """Names in a trigger are looked up by the search path of the role; a plain table name means the schema public."""
    role = f"app_{schema_name}"
    postgres_server.execute(f"""
        CREATE TABLE bot.audit (x text); CREATE TABLE public.audit (x text);
        CREATE FUNCTION bot.note() RETURNS trigger LANGUAGE plpgsql AS
          'BEGIN INSERT INTO audit VALUES (NEW.user_id); RETURN NEW; END';
        CREATE TRIGGER note AFTER UPDATE ON bot.session FOR EACH ROW EXECUTE FUNCTION bot.note();
        CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET search_path = bot; GRANT ALL ON SCHEMA bot TO {role};
        ALTER TABLE bot.session OWNER TO {role}; GRANT ALL ON bot.audit, public.audit TO {role}""")
    try:
        settings = open_store(as_role(postgres_server.url, role)).settings
        with pytest.raises(ConfigurationError, match="no such table"):
            adopt(settings, evolve(BOTS, table="session"))
        adopt(settings, BOTS, dry_run=True)
        assert adopt(settings, BOTS).untried_count == 0
        assert bots.execute("SELECT count(*) FROM bot.audit").fetchone() == (4,)
        assert bots.execute("SELECT count(*) FROM public.audit").fetchone() == (0,)
    finally:
        postgres_server.execute(
            "ALTER TABLE bot.session OWNER TO postgres; DROP TABLE public.audit; "
            f"DROP OWNED BY {role}; DROP ROLE {role}"
        )


def test_it_tries_a_few_rows(store: PostgresStore, bots: Line) -> None:
    """Of many duplicates it tries to end so many and no more, and counts the others; the real run ends all."""
    bots.execute("INSERT INTO bot.session (user_id, status) SELECT 'eve', 'active' FROM generate_series(0, 1000)")
    bots.execute("CREATE SEQUENCE bot.calls")
    bots.execute(
        "CREATE FUNCTION bot.tell() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM nextval('bot.calls'); RETURN NEW; END $$"
    )
    bots.execute("CREATE TRIGGER tell BEFORE UPDATE ON bot.session FOR EACH ROW EXECUTE FUNCTION bot.tell()")
    planned = adopt(store.settings, BOTS, dry_run=True)
    assert (len(planned.ended), planned.untried_count) == (1004, 1004 - TRIED_AT_MOST)
    # A sequence is what a dry run cannot take back.
    assert bots.execute("SELECT last_value FROM bot.calls").fetchone() == (TRIED_AT_MOST,)
    assert adopt(store.settings, BOTS).ended == planned.ended


def test_it_gives_up_where_rows_of_another_table_are_locked(
    postgres_server: PostgresServer, store: PostgresStore, bots: Line
) -> None:
    """A foreign key waits for the row that it names: such rows count as not tried."""
    bots.execute("CREATE TABLE bot.states (name text PRIMARY KEY)")
    bots.execute("INSERT INTO bot.states VALUES ('active'), ('ended')")
    bots.execute("ALTER TABLE bot.session ADD FOREIGN KEY (status) REFERENCES bot.states")
    with psycopg.connect(postgres_server.url) as other:
        other.execute("SELECT FROM bot.states WHERE name = 'ended' FOR UPDATE")
        assert adopt(store.settings, BOTS, dry_run=True).untried_count == 4
    assert adopt(store.settings, BOTS, dry_run=True).untried_count == 0


def test_a_table_that_is_locked_as_a_whole(postgres_server: PostgresServer, open_store: OpenStore, bots: Line) -> None:
    """Where the application could not write, either, it waits as long as the store URL says, and names who is there."""
    hasty = open_store(patience_seconds=0.2)
    with psycopg.connect(postgres_server.url) as other:
        other.execute("LOCK TABLE bot.session IN SHARE MODE")
        with pytest.raises(StoreTimeoutError, match=f"process {other.info.backend_pid}.*LOCK TABLE bot.session"):
            adopt(hasty.settings, BOTS, dry_run=True)


def test_a_trigger_is_told_without_the_values_of_rows(store: PostgresStore, bots: Line) -> None:
    """What fails inside of it is told by its kind and its function."""
    bots.execute("CREATE FUNCTION bot.spoil() RETURNS trigger LANGUAGE plpgsql AS "
                 "'DECLARE n int; BEGIN n := OLD.user_id::int; RETURN NEW; END'")  # fmt: skip
    bots.execute("CREATE TRIGGER spoil BEFORE UPDATE ON bot.session FOR EACH ROW EXECUTE FUNCTION bot.spoil()")
    (told,) = complaints(store, BOTS)
    assert "InvalidTextRepresentation (22P02) in the function bot.spoil()" in told
    assert "ana" not in told
