"""A search in which no worker came to a point has interleaved nothing, and says so."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest

from sessionguard.errors import MisuseError
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Scenario

Add = Callable[[str, Scenario, dict[str, int]], None]


def lost_update(s: Scenario, add: Add) -> None:
    """Two workers count in one place, each as `add` says."""
    rows = {"n": 0}
    for name in "ab":
        add(name, s, rows)

    def nothing_is_lost(history: History) -> None:
        assert rows["n"] == 2

    s.check(nothing_is_lost)


def increment(rows: dict[str, int]) -> None:
    """Count without a point."""
    read = rows["n"]
    rows["n"] = read + 1


async def increment_in_a_task(rows: dict[str, int]) -> None:
    """Count without a point where another task might come between."""
    read = rows["n"]
    await asyncio.sleep(0)
    rows["n"] = read + 1


def by_thread(name: str, s: Scenario, rows: dict[str, int]) -> None:
    """Count in a thread; the clock is moved beside it, which is no point of a worker."""
    s.worker(name, partial(increment, rows))
    if name == "b":
        s.clock_actor([1.0])


def by_thread_alone(name: str, s: Scenario, rows: dict[str, int]) -> None:
    """Count in a thread, and nothing else."""
    s.worker(name, partial(increment, rows))


def by_task(name: str, s: Scenario, rows: dict[str, int]) -> None:
    """Count in a task."""
    s.task(name, partial(increment_in_a_task, rows))


@pytest.mark.parametrize("strategy", ["auto", "dpor", "urw"])
@pytest.mark.parametrize("add", [by_thread, by_thread_alone, by_task])
def test_a_scenario_in_which_nobody_comes_to_a_point_is_refused(strategy: str, add: Add) -> None:
    """A search that interleaved nothing says so, instead of that it found nothing."""
    search = Interleaver(strategy, Budget(schedules=20))
    with pytest.raises(MisuseError, match="no worker reached a point"):
        search.run(partial(lost_update, add=add))


def test_where_nobody_comes_to_a_point_a_failure_is_told_all_the_same() -> None:
    """What already goes wrong in order is more worth knowing than that a point is missing."""

    def scenario(s: Scenario) -> None:
        s.worker("a", partial(dict[str, int]().__getitem__, "n"))

    assert Interleaver().run(scenario).failure is not None


def test_locks_timers_and_operations_are_points_enough() -> None:
    """What a worker waits for, or records, decides who goes on as a point does."""

    def locked(s: Scenario) -> None:
        shop = SimpleNamespace(lock=threading.Lock())
        s.adopt(shop)

        def work() -> None:
            with shop.lock:
                pass

        s.worker("a", work)

    def timed(s: Scenario) -> None:
        s.task("a", partial(asyncio.sleep, 1))

    def with_a_lock_of_asyncio(s: Scenario) -> None:
        async def work() -> None:
            async with asyncio.Lock():
                pass

        s.task("a", work)

    def recorded(s: Scenario) -> None:
        def work() -> None:
            with s.history.record("a", "read") as op:
                op.ok(0)

        s.worker("a", work)

    for scenario in (locked, timed, with_a_lock_of_asyncio, recorded):
        assert Interleaver().run(scenario).ok
