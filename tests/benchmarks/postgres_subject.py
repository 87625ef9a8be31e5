"""Subject: every call of both guards on PostgreSQL, against a plain statement that does the same, by bare psycopg."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from sessionguard import AsyncSessionGuard, SessionGuard
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.servers import EngineMissingError, PostgresServer
from tests.benchmarks import guard_calls
from tests.benchmarks.bare_postgres import AsyncBarePostgres, BarePostgres
from tests.benchmarks.measuring import Case, Side
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
    with server:
        bare = BarePostgres(server.url)
        async_bare = AsyncBarePostgres(bare, loop)
        store, twin = PostgresStore(server.url), AsyncPostgresStore(server.url, schema="asynchronous")
        blocking = SessionGuard(store, policy=POLICIES, sweep_interval=None)
        asynchronous = AsyncSessionGuard(twin, policy=POLICIES, sweep_interval=None)
        async_scripts = {name: script for name, script in SCRIPTS.items() if name != "sweep of 100"}
        try:
            yield [
                *_cases("PostgreSQL, blocking", SCRIPTS, partial(partial, guard_calls.play), blocking, bare.side),
                *_cases(
                    "PostgreSQL, async",
                    async_scripts,
                    partial(partial, guard_calls.play_async, loop),
                    asynchronous,
                    async_bare.side,
                ),
            ]
        finally:
            loop.run_until_complete(asynchronous.close())
            async_bare.close()
            loop.close()
            blocking.close()
            bare.close()


def _cases(
    group: str,
    scripts: Mapping[str, Any],
    player: partial[partial[float]],
    guard: object,
    underneath: Callable[[str], tuple[Side, str]],
) -> Iterator[Case]:
    for name, (script, calls) in scripts.items():
        bare, against = underneath(script.__name__)
        yield Case(group, name, player(script, guard), bare, against, 1 if calls == 1 else _CALLS, _AIM)
