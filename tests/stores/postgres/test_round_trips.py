"""Every verb is one round trip, whatever it finds, blocking and async, with prepared statements and without."""

import asyncio
from collections.abc import Callable

import pytest

from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.asking import COMMANDS, scene
from tests.stores.postgres.conftest import OpenStore

WARM_UP = 3


@pytest.mark.parametrize("prepare", [True, False])
def test_every_verb_is_one_round_trip(
    store: PostgresStore,
    open_store: OpenStore,
    proxy: TcpProxy,
    postgres_server: PostgresServer,
    stage: Stage,
    prepare: bool,
) -> None:
    """Once its statements are prepared, each command of the blocking store is one request and one reply."""
    measured = open_store(proxy.url_of(postgres_server.url), prepare=prepare)
    trips = {}
    for name, make in COMMANDS.items():
        for number in range(WARM_UP):
            make(scene(store, stage, number)).apply(measured)
        command = make(scene(store, stage, WARM_UP))
        before = proxy.round_trips
        command.apply(measured)
        trips[name] = proxy.round_trips - before
    assert trips == dict.fromkeys(COMMANDS, 1)
    assert proxy.connections == 1


@pytest.mark.parametrize("prepare", [True, False])
def test_every_verb_is_one_round_trip_async(
    store: PostgresStore,
    make_async: Callable[..., AsyncPostgresStore],
    proxy: TcpProxy,
    postgres_server: PostgresServer,
    stage: Stage,
    prepare: bool,
) -> None:
    """The same holds for the async store."""

    async def measure() -> dict[str, int]:
        measured = make_async(proxy.url_of(postgres_server.url), prepare=prepare)
        trips = {}
        for name, make in COMMANDS.items():
            for number in range(WARM_UP):
                await make(scene(store, stage, number)).apply(measured)
            command = make(scene(store, stage, WARM_UP))
            before = proxy.round_trips
            await command.apply(measured)
            trips[name] = proxy.round_trips - before
        await measured.close()
        return trips

    assert asyncio.run(measure()) == dict.fromkeys(COMMANDS, 1)


def test_a_first_use_is_few_round_trips(
    store: PostgresStore, open_store: OpenStore, proxy: TcpProxy, postgres_server: PostgresServer, stage: Stage
) -> None:
    """A process that finds its schema in place connects, asks for its version, and is answered."""
    fresh = open_store(proxy.url_of(postgres_server.url))
    fresh.load(stage.load(stage.new()))
    assert proxy.connections == 1
    assert proxy.round_trips <= 6
