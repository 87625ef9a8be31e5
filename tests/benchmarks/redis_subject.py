"""Subject: every call of both guards on Redis, against the bare call of the same script underneath."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from sessionguard import AsyncSessionGuard, SessionGuard
from sessionguard.stores.redis import AsyncRedisStore, RedisStore
from sessionguard.testing.servers import EngineMissingError, RedisServer
from tests.benchmarks import guard_calls
from tests.benchmarks.bare_redis import BareRedis, async_side, begin_all_shards, side
from tests.benchmarks.measuring import Case, Side
from tests.benchmarks.sqlite_subject import POLICIES, SCRIPTS

_AIM: Final = "<= 1.25x"
_CALLS: Final = 100
_AGAINST: Final = {"sweep_100": "pipeline and EVALSHA"}


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject, on a server without persistence; none if there is no Redis here."""
    try:
        server = RedisServer(appendonly="no")
    except EngineMissingError as error:
        print(error, file=sys.stderr)
        yield []
        return
    loop = asyncio.new_event_loop()
    with server:
        bare = BareRedis(server.url)
        store, async_store = RedisStore(server.url, prefix="ours"), AsyncRedisStore(server.url, prefix="ours")
        begin_all_shards(store)
        blocking = SessionGuard(store, policy=POLICIES, sweep_interval=None)
        asynchronous = AsyncSessionGuard(async_store, policy=POLICIES, sweep_interval=None)
        try:
            async_scripts = {name: script for name, script in SCRIPTS.items() if name != "sweep of 100"}
            yield [
                *_cases("Redis, blocking", SCRIPTS, partial(partial, guard_calls.play), blocking, partial(side, bare)),
                *_cases(
                    "Redis, async",
                    async_scripts,
                    partial(partial, guard_calls.play_async, loop),
                    asynchronous,
                    partial(async_side, bare, loop, server.url),
                ),
            ]
        finally:
            loop.run_until_complete(asynchronous.close())
            loop.run_until_complete(async_store.close())
            loop.close()
            blocking.close()
            store.close()
            bare.close()


def _cases(
    group: str,
    scripts: dict[str, Any],
    player: partial[partial[float]],
    guard: object,
    underneath: Callable[[str], Side],
) -> Iterator[Case]:
    for name, (script, calls) in scripts.items():
        bare, against = underneath(script.__name__), _AGAINST.get(script.__name__, "EVALSHA")
        yield Case(group, name, player(script, guard), bare, against, 1 if calls == 1 else _CALLS, _AIM)
