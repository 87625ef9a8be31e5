"""What every test shares: servers, started when first asked for, one of each kind per test process."""

import gc
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from sessionguard.testing.servers import (
    EngineMissingError,
    PostgresServer,
    RedisCluster,
    RedisServer,
    postgres_installations,
    redis_installations,
)

Kind = TypeVar("Kind")

_numbers = itertools.count(1)


def pytest_report_header() -> str:
    """Say which engines there are to be tested on."""
    found = (*redis_installations(), *postgres_installations())
    return "engines: " + ", ".join([f"sqlite {sqlite3.sqlite_version} (python)", *map(str, found)])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to longer runs what is marked `deep`."""
    if config.getoption("--sg-profile") == "ci":
        left_out = {item for item in items if item.get_closest_marker("deep") is not None}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Leave what was collected out of every later search for garbage.

    It stays to the end, and going through it took 0.3 s each time: a measurement that collects before each of its cases
    took 200 s in the middle of a run, and 20 s alone.
    """
    gc.collect()
    gc.freeze()


def installed(make: Callable[[], Kind]) -> Kind:
    """Give what `make` makes; where its program is missing the test is skipped, and in continuous integration fails."""
    try:
        return make()
    except EngineMissingError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis that all tests of this process share; use `key_prefix`, and leave it running."""
    with installed(RedisServer) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """A cluster of three masters that all tests of this process share; use `key_prefix`, and leave it running."""
    with installed(RedisCluster) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that all tests of this process share; use `schema_name`, and leave it running."""
    with installed(PostgresServer) as server:
        yield server


@pytest.fixture
def key_prefix() -> str:
    """A prefix of Redis keys that no other test of this process has."""
    return f"t{next(_numbers)}"


@pytest.fixture
def schema_name() -> str:
    """The name of a PostgreSQL schema that no other test of this process has; nothing of it exists yet."""
    return f"t{next(_numbers)}"
