"""T58, T59: a server that is frozen, gone, restarted or out of connections: every wait ends."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.errors import StoreTimeoutError, StoreUnavailableError
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.conftest import OpenStore

# How long a call may take that waits for half a second: twice its patience, the slack for the answer, a slow machine.
PATIENCE, BOUND = 0.5, 6.0


@pytest.fixture
def running(own_server: PostgresServer) -> Iterator[PostgresServer]:
    """The server of this module, running before and after."""
    own_server.start()
    yield own_server
    own_server.thaw()
    own_server.start()


def took(work: Callable[[], object], expected: type[Exception]) -> tuple[float, Exception]:
    """Give how long `work` took to raise what is expected, and that."""
    began = time.monotonic()
    with pytest.raises(expected) as caught:
        work()
    return time.monotonic() - began, caught.value


def test_t58_a_frozen_server_is_waited_for_so_long(
    open_store: OpenStore, running: PostgresServer, stage: Stage
) -> None:
    """With a connection open or not, a call to a frozen server ends as an outage, and the next after it thaws works."""
    store = open_store(running.url, patience_seconds=PATIENCE)
    record = store.create(stage.create()).record
    running.freeze()
    for _ in range(2):
        seconds, error = took(lambda: store.get(stage.get(record)), StoreUnavailableError)
        assert seconds < BOUND
        assert isinstance(error, StoreUnavailableError)
        assert error.transient
    running.thaw()
    assert store.get(stage.get(record)) == record


def test_t58_a_frozen_server_async(
    open_store: OpenStore, running: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """The same for the async store, whose event loop goes on meanwhile."""

    async def freeze() -> None:
        store = AsyncPostgresStore(running.url, schema=schema_name, patience_seconds=PATIENCE)
        record = (await store.create(stage.create())).record
        running.freeze()
        ticks = 0
        call = asyncio.ensure_future(store.get(stage.get(record)))
        while not call.done():
            await asyncio.sleep(0.01)
            ticks += 1
        with pytest.raises(StoreUnavailableError):
            await call
        assert ticks > 10
        running.thaw()
        assert await store.get(stage.get(record)) == record
        await store.close()

    asyncio.run(freeze())


def test_t58_a_half_open_network(open_store: OpenStore, running: PostgresServer, stage: Stage) -> None:
    """When packets are swallowed, and when they trickle, the call ends in time; healed, the store works on."""
    with TcpProxy("127.0.0.1", running.port) as proxy:
        store = open_store(proxy.url_of(running.url), patience_seconds=PATIENCE)
        record = store.create(stage.create(data={"text": "x" * 100_000})).record
        proxy.half_open()
        assert took(lambda: store.get(stage.get(record)), StoreUnavailableError)[0] < BOUND
        proxy.heal()
        assert store.get(stage.get(record)) == record
        proxy.bytes_per_second = 1000
        assert took(lambda: store.get(stage.get(record)), StoreUnavailableError)[0] < BOUND
        proxy.heal()
        assert store.get(stage.get(record)) == record


def test_t58_a_pool_that_is_used_up(store: PostgresStore, open_store: OpenStore, stage: Stage) -> None:
    """Who gets no connection in time hears so, and nothing was done; when one comes back the next gets it."""
    narrow = open_store(pool_size=1, patience_seconds=PATIENCE)
    record = narrow.create(stage.create()).record
    lent = narrow._connections._take("get", time.monotonic() + 5)
    seconds, error = took(lambda: narrow.get(stage.get(record)), StoreTimeoutError)
    assert seconds < BOUND
    assert "all 1 connections" in str(error)
    waiting: list[object] = []
    patient = open_store(pool_size=1)
    patient.get(stage.get(record))
    lent_too = patient._connections._take("get", time.monotonic() + 5)
    thread = threading.Thread(target=lambda: waiting.append(patient.get(stage.get(record))))
    thread.start()
    patient._connections._give_back(lent_too)
    thread.join(10)
    assert waiting == [record]
    narrow._connections._give_back(lent)
    assert narrow.get(stage.get(record)) == record


def test_t58_a_lock_that_is_held_by_others(
    store: PostgresStore, open_store: OpenStore, postgres_server: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """A row that others keep locked is waited for so long; then nothing was done, and the connection is kept."""
    hasty = open_store(patience_seconds=PATIENCE)
    record = hasty.create(stage.create()).record
    with psycopg.connect(postgres_server.url) as other:
        other.execute(f"SELECT FROM {schema_name}.sg_session FOR UPDATE")
        seconds, error = took(lambda: hasty.save(stage.save(record, {"n": 1})), StoreTimeoutError)
        assert seconds < BOUND
        assert "locked" in str(error)
        assert hasty.get(stage.get(record)) == record
    assert hasty._connections.open_count == 1
    assert hasty.save(stage.save(record, {"n": 1})).record is not None


def test_t58_a_verb_that_fails_at_its_second_use(
    store: PostgresStore, open_store: OpenStore, postgres_server: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """When a statement fails as it has just been prepared, the connection goes on working, for that verb too."""
    hasty = open_store(patience_seconds=PATIENCE, pool_size=1)
    record = hasty.create(stage.create()).record
    hasty.save(stage.save(record, {"n": 1}))
    with psycopg.connect(postgres_server.url) as other:
        other.execute(f"SELECT FROM {schema_name}.sg_session FOR UPDATE")
        took(lambda: hasty.save(stage.save(record, {"n": 2})), StoreTimeoutError)
    (line,) = hasty._connections._idle
    for number in range(3, 6):
        assert hasty.save(stage.save(record, {"n": number})).record is not None
    assert list(hasty._connections._idle) == [line]


@pytest.mark.parametrize("way", ["restart", "kill"])
def test_t59_a_restart_costs_one_repetition(
    open_store: OpenStore, running: PostgresServer, way: str, stage: Stage
) -> None:
    """After a restart one call fails and all idle connections go; the next is answered; a guard hides even that."""
    store = open_store(running.url)
    record = store.create(stage.create()).record
    lent = [store._connections._take("get", time.monotonic() + 5) for _ in range(4)]
    for line in lent:
        store._connections._give_back(line)
    assert store._connections.open_count == 4
    if way == "kill":
        running.kill()
        running.start()
    else:
        running.restart()
    _, error = took(lambda: store.get(stage.get(record)), StoreUnavailableError)
    assert isinstance(error, StoreUnavailableError)
    assert error.transient
    assert store._connections.open_count == 0
    assert store.get(stage.get(record)) == record
    with SessionGuard(store, sweep_interval=None) as guard:
        session = guard.create("ana")
        running.restart()
        assert guard.get(session.id) is not None


def test_t59_a_terminated_backend(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """A connection that the administrator ends is a transient outage, once."""
    record = store.create(stage.create()).record
    (line,) = store._connections._idle
    assert line.connection is not None
    postgres_server.execute(f"SELECT pg_terminate_backend({line.connection.info.backend_pid}, 5000)")
    _, error = took(lambda: store.get(stage.get(record)), StoreUnavailableError)
    assert isinstance(error, StoreUnavailableError)
    assert error.transient
    assert store.get(stage.get(record)) == record


def test_t59_nobody_answers_while_it_is_down(open_store: OpenStore, running: PostgresServer) -> None:
    """While the server is down every call says so at once, and never that there is no session."""
    store = open_store(running.url)
    store.identify(c.Identify())
    running.stop()
    for _ in range(3):
        seconds, error = took(lambda: store.identify(c.Identify()), StoreUnavailableError)
        assert seconds < BOUND
    assert "see that the server runs" in str(error)
    running.start()
    assert store.identify(c.Identify())
