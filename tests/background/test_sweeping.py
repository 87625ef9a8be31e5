"""The background sweep: one runner per guard and process, stoppable, jittered, not ended by errors."""

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, MisuseError, SessionGuard
from sessionguard.async_sweeping import AsyncSweeper
from sessionguard.errors import StoreUnavailableError
from sessionguard.guard import _background_pass
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.sweeping import Sweeper, waits
from sessionguard.testing import in_children
from tests.guard.clock import Clock

PATIENCE = 30.0
SOON = 0.001
OFTEN = timedelta(milliseconds=1)
SELDOM = timedelta(hours=1)


others: set[threading.Thread] = set()


def sweepers() -> list[threading.Thread]:
    """Give the threads of the sweepers that began in this test."""
    return [
        thread for thread in threading.enumerate() if thread.name == "sessionguard-sweeper" and thread not in others
    ]


@pytest.fixture(autouse=True)
def _others_are_left_out() -> None:
    """Other tests may not have closed their guards."""
    others.update(threading.enumerate())


def test_waits_are_spread() -> None:
    """The first lies anywhere in one interval, the others drift by a tenth: processes do not sweep together."""
    firsts = [next(waits(60.0)) for _ in range(200)]
    assert 0 <= min(firsts) < 10
    assert 50 < max(firsts) <= 60
    later = list(islice(waits(60.0), 1, 200))
    assert 54 <= min(later) < max(later) <= 66
    assert any(left != right for left, right in pairwise(later))


def test_passes_until_stopped() -> None:
    """`stop` waits for the pass that is running, and none comes after it."""
    passes = threading.Semaphore(0)
    count = 0

    def sweep_pass() -> bool:
        nonlocal count
        count += 1
        passes.release()
        return True

    sweeper = Sweeper(sweep_pass, SOON)
    sweeper.start()
    for _ in range(3):
        assert passes.acquire(timeout=PATIENCE)
    sweeper.stop()
    sweeper.stop()
    assert sweepers() == []
    assert count >= 3


def test_stop_does_not_wait_for_the_interval() -> None:
    """A program ends at once, however seldom it sweeps."""
    sweeper = Sweeper(lambda: True, 3600.0)
    sweeper.start()
    sweeper.stop()
    assert sweepers() == []


def test_pass_can_stop_its_own_sweeper() -> None:
    """A guard that is closed from within a pass does not wait for itself."""
    stopped = threading.Event()

    def sweep_pass() -> bool:
        sweeper.stop()
        stopped.set()
        return True

    sweeper = Sweeper(sweep_pass, SOON)
    sweeper.start()
    assert stopped.wait(PATIENCE)
    for thread in sweepers():
        thread.join(PATIENCE)
    assert sweepers() == []


DOWN = "the store is down"
FAILURES = [(RuntimeError(DOWN), True), (StoreUnavailableError("redis", "sweep", DOWN), False)]
"""What a pass may fail with, and whether a traceback tells more than its message."""


@pytest.mark.parametrize("failure, is_traced", FAILURES)
def test_errors_are_logged_and_the_next_pass_comes(
    caplog: pytest.LogCaptureFixture, failure: Exception, is_traced: bool
) -> None:
    """A store that is away for a while does not end the sweeping for good."""
    passes = threading.Semaphore(0)

    def sweep_pass() -> bool:
        passes.release()
        raise failure

    with caplog.at_level(logging.ERROR, logger="sessionguard.background"):
        sweeper = Sweeper(sweep_pass, SOON)
        sweeper.start()
        for _ in range(3):
            assert passes.acquire(timeout=PATIENCE)
        sweeper.stop()
    assert DOWN in caplog.text
    assert ("Traceback" in caplog.text) is is_traced


@pytest.mark.parametrize("failure, is_traced", FAILURES)
def test_async_errors_are_logged_and_the_next_pass_comes(
    caplog: pytest.LogCaptureFixture, failure: Exception, is_traced: bool
) -> None:
    """The same for the task."""

    async def scene() -> None:
        passes = asyncio.Semaphore(0)

        async def sweep_pass() -> bool:
            passes.release()
            raise failure

        sweeper = AsyncSweeper(sweep_pass, SOON)
        sweeper.start()
        for _ in range(3):
            await asyncio.wait_for(passes.acquire(), PATIENCE)
        await sweeper.stop()
        await sweeper.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scene())
    assert DOWN in caplog.text
    assert ("Traceback" in caplog.text) is is_traced


