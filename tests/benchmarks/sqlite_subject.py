"""Subject: every call of both guards on SQLite, against the bare statement underneath."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from sessionguard import AsyncSessionGuard, SessionGuard, SessionPolicy
from sessionguard.stores.sqlite import SQLiteStore
from tests.benchmarks import guard_calls
from tests.benchmarks.bare_sqlite import BareSQLite, sides
from tests.benchmarks.guard_calls import MakeScript
from tests.benchmarks.measuring import Case

POLICIES: Final = {
    "default": SessionPolicy(),
    "touched": SessionPolicy(touch_interval=timedelta(0)),
    "short": SessionPolicy(
        idle_timeout=timedelta(microseconds=1), absolute_timeout=timedelta(microseconds=1), touch_interval=timedelta(0)
    ),
}
SCRIPTS: Final[dict[str, tuple[MakeScript, int]]] = {
    # what is measured, and how many calls a round has
    "load": (guard_calls.load, 200),
    "load, touch due": (guard_calls.load_and_touch, 20),
    "load, unknown token": (guard_calls.load_unknown, 200),
    "get": (guard_calls.get, 200),
    "get_or_create, hit": (guard_calls.get_or_create_hit, 200),
    "get_or_create, miss": (guard_calls.get_or_create_miss, 20),
    "create": (guard_calls.create, 20),
    "replace": (guard_calls.replace, 20),
    "save one field": (guard_calls.save_one_field, 20),
    "save, expected_version": (guard_calls.save_expected_version, 20),
    "touch": (guard_calls.touch, 20),
    "rotate": (guard_calls.rotate, 20),
    "end": (guard_calls.end, 20),
    "hold and release": (guard_calls.hold, 20),
    "sweep of 100": (guard_calls.sweep_100, 1),
}
AIMS: Final = {"load": "<= 3x", "get_or_create, hit": "<= 3x", "create": "<= 1.5x"}


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject; their databases are in `folder`."""
    bare = BareSQLite(str(folder / "bare.db"))
    loop = asyncio.new_event_loop()
    blocking = SessionGuard(SQLiteStore(folder / "blocking.db"), policy=POLICIES, sweep_interval=None)
    store = SQLiteStore(folder / "async.db")
    asynchronous = AsyncSessionGuard(store, policy=POLICIES, sweep_interval=None)
    try:
        yield [
            *_cases("SQLite, blocking", partial(partial, guard_calls.play), blocking, bare, AIMS),
            *_cases("SQLite, async", partial(partial, guard_calls.play_async, loop), asynchronous, bare, {}),
        ]
    finally:
        loop.run_until_complete(asynchronous.close())
        loop.close()
        blocking.close()
        bare.close()


def _cases(
    group: str, player: partial[partial[float]], guard: object, bare: BareSQLite, aims: dict[str, str]
) -> Iterator[Case]:
    underneath = sides(bare)
    for name, (script, calls) in SCRIPTS.items():
        side, against = underneath[script.__name__]
        yield Case(group, name, player(script, guard), side, against, calls, aims.get(name, ""))
