"""Locks and conditions of foreign code under the scheduler."""

import queue
import threading
from functools import partial

import pytest

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Patience, Scenario

EXHAUSTIVE = Interleaver("dfs", Budget(schedules=20_000, seconds=60))
BOTH = pytest.mark.parametrize("strategy", ["dfs", "dpor"])


class Shelf:
    """Foreign code: it has locks and declares none."""

    def __init__(self, lock: object) -> None:
        self.lock: threading.Lock = lock  # type: ignore[assignment]
        self.second = threading.Lock()
        self.changed = threading.Condition()
        self.rows: list[str] = []

    def add(self, row: str) -> int:
        """Add a row; give how many there were."""
        with self.lock:
            point("read", "rows", "r")
            count = len(self.rows)
            point("write", "rows", "w")
            self.rows.append(row)
            return count

    def nested(self, row: str) -> int:
        """Do the same with the lock taken twice."""
        with self.lock:
            return self.add(row)


def search(strategy: str) -> Interleaver:
    """Give a search that never passes over a worker: a machine may be slow, but nobody blocks here."""
    return Interleaver(strategy, Budget(schedules=20_000, seconds=60), patience=Patience(point_seconds=10.0))


@BOTH
@pytest.mark.parametrize("lock", [threading.Lock, threading.RLock])
def test_an_adopted_lock_keeps_others_out_without_blocking(strategy: str, lock: type) -> None:
    """Workers that want a held lock are not enabled; every schedule passes, and none was blocked."""

    def scenario(s: Scenario) -> None:
        shelf = Shelf(lock())
        s.adopt(shelf)
        counts: list[int] = []
        method = shelf.nested if lock is threading.RLock else shelf.add
        for name in "abc":
            s.worker(name, lambda name=name: counts.append(method(name)))

        def in_order(history: History) -> None:
            assert sorted(counts) == list(range(len(counts)))

        s.check(in_order)

    outcome = search(strategy).run(scenario)
    assert outcome.exhausted, outcome.describe()
    assert not outcome.has_blocked


@BOTH
def test_a_deadlock_of_adopted_locks_is_told(strategy: str) -> None:
    """Two real locks taken in opposite orders: found without waiting for either."""

    def scenario(s: Scenario) -> None:
        shelf = Shelf(threading.Lock())
        s.adopt(shelf)

        def nested(first: str, second: str) -> None:
            with getattr(shelf, first), getattr(shelf, second):
                pass

        s.worker("end", partial(nested, "lock", "second"))
        s.worker("sweep", partial(nested, "second", "lock"))

    failure = search(strategy).run(scenario).failure
    assert failure is not None
    assert failure.verdict.reason == "deadlock"
    assert "Shelf.second" in failure.render()


@BOTH
def test_trying_a_lock_succeeds_or_fails_by_the_order(strategy: str) -> None:
    """Both outcomes of a non-blocking acquire are explored, and the others wait while it is held."""
    seen = set()

    def scenario(s: Scenario) -> None:
        shelf = Shelf(threading.Lock())
        s.adopt(shelf)
        told: list[bool] = []

        def try_it() -> None:
            taken = shelf.lock.acquire(blocking=False)
            told.append(taken)
            if taken:
                shelf.rows.append("tried")
                shelf.lock.release()

        s.worker("a", partial(shelf.add, "a"))
        s.worker("b", try_it)
        s.check(lambda history: seen.add((tuple(told), tuple(shelf.rows))))

    assert search(strategy).run(scenario).exhausted
    assert seen == {((True,), ("tried", "a")), ((True,), ("a", "tried")), ((False,), ("a",))}


@BOTH
def test_a_condition_wakes_who_waits(strategy: str) -> None:
    """A consumer that waits on a condition goes on after it was notified, in every schedule."""

    def scenario(s: Scenario) -> None:
        shelf = Shelf(threading.Lock())
        s.adopt(shelf)

        def consume() -> None:
            with shelf.changed:
                shelf.changed.wait_for(lambda: shelf.rows)
                shelf.rows.pop()

        def produce() -> None:
            with shelf.changed:
                shelf.rows.append("row")
                shelf.changed.notify()

        for name in ("consumer", "other consumer"):
            s.worker(name, consume)
        s.worker("producer", produce, produce)

    outcome = search(strategy).run(scenario)
    assert outcome.ok, outcome.failure and outcome.failure.render()
    assert outcome.exhausted


def test_a_lost_wake_up_is_a_deadlock() -> None:
    """A consumer that looks before it takes the lock can miss the only notification, and waits for ever."""

    def scenario(s: Scenario) -> None:
        shelf = Shelf(threading.Lock())
        s.adopt(shelf)

        def consume() -> None:
            point("look", "rows", "r")
            if not shelf.rows:
                with shelf.changed:
                    shelf.changed.wait()

        def produce() -> None:
            point("add", "rows", "w")
            shelf.rows.append("row")
            with shelf.changed:
                shelf.changed.notify()

        s.worker("consumer", consume)
        s.worker("producer", produce)

    failure = search("dpor").run(scenario).failure
    assert failure is not None
    assert failure.verdict.reason == "deadlock"


def test_a_queue_of_the_standard_library_is_explored() -> None:
    """`queue.Queue` is made of one lock and three conditions; adopted, its producers and consumers are decided."""

    def scenario(s: Scenario) -> None:
        box: queue.Queue[str] = queue.Queue(maxsize=1)
        s.adopt(box)
        got: list[str] = []
        s.worker("a", lambda: box.put("a"), lambda: box.put("b"))
        s.worker("b", lambda: got.append(box.get()), lambda: got.append(box.get()))

        def in_order(history: History) -> None:
            assert got == sorted(got)

        s.check(in_order)

    outcome = search("dpor").run(scenario)
    assert outcome.exhausted, outcome.describe()


def test_the_real_locks_are_back_afterwards() -> None:
    """After each schedule the object has its own locks again, and they are free."""
    shelf = Shelf(threading.Lock())
    real = shelf.lock, shelf.changed

    def scenario(s: Scenario) -> None:
        s.adopt(shelf)
        assert shelf.lock is not real[0]
        s.worker("a", partial(shelf.add, "a"))

    assert EXHAUSTIVE.run(scenario).ok
    assert (shelf.lock, shelf.changed) == real
    assert not shelf.lock.locked()
