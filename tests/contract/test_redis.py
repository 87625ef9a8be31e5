"""The Redis store keeps the contract on one server, blocking and async: on Redis, and on Valkey where there is one."""

from collections.abc import Iterator
from functools import partial

import pytest

from sessionguard.stores.redis import AsyncRedisStore, RedisStore
from sessionguard.testing import StoreContract
from sessionguard.testing.contracts.candidate import MakeStore
from sessionguard.testing.servers import RedisServer, find_valkey
from tests.conftest import installed


class RedisContract(StoreContract):
    """Every case, with every ability, in threads, tasks and processes."""

    @pytest.fixture
    def server(self, redis_server: RedisServer) -> RedisServer:
        """The server of this class."""
        return redis_server

    @pytest.fixture
    def make_store(self, server: RedisServer, key_prefix: str) -> MakeStore:
        """Connections to one server, under a prefix of its own."""
        return partial(RedisStore, server.url, prefix=key_prefix)

    @pytest.fixture
    def make_async_store(self, server: RedisServer, key_prefix: str) -> MakeStore:
        """The same for event loops."""
        return partial(AsyncRedisStore, server.url, prefix=key_prefix)


class TestRedisStore(RedisContract):
    """On Redis."""


@pytest.fixture(scope="module")
def valkey_server() -> Iterator[RedisServer]:
    """A Valkey for these cases."""
    with installed(lambda: RedisServer(binaries=find_valkey())) as server:
        yield server


@pytest.mark.variant
class TestOnValkey(RedisContract):
    """On Valkey; in short runs all but the races."""

    @pytest.fixture
    def server(self, valkey_server: RedisServer) -> RedisServer:
        """The server of this class."""
        return valkey_server
