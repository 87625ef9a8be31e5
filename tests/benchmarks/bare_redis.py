"""The bare calls underneath: EVALSHA of the very scripts of the store through a plain redis-py client, settings alike.

What a call needs is prepared before the clock starts; what comes back is not decoded.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from sessionguard.core import commands as c
from sessionguard.core.leases import HoldLease, ReleaseLease
from sessionguard.stores.redis import RedisStore, leasing, limiting, openings, owning
from sessionguard.stores.redis.asking import Call, Procedure, Words, next_nonce
from sessionguard.stores.redis.keys import TAGS
from sessionguard.stores.redis.scripts import SCRIPTS
from tests.benchmarks.commands_underneath import Underneath
from tests.benchmarks.measuring import Side, seconds

_ASKED: Final[dict[type[c.Command[Any]], Callable[[Any, Any], Call | Procedure[Any]]]] = {
    c.Create: limiting.opened,
    c.GetOrCreate: limiting.opened,
    c.Replace: limiting.opened,
    c.Load: openings.load,
    c.Get: openings.get,
    c.Save: openings.save,
    c.Touch: openings.touch,
    c.Rotate: owning.rotated,
    c.End: openings.end,
    HoldLease: leasing.leased,
    ReleaseLease: leasing.leased,
}
SETTINGS: Final[dict[str, Any]] = {
    "protocol": 2,
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    "socket_timeout": 5.0,
    "health_check_interval": 0,
}


def begin_all_shards(store: RedisStore) -> None:
    """Do what the first opening in each shard does once, so that it is not measured."""
    store.identify(c.Identify())
    for tag in TAGS:
        store._drive(openings._adopt(store._home, tag, "create"))


class BareRedis:
    """One client, and a store under a prefix of its own that prepares what the client sends."""

    def __init__(self, url: str) -> None:
        self.store = RedisStore(url, prefix="bare")
        begin_all_shards(self.store)
        self.underneath = Underneath(self.store)
        self.client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **SETTINGS)
        for script in SCRIPTS.values():
            self.client.script_load(script.source)

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
        self.store.close()

    def play(self, calls: Sequence[Words]) -> float:
        """Send the calls one after the other, and give how long that took."""
        evalsha = self.client.evalsha

        def send() -> None:
            for words in calls:
                evalsha(*words[1:])  # type: ignore[arg-type]  # words are what it takes

        return seconds(send)

    def calls_of(self, script: str, n: int) -> list[Words]:
        """Give what the store sends for `n` calls of a script of a guard."""
        return [self._words(command) for command in self.underneath.commands_of(script, n)]

    def _words(self, command: c.Command[Any]) -> Words:
        asked = _ASKED[type(command)](self.store._home, command)
        ask = asked if isinstance(asked, Call) else next(asked)
        assert isinstance(ask, Call)
        return ask.by_digest(next_nonce())


def side(bare: BareRedis, name: str) -> Side:
    """Give the bare side of a script of a guard, blocking."""
    if name == "sweep_100":
        return lambda n: _sweeps(bare, n)
    return lambda n: bare.play(bare.calls_of(name, n))


def _sweeps(bare: BareRedis, n: int) -> float:
    """Look for what is due in every shard, and end a hundred sessions of one, without our promises about it."""
    long_ago = timedelta(days=30)
    ids = [[bare.underneath.stored(long_ago).id for _ in range(100)] for _ in range(n)]
    home = bare.store._home
    sweeps = [
        home.call("sweep", some[0][:2], None, secrets.token_hex(8), *some).by_digest(next_nonce()) for some in ids
    ]

    def send() -> None:
        for words in sweeps:
            pipeline = bare.client.pipeline(transaction=False)
            for tag in TAGS:
                pipeline.zrangebyscore(home.keys.index(tag, "due"), "-inf", time.time() * 1e6, start=0, num=100)
            pipeline.execute()
            bare.client.evalsha(*words[1:])  # type: ignore[arg-type]

    return seconds(send)


def async_side(bare: BareRedis, loop: asyncio.AbstractEventLoop, url: str, name: str) -> Side:
    """Give the bare side of a script of a guard, on an event loop."""
    client = redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **SETTINGS)

    async def send(calls: Sequence[Words]) -> float:
        began = time.perf_counter()
        for words in calls:
            await client.evalsha(*words[1:])  # type: ignore[arg-type]
        taken = time.perf_counter() - began
        await client.connection_pool.disconnect()
        return taken

    async def warm_and_send(calls: Sequence[Words]) -> float:
        await client.ping()
        return await send(calls)

    return lambda n: loop.run_until_complete(warm_and_send(bare.calls_of(name, n)))
