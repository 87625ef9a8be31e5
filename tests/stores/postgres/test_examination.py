"""What `examine` finds, and what it says helps."""

import asyncio
from collections.abc import Callable

import pytest

from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.stores.postgres import examination as examined
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.asking import as_role
from tests.stores.postgres.conftest import OpenStore

SUBJECTS = [
    "PostgreSQL", "durability", "connections", "proxy", "role", "clock", "schema", "privileges", "indexes", "slots",
]  # fmt: skip


def levels(store: PostgresStore) -> dict[str, str]:
    """Give the level of each subject."""
    findings = store.examine()
    assert all(finding.remedy for finding in findings if finding.level != "ok")
    return {finding.subject: finding.level for finding in findings}


def test_a_store_in_order(store: PostgresStore, make_async: Callable[..., AsyncPostgresStore]) -> None:
    """Every subject is told, and all are in order; the async store finds the same."""
    assert levels(store) == dict.fromkeys(SUBJECTS, "ok")

    async def examine() -> list[str]:
        twin = make_async()
        findings = await twin.examine()
        await twin.close()
        return [finding.subject for finding in findings]

    assert asyncio.run(examine()) == SUBJECTS


def test_an_empty_database_is_examined_and_left_empty(
    open_store: OpenStore, postgres_server: PostgresServer, schema_name: str
) -> None:
    """Without a schema it says which migrations are due, and makes nothing."""
    store = open_store()
    assert levels(store)["schema"] == "warning"
    rows = postgres_server.execute(f"SELECT count(*) FROM pg_namespace WHERE nspname = '{schema_name}'")
    assert rows == [("0",)]


def test_a_server_that_is_down(open_store: OpenStore) -> None:
    """It is one problem, not an error."""
    (finding,) = open_store("postgresql://ana:secret@127.0.0.1:1/db").examine()
    assert finding.level == "problem"
    assert "secret" not in finding.message


def test_settings_that_lose_what_was_acknowledged(
    store: PostgresStore, open_store: OpenStore, postgres_server: PostgresServer
) -> None:
    """A role or server that does not wait for its disk is a warning; settings that can destroy it are a problem."""
    hasty = open_store(f"{postgres_server.url}?options=-c%20synchronous_commit%3Doff")
    assert levels(hasty)["durability"] == "warning"
    facts = {"fsync": "off", "full_page_writes": "on", "synchronous_commit": "on"}
    (finding,) = examined._durability(facts, store.settings)
    assert finding.level == "problem"
    assert "fsync = on" in finding.remedy
    with_standby = {"fsync": "on", "synchronous_commit": "on", "synchronous_standby_names": "*"}
    (finding,) = examined._durability(with_standby, store.settings)
    assert "standby" in finding.message


def test_a_pool_that_is_too_large_for_the_server(open_store: OpenStore, store: PostgresStore) -> None:
    """Four such processes would use up all connections."""
    assert levels(open_store(pool_size=60))["connections"] == "warning"


def test_a_standby_and_a_clock_that_is_wrong() -> None:
    """A server that takes no writes is a problem; a clock apart by more than seconds is a warning."""
    assert examined._standby(True).level == "problem"
    assert examined._clock(1000.0, 1000.0, 1000.1).level == "ok"
    assert examined._clock(1000.0, 1060.0, 1060.1).level == "warning"
    assert examined._clock(1060.0, 1000.0, 1000.1).level == "warning"


def test_a_proxy_that_drops_settings(store: PostgresStore) -> None:
    """A connection whose settings did not arrive is behind a proxy that drops them."""
    (finding,) = examined._session_settings({"lock_timeout": "0"}, store.settings)
    assert finding.level == "warning"
    assert "prepare=false" in finding.remedy


def test_a_role_that_may_only_read(
    store: PostgresStore, open_store: OpenStore, postgres_server: PostgresServer, schema_name: str
) -> None:
    """Missing rights are named by table, with the grant that helps."""
    role = f"reader_{schema_name}"
    postgres_server.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema_name} TO {role}; "
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema_name} TO {role}"
    )
    try:
        reader = open_store(as_role(postgres_server.url, role))
        (finding,) = [found for found in reader.examine() if found.subject == "privileges"]
        assert finding.level == "problem"
        assert "sg_session" in finding.message
        assert f"the role {role} may not use" in finding.message
        postgres_server.execute(finding.remedy.removeprefix("let the owner of the schema run: "))
        assert levels(reader)["privileges"] == "ok"
    finally:
        postgres_server.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("index", ["sg_slot", "sg_token", "sg_generation", "sg_owner_active"])
def test_an_index_that_is_missing_or_invalid(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, index: str
) -> None:
    """Without its judge a store is in danger, and says so."""
    postgres_server.execute(
        f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{schema_name}.{index}'::regclass"
    )
    (finding,) = [found for found in store.examine() if found.subject == "indexes"]
    assert finding.remedy == f"let the owner of the schema run: REINDEX INDEX {schema_name}.{index}"
    postgres_server.execute(finding.remedy.removeprefix("let the owner of the schema run: "))
    assert levels(store)["indexes"] == "ok"
    postgres_server.execute(f"DROP INDEX {schema_name}.{index}")
    assert levels(store)["indexes"] == "problem"
