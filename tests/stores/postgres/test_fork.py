"""T02: forks of a process that uses a store; each side has connections of its own, and no answer goes astray."""

import asyncio
import ctypes
import gc
import os
from collections.abc import Callable

import pytest

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import in_children
from sessionguard.testing.profile import Profile

CHILDREN = 4


@pytest.fixture
def records(store: PostgresStore, stage: Stage) -> list[SessionRecord]:
    """One session for each child, each with its number; the store has an open connection afterwards."""
    return [store.create(stage.create(f"owner {n}", data={"n": n})).record for n in range(CHILDREN)]


def backend_of(store: PostgresStore) -> object:
    """Give the server process behind the idle connection of a store."""
    (line,) = store._connections._idle
    assert line.connection is not None
    return line.connection.info.backend_pid


def test_t02_children_and_parent_hammer_side_by_side(
    store: PostgresStore, stage: Stage, records: list[SessionRecord], sg_profile: Profile
) -> None:
    """Four children that inherited an open store read only what they asked for, and the parent's connection goes on."""
    backend = backend_of(store)

    def child(number: int) -> int:
        mine = records[number]
        for _ in range(sg_profile.rounds * 25):
            assert store.load(stage.load(mine)).record == mine
        assert store._connections.open_count == 1
        return int(str(backend_of(store)))

    backends = in_children(CHILDREN, child)
    assert len({*backends, backend}) == CHILDREN + 1
    assert store.get(stage.get(records[0])) == records[0]
    assert backend_of(store) == backend


def test_a_child_that_ends_leaves_the_parents_connection_open(
    store: PostgresStore, stage: Stage, records: list[SessionRecord]
) -> None:
    """Neither collecting garbage, closing the store nor the end of a child says goodbye on the parent's socket."""
    backend = backend_of(store)

    def child(number: int) -> None:
        if number % 2:
            store.close()
        gc.collect()

    in_children(2, child)
    assert store.get(stage.get(records[0])) == records[0]
    assert backend_of(store) == backend


@pytest.mark.skipif(not hasattr(ctypes, "PyDLL"), reason="no way to fork behind Python's back")
def test_a_fork_behind_pythons_back_is_noticed(
    store: PostgresStore, stage: Stage, records: list[SessionRecord]
) -> None:
    """Where no fork hook ran, the child connects anew all the same."""
    backend = backend_of(store)
    reader, writer = os.pipe()
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        try:
            assert store.get(stage.get(records[1])) == records[1]
            os.write(writer, str(backend_of(store)).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with open(reader) as told:
        assert int(told.read()) != backend
    assert store.get(stage.get(records[0])) == records[0]
    assert backend_of(store) == backend


def test_an_async_store_begins_anew_in_a_child(
    make_async: Callable[..., AsyncPostgresStore], stage: Stage, records: list[SessionRecord]
) -> None:
    """A child connects anew in a loop of its own; each loop has its own connections."""
    store = make_async()

    async def read(number: int) -> int:
        assert await store.get(stage.get(records[number])) == records[number]
        return store._connections.open_count

    async def parent() -> None:
        assert await read(0) == 1
        assert await asyncio.to_thread(lambda: asyncio.run(read(1))) == 1
        assert (
            await asyncio.to_thread(in_children, CHILDREN, lambda number: asyncio.run(read(number))) == [1] * CHILDREN
        )
        assert await read(0) == 1
        await store.close()

    asyncio.run(parent())


def test_opening_connects_to_nothing() -> None:
    """A store of a server that does not exist can be opened, made async, closed and dropped."""
    store = PostgresStore("postgresql://nobody@127.0.0.1:1/nowhere")
    twin = store.as_async()
    assert twin.settings == store.settings
    store.distrust()
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        store.identify(c.Identify())
