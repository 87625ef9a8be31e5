"""Who gets a connection: whoever waits longest; none is lost to one who gave up, or dropped without a reason."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from sessionguard.core import commands as c
from sessionguard.errors import StoreTimeoutError, StoreUnavailableError
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.asking import as_role
from tests.stores.postgres.conftest import OpenStore

MakeAsync = Callable[..., AsyncPostgresStore]


@pytest.fixture
def narrow_role(store: PostgresStore, postgres_server: PostgresServer, schema_name: str) -> Iterator[str]:
    """A role that may use the schema, and has two connections."""
    role = f"narrow_{schema_name}"
    postgres_server.execute(
        f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 2; GRANT USAGE ON SCHEMA {schema_name} TO {role}; "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema_name} TO {role}"
    )
    yield role
    postgres_server.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_nobody_is_passed_by_who_asks_again_at_once(make_async: MakeAsync, stage: Stage) -> None:
    """A task that uses the only connection over and over gives way to each that came to wait."""

    async def crowd() -> None:
        store = make_async(pool_size=1)
        record = (await store.create(stage.create())).record
        is_over = False
        calls = 0

        async def again_and_again() -> None:
            nonlocal calls
            while not is_over and calls < 1000:
                await store.get(stage.get(record))
                calls += 1

        greedy = asyncio.ensure_future(again_and_again())
        await asyncio.sleep(0)
        before = calls
        assert await asyncio.gather(*(store.get(stage.get(record)) for _ in range(5))) == [record] * 5
        assert calls - before <= 6
        is_over = True
        await greedy
        await store.close()

    asyncio.run(crowd())


def test_a_place_is_handed_over_like_a_connection(make_async: MakeAsync, stage: Stage) -> None:
    """When the only connection is closed, the one who waits longest opens the next, and no newcomer before it."""

    async def crowd() -> None:
        store = make_async(pool_size=1)
        record = (await store.create(stage.create())).record
        pool = store._connections._pool()
        line = pool.idle.pop()
        order: list[int] = []

        async def call(number: int) -> None:
            await store.get(stage.get(record))
            order.append(number)

        first = asyncio.ensure_future(call(1))
        await asyncio.sleep(0)
        pool.close(line)
        newcomer = asyncio.ensure_future(call(2))
        await asyncio.gather(first, newcomer)
        assert order == [1, 2]
        assert pool.count == 1
        await store.close()

    asyncio.run(crowd())


def test_a_connection_that_is_dropped_on_the_way_is_not_used(make_async: MakeAsync, stage: Stage) -> None:
    """Handed over and then distrusted, before the one who waits could look at it: that one gets a fresh one."""

    async def wait() -> None:
        store = make_async(pool_size=1)
        record = (await store.create(stage.create())).record
        pool = store._connections._pool()
        line = pool.idle.pop()
        waiting = asyncio.ensure_future(store.get(stage.get(record)))
        await asyncio.sleep(0)
        pool.give_back(line)
        # Whoever asked on it now would fail.
        line.exchange = None
        await store.distrust()
        assert await waiting == record
        assert line.connection is not None
        assert line.connection.closed
        await store.close()

    asyncio.run(wait())


@pytest.mark.parametrize("handed", ["line", "place"])
@pytest.mark.parametrize("ends", ["cancelled", "out of time"])
def test_what_was_handed_to_one_who_gave_up_goes_to_the_next(
    make_async: MakeAsync, stage: Stage, ends: str, handed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if its time is over in the very turn of the loop in which its connection comes."""

    async def wait() -> None:
        store = make_async(pool_size=1)
        record = (await store.create(stage.create())).record
        pool = store._connections._pool()
        line = pool.idle.pop()
        waiting = [asyncio.ensure_future(store.get(stage.get(record))) for _ in range(2)]
        await asyncio.sleep(0)
        pool.give_back(line) if handed == "line" else pool.close(line)
        # A timeout cancels the task that it is for, and tells so afterwards.
        waiting[0].cancel()
        if ends == "out of time":
            with pytest.raises(StoreTimeoutError):
                await waiting[0]
        else:
            with pytest.raises(asyncio.CancelledError):
                await waiting[0]
        await asyncio.wait([waiting[1]], timeout=20)
        assert waiting[1].result() == record
        assert (len(pool.idle), pool.count, len(pool.waiting)) == (1, 1, 0)
        await store.close()

    class Expired:
        """A time that is over as soon as its task is cancelled."""

        def __init__(self, _: float) -> None:
            pass

        async def __aenter__(self) -> None:
            pass

        async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
            if kind is asyncio.CancelledError:
                raise TimeoutError

    if ends == "out of time":
        monkeypatch.setattr("sessionguard.stores.postgres.async_connections.asyncio.timeout", Expired)
    asyncio.run(wait())


