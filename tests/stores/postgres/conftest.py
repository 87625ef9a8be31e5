"""Stores on a real server, each test in a schema of its own, closed at its end; and commands to ask them."""

import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import PostgresServer
from tests.conftest import installed

# Children fork from a clean server that has imported what they need: quick, and free of the threads of the test run.
multiprocessing.get_context("forkserver").set_forkserver_preload(["pytest", "tests.stores.postgres.workers"])

OpenStore = Callable[..., PostgresStore]


@pytest.fixture
def open_store(postgres_server: PostgresServer, schema_name: str) -> Iterator[OpenStore]:
    """Open a store in the schema of this test; another URL may be given."""
    opened: list[PostgresStore] = []

    def open_one(url: str = postgres_server.url, **options: Any) -> PostgresStore:
        store = PostgresStore(url, **{"schema": schema_name} | options)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> PostgresStore:
    """One store that has made its schema."""
    store = open_store()
    store.migrate()
    return store


@pytest.fixture
def bots(store: PostgresStore, postgres_server: PostgresServer) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A bot's own table: ana has three active sessions, bea one, cy two of one instant, and one belongs to nobody."""
    with psycopg.connect(postgres_server.url, autocommit=True) as line:
        line.execute("""
            CREATE SCHEMA bot;
            CREATE TABLE bot.session (
              id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id text, kind text NOT NULL DEFAULT 'chat',
              status text NOT NULL, created_at timestamptz, ended_at timestamptz);
            INSERT INTO bot.session (user_id, kind, status, created_at) VALUES
              ('ana', 'chat', 'active', '2025-01-01'), ('ana', 'chat', 'active', '2025-01-03'),
              ('ana', 'tool', 'active', '2025-01-02'), ('bea', 'chat', 'active', '2025-01-01'),
              ('bea', 'chat', 'ended', '2025-01-09'), ('cy', 'chat', 'active', '2025-01-01'),
              ('cy', 'chat', 'active', '2025-01-01'), (NULL, 'chat', 'active', '2025-01-01'),
              (NULL, 'chat', 'active', '2025-01-02'), ('dan', 'chat', 'active', NULL),
              ('dan', 'chat', 'active', '2020-01-01')""")
        yield line
        line.execute("DROP SCHEMA bot CASCADE")


@pytest.fixture
def make_async(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str
) -> Callable[..., AsyncPostgresStore]:
    """Make an async store in the schema of this test, which is there; whoever makes one closes it."""

    def make(url: str = postgres_server.url, **options: Any) -> AsyncPostgresStore:
        return AsyncPostgresStore(url, **{"schema": schema_name} | options)

    return make


@pytest.fixture
def stage() -> Stage:
    """Builds commands at one instant; any deployment id will do, for no token is parsed here."""
    return Stage("0" * 32)


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[TcpProxy]:
    """A network to the shared server that can be made bad."""
    with TcpProxy("127.0.0.1", postgres_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that the tests of a module may stop, kill and freeze; each leaves it running."""
    with installed(PostgresServer) as server:
        yield server
