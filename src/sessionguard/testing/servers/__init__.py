"""Real servers for tests: Redis, a Redis cluster, a sentinel and PostgreSQL, on loopback, with a folder of their own.

No driver is needed or imported: readiness is asked over plain sockets.
"""

from sessionguard.testing.servers.errors import EngineMissingError, ServerStartError
from sessionguard.testing.servers.installations import (
    Installation,
    find_postgres,
    find_redis,
    find_valkey,
    postgres_installations,
    redis_installations,
)
from sessionguard.testing.servers.postgres_server import PostgresServer
from sessionguard.testing.servers.redis_cluster import RedisCluster
from sessionguard.testing.servers.redis_sentinel import RedisSentinel
from sessionguard.testing.servers.redis_server import RedisServer

__all__ = [
    "EngineMissingError",
    "Installation",
    "PostgresServer",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "ServerStartError",
    "find_postgres",
    "find_redis",
    "find_valkey",
    "postgres_installations",
    "redis_installations",
]
