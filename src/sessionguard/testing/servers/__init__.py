"""Real servers for tests: Redis, its cluster and sentinel, PostgreSQL, an S3; on loopback, with a folder of their own.

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
from sessionguard.testing.servers.s3_server import S3Server, find_moto

__all__ = [
    "EngineMissingError",
    "Installation",
    "PostgresServer",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "S3Server",
    "ServerStartError",
    "find_moto",
    "find_postgres",
    "find_redis",
    "find_valkey",
    "postgres_installations",
    "redis_installations",
]
