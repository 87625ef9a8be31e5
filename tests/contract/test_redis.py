"""The Redis store keeps the contract on one server, blocking and async."""

from functools import partial

import pytest

from sessionguard.stores.redis import AsyncRedisStore, RedisStore
from sessionguard.testing import StoreContract
from sessionguard.testing.contracts.candidate import MakeStore
from sessionguard.testing.servers import RedisServer


class TestRedisStore(StoreContract):
    """Every case, with every ability, in threads, tasks and processes."""

    @pytest.fixture
    def make_store(self, redis_server: RedisServer, key_prefix: str) -> MakeStore:
        """Connections to one server, under a prefix of its own."""
        return partial(RedisStore, redis_server.url, prefix=key_prefix)

    @pytest.fixture
    def make_async_store(self, redis_server: RedisServer, key_prefix: str) -> MakeStore:
        """The same for event loops."""
        return partial(AsyncRedisStore, redis_server.url, prefix=key_prefix)
