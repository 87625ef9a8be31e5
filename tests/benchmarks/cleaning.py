"""`python -m tests.benchmarks.cleaning`: what a sweep costs among many living sessions, against the same among few.

Rows are made by the engines themselves, so that a million takes a minute. Both sides end as many sessions in each
round, in turn, through a guard whose brake counts before. Time of the processor is that of this process and of the
server: other work on the machine makes a pass last longer, but hardly makes it cost more.
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
from tests.benchmarks.living_sessions import (
    Expire,
    Fill,
    expire_postgres,
    expire_sqlite,
    fill_memory,
    fill_postgres,
    fill_redis,
    fill_sqlite,
)
from tests.benchmarks.spending import begin_peak, peak_kib, processor_seconds

# Half of all may be due, so that the small side is not stopped.
BRAKE = SweepBrake(share=0.6)


@frozen
class Place:
    """An engine with sessions in it."""

    guard: SessionGuard
    fill: Fill
    expire: Expire | None = None
    """None: where a session is kept has nothing to do with where others are."""
    servers: tuple[int, ...] = ()

    def add_due(self, count: int, *, scattered: bool) -> None:
        """Let so many sessions be due: those that were opened one after the other, or any of all."""
        if scattered and self.expire is not None:
            self.fill(0, count)
            self.expire(count)
        else:
            self.fill(count, 0)


@frozen
class Spent:
    """What one pass took, in milliseconds."""

    wall: float
    processor: float


@frozen
class Side:
    """What the passes of one place took: medians, and the highest memory in KiB."""

    wall: float
    processor: float
    idle: float
    """A pass that finds nothing due."""
    traced_kib: float
    resident_kib: float


@frozen
class Cost:
    """What sweeps of one engine took."""

    engine: str
    many: Side
    few: Side
    ratio: float
    processor_ratio: float

    def row(self) -> str:
        """Give a line of the table."""
        many, few = self.many, self.few
        return (
            f"| {self.engine} | {many.wall:.0f} ms | {few.wall:.0f} ms | **{self.ratio:.2f}x** "
            f"| {many.processor:.0f} ms | {few.processor:.0f} ms | **{self.processor_ratio:.2f}x** "
            f"| {many.idle:.1f} / {few.idle:.1f} ms | {many.traced_kib:.0f} / {few.traced_kib:.0f} KiB "
            f"| {many.resident_kib:.0f} / {few.resident_kib:.0f} KiB |"
        )


@contextmanager
def sqlite_places(folder: Path) -> Iterator[tuple[Place, Place]]:
    """Two databases."""
    with ExitStack() as stack:
        paths = [folder / f"{name}.db" for name in ("many", "few")]
        yield tuple(_place(stack, SQLiteStore(path), fill_sqlite(path), expire_sqlite(path)) for path in paths)  # type: ignore[misc]


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
        yield tuple(  # type: ignore[misc]
            _place(stack, RedisStore(server.url), fill_redis(server), server=server.pid) for server in servers
        )


@contextmanager
def postgres_places(folder: Path) -> Iterator[tuple[Place, Place]]:
    """Two schemas on one server."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer())
        yield tuple(  # type: ignore[misc]
            _place(
                stack,
                PostgresStore(server.url, schema=name),
                fill_postgres(server, name),
                expire_postgres(server, name),
                server.pid,
            )
            for name in ("many", "few")
        )


ENGINES = {"SQLite": sqlite_places, "PostgreSQL": postgres_places, "Redis": redis_places, "memory": memory_places}


def _place(stack: ExitStack, store: Any, fill: Fill, expire: Expire | None = None, server: int | None = None) -> Place:
    stack.enter_context(closing(store))
    guard = stack.enter_context(SessionGuard(store, sweep_interval=None, brake=BRAKE))
    guard.get("0" * 34)
    return Place(guard, fill, expire, () if server is None else (server,))


def measured(engine: str, *, living: int, due: int, rounds: int, scattered: bool) -> Cost:
    """Measure one engine."""
    with tempfile.TemporaryDirectory() as folder, ENGINES[engine](Path(folder)) as places:
        for place, count in zip(places, (living, due), strict=True):
            place.fill(0, count)
        passes: list[tuple[Spent, Spent]] = []
        for number in range(rounds + 1):
            # Each is first in every other round, so that a slow moment meets both alike.
            order = places if number % 2 else places[::-1]
            taken = {id(place): _swept(place, due, scattered=scattered) for place in order}
            passes.append((taken[id(places[0])], taken[id(places[1])]))
        # The first round warms up.
        sides = [_side(place, column[1:], due) for place, column in zip(places, zip(*passes, strict=True), strict=True)]
    ratio = statistics.median(many.wall / few.wall for many, few in passes[1:])
    processor_ratio = statistics.median(many.processor / few.processor for many, few in passes[1:])
    return Cost(engine, sides[0], sides[1], ratio, processor_ratio)


def _swept(place: Place, due: int, *, scattered: bool) -> Spent:
    place.add_due(due, scattered=scattered)
    gc.collect()
    return _timed(place, lambda: _sweep(place, due))


def _sweep(place: Place, due: int) -> None:
    report = place.guard.sweep(due)
    assert (report.ended, report.has_more) == (due, False), report


def _timed(place: Place, work: Callable[[], object]) -> Spent:
    used, began = processor_seconds(place.servers), time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    return Spent(seconds * 1e3, (processor_seconds(place.servers) - used) * 1e3)


def _side(place: Place, passes: Sequence[Spent], due: int) -> Side:
    idle = statistics.median(_timed(place, place.guard.sweep).wall for _ in range(9))
    return Side(
        statistics.median(spent.wall for spent in passes),
        statistics.median(spent.processor for spent in passes),
        idle,
        _traced_kib(place, due),
        _resident_kib(place, due),
    )


def _traced_kib(place: Place, due: int) -> float:
    """Give how much memory Python takes for a pass, at most."""
    place.fill(due, 0)
    gc.collect()
    tracemalloc.start()
    try:
        _sweep(place, due)
        return tracemalloc.get_traced_memory()[1] / 1024
    finally:
        tracemalloc.stop()


def _resident_kib(place: Place, due: int) -> float:
    """Give how much this process grows for a pass, at most, with all that its libraries take."""
    place.fill(due, 0)
    gc.collect()
    before = begin_peak()
    _sweep(place, due)
    return peak_kib() - before


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cleaning", description=__doc__)
    parser.add_argument("--living", type=int, default=1_000_000)
    parser.add_argument("--due", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=ENGINES, action="append")
    parser.add_argument(
        "--scattered", action="store_true", help="the due ones are any of all, each between others that live on"
    )
    options = parser.parse_args(arguments)
    many, few = f"{options.due} among {options.living}", f"among {options.due}"
    print(f"| engine | {many} | {few} | ratio | processor | {few} | ratio | nothing due | traced | resident |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for engine in options.only or ENGINES:
        try:
            cost = measured(
                engine, living=options.living, due=options.due, rounds=options.rounds, scattered=options.scattered
            )
        except (EngineMissingError, MissingExtraError) as error:
            print(f"{engine}: {error}", file=sys.stderr)
            continue
        print(cost.row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
