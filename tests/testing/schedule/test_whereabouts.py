"""What is told of a worker that waits for a lock which the scheduler does not see."""

import queue
import threading
from collections.abc import Callable

import pytest

from sessionguard.core.points import point
from sessionguard.testing.schedule import Budget, Interleaver, Outcome, Patience, Scenario

HIDDEN = threading.Lock()


class Shelf:
    """Foreign code with a lock of its own."""

    def __init__(self, lock: object) -> None:
        self.lock: threading.Lock = lock  # type: ignore[assignment]

    def use(self) -> None:
        """Hold the lock over a point."""
        with self.lock:
            point("inside", "rows", "w")
            point("inside still", "rows", "w")


def race(setup: Callable[[Scenario], None]) -> Outcome:
    """Race it in a schedule or two, with little patience."""
    patience = Patience(point_seconds=0.02, hang_seconds=0.3)
    return Interleaver("urw", Budget(schedules=2, seconds=60), patience=patience, shrink_seconds=0.0).run(setup)


@pytest.mark.parametrize("lock", [threading.Lock, threading.RLock])
def test_who_waited_where_is_told_with_what_to_adopt(lock: Callable[[], object]) -> None:
    """The worker, the function with file and line, the lock, and the very call that lets it be seen."""

    def setup(s: Scenario) -> None:
        shelf = Shelf(lock())
        for name in "ab":
            s.worker(name, lambda: shelf.use())

    outcome = race(setup)
    line = Shelf.use.__code__.co_firstlineno + 2
    told = f"waited in Shelf.use (test_whereabouts.py:{line}) for Shelf.lock, which is not adopted: say s.adopt(shelf)"
    assert set(outcome.waits) <= {"a", "b"}
    assert any(f"; worker {name} {told}" in outcome.describe() for name in outcome.waits), outcome.describe()


def test_an_adopted_lock_is_not_told() -> None:
    """The remedy is one: with it nobody is passed over."""

    def setup(s: Scenario) -> None:
        shelf = Shelf(threading.Lock())
        s.adopt(shelf)
        for name in "ab":
            s.worker(name, lambda: shelf.use())

    assert race(setup).waits == {}


def test_a_lock_of_a_module_is_told_with_its_module() -> None:
    """Nobody has it as an attribute, so the module is what is adopted."""

    def use() -> None:
        with HIDDEN:
            point("inside", "rows", "w")
            point("inside still", "rows", "w")

    def setup(s: Scenario) -> None:
        for name in "ab":
            s.worker(name, use)

    assert f'{__name__}.HIDDEN, which is not adopted: say s.adopt(sys.modules["{__name__}"])' in race(setup).describe()


def test_a_variable_cannot_be_adopted_and_the_remedy_is_another() -> None:
    """What is no attribute of anything has to become one."""

    def setup(s: Scenario) -> None:
        hidden = threading.Lock()

        def use() -> None:
            with hidden:
                point("inside", "rows", "w")
                point("inside still", "rows", "w")

        for name in "ab":
            s.worker(name, use)

    assert "for the variable hidden, which is not adopted: make it an attribute" in race(setup).describe()


def test_who_never_comes_back_is_told_with_the_place() -> None:
    """A queue that nobody fills: the frames of the standard library are not what is named."""
    made: list[queue.Queue[int]] = []

    def setup(s: Scenario) -> None:
        jobs: queue.Queue[int] = queue.Queue()
        made.append(jobs)

        def consume() -> None:
            point("before", "jobs", "w")
            jobs.get()

        s.worker("consumer", consume)

    failure = race(setup).failure
    for jobs in made:
        jobs.put(1)  # No thread is left behind.
    assert failure is not None
    assert "worker consumer waited in " in failure.verdict.message
    assert "consume (test_whereabouts.py:" in failure.verdict.message
    assert "say s.adopt(jobs)" in failure.verdict.message
