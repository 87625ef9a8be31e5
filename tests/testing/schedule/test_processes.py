"""Processes under the scheduler: real races between them, and signals at every point."""

import os
import re
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from sessionguard.core.commands import Identify
from sessionguard.core.driving import perform, run
from sessionguard.errors import MisuseError
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import CI, Profile
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Patience, Scenario
from sessionguard.testing.schedule.participant import RemotePart
from tests.testing.schedule import shared_files

pytestmark = pytest.mark.processes


def one_session(history: History) -> None:
    """Everybody got the same one."""
    assert len({operation.result for operation in history.operations}) <= 1


def opening(s: Scenario, folder: Path, is_fixed: bool) -> None:
    """Two processes open the session of one user."""
    (folder / "alice").unlink(missing_ok=True)
    for name in ("a", "b"):
        s.process(name, partial(shared_files.open_session, folder=folder, is_fixed=is_fixed))
    s.check(one_session)


def test_a_race_of_processes_is_found_and_repeated(tmp_path: Path) -> None:
    """Two processes that look first and create afterwards: found by the second schedule, and again by its id."""
    scenario = partial(opening, folder=tmp_path, is_fixed=False)
    failure = Interleaver("dpor").run(scenario).failure
    assert failure is not None
    assert failure.schedules <= 2
    assert failure.replay_id == "sg1:a@make#1;b@end;a@end"
    assert "~~~ preempted ~~~" in failure.render()
    for _ in range(3):
        assert Interleaver().run(scenario, replay=failure.replay_id).failure is not None


def test_the_fixed_twin_of_processes_is_proved(tmp_path: Path) -> None:
    """With O_EXCL all schedules at the declared points pass."""
    outcome = Interleaver().run(partial(opening, folder=tmp_path, is_fixed=True))
    assert outcome.ok
    assert outcome.exhausted


def test_a_process_that_is_late_because_it_works_is_waited_for() -> None:
    """Late is not blocked: what a busy machine delays, or takes its time, is no reason to prove nothing."""

    def scenario(s: Scenario) -> None:
        for name in ("a", "b"):
            s.process(name, partial(shared_files.work_hard, seconds=0.05))

    outcome = Interleaver(patience=Patience(point_seconds=0.01)).run(scenario)
    assert not outcome.has_blocked
    assert outcome.exhausted


