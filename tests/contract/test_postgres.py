"""The PostgreSQL store keeps the contract, blocking and async, on the oldest and the newest release that is found."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import ClassVar

import pytest

from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing import Capabilities, StoreContract
from sessionguard.testing.contracts.candidate import MakeStore
from sessionguard.testing.servers import Installation, PostgresServer, find_postgres, postgres_installations
from tests.conftest import installed

# What it acknowledges is lost if the machine crashes: no case of the kit looks at that, and other tests do.
HASTY: dict[str, str | int] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": 200,
}

Start = Callable[[Installation | None], PostgresServer]

SCHEMA = "kit"
EMPTY = f"""
DELETE FROM {SCHEMA}.sg_session; DELETE FROM {SCHEMA}.sg_lock; DELETE FROM {SCHEMA}.sg_operation;
DELETE FROM {SCHEMA}.sg_turn;
UPDATE {SCHEMA}.sg_store SET deployment_id = replace(gen_random_uuid()::text, '-', ''), generation_floor = 0
"""


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Give the server of an installation, started when it is first asked for; None: of the preferred one."""
    running: dict[Installation, PostgresServer] = {}
    with ExitStack() as stack:

        def started(binaries: Installation | None) -> PostgresServer:
            found = binaries or installed(find_postgres)
            if found not in running:
                server = running[found] = stack.enter_context(PostgresServer(config=HASTY, binaries=found))
                with closing(PostgresStore(server.url, schema=SCHEMA)) as store:
                    store.migrate()
            return running[found]

        yield started
        for server in running.values():
            # A clean stop would write out what nobody reads any more.
            server.kill()


def by_age() -> list[Installation]:
    """Give what is installed, the oldest first."""
    return sorted(postgres_installations(), key=lambda found: found.version)


class PostgresContract(StoreContract):
    """Every case on one server, each in an empty schema."""

    prepare: ClassVar[bool] = True

    @pytest.fixture
    def server(self, start: Start) -> PostgresServer:
        """The server of this class."""
        return start(None)

    @pytest.fixture
    def url(self, server: PostgresServer) -> str:
        """The server, its schema emptied: migrating one for each test would take most of the time."""
        server.execute(EMPTY)
        return server.url

    @pytest.fixture
    def make_store(self, url: str) -> MakeStore:
        """Connections to the one schema."""
        return partial(PostgresStore, url, schema=SCHEMA, prepare=self.prepare)

    @pytest.fixture
    def make_async_store(self, url: str) -> MakeStore:
        """The same schema by the async store."""
        return partial(AsyncPostgresStore, url, schema=SCHEMA, prepare=self.prepare)


class TestNewest(PostgresContract):
    """Every case on the newest release that is installed."""

    @pytest.fixture
    def server(self, start: Start) -> PostgresServer:
        """The newest."""
        return start(next(reversed(by_age()), None))


@pytest.mark.skipif(len({found.version[0] for found in by_age()}) < 2, reason="only one release is installed")
@pytest.mark.variant
class TestOldest(PostgresContract):
    """Every case on the oldest release that is installed; in short runs all but the races."""

    @pytest.fixture
    def server(self, start: Start) -> PostgresServer:
        """The oldest."""
        return start(by_age()[0])


@pytest.mark.variant
class TestWithoutPrepare(PostgresContract):
    """Every case with all that is needed in one message, as behind a proxy; in short runs all but the races."""

    capabilities = Capabilities(processes=False)
    prepare = False
