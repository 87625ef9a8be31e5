"""Every engine as a place of its own: the tests here know a store by its URL alone, as an application does."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import evolve, frozen

from sessionguard import AsyncSessionGuard, SessionGuard
from sessionguard.testing.machines.awaited import Awaited

OpenGuard = Callable[..., SessionGuard]


@frozen
class Engine:
    """One empty place that all processes of the test can reach, or, in memory, only this one."""

    kind: str
    url: str

    @property
    def is_shared(self) -> bool:
        """Whether another process that opens the URL finds the same sessions."""
        return self.kind != "memory"

    def numbered(self, number: int) -> "Engine":
        """Give another empty place on the same engine."""
        return self if self.kind == "memory" else evolve(self, url=f"{self.url}_{number}")

    @property
    def has_own_clock(self) -> bool:
        """Whether the clock of a server decides, and not that of this process."""
        return self.kind in ("postgres", "redis", "redis-cluster")


def _memory(_: pytest.FixtureRequest) -> str:
    return "memory://"


def _file(request: pytest.FixtureRequest) -> str:
    return f"file://{request.getfixturevalue('tmp_path')}/sessions"


def _sqlite(request: pytest.FixtureRequest) -> str:
    return f"sqlite:///{request.getfixturevalue('tmp_path')}/sessions.db"


def _postgres(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue("postgres_server")
    return f"{server.url}?schema={request.getfixturevalue('schema_name')}"


def _redis(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue("redis_server")
    return f"{server.url}?prefix={request.getfixturevalue('key_prefix')}"


def _cluster(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue("redis_cluster")
    return f"{server.url}?prefix={request.getfixturevalue('key_prefix')}"


ENGINES: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "memory": _memory,
    "file": _file,
    "sqlite": _sqlite,
    "postgres": _postgres,
    "redis": _redis,
    "redis-cluster": _cluster,
}
SHARED = tuple(kind for kind in ENGINES if kind != "memory")
OWN_CLOCK = ("postgres", "redis", "redis-cluster")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """One engine after the other; `indirect` parameters name some of them."""
    kind = str(request.param)
    return Engine(kind, ENGINES[kind](request))


@pytest.fixture(params=["blocking", "async"])
def open_guard(request: pytest.FixtureRequest, engine: Engine) -> Iterator[OpenGuard]:
    """Opens guards over the engine of the test, blocking or async behind blocking calls, and closes them."""
    opened: list[SessionGuard] = []
    first: list[Any] = []
    with asyncio.Runner() as runner:

        def open_one(**options: Any) -> SessionGuard:
            settings: dict[str, Any] = {"sweep_interval": None} | options
            kind: Any = SessionGuard if request.param == "blocking" else AsyncSessionGuard
            if engine.kind == "memory" and first:
                # Another guard over the same sessions is one over the same object.
                made = kind(first[0]._store, **settings)
            else:
                made = kind.open(engine.url, **settings)
                first.append(made)
            guard = made if request.param == "blocking" else Awaited(made, runner)
            opened.append(cast(SessionGuard, guard))
            return opened[-1]

        yield open_one
        for guard in reversed(opened):
            guard.close()


@pytest.fixture
def guard(open_guard: OpenGuard) -> SessionGuard:
    """One guard without workspaces, on the engine's own clock."""
    return open_guard()
