"""Making and migrating the schema: by whoever comes first, whole or not at all, and never by a role that may not."""

from collections.abc import Iterator

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import ConfigurationError, StoreDataError, StoreUnavailableError
from sessionguard.stores.postgres import PostgresStore, connecting, schema
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import play_all
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.asking import COMMANDS, as_role, scene
from tests.stores.postgres.conftest import OpenStore
from tests.stores.postgres.workers import first_use

NAMES = [name for _, name, _ in schema.MIGRATIONS]
PROCESSES = 8


@pytest.fixture
def clerk_url(postgres_server: PostgresServer, schema_name: str) -> Iterator[str]:
    """A role that may connect and nothing else."""
    role = f"clerk_{schema_name}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN")
    yield as_role(postgres_server.url, role)
    postgres_server.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.processes
def test_many_processes_start_at_once_on_an_empty_database(postgres_server: PostgresServer, schema_name: str) -> None:
    """Eight processes whose first use is the first use of all succeed, in one deployment."""
    told = play_all(first_use, *[(postgres_server.url, schema_name)] * PROCESSES)
    assert len(set(told)) == 1
    versions = postgres_server.execute(f"SELECT version FROM {schema_name}.sg_schema ORDER BY version")
    assert [int(version or 0) for (version,) in versions] == [number for number, _, _ in schema.MIGRATIONS]


def test_migrate_names_what_is_due_and_what_it_applied(open_store: OpenStore) -> None:
    """A dry run names all and changes nothing; then all are applied; then none is due."""
    store = open_store()
    assert store.migrate(dry_run=True) == NAMES
    assert store.migrate(dry_run=True) == NAMES
    assert store.migrate() == NAMES
    assert store.migrate() == []
    assert store.migrate(dry_run=True) == []


def test_a_migration_is_whole_or_not_at_all(
    open_store: OpenStore, postgres_server: PostgresServer, schema_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the last file fails, nothing of the others is left, and the next try does all."""
    broken = (*schema.MIGRATIONS, (9999, "9999_broken.sql", "CREATE TABLE half (); SELECT 1 / 0"))
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    store = open_store()
    with pytest.raises(StoreDataError, match="division by zero"):
        store.identify(c.Identify())
    rows = postgres_server.execute(f"SELECT count(*) FROM pg_namespace WHERE nspname = '{schema_name}'")
    assert rows == [("0",)]
    monkeypatch.undo()
    assert store.identify(c.Identify())


def test_an_older_schema_is_brought_up_to_date(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that lacks the last files gets these, and keeps its deployment id."""
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:-1])
    older = open_store()
    deployment = older.identify(c.Identify())
    monkeypatch.undo()
    newer = open_store()
    assert newer.migrate(dry_run=True) == NAMES[-1:]
    assert newer.identify(c.Identify()) == deployment
    assert newer.migrate(dry_run=True) == []


def test_a_newer_schema_is_left_alone(
    store: PostgresStore, open_store: OpenStore, postgres_server: PostgresServer, schema_name: str
) -> None:
    """A schema that a newer release has migrated is refused."""
    postgres_server.execute(f"INSERT INTO {schema_name}.sg_schema (version) VALUES (9999)")
    with pytest.raises(StoreDataError, match="version 9999, this release knows"):
        open_store().identify(c.Identify())


def test_migrate_false_leaves_it_to_the_command(open_store: OpenStore) -> None:
    """With migrate=False a missing schema is reported with the remedy; `migrate` still does it when asked."""
    store = open_store(migrate=False)
    with pytest.raises(StoreUnavailableError, match="run `sessionguard migrate`") as caught:
        store.identify(c.Identify())
    assert not caught.value.transient
    store.migrate()
    assert store.identify(c.Identify())


def test_a_role_that_may_not_create_is_told_what_to_do(
    open_store: OpenStore, postgres_server: PostgresServer, schema_name: str, clerk_url: str, stage: Stage
) -> None:
    """It hears which command to run and what to grant; and with that, and no more, every verb works for it."""
    clerk = open_store(clerk_url)
    with pytest.raises(StoreUnavailableError, match="run `sessionguard migrate` once") as caught:
        clerk.identify(c.Identify())
    assert not caught.value.transient
    role = f"clerk_{schema_name}"
    open_store().migrate()
    with pytest.raises(StoreUnavailableError, match="permission denied for schema"):
        clerk.identify(c.Identify())
    statements = str(caught.value).partition("let that run: ")[2]
    assert f'GRANT USAGE ON SCHEMA "{schema_name}" TO "{role}"' in statements
    postgres_server.execute(statements)
    for make in COMMANDS.values():
        make(scene(clerk, stage)).apply(clerk)


def test_a_server_that_is_too_old_is_refused(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server older than 13 is refused with its version, and the connection is closed."""
    with pytest.raises(ConfigurationError, match=r"12\.19': use PostgreSQL 13 or newer"):
        connecting.require_new_enough(120019)
    monkeypatch.setattr(connecting, "OLDEST", 990000)
    store = open_store()
    with pytest.raises(ConfigurationError, match="use PostgreSQL 99 or newer"):
        store.identify(c.Identify())
    assert store._connections.open_count == 0


def test_a_database_that_cannot_hold_every_character_is_refused(
    open_store: OpenStore, postgres_server: PostgresServer, schema_name: str
) -> None:
    """A database that is not UTF-8 would lose names; it is refused before anything is made in it."""
    database = f"latin_{schema_name}"
    postgres_server.execute(f"CREATE DATABASE {database} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        store = open_store(postgres_server.url.rpartition("/")[0] + f"/{database}")
        with pytest.raises(ConfigurationError, match="ENCODING 'UTF8'"):
            store.identify(c.Identify())
    finally:
        postgres_server.execute(f"DROP DATABASE {database} WITH (FORCE)")
