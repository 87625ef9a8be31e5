"""Locks and conditions of foreign code under the scheduler."""

import queue
import random
import threading
from collections.abc import Callable
from functools import partial

import pytest

from sessionguard.core.points import point
from sessionguard.testing import Profile
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Patience, Scenario
from tests.testing.schedule.locking_programs import random_locking_program

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
@pytest.mark.parametrize("lock", [threading.Lock, threading.RLock])
def test_waiting_with_a_time_limit_ends_in_time_or_not(strategy: str, lock: type) -> None:
    """Both outcomes are explored: the lock is taken before or after the other had it, or the time passes meanwhile."""
    seen = set()

    def scenario(s: Scenario) -> None:
        shelf = Shelf(lock())
        s.adopt(shelf)
        told: list[bool] = []

        def wait_a_while() -> None:
            taken = shelf.lock.acquire(timeout=5)
            told.append(taken)
            if taken:
                shelf.rows.append("in time")
                shelf.lock.release()

        s.worker("a", partial(shelf.add, "a"))
        s.worker("b", wait_a_while)
        s.check(lambda history: seen.add((tuple(told), tuple(shelf.rows))))

    outcome = search(strategy).run(scenario)
    assert outcome.exhausted, outcome.describe()
    assert not outcome.has_blocked
    assert seen == {((True,), ("in time", "a")), ((True,), ("a", "in time")), ((False,), ("a",))}


def test_a_time_limit_that_ends_leaves_a_deadlock() -> None:
    """Two who take two locks in opposite orders, one of them with a limit, are no deadlock: the time passes."""

    def scenario(s: Scenario) -> None:
        shelf = Shelf(threading.Lock())
        s.adopt(shelf)

        def patient() -> None:
            with shelf.lock, shelf.second:
                pass

        def impatient() -> None:
            with shelf.second:
                if shelf.lock.acquire(timeout=0.5):
                    shelf.lock.release()

        s.worker("patient", patient)
        s.worker("impatient", impatient)

    outcome = search("dpor").run(scenario)
    assert outcome.exhausted, outcome.describe()


@pytest.mark.parametrize("arguments", [(True, -2), (False, 1)])
def test_a_time_limit_that_is_none_is_refused_as_by_the_real_lock(arguments: tuple[bool, float]) -> None:
    """Code that is wrong without the harness is wrong under it."""

    def scenario(s: Scenario) -> None:
        shelf = Shelf(threading.Lock())
        s.adopt(shelf)
        point_first = partial(point, "before", "rows", "w")
        s.worker("a", point_first, lambda: shelf.lock.acquire(*arguments))

    failure = search("dpor").run(scenario).failure
    assert failure is not None
    assert failure.verdict.judge == "ValueError"


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


def test_dpor_finds_exactly_the_outcomes_there_are(sg_profile: Profile) -> None:
    """On random programs with adopted locks and conditions its outcomes are those of all schedules."""
    programs = [random_locking_program(random.Random(seed)) for seed in range(sg_profile.programs)]
    dfs = Interleaver("dfs", Budget(schedules=500, seconds=60), shrink_seconds=0)
    few = [program for program in programs if dfs.run(program.build).exhausted]
    assert len(few) > len(programs) / 3
    lost = []
    for program in few:
        expected = set(program.outcomes)
        program.outcomes.clear()
        assert search("dpor").run(program.build).exhausted
        if program.outcomes != expected:
            lost.append(program)
    assert lost == []


Played = Callable[[Shelf], object]


def told_by(strategy: str, lock: Callable[[], object], *played: Played, held: int = 0) -> set[tuple[object, ...]]:
    """Give what the workers were told, or what error they met, in every schedule; the lock may be held before it."""
    seen = set()

    def scenario(s: Scenario) -> None:
        shelf = Shelf(lock())
        for _ in range(held):
            shelf.lock.acquire()
        s.adopt(shelf)
        told: list[object] = [None] * len(played)

        def play(number: int) -> None:
            point("begin", f"w{number}", "r")
            try:
                told[number] = played[number](shelf)
            except RuntimeError as error:
                told[number] = str(error)

        for number in range(len(played)):
            s.worker(f"w{number}", partial(play, number))
        s.check(lambda history: seen.add(tuple(told)))

    outcome = search(strategy).run(scenario)
    assert outcome.exhausted, outcome.failure and outcome.failure.render()
    return seen