def test_one_connection_too_many_is_done_without(
    open_store: OpenStore, narrow_role: str, postgres_server: PostgresServer, stage: Stage
) -> None:
    """Callers of a pool that is larger than what the server grants share what there is, and nobody fails."""
    store = open_store(as_role(postgres_server.url, narrow_role), pool_size=6)
    record = store.create(stage.create()).record
    lent = [store._connections._take("get", time.monotonic() + 5) for _ in range(2)]
    told: list[object] = []
    threads = [threading.Thread(target=lambda: told.append(store.get(stage.get(record)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(store._connections._waiting) < len(threads):
        assert all(thread.is_alive() for thread in threads)
    for line in lent:
        assert line.is_clean
        store._connections._give_back(line)
    for thread in threads:
        thread.join(30)
    assert told == [record] * 4
    assert store._connections.open_count == 2


def test_one_connection_too_many_is_done_without_async(
    make_async: MakeAsync, narrow_role: str, postgres_server: PostgresServer, stage: Stage
) -> None:
    """The same in an event loop; who gets none in time hears that the server gives no more."""

    async def crowd() -> None:
        store = make_async(as_role(postgres_server.url, narrow_role), pool_size=6)
        record = (await store.create(stage.create())).record
        assert await asyncio.gather(*(store.get(stage.get(record)) for _ in range(20))) == [record] * 20
        assert store._connections.open_count <= 2
        await store.close()
        hasty = make_async(as_role(postgres_server.url, narrow_role), pool_size=6, patience_seconds=0.2)
        lent = [await hasty._connections._taken(hasty._connections._pool(), "get", float("inf")) for _ in range(2)]
        with pytest.raises(StoreTimeoutError, match=r"all 2 connections of this process.*the server gives no more"):
            await hasty.get(stage.get(record))
        for line in lent:
            hasty._connections._pool().close(line)
        await hasty.close()

    asyncio.run(crowd())


@pytest.mark.parametrize("way", ["too many", "may not"])
def test_healthy_connections_are_kept_when_another_is_refused(
    open_store: OpenStore, narrow_role: str, postgres_server: PostgresServer, stage: Stage, way: str
) -> None:
    """Neither for want of places nor for want of the right to connect does an open connection go."""
    store = open_store(as_role(postgres_server.url, narrow_role), pool_size=6, patience_seconds=0.2)
    record = store.create(stage.create()).record
    lent = [store._connections._take("get", time.monotonic() + 5) for _ in range(2)]
    store._connections._give_back(lent[0])
    if way == "may not":
        postgres_server.execute(f"ALTER ROLE {narrow_role} NOLOGIN")
    third = store._connections._take("get", time.monotonic() + 5)
    assert third is lent[0]
    with pytest.raises(StoreTimeoutError if way == "too many" else StoreUnavailableError):
        store.get(stage.get(record))
    for line in lent:
        store._connections._give_back(line)
    assert store._connections.open_count == 2
    assert store.get(stage.get(record)) == record


def test_idle_connections_go_when_nobody_listens_any_more(
    open_store: OpenStore, store: PostgresStore, proxy: TcpProxy, postgres_server: PostgresServer, stage: Stage
) -> None:
    """A refusal that says that the server is gone speaks for all."""
    behind = open_store(proxy.url_of(postgres_server.url), pool_size=3)
    behind.create(stage.create())
    lent = [behind._connections._take("get", time.monotonic() + 5) for _ in range(2)]
    behind._connections._give_back(lent[0])
    again = behind._connections._take("get", time.monotonic() + 5)
    proxy.refuse()
    with pytest.raises(StoreUnavailableError):
        behind.get(stage.get(stage.new()))
    behind._connections._give_back(again)
    behind._connections._give_back(lent[1])
    assert behind._connections.open_count == 0


def test_a_first_use_that_waited_for_a_migration_is_answered(
    open_store: OpenStore, make_async: MakeAsync, postgres_server: PostgresServer, schema_name: str
) -> None:
    """Whoever migrates takes longer than a call may; those who waited for it then have the time of a call."""
    postgres_server.execute(f"DROP SCHEMA IF EXISTS {schema_name} CASCADE")
    told: list[object] = []

    async def identify() -> None:
        store = make_async(patience_seconds=0.2)
        told.append(await store.identify(c.Identify()))
        await store.close()

    blocking = open_store(patience_seconds=0.2)
    threads = [
        threading.Thread(target=lambda: told.append(blocking.identify(c.Identify()))),
        threading.Thread(target=lambda: asyncio.run(identify())),
    ]
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(postgres_server.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"sessionguard migrate {schema_name}"])
        for thread in threads:
            thread.start()
        while postgres_server.execute(waiting) != [("2",)]:
            assert not told
        # What a call may take is over: 0.2 s, and 1 s for its answer.
        over = time.monotonic() + 1.3
        while time.monotonic() < over:
            assert not told
    for thread in threads:
        thread.join(30)
    assert len(told) == 2
    assert len(set(map(str, told))) == 1
