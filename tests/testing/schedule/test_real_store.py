"""The memory store under the scheduler: its openings are proved, and without its mutex they are not."""

from contextlib import nullcontext
from functools import partial
from typing import Literal

import pytest

from sessionguard.core.commands import GetOrCreate, Identify
from sessionguard.core.driving import perform, run
from sessionguard.stores.memory import MemoryStore, shelf, store
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Patience, Scenario

LINES = Interleaver(
    "random", Budget(schedules=300, seconds=60), lines=[store.__name__, shelf.__name__], patience=Patience(10.0)
)


def opening(s: Scenario, workers: int, mutex: Literal["own", "adopted", "none"] = "own") -> None:
    """So many threads open the session of one owner."""
    memory = MemoryStore(allow_per_process=True)
    stage = Stage(run(perform(Identify()), memory), memory)
    if mutex == "adopted":
        s.adopt(memory)
    elif mutex == "none":
        memory._mutex = nullcontext()  # type: ignore[assignment]

    def open_one(name: str, command: GetOrCreate) -> None:
        with s.history.record(name, "get_or_create", owner="alice") as op:
            op.ok(memory.get_or_create(command).record.id)

    def one_session(history: History) -> None:
        assert len({operation.result for operation in history.operations if operation.outcome == "ok"}) <= 1

    for number in range(workers):
        s.worker(f"w{number}", partial(open_one, f"w{number}", stage.get_or_create("alice")))
    s.check(one_session)


@pytest.mark.parametrize("workers, kinds", [(2, 4), (3, 36)])
def test_openings_of_the_memory_store_are_proved(workers: int, kinds: int) -> None:
    """It stands at a point before each command, so all orders of two and three openings are explored."""
    outcome = Interleaver(patience=Patience(10.0)).run(partial(opening, workers=workers))
    assert outcome.exhausted, outcome.describe()
    assert outcome.proof == kinds
    assert not outcome.has_blocked


def test_no_order_of_its_lines_opens_two_sessions() -> None:
    """Line by line, too, the mutex keeps the openings apart."""
    outcome = LINES.run(partial(opening, workers=2, mutex="adopted"))
    assert outcome.ok, outcome.failure and outcome.failure.render()


def test_without_its_mutex_two_sessions_are_opened() -> None:
    """The same search finds the race when the store's mutex is taken away."""
    failure = LINES.run(partial(opening, workers=2, mutex="none")).failure
    assert failure is not None
    assert failure.minimal.preemptions == 1
    assert "MemoryStore.get_or_create" in failure.render()


def test_sessions_of_two_owners_never_meet_but_in_a_sweep() -> None:
    """Commands about sessions of two shards are one kind of schedule; a sweep comes before or after each of them."""

    def scenario(s: Scenario, sweeps: bool) -> None:
        memory = MemoryStore(allow_per_process=True)
        stage = Stage(run(perform(Identify()), memory), memory)
        home, away = "alice", stage.visitors("alice", 1)[0]
        for owner in (home, away):
            s.worker("home" if owner == home else "away", partial(memory.get_or_create, stage.get_or_create(owner)))
        if sweeps:
            s.worker("sweeper", partial(memory.sweep, stage.sweep()))

    assert Interleaver().run(partial(scenario, sweeps=False)).proof == 1
    assert Interleaver().run(partial(scenario, sweeps=True)).proof == 4
