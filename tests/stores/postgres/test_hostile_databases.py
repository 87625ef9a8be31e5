"""T16: a database, a role or a search path whose settings would change what the statements mean, or forbid them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.asking import COMMANDS, scene
from tests.stores.postgres.conftest import OpenStore

EVIL = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'infinity'::timestamptz $$;
CREATE FUNCTION evil.coalesce_text(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'evil'::text $$;
CREATE FUNCTION evil.sg_now() RETURNS bigint LANGUAGE sql AS $$ SELECT 0::bigint $$;
CREATE FUNCTION evil.evil_equal(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.evil_equal);
CREATE TABLE evil.sg_session (id text);
CREATE TABLE evil.sg_store (deployment_id text);
INSERT INTO evil.sg_store VALUES ('evil')
"""
HOSTILE = {
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "search_path": "evil, pg_catalog, public",
    "statement_timeout": "500",
    "DateStyle": "SQL, DMY",
    "bytea_output": "escape",
    "standard_conforming_strings": "on",
    "TimeZone": "Pacific/Kiritimati",
    "lc_messages": "C",
}


@pytest.fixture
def hostile_url(postgres_server: PostgresServer, schema_name: str) -> Iterator[str]:
    """A database in which every default is against us."""
    database = f"hostile_{schema_name}"
    postgres_server.execute(f"CREATE DATABASE {database}")
    url = postgres_server.url.rpartition("/")[0] + f"/{database}"
    for name, value in HOSTILE.items():
        postgres_server.execute(f"ALTER DATABASE {database} SET {name} = {value if ',' in value else repr(value)}")
    yield url
    postgres_server.execute(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.mark.parametrize("prepare", [True, False])
def test_t16_settings_of_the_database_change_nothing(
    open_store: OpenStore, hostile_url: str, stage: Stage, prepare: bool
) -> None:
    """Where serializable, read only, a hostile search path and little time are the defaults, every verb works."""
    with psycopg.connect(hostile_url, autocommit=True, options="-c default_transaction_read_only=off") as line:
        line.execute(EVIL)
    store = open_store(hostile_url, prepare=prepare)
    for name, make in COMMANDS.items():
        command = make(scene(store, stage))
        command.verify(command.apply(store), store.name)
        assert name
    opened = store.get_or_create(stage.get_or_create("bea", data={"n": 1.0})).record
    assert store.load(stage.load(opened)).record == opened
    first = stage.get_or_create("cy")
    from_the_engine = store.get_or_create(type(first)(first.new, None, first.operation_id)).record
    assert from_the_engine.expires_us - from_the_engine.created_us == first.new.lifetime.idle_us
    assert from_the_engine.created_us > 1_600_000_000_000_000


def test_t16_writers_of_one_row_never_fail_to_serialize(open_store: OpenStore, hostile_url: str, stage: Stage) -> None:
    """Though serializable is the default there, many saves of one session at once are all done."""
    store = open_store(hostile_url)
    record = store.create(stage.create()).record
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.save(stage.save(record, {f"f{n}": n})), range(40)))
    stored = store.get(stage.get(record))
    assert stored is not None
    assert stored.version == 41
