"""Where the processes of a sweep open their stores."""

from collections.abc import Iterator

import pytest

from sessionguard.testing import RedisServer
from sessionguard.testing.servers import PostgresServer


@pytest.fixture(params=["file", "sqlite", "postgres", "redis"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where each run opens its store; `{folder}` is its folder."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        yield f"{server.url}?prefix={request.getfixturevalue('key_prefix')}"
    elif request.param == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        yield f"{postgres.url}?schema={request.getfixturevalue('schema_name')}"
    else:
        paths = {"file": "file://{folder}/sessions", "sqlite": "sqlite:///{folder}/sessions.db"}
        yield f"{paths[request.param]}?patience=0.05"
