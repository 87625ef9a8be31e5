"""`python -m tests.benchmarks.cleaning`: what a sweep costs among many living sessions, against the same among few.

Rows are made by the engines themselves, so that a million takes a minute. Both sides end as many sessions in each
round, in turn, through a guard whose brake counts before.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from sessionguard import SessionGuard, SweepBrake
from sessionguard.errors import MissingExtraError
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.postgres import PostgresStore
from sessionguard.stores.redis import RedisStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import PostgresServer, RedisServer
from sessionguard.testing.servers.errors import EngineMissingError
from tests.benchmarks.living_sessions import fill_memory, fill_postgres, fill_redis, fill_sqlite

Fill = Callable[[int, int], None]
"""Adds so many sessions that are due, and so many that are not."""

# Half of all may be due, so that the small side is not stopped.
BRAKE = SweepBrake(share=0.6)


@frozen
class Place:
    """An engine with sessions in it."""

    guard: SessionGuard
    fill: Fill


@frozen
class Cost:
    """What a sweep of one engine took."""

    engine: str
    many_ms: float
    few_ms: float
    ratio: float
    many_peak_kib: float
    few_peak_kib: float


@contextmanager
def sqlite_places(folder: Path) -> Iterator[tuple[Place, Place]]:
    """Two databases."""
    with ExitStack() as stack:
        yield tuple(  # type: ignore[misc]
            _place(stack, SQLiteStore(folder / f"{name}.db"), fill_sqlite(folder / f"{name}.db"))
            for name in ("many", "few")
        )


@contextmanager
def memory_places(folder: Path) -> Iterator[tuple[Place, Place]]:
    """Two stores in memory."""
    with ExitStack() as stack:
        many, few = MemoryStore(), MemoryStore()
        yield _place(stack, many, fill_memory(many)), _place(stack, few, fill_memory(few))


@contextmanager
def redis_places(folder: Path) -> Iterator[tuple[Place, Place]]:
    """Two servers."""
    with ExitStack() as stack:
        servers = [stack.enter_context(RedisServer()) for _ in range(2)]
        yield tuple(_place(stack, RedisStore(server.url), fill_redis(server)) for server in servers)  # type: ignore[misc]


@contextmanager
def postgres_places(folder: Path) -> Iterator[tuple[Place, Place]]:
    """Two schemas on one server."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer())
        yield tuple(  # type: ignore[misc]
            _place(stack, PostgresStore(server.url, schema=name), fill_postgres(server, name))
            for name in ("many", "few")
        )


ENGINES = {"SQLite": sqlite_places, "PostgreSQL": postgres_places, "Redis": redis_places, "memory": memory_places}


def _place(stack: ExitStack, store: Any, fill: Fill) -> Place:
    stack.enter_context(closing(store))
    guard = stack.enter_context(SessionGuard(store, sweep_interval=None, brake=BRAKE))
    guard.get("0" * 34)
    return Place(guard, fill)


def measured(engine: str, *, living: int, due: int, rounds: int) -> Cost:
    """Measure one engine."""
    with tempfile.TemporaryDirectory() as folder, ENGINES[engine](Path(folder)) as (many, few):
        many.fill(0, living)
        few.fill(0, due)
        times: list[tuple[float, float]] = []
        for number in range(rounds + 1):
            # Each is first in every other round, so that a slow moment meets both alike.
            order = (many, few) if number % 2 else (few, many)
            taken = {id(place): _swept(place, due) for place in order}
            times.append((taken[id(many)], taken[id(few)]))
        peaks = [_peak(place, due) for place in (many, few)]
    # The first round warms up.
    ratio = statistics.median(one / other for one, other in times[1:])
    medians = [statistics.median(column) * 1e3 for column in zip(*times[1:], strict=True)]
    return Cost(engine, medians[0], medians[1], ratio, peaks[0] / 1024, peaks[1] / 1024)


def _swept(place: Place, due: int) -> float:
    place.fill(due, 0)
    gc.collect()
    began = time.perf_counter()
    report = place.guard.sweep(due)
    seconds = time.perf_counter() - began
    assert (report.ended, report.has_more) == (due, False), report
    return seconds


def _peak(place: Place, due: int) -> int:
    """Give how much memory a sweep takes in this process, at most."""
    place.fill(due, 0)
    gc.collect()
    tracemalloc.start()
    try:
        place.guard.sweep(due)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cleaning", description=__doc__)
    parser.add_argument("--living", type=int, default=1_000_000)
    parser.add_argument("--due", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=ENGINES, action="append")
    options = parser.parse_args(arguments)
    print(f"| engine | {options.due} among {options.living} | among {options.due} | ratio | memory | memory |")
    print("|---|---|---|---|---|---|")
    for engine in options.only or ENGINES:
        try:
            cost = measured(engine, living=options.living, due=options.due, rounds=options.rounds)
        except (EngineMissingError, MissingExtraError) as error:
            print(f"{engine}: {error}", file=sys.stderr)
            continue
        print(
            f"| {cost.engine} | {cost.many_ms:.0f} ms | {cost.few_ms:.0f} ms | {cost.ratio:.2f}x "
            f"| {cost.many_peak_kib:.0f} KiB | {cost.few_peak_kib:.0f} KiB |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
