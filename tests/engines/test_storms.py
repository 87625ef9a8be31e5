"""Storms on every engine: what threads, tasks, processes and killed processes did and saw is a legal history."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionguard.stores.contract import AsyncStore, AsyncTwin, Store
from sessionguard.stores.offload import OffloadedStore
from sessionguard.stores.opening import open_store
from sessionguard.testing import PostgresServer, Profile, RedisServer
from sessionguard.testing.history import History, SessionModel, check
from sessionguard.testing.storms import async_storm, storm, storm_of_killed, storm_of_processes
from tests.conftest import installed
from tests.engines.conftest import SHARED, Engine

UNTIMED: dict[str, Any] = {"timed": False, "instants": (timedelta(0),)}
"""The clock of the engine decides, and nothing expires."""


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def assert_legal(history: History) -> None:
    """Fail unless some order of the calls explains all that was seen."""
    verdict = check(history, SessionModel)
    assert verdict.is_legal, verdict.render()


def async_opened(url: str) -> AsyncStore:
    """Open the store of the URL as the async guard does."""
    store = open_store(url)
    if isinstance(store, AsyncTwin):
        return store.as_async()
    assert isinstance(store, Store)
    return OffloadedStore(store)


@pytest.mark.parametrize("habits", [{}, UNTIMED], ids=["instants of the callers", "clock of the engine"])
def test_storms_of_threads_are_legal(engine: Engine, habits: dict[str, Any], sg_profile: Profile) -> None:
    """What threads do to one store at once, at instants of their own or by its clock, is explained by some order."""
    for seed in range(sg_profile.storms):
        store = open_store(engine.numbered(seed).url)
        history = storm(store, clients=4, operations=50, seed=seed, **habits)
        store.close()
        assert_legal(history)


@pytest.mark.parametrize("engine", SHARED, indirect=True)
def test_storms_of_cancelled_tasks_are_legal(engine: Engine, sg_profile: Profile) -> None:
    """What was cancelled was done, or is done later, or never; whatever the others see is explained by one of them."""

    async def play(seed: int) -> History:
        store = async_opened(engine.numbered(seed).url)
        try:
            return await async_storm(store, clients=4, operations=40, seed=seed)
        finally:
            await store.close()

    histories = [asyncio.run(play(seed)) for seed in range(sg_profile.storms)]
    for history in histories:
        assert_legal(history)
    assert any(operation.outcome == "info" for history in histories for operation in history.operations)


@pytest.mark.processes
@pytest.mark.parametrize("engine", SHARED, indirect=True)
def test_storms_of_processes_are_legal(engine: Engine, sg_profile: Profile) -> None:
    """What processes recorded, each for itself, is one history when it is merged, and legal."""
    processes = 2 * sg_profile.processes
    history = storm_of_processes(partial(open_store, engine.url), processes=processes, operations=60)
    assert {operation.instance for operation in history.operations} == set(range(processes))
    assert _overlaps(history)
    assert_legal(history)


@pytest.mark.processes
@pytest.mark.parametrize("engine", SHARED, indirect=True)
def test_storms_with_killed_processes_are_legal(engine: Engine, tmp_path: Path, sg_profile: Profile) -> None:
    """Whatever a process had under way when it was killed was done or not; the survivors see one or the other."""
    for seed in range(sg_profile.storms):
        opener = partial(open_store, engine.numbered(seed).url)
        assert_legal(storm_of_killed(opener, tmp_path, after=15 + seed, seed=seed))


@pytest.mark.processes
@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_storms_with_a_killed_server_are_legal(kind: str, sg_profile: Profile) -> None:
    """A server that is killed and comes back has done what it acknowledged; the rest was done, once, or was not."""
    with installed(partial(RedisServer, appendonly="always") if kind == "redis" else PostgresServer) as server:

        def kill_and_start() -> None:
            server.kill()
            server.start()

        for seed in range(sg_profile.storms):
            place = Engine(kind, f"{server.url}?{'prefix' if kind == 'redis' else 'schema'}=storm").numbered(seed)
            store = open_store(place.url)
            history = storm(store, clients=4, operations=80, seed=seed, disturb=kill_and_start)
            store.close()
            assert any(operation.outcome == "info" for operation in history.operations)
            assert_legal(history)


def _overlaps(history: History) -> bool:
    """Tell whether calls of different processes were ever under way at once."""
    ends: dict[int, int] = {}
    for operation in history.operations:
        if any(end >= operation.call for instance, end in ends.items() if instance != operation.instance):
            return True
        ends[operation.instance] = operation.ret or 0
    return False