def test_async_stop_ends_a_pass_that_hangs() -> None:
    """Closing waits for no store."""

    async def scene() -> None:
        begun = asyncio.Event()

        async def sweep_pass() -> bool:
            begun.set()
            await asyncio.Event().wait()
            return True

        sweeper = AsyncSweeper(sweep_pass, SOON)
        sweeper.start()
        await asyncio.wait_for(begun.wait(), PATIENCE)
        await asyncio.wait_for(sweeper.stop(), PATIENCE)

    asyncio.run(scene())


def ended(event_name: str, happened: Callable[[], object]) -> Callable[[Any], object]:
    """Give a listener that calls `happened` at events of that name."""
    return lambda event: happened() if type(event).__name__ == event_name else None


def test_guard_sweeps_and_purges_by_itself() -> None:
    """Switched on unless told otherwise: what expired is ended, and its history forgotten in its time."""
    clock = Clock()
    guard = SessionGuard(MemoryStore(), clock=clock, sweep_interval=OFTEN)
    expired = threading.Event()
    guard.subscribe(ended("SessionExpired", expired.set))
    session = guard.create("ada")
    clock.advance(hours=2)
    assert expired.wait(PATIENCE)
    clock.advance(days=31)
    deadline = threading.Event()
    for _ in range(10_000):
        if guard.get(session.id) is None:
            break
        deadline.wait(SOON)
    assert guard.get(session.id) is None
    guard.close()
    assert sweepers() == []


def test_one_pass_ends_all_that_is_due() -> None:
    """However many expired at once, they do not wait for further intervals."""
    clock = Clock()
    with SessionGuard(MemoryStore(), clock=clock, sweep_interval=None, brake=None) as guard:
        for _ in range(2300):
            guard.create("ada")
        clock.advance(hours=2)
        assert _background_pass(weakref.ref(guard))()
        assert not list(guard.sessions(owner="ada"))
        assert guard.sweep().ended == 0


def test_async_guard_sweeps_by_itself() -> None:
    """The same, as a task of the loop."""

    async def scene() -> None:
        clock = Clock()
        async with AsyncSessionGuard(MemoryStore(), clock=clock, sweep_interval=OFTEN) as guard:
            expired = asyncio.Event()
            guard.subscribe(ended("SessionExpired", expired.set))
            await guard.create("ada")
            clock.advance(hours=2)
            await asyncio.wait_for(expired.wait(), PATIENCE)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scene())


def test_sweeper_starts_at_first_use() -> None:
    """A guard that nobody uses has no thread, and `sweep_interval=None` never has one."""
    guard = SessionGuard(MemoryStore(), sweep_interval=SELDOM)
    silent = SessionGuard(MemoryStore(), sweep_interval=None)
    assert sweepers() == []
    silent.create("ada")
    assert sweepers() == []
    guard.create("ada")
    assert len(sweepers()) == 1
    guard.close()
    assert sweepers() == []


