"""Subject: every call of both guards on PostgreSQL, first against the same statement by bare psycopg, which is what the
aim is about, and then against plain SQL that does less.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from sessionguard import AsyncSessionGuard, SessionGuard
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.servers import EngineMissingError, PostgresServer
from tests.benchmarks import guard_calls
from tests.benchmarks.measuring import Case, Side
from tests.benchmarks.plain_postgres import AsyncPlainPostgres, PlainPostgres
from tests.benchmarks.same_postgres import AsyncSamePostgres, SamePostgres
from tests.benchmarks.sqlite_subject import POLICIES, SCRIPTS

_AIM: Final = "<= 1.25x"
_CALLS: Final = 50


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject, on a server with its default settings; none if there is no PostgreSQL here."""
    try:
        server = PostgresServer()
    except EngineMissingError as error:
        print(error, file=sys.stderr)
        yield []
        return
    loop = asyncio.new_event_loop()
    with server, ExitStack() as opened:
        opened.callback(loop.close)
        # As many schemas as guards: what is compared has tables of the same age, with as much history in them.
        same = opened.enter_context(closing(SamePostgres(server.url, "same")))
        same_as_async = opened.enter_context(closing(SamePostgres(server.url, "same_as_async")))
        plain = opened.enter_context(closing(PlainPostgres(server.url)))
        async_same = opened.enter_context(closing(AsyncSamePostgres(same_as_async, loop)))
        async_plain = opened.enter_context(closing(AsyncPlainPostgres(plain, loop)))
        store, twin = PostgresStore(server.url), AsyncPostgresStore(server.url, schema="asynchronous")
        blocking = opened.enter_context(SessionGuard(store, policy=POLICIES, sweep_interval=None))
        asynchronous = AsyncSessionGuard(twin, policy=POLICIES, sweep_interval=None)
        opened.callback(lambda: loop.run_until_complete(asynchronous.close()))
        play = partial(partial, guard_calls.play)
        play_async = partial(partial, guard_calls.play_async, loop)
        yield [
            *_cases("PostgreSQL, blocking", play, blocking, same.side, _AIM),
            *_cases("PostgreSQL, async", play_async, asynchronous, async_same.side, _AIM),
            *_cases("PostgreSQL next to plain SQL, blocking", play, blocking, plain.side, ""),
            *_cases("PostgreSQL next to plain SQL, async", play_async, asynchronous, async_plain.side, ""),
        ]


def _cases(
    group: str,
    player: partial[partial[float]],
    guard: object,
    underneath: Callable[[str], tuple[Side, str]],
    aim: str,
) -> Iterator[Case]:
    for name, (script, calls) in SCRIPTS.items():
        if script is guard_calls.sweep_100 and isinstance(guard, AsyncSessionGuard):
            # What it takes is in the server.
            continue
        if script is guard_calls.hold and not aim:
            # Plain SQL has nothing in its place.
            continue
        bare, against = underneath(script.__name__)
        yield Case(group, name, player(script, guard), bare, against, 1 if calls == 1 else _CALLS, aim)