def test_a_process_that_waits_unseen_is_passed_over(tmp_path: Path) -> None:
    """One that sleeps in the operating system is noted as waiting, and the others go on."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def scenario(s: Scenario) -> None:
        s.process("reads", partial(shared_files.wait_for_a_file, path=path))
        s.process("writes", partial(shared_files.write_a_file, path=path))

    outcome = Interleaver(budget=Budget(schedules=3)).run(scenario)
    assert (outcome.ok, outcome.has_blocked, outcome.exhausted) == (True, True, False)


def test_a_process_that_never_comes_to_its_next_point_is_passed_over_in_the_end() -> None:
    """However busy it looks, nobody waits for longer than a hang may last."""

    def scenario(s: Scenario) -> None:
        s.process("a", partial(shared_files.work_hard, seconds=3.0))

    patience = Patience(point_seconds=0.01, hang_seconds=0.2)
    failure = Interleaver(budget=Budget(schedules=1), patience=patience, shrink_seconds=0).run(scenario).failure
    assert failure is not None
    assert failure.verdict.reason == "hung"


@pytest.mark.parametrize("has_constraint", [False, True])
def test_a_missing_constraint_is_found_in_a_real_database(tmp_path: Path, has_constraint: bool) -> None:
    """Without UNIQUE some schedules of two processes leave two rows; with it none does."""
    database = tmp_path / "db"

    def scenario(s: Scenario) -> None:
        shared_files.prepare(database, has_constraint)
        for name in ("a", "b"):
            s.process(name, partial(shared_files.insert, database=database, has_constraint=has_constraint))
        s.check(one_row)

    def one_row(history: History) -> None:
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("SELECT count(*) FROM sessions").fetchone() <= (1,)

    outcome = Interleaver("dpor").run(scenario)
    assert outcome.ok == has_constraint
    assert outcome.schedules <= 4


@pytest.mark.parametrize("strategy", ["dfs", "dpor"])
def test_a_process_is_killed_at_every_point(tmp_path: Path, strategy: str) -> None:
    """A kill may come before each point and after the last; what it had begun is unknown, and the next is whole."""
    seen = set()

    def scenario(s: Scenario) -> None:
        (tmp_path / "file").unlink(missing_ok=True)
        s.process("writer", partial(shared_files.write_in_two, folder=tmp_path))
        s.kill("writer")
        s.check(look)

    def look(history: History) -> None:
        file = tmp_path / "file"
        outcomes = tuple(operation.outcome for operation in history.operations)
        seen.add((file.read_text() if file.exists() else "", outcomes))

    patience = Patience(point_seconds=5.0)
    outcome = Interleaver(strategy, Budget(schedules=50, seconds=120), patience=patience).run(scenario)
    assert outcome.ok
    assert not outcome.exhausted  # A kill can come between points as well.
    assert {text for text, _ in seen} == {"", "first", "firstsecond"}
    assert ("first", ("info",)) in seen


def test_a_process_is_stopped_while_others_go_on(tmp_path: Path) -> None:
    """A process stands still between SIGSTOP and SIGCONT, so another one gets in between its look and its make."""

    def scenario(s: Scenario) -> None:
        opening(s, tmp_path, is_fixed=False)
        s.pause("a")

    failure = Interleaver("dpor", Budget(schedules=200, seconds=60), patience=Patience(point_seconds=5.0)).run(scenario)
    assert failure.failure is not None
    assert "pause a" not in failure.failure.minimal.names  # It is not needed for this race, so it was left out.


def test_the_clock_moves_for_all_processes() -> None:
    """A clock actor may move the clock before, between and after two readings in another process."""
    seen: set[tuple[int, ...]] = set()

    def scenario(s: Scenario) -> None:
        start = s.clock.us()
        s.process("a", shared_files.tell_time)
        s.clock_actor([30.0])
        s.check(lambda history: seen.update(
            tuple((shown - start) // 1_000_000 for shown in operation.result) for operation in history.operations
        ))  # fmt: skip

    outcome = Interleaver("dpor").run(scenario)
    assert outcome.ok
    assert seen == {(0, 0), (0, 30), (30, 30)}


def test_errors_and_deaths_of_processes_are_told() -> None:
    """What a process raises comes with its traceback, and one that dies by itself is not taken for one that ended."""

    def told(part: RemotePart) -> str:
        failure = Interleaver("serial").run(lambda s: s.process("a", part)).failure
        assert failure is not None
        assert "\n" not in failure.verdict.message
        return failure.render()

    assert "worker a raised ProcessError: KeyError: 'alice'" in told(shared_files.fail)
    assert re.search(r'raised here .*\n.*shared_files.py", line \d+, in fail\n +raise', told(shared_files.fail))
    assert "exit code 3" in told(shared_files.die)


def test_processes_have_ids_of_their_own() -> None:
    """Each process draws its own ids, the same ones in every schedule."""
    drawn = set()

    def scenario(s: Scenario) -> None:
        for name in ("a", "b"):
            s.process(name, shared_files.tell_ids)
        s.check(lambda history: drawn.add(frozenset((each.client, each.result) for each in history.operations)))

    assert Interleaver("dpor").run(scenario).ok
    ((first, second),) = drawn
    assert first[1] != second[1]


def test_only_processes_are_killed() -> None:
    """A thread cannot be killed, and whoever asks for it is told."""

    def scenario(s: Scenario) -> None:
        s.worker("a", int)
        s.kill("a")

    with pytest.raises(MisuseError, match="only processes"):
        Interleaver().run(scenario)


def test_who_is_killed_in_the_write_lock_keeps_nobody_waiting(tmp_path: Path, sg_profile: Profile) -> None:
    """Killed at any point of a store, also with its lock, a process leaves the other one able to save all it wants."""
    database = tmp_path / "sessions.db"
    store = SQLiteStore(database)
    stage = Stage(run(perform(Identify()), store))
    session = store.create(stage.create()).record

    def scenario(s: Scenario) -> None:
        for name in ("victim", "survivor"):
            s.process(name, partial(shared_files.save_twice, database=database, session_id=session.id))
        s.kill("victim")
        s.check(survives)

    def survives(history: History) -> None:
        told = [operation.result for operation in history.operations if operation.client == "survivor"]
        assert told == ["done", "done"]

    # The first dozen kill it at every point of its first save.
    budget = Budget(12, sg_profile.patience) if sg_profile is CI else Budget(60, 20.0)
    try:
        outcome = Interleaver("dpor", budget, patience=Patience(5.0, 10.0)).run(scenario)
    finally:
        store.close()
    assert outcome.ok, outcome.failure and outcome.failure.render()
    assert outcome.schedules > 5