def test_threads_that_come_first_together_start_one_sweeper() -> None:
    """One runner, however many threads meet at first use."""
    for _ in range(10):
        guard = SessionGuard(MemoryStore(), sweep_interval=SELDOM)
        barrier = threading.Barrier(8)

        def use(guard: SessionGuard = guard, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            guard.create("ada")

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(sweepers()) == 1
        guard.close()
        assert sweepers() == []


def test_tasks_that_come_first_together_start_one_sweeper() -> None:
    """The same for tasks."""

    async def scene() -> None:
        async with AsyncSessionGuard(MemoryStore(), sweep_interval=SELDOM) as guard:
            await asyncio.gather(*(guard.create("ada") for _ in range(8)))
            assert len([task for task in asyncio.all_tasks() if task.get_name() == "sessionguard-sweeper"]) == 1

    asyncio.run(scene())


def test_async_guard_used_in_a_second_loop_sweeps_there() -> None:
    """The first loop is gone, and its task with it."""
    guard = AsyncSessionGuard(MemoryStore(), sweep_interval=SELDOM)

    async def scene() -> list[str]:
        await guard.create("ada")
        return [task.get_name() for task in asyncio.all_tasks()]

    for _ in range(2):
        assert "sessionguard-sweeper" in asyncio.run(scene())
    asyncio.run(guard.close())


@pytest.fixture
def loops() -> Iterator[list[asyncio.AbstractEventLoop]]:
    """Two event loops, each running in a thread of its own."""
    opened = [asyncio.new_event_loop() for _ in range(2)]
    threads = [threading.Thread(target=loop.run_forever) for loop in opened]
    for thread in threads:
        thread.start()
    yield opened
    for loop, thread in zip(opened, threads, strict=True):
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


async def sweeping_tasks() -> list[asyncio.Task[Any]]:
    """Give the sweepers of the running loop."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "sessionguard-sweeper"]


def test_loops_that_use_one_guard_in_turn_have_one_sweeper_each(loops: list[asyncio.AbstractEventLoop]) -> None:
    """However often they alternate; closing in one of them, or in a third, ends them all."""

    def result(loop: asyncio.AbstractEventLoop, call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call, loop).result(PATIENCE)

    for closing in (asyncio.run, lambda call: result(loops[0], call)):
        guard = AsyncSessionGuard(MemoryStore(), sweep_interval=SELDOM)
        for _ in range(20):
            for loop in loops:
                result(loop, guard.create("ada"))
        tasks = [result(loop, sweeping_tasks()) for loop in loops]
        assert [len(of_loop) for of_loop in tasks] == [1, 1]
        closing(guard.close())
        for loop, (task,) in zip(loops, tasks, strict=True):

            async def ends(task: asyncio.Task[Any] = task) -> None:
                await asyncio.wait([task])

            result(loop, ends())


def test_loops_that_are_gone_are_forgotten() -> None:
    """A guard that is used in one short loop after the other keeps none of them alive."""
    guard = AsyncSessionGuard(MemoryStore(), sweep_interval=SELDOM)
    for _ in range(5):
        asyncio.run(_create(guard))
    assert len(guard._sweepers) == 1
    asyncio.run(guard.close())


async def _create(guard: AsyncSessionGuard) -> None:
    await guard.create("ada")


def test_closing_an_async_guard_during_a_pass_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """The half of the pass that comes too late is not reported as a failure."""

    async def scene() -> None:
        guard = AsyncSessionGuard(MemoryStore(), sweep_interval=OFTEN)
        swept = asyncio.Event()

        async def purge(limit: int) -> None:
            guard._parts.is_closed = True
            swept.set()
            await guard.get("0" * 34)

        guard.purge = purge  # type: ignore[method-assign, assignment]
        await guard.create("ada")
        (task,) = await sweeping_tasks()
        await asyncio.wait_for(swept.wait(), PATIENCE)
        await asyncio.wait_for(task, PATIENCE)
        await guard.close()

    with caplog.at_level(logging.ERROR, logger="sessionguard.background"):
        asyncio.run(scene())
    assert caplog.records == []


@pytest.mark.processes
def test_forked_child_sweeps_for_itself(tmp_path: Path) -> None:
    """Threads do not survive a fork: at its first use the child starts its own, and closing stops that one."""
    guard = SessionGuard(SQLiteStore(tmp_path / "sessions.db"), sweep_interval=SELDOM)
    guard.create("ada")

    def use(number: int) -> None:
        assert sweepers() == []
        guard.create("ada")
        assert len(sweepers()) == 1
        guard.close()
        assert sweepers() == []

    in_children(1, use)
    assert len(sweepers()) == 1
    guard.close()
    assert sweepers() == []
    guard._store.close()


@pytest.mark.processes
def test_forked_child_may_close_what_it_never_used(tmp_path: Path) -> None:
    """It stops nothing of its parent."""
    guard = SessionGuard(SQLiteStore(tmp_path / "sessions.db"), sweep_interval=SELDOM)
    guard.create("ada")
    in_children(1, lambda number: guard.close())
    assert len(sweepers()) == 1
    guard.create("ada")
    guard.close()
    guard._store.close()


def test_dropped_guard_lets_its_thread_end() -> None:
    """Nobody closed it; the thread notices at its next pass, and holds nothing of it meanwhile."""
    guard = SessionGuard(MemoryStore(), sweep_interval=OFTEN)
    guard.create("ada")
    gone = weakref.ref(guard)
    del guard
    gc.collect()
    for thread in sweepers():
        thread.join(PATIENCE)
    assert sweepers() == []
    assert gone() is None


def test_closing_during_a_pass_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """`close` waits for the pass, and the half of it that comes too late is not reported as a failure."""
    inside, go_on = threading.Event(), threading.Event()

    class SlowStore(MemoryStore):
        """Its sweep waits to be let go."""

        def sweep(self, command: Any) -> Any:
            """Wait, then sweep."""
            inside.set()
            go_on.wait(PATIENCE)
            return super().sweep(command)

    guard = SessionGuard(SlowStore(), sweep_interval=OFTEN)
    guard.create("ada")
    assert inside.wait(PATIENCE)
    with caplog.at_level(logging.ERROR, logger="sessionguard.background"):
        closing = threading.Thread(target=guard.close)
        closing.start()
        while not guard._parts.is_closed:
            go_on.wait(SOON)
        go_on.set()
        closing.join(PATIENCE)
    assert sweepers() == []
    assert caplog.records == []
    with pytest.raises(MisuseError):
        guard.create("ada")