@BOTH
def test_a_wait_with_a_limit_is_notified_or_not(strategy: str) -> None:
    """Both ends of a timed wait are explored: notified in time, and too late."""

    def wait(shelf: Shelf) -> bool:
        with shelf.changed:
            return shelf.changed.wait(1.0)

    def notify(shelf: Shelf) -> None:
        with shelf.changed:
            shelf.changed.notify()

    assert told_by(strategy, threading.Lock, wait, notify) == {(True, None), (False, None)}


@BOTH
def test_a_lock_may_be_given_back_by_another_thread(strategy: str) -> None:
    """As with a real `Lock`: it is free afterwards, and giving back a free one is an error."""

    def give_back(shelf: Shelf) -> bool:
        shelf.lock.release()
        return shelf.lock.locked()

    met = told_by(strategy, threading.Lock, lambda shelf: shelf.lock.acquire(), give_back)
    assert met == {(True, False), (True, "release unlocked lock")}


@BOTH
def test_a_lock_that_is_held_when_adopted_is_held(strategy: str) -> None:
    """Who wants a gate that was closed before the race waits until another opens it."""

    def give_back(shelf: Shelf) -> str:
        shelf.lock.release()
        return "opened"

    assert told_by(strategy, threading.Lock, lambda shelf: shelf.lock.acquire(), give_back, held=1) == {
        (True, "opened")
    }


@BOTH
def test_a_lock_of_another_thread_is_not_given_back(strategy: str) -> None:
    """As with a real `RLock`, however deep it was held when it was adopted."""
    met = told_by(strategy, threading.RLock, lambda shelf: shelf.lock.release(), lambda shelf: None, held=2)
    assert met == {("cannot release un-acquired lock", None)}


@BOTH
def test_a_wait_gives_back_every_level(strategy: str) -> None:
    """Who waits inside of two blocks of one condition lets others in, and has both levels again when it goes on."""

    def wait(shelf: Shelf) -> int:
        with shelf.changed:
            with shelf.changed:
                while not shelf.rows:
                    shelf.changed.wait()
            return len(shelf.rows)

    def notify(shelf: Shelf) -> None:
        with shelf.changed:
            shelf.rows.append("row")
            shelf.changed.notify_all()

    assert told_by(strategy, threading.Lock, wait, notify) == {(1, None)}


@pytest.mark.parametrize("call, error", [("wait", "cannot wait"), ("notify", "cannot notify")])
def test_a_condition_is_used_with_its_lock(call: str, error: str) -> None:
    """Without the lock waiting and notifying are errors, as with a real condition."""
    assert told_by("dpor", threading.Lock, lambda shelf: getattr(shelf.changed, call)()) == {
        (f"{error} on un-acquired lock",)
    }


def test_two_owners_of_one_kind_have_two_locks() -> None:
    """Who has the lock of one shelf keeps nobody from that of another."""

    def scenario(s: Scenario) -> None:
        shelves = [Shelf(threading.Lock()) for _ in range(2)]
        s.adopt(*shelves)

        def leave_one_and_use_other() -> None:
            shelves[0].lock.acquire()
            shelves[1].add("row")

        s.worker("a", leave_one_and_use_other)

    assert search("dfs").run(scenario).exhausted


def test_a_worker_that_gives_up_leaves_its_locks_free() -> None:
    """A schedule that ends in a deadlock leaves no lock taken: not where a worker held it, waited, or gave it back."""
    shelf = Shelf(threading.Lock())

    def scenario(s: Scenario) -> None:
        s.adopt(shelf)

        def wait() -> None:
            with shelf.lock, shelf.changed:
                shelf.changed.wait()

        s.worker("waits", wait)
        s.worker("wants", partial(shelf.add, "row"))

    real = shelf.changed._lock  # type: ignore[attr-defined]
    failure = search("dfs").run(scenario).failure
    assert failure is not None
    assert failure.verdict.reason == "deadlock"
    assert shelf.lock.acquire(blocking=False)
    assert real.acquire(blocking=False)
