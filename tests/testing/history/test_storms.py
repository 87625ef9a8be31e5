"""Storms on real stores: whatever threads, processes and killed processes did and saw is a legal history."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.stores.contract import AsyncStore, Store
from sessionguard.stores.file import FileStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.offload import OffloadedStore
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.stores.redis import AsyncRedisStore, RedisStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import PostgresServer, Profile, RedisServer
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import ChildProcess, play_all
from sessionguard.testing.history import Actor, History, SessionModel, check, merge, recorded
from sessionguard.testing.history.sessions.objections import records_in
from tests.testing.history.storming import storm_in_process, storm_until_killed
from tests.testing.history.storms import async_storm, now_us, storm

NOTHING_EXPIRES = (timedelta(0),)


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def opened(kind: str, path: Path) -> Store:
    """Open an empty store."""
    if kind == "sqlite":
        return SQLiteStore(path.with_suffix(".db"))
    return FileStore(path) if kind == "file" else MemoryStore(allow_per_process=True)


@pytest.mark.parametrize("kind", ["memory", "sqlite", "file"])
@pytest.mark.parametrize("timed", [True, False], ids=["instants of the callers", "clock of the engine"])
def test_storms_of_threads_are_legal(kind: str, timed: bool, tmp_path: Path, sg_profile: Profile) -> None:
    """What threads do to one store at once, at instants of their own or by its clock, is explained by some order."""
    habits = {} if timed else {"timed": False, "instants": NOTHING_EXPIRES}
    for seed in range(sg_profile.rounds):
        store = opened(kind, tmp_path / str(seed))
        verdict = check(storm(store, clients=4, operations=50, seed=seed, **habits), SessionModel)
        store.close()
        assert verdict.is_legal, verdict.render()


def test_storms_of_threads_on_redis_are_legal(redis_server: RedisServer, key_prefix: str, sg_profile: Profile) -> None:
    """The same over a network, where commands of several connections meet in the server."""
    for seed in range(sg_profile.rounds):
        store = RedisStore(redis_server.url, prefix=f"{key_prefix}-{seed}")
        verdict = check(storm(store, clients=4, operations=50, seed=seed), SessionModel)
        store.close()
        assert verdict.is_legal, verdict.render()


def test_storms_of_threads_on_postgres_are_legal(
    postgres_server: PostgresServer, schema_name: str, sg_profile: Profile
) -> None:
    """The same where every command is a transaction."""
    for seed in range(sg_profile.rounds):
        store = PostgresStore(postgres_server.url, schema=f"{schema_name}_{seed}")
        history = storm(store, clients=4, operations=50, seed=seed)
        verdict = check(history, SessionModel)
        store.close()
        assert verdict.is_legal, verdict.render()


@pytest.mark.parametrize("kind", ["sqlite", "redis", "postgres"])
def test_storms_of_cancelled_tasks_are_legal(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, sg_profile: Profile
) -> None:
    """What was cancelled was done, or is done later, or never; whatever the others see is explained by one of them."""

    async def play(seed: int) -> History:
        store = async_opened(kind, seed, request, tmp_path)
        try:
            return await async_storm(store, clients=4, operations=40, seed=seed)
        finally:
            await store.close()

    histories = [asyncio.run(play(seed)) for seed in range(sg_profile.rounds)]
    for history in histories:
        verdict = check(history, SessionModel)
        assert verdict.is_legal, verdict.render()
    assert any(operation.outcome == "info" for history in histories for operation in history.operations)


def async_opened(kind: str, seed: int, request: pytest.FixtureRequest, path: Path) -> AsyncStore:
    """Open an empty async store."""
    if kind == "redis":
        prefix = f"{request.getfixturevalue('key_prefix')}-{seed}"
        return AsyncRedisStore(request.getfixturevalue("redis_server").url, prefix=prefix)
    if kind == "postgres":
        schema = f"{request.getfixturevalue('schema_name')}_{seed}"
        return AsyncPostgresStore(request.getfixturevalue("postgres_server").url, schema=schema)
    return OffloadedStore(opened(kind, path / str(seed)))


@pytest.mark.processes
def test_storms_of_processes_are_legal(tmp_path: Path, sg_profile: Profile) -> None:
    """What processes recorded, each for itself, is one history when it is merged, and legal."""
    children = [(tmp_path / "sessions.db", number, 60) for number in range(2 * sg_profile.processes)]
    opened("sqlite", tmp_path / "sessions").close()
    histories: list[History] = play_all(storm_in_process, *children)
    merged = merge(histories)
    assert {operation.instance for operation in merged.operations} == set(range(len(children)))
    assert _overlaps(merged)
    verdict = check(merged, SessionModel)
    assert verdict.is_legal, verdict.render()


@pytest.mark.processes
def test_storms_with_killed_processes_are_legal(tmp_path: Path, sg_profile: Profile) -> None:
    """Whatever a process had under way when it was killed was done or not; the survivors see one or the other."""
    path = tmp_path / "sessions.db"
    for kill in range(sg_profile.kills):
        path = tmp_path / f"{kill}.db"
        journals = [tmp_path / f"{kill}-{number}" for number in range(2)]
        with ExitStack() as stack:
            children = [
                stack.enter_context(ChildProcess(storm_until_killed, path, journal, number))
                for number, journal in enumerate(journals)
            ]
            for child in children:
                for _ in range(15 + kill):
                    child.hear()
            for child in children:
                child.kill()
        survivor = History(instants=now_us, instance=9)
        _look_around(path, survivor)
        verdict = check(merge([*map(History.from_journal, journals), survivor]), SessionModel)
        assert verdict.is_legal, verdict.render()


def _look_around(path: Path, history: History) -> None:
    store = SQLiteStore(path)
    client = recorded(store, history, "survivor")
    actor = Actor(Stage(store.identify(c.Identify())), 9, owners=("ana", "bob"))
    for command in actor.commands(40):
        reply = command.apply(client)
        actor.show(command, records_in(reply), reply)
    store.close()


def _overlaps(history: History) -> bool:
    """Tell whether calls of different processes were ever under way at once."""
    ends: dict[int, int] = {}
    for operation in history.operations:
        if any(end >= operation.call for instance, end in ends.items() if instance != operation.instance):
            return True
        ends[operation.instance] = operation.ret or 0
    return False
