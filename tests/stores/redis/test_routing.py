"""Finding the servers takes the patience of a store once, however many sentinels or nodes are silent."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.redis import RedisStore
from sessionguard.stores.redis.asking import Address, Inspect
from sessionguard.stores.redis.keys import Keys
from sessionguard.stores.redis.openings import Home
from sessionguard.stores.redis.routing import Routes, discovered
from sessionguard.stores.redis.settings import Settings, read_url
from tests.stores.redis.asking import asked

PATIENCE = 0.3
SILENT = 30
BOUND = SILENT * PATIENCE / 2
"""Far more than the patience once, on a busy machine too, and far less than once for each of them."""

URLS = pytest.mark.parametrize("url", ["redis+sentinel://{}/mymaster", "redis+cluster://{}"])


@pytest.fixture
def silent() -> Iterator[str]:
    """Hosts that accept connections and never say anything."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(SILENT)]
        yield ",".join(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)


@URLS
def test_silent_servers_cost_the_patience_once(url: str, silent: str) -> None:
    """A call that finds nobody who tells the way fails in time, blocking and async."""
    store = RedisStore(url.format(silent), patience_seconds=PATIENCE)
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError) as caught:
        store.get(c.Get("0" * 34, None))
    assert caught.value.transient
    assert time.monotonic() - began < BOUND

    async def play() -> None:
        twin = store.as_async()
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await asked(twin, c.Get("0" * 34, None))
        assert time.monotonic() - began < BOUND
        await twin.close()

    asyncio.run(play())
    store.close()


def _asked_for_the_way(settings: Settings, home: Home, answers: dict[str, Any]) -> list[tuple[Address, float]]:
    """Give who was asked, and for how many seconds at most."""
    told: list[tuple[Address, float]] = []
    procedure = discovered(settings, home, ())
    ask = next(procedure)
    try:
        while True:
            assert isinstance(ask, Inspect)
            assert ask.seconds is not None
            (address,) = ask.addresses
            told.append((address, ask.seconds))
            ask = procedure.send([answers.get(address.host, TimeoutError())])
    except StopIteration as done:
        routes: Routes = done.value
        assert set(routes) == {"meta", *home.keys.bases}
    return told


@pytest.mark.parametrize(
    "url,answer",
    [
        ("redis+sentinel://a,b,c/mymaster", [[b"primary", b"6379"]]),
        ("redis+cluster://a,b,c", [[[0, 16383, [b"primary", 6379]]]]),
    ],
)
def test_who_answered_last_is_asked_first(url: str, answer: Any) -> None:
    """The silent ones are not waited for again, as long as the one that spoke goes on to."""
    settings, home = read_url(url, patience_seconds=3), Home(Keys("sg"))
    first = _asked_for_the_way(settings, home, {"c": answer})
    assert [address.host for address, _ in first] == ["a", "b", "c"]
    # Nothing of it is used up here: each may take its share of all of it.
    assert [round(seconds, 1) for _, seconds in first] == [1.0, 1.5, 3.0]
    assert [address.host for address, _ in _asked_for_the_way(settings, home, {"c": answer})] == ["c"]
    assert [address.host for address, _ in _asked_for_the_way(settings, home, {"b": answer})] == ["c", "a", "b"]
    assert [address.host for address, _ in _asked_for_the_way(settings, home, {"b": answer})] == ["b"]
