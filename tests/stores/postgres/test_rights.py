"""A role that lacks a right is told which statements help, whoever it acts as and whatever others do meanwhile."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run_async
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.asking import as_role
from tests.stores.postgres.conftest import OpenStore


@pytest.fixture
def role(store: PostgresStore, postgres_server: PostgresServer, schema_name: str) -> Iterator[str]:
    """A role that may sign in, and nothing else."""
    name = f"app_{schema_name}"
    postgres_server.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    postgres_server.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def remedy_for(store: PostgresStore) -> str:
    """Give the statements that a store without rights is told."""
    with pytest.raises(StoreUnavailableError) as caught:
        store.identify(c.Identify())
    return str(caught.value).partition("let the owner of the schema run: ")[2]


@pytest.mark.parametrize("prepare", [True, False])
def test_the_rights_are_those_of_whom_it_acts_as(
    open_store: OpenStore, postgres_server: PostgresServer, role: str, prepare: bool
) -> None:
    """Where a role is set to act as another, the other needs the rights; who runs just these statements has them."""
    acted = f"work_{role}"
    postgres_server.execute(f"CREATE ROLE {acted}; GRANT {acted} TO {role}; ALTER ROLE {role} SET role = {acted}")
    url = as_role(postgres_server.url, role)
    try:
        postgres_server.execute(remedy_for(open_store(url, prepare=prepare)))
        permitted = open_store(url, prepare=prepare)
        permitted.identify(c.Identify())
        postgres_server.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {permitted.settings.schema} FROM {acted}")
        postgres_server.execute(remedy_for(permitted))
        permitted.identify(c.Identify())
    finally:
        postgres_server.execute(f"DROP OWNED BY {acted}; DROP ROLE {acted}")


def dropping_first(connections: Any) -> Callable[..., None]:
    """Give a way to hand a line back before which another thread has dropped all connections."""
    settle = connections._settle

    def settled(*given: Any) -> None:
        (connections if len(given) == 2 else given[0]).drop()
        settle(*given)

    return settled


def test_a_connection_that_is_dropped_meanwhile(
    store: PostgresStore, open_store: OpenStore, make_async: Callable[..., AsyncPostgresStore],
    postgres_server: PostgresServer, role: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Another thread drops all connections while the server's refusal is on its way: it is told all the same."""
    url = as_role(postgres_server.url, role)
    postgres_server.execute(remedy_for(open_store(url)))
    blocking, twin = open_store(url), make_async(url)
    blocking.identify(c.Identify())
    revoked = f"REVOKE ALL ON ALL TABLES IN SCHEMA {store.settings.schema} FROM {role}"

    async def refused_async() -> str:
        await run_async(perform(c.Identify()), twin)
        postgres_server.execute(revoked)
        monkeypatch.setattr(twin._connections, "_settle", dropping_first(twin._connections))
        with pytest.raises(StoreUnavailableError) as caught:
            await run_async(perform(c.Identify()), twin)
        await twin.close()
        return str(caught.value)

    assert f'TO "{role}"' in asyncio.run(refused_async())
    monkeypatch.setattr(blocking._connections, "_settle", dropping_first(blocking._connections))
    assert f'TO "{role}"' in remedy_for(blocking)
    assert blocking._connections.open_count == 0
