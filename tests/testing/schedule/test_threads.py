"""The thread engine: one worker at a time, locks, deadlocks, errors, and workers that wait for what nobody declared."""

import os
import threading
from collections.abc import Callable
from functools import partial

import pytest

from sessionguard.core.points import point
from sessionguard.errors import MisuseError
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Outcome, Patience, Scenario
from sessionguard.testing.schedule.fairness import ROUNDS

EXHAUSTIVE = Interleaver("dfs", Budget(schedules=20_000, seconds=60))


def race(setup: Callable[[Scenario], None], interleaver: Interleaver = EXHAUSTIVE) -> Outcome:
    """Run the scenario in every schedule there is."""
    return interleaver.run(setup)


def test_exactly_one_worker_runs_at_a_time() -> None:
    """Between two points nobody else does anything, in all schedules."""
    inside: list[str] = []

    def work(me: str) -> None:
        for _ in range(2):
            point("step", "x", "w")
            inside.append(me)
            assert inside == [me]
            inside.clear()

    def setup(s: Scenario) -> None:
        for name in "abc":
            s.worker(name, partial(work, name))

    outcome = race(setup)
    assert outcome.ok
    assert outcome.exhausted
    assert outcome.schedules == 90  # 6! / (2! * 2! * 2!)


def test_nothing_begins_before_every_worker_stands_at_a_point() -> None:
    """What a worker does before its first point is done in the order of the workers, in every schedule."""
    orders = set()

    def setup(s: Scenario) -> None:
        begun: list[str] = []

        def work(me: str) -> None:
            begun.append(me)
            point("step", "x", "w")

        def remember(history: History) -> None:
            orders.add(tuple(begun))

        for name in "ab":
            s.worker(name, partial(work, name))
        s.check(remember)

    assert race(setup).ok
    assert orders == {("a", "b")}


def hold(first: str, second: str) -> None:
    """Take two locks, one inside the other."""
    point("take", first, "acq")
    point("take too", second, "acq")
    point("give", second, "rel")
    point("give", first, "rel")


def test_a_lock_keeps_others_out() -> None:
    """A worker whose next point takes a held lock cannot go on until it is released."""

    def setup(s: Scenario) -> None:
        inside: list[str] = []

        def work(me: str) -> None:
            point("take", "L", "acq")
            inside.append(me)
            point("work", me, "w")
            assert inside == [me]
            inside.clear()
            point("give", "L", "rel")

        for name in "abc":
            s.worker(name, partial(work, name))

    outcome = race(setup)
    assert outcome.ok
    assert outcome.exhausted


@pytest.mark.parametrize("strategy", ["auto", "dpor", "dfs", "random"])
def test_a_deadlock_is_told_with_its_circle(strategy: str) -> None:
    """Two locks taken in opposite orders: the report names who waits for what, and who holds it."""

    def setup(s: Scenario) -> None:
        s.worker("end", partial(hold, "session", "index"))
        s.worker("sweep", partial(hold, "index", "session"))
        s.worker("other", partial(point, "look", "elsewhere", "r"))

    outcome = race(setup, Interleaver(strategy))
    assert outcome.failure is not None
    assert outcome.failure.verdict.reason == "deadlock"
    assert len(outcome.failure.minimal.names) == 2
    assert "end waits at take too for index, held by sweep" in outcome.failure.render()
    assert "sweep waits at take too for session, held by end" in outcome.failure.render()
    again = Interleaver().run(setup, replay=outcome.failure.replay_id)
    assert again.failure is not None
    assert again.failure.verdict.reason == "deadlock"


def test_the_same_order_of_locks_is_proved_to_be_free_of_deadlocks() -> None:
    """Two locks always taken in one order: all schedules pass."""

    def setup(s: Scenario) -> None:
        for name in "abc":
            s.worker(name, partial(hold, "session", "index"))

    outcome = race(setup, Interleaver("dpor"))
    assert outcome.ok
    assert outcome.exhausted


def test_what_a_worker_raises_is_a_failure() -> None:
    """An error that leaves a worker in some schedule is found, and told with the worker's name."""

    def setup(s: Scenario) -> None:
        rows = {"alice"}

        def end(me: str) -> None:
            point("look", "alice", "r")
            if "alice" in rows:
                point("end", "alice", "w")
                rows.remove("alice")

        for name in "ab":
            s.worker(name, partial(end, name))

    outcome = race(setup)
    assert outcome.failure is not None
    assert outcome.failure.verdict.reason == "raised"
    assert outcome.failure.verdict.kinds == ("KeyError",)


def test_clean_up_of_abandoned_workers_is_done_before_the_next_schedule() -> None:
    """After a deadlock every worker has unwound, one after the other, and no thread is left behind."""
    unwound: list[str] = []

    def setup(s: Scenario) -> None:
        assert len(unwound) % 2 == 0

        def work(me: str, first: str, second: str) -> None:
            try:
                hold(first, second)
            finally:
                point("clean up", "log", "w")
                unwound.append(me)

        s.worker("a", partial(work, "a", "L", "M"))
        s.worker("b", partial(work, "b", "M", "L"))

    outcome = race(setup, Interleaver("dfs", shrink_seconds=0.0))
    assert outcome.failure is not None
    assert unwound.count("a") == unwound.count("b") > outcome.schedules
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("schedule-")]


@pytest.mark.parametrize("strategy", ["urw", "dpor", "auto"])
def test_a_worker_that_waits_for_an_undeclared_lock_is_passed_over(strategy: str) -> None:
    """One that blocks inside foreign code is noted, the others go on, and it comes back when it can."""

    def setup(s: Scenario) -> None:
        hidden = threading.Lock()

        def work() -> None:
            point("before", "x", "w")
            with hidden:
                point("inside", "x", "w")

        s.worker("a", work)
        s.worker("b", work)

    patience = Patience(point_seconds=0.02)
    outcome = race(setup, Interleaver(strategy, Budget(schedules=12, seconds=60), patience=patience))
    assert outcome.ok
    assert outcome.has_blocked
    assert not outcome.exhausted
    assert "waited for something that is no declared point" in outcome.describe()


def test_nothing_is_proved_when_a_worker_was_passed_over() -> None:
    """Every schedule was tried, but in one of them two workers ran beside each other."""

    def setup(s: Scenario) -> None:
        hidden = threading.Lock()

        def holds() -> None:
            point("before", "x", "w")
            with hidden:
                point("inside", "x", "w")

        def waits() -> None:
            point("before", "x", "w")
            with hidden:
                pass

        s.worker("a", holds)
        s.worker("b", waits)

    outcome = race(setup, Interleaver("dfs", Budget(schedules=100, seconds=60), patience=Patience(point_seconds=0.02)))
    assert outcome.ok
    assert outcome.schedules < 100
    assert outcome.has_blocked
    assert not outcome.exhausted


def test_nothing_is_done_behind_a_point_that_was_never_granted() -> None:
    """A worker that is abandoned where it waits does not go on, not by one line."""
    reached: list[str] = []

    def setup(s: Scenario) -> None:
        def work() -> None:
            point("take", "L", "acq")
            point("take again", "L", "acq")
            reached.append("behind")

        s.worker("a", work)

    assert race(setup).failure is not None
    assert not reached


def test_a_worker_that_never_comes_back_is_told() -> None:
    """When the only ones left wait for something undeclared the schedule is given up, and says who."""
    released = threading.Event()

    def setup(s: Scenario) -> None:
        def work() -> None:
            point("before", "x", "w")
            released.wait(20)

        s.worker("a", work)

    patience = Patience(point_seconds=0.02, hang_seconds=0.2)
    outcome = race(setup, Interleaver("urw", Budget(schedules=1), patience=patience, shrink_seconds=0.0))
    released.set()
    assert outcome.failure is not None
    assert outcome.failure.verdict.reason == "hung"
    assert "a waited for something" in outcome.failure.render()


def test_a_worker_that_comes_back_too_late_is_told_all_the_same() -> None:
    """What was given up is judged by no check: the schedule did not come to its end."""
    held = threading.Lock()
    checked: list[str] = []

    def setup(s: Scenario) -> None:
        def holds() -> None:
            with held:
                point("inside", "x", "acq")
                point("inside too", "x", "acq")

        def waits() -> None:
            point("before", "y", "w")
            with held:
                pass

        s.worker("a", holds)
        s.worker("b", waits)
        s.check(lambda history: checked.append("checked"))

    patience = Patience(point_seconds=0.02, hang_seconds=0.3)
    outcome = race(setup, Interleaver("serial", Budget(schedules=1), patience=patience, shrink_seconds=0.0))
    assert outcome.failure is not None
    assert outcome.failure.verdict.reason == "hung"
    assert not checked


def test_a_schedule_without_an_end_is_told() -> None:
    """A worker that polls for ever ends the schedule at its limit of steps."""

    def setup(s: Scenario) -> None:
        def poll() -> None:
            while True:
                point("poll", "x", "r")

        s.worker("a", poll)

    outcome = race(setup, Interleaver("serial", step_limit=100, shrink_seconds=0.0))
    assert outcome.failure is not None
    assert outcome.failure.verdict.reason == "endless"


def test_threads_outside_the_race_pass_every_point() -> None:
    """A point that is reached by a thread of the test itself, or of the store, is no decision."""
    reached: list[str] = []

    def setup(s: Scenario) -> None:
        def background() -> None:
            point("elsewhere", "x", "w")
            reached.append("background")

        def work() -> None:
            point("here", "y", "w")
            thread = threading.Thread(target=background)
            thread.start()
            thread.join()

        s.worker("a", work)
        point("set up", "x", "w")

    assert race(setup).ok
    assert reached


def test_a_child_that_a_worker_forks_passes_every_point() -> None:
    """In a forked child nobody decides any more: it goes on by itself to its end."""
    codes: list[int] = []

    def setup(s: Scenario) -> None:
        def work() -> None:
            point("before", "x", "w")
            child = os.fork()
            if child == 0:
                point("in the child", "x", "w")
                os._exit(7)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        s.worker("a", work)
        s.worker("b", partial(point, "step", "x", "w"))

    assert race(setup, Interleaver("serial", patience=Patience(point_seconds=20.0))).ok
    assert set(codes) == {7}


def test_mistakes_in_a_scenario_are_told() -> None:
    """No workers, two of one name, a worker with nothing to do: each is an error that says so."""

    def twice(s: Scenario) -> None:
        s.worker("a", int)
        s.worker("a", int)

    with pytest.raises(MisuseError, match="no workers"):
        race(lambda s: None)
    with pytest.raises(MisuseError, match="nothing to do"):
        race(lambda s: s.worker("a"))
    with pytest.raises(MisuseError, match="two workers"):
        race(twice)


@pytest.mark.parametrize("kind", ["worker", "task", "process"])
@pytest.mark.parametrize("argument", ["a", None, 7])
def test_an_argument_that_is_no_function_is_refused_at_the_call(kind: str, argument: object) -> None:
    """Arguments for a function are given with it, and not after it."""
    with pytest.raises(MisuseError, match=f"'a' was given {argument!r}, which is no function"):
        getattr(Scenario(), kind)("a", int, argument)


def test_points_of_a_thread_that_is_no_worker_prove_nothing() -> None:
    """A worker that lets a thread of its own do the work is not decided, and the outcome says so."""

    def scenario(s: Scenario) -> None:
        def work() -> None:
            point("begin", "log", "w")
            helper = threading.Thread(target=point, args=("write", "x", "w"))
            helper.start()
            helper.join()

        s.worker("a", work)
        s.worker("b", work)

    outcome = Interleaver(budget=Budget(schedules=20, seconds=20)).run(scenario)
    assert outcome.ok
    assert not outcome.exhausted
    assert "a thread that is no worker" in outcome.describe()


def test_a_worker_that_polls_lets_others_go_on() -> None:
    """A thread that is never still, and comes to no point, is passed over after a while; nothing is proved then."""

    def scenario(s: Scenario) -> None:
        is_set = threading.Event()

        def ask() -> None:
            point("ask", "x", "r")
            while not is_set.is_set():
                is_set.wait(0.001)

        def answer() -> None:
            point("answer", "x", "w")
            is_set.set()

        s.worker("asks", ask)
        s.worker("answers", answer)

    patience = Patience(point_seconds=0.02, hang_seconds=0.3)
    outcome = Interleaver(budget=Budget(schedules=2, seconds=20), patience=patience).run(scenario)
    assert outcome.ok
    assert outcome.has_blocked


def spin_lock(is_let_go: bool) -> Callable[[Scenario], None]:
    """Give a scenario in which two ask again and again until a third has let go, or never do."""

    def scenario(s: Scenario) -> None:
        free: list[bool] = []

        def spin() -> None:
            while not free:
                point("try", "lock", "w")

        def let_go() -> None:
            point("let go", "lock", "w")
            if is_let_go:
                free.append(True)

        s.worker("spins", spin)
        s.worker("spins, too", spin)
        s.worker("holds", let_go)

    return scenario


@pytest.mark.parametrize("strategy", ["auto", "serial", "dpor", "urw", "pct3", "pos"])
def test_who_only_goes_round_lets_others_go_on(strategy: str) -> None:
    """A spin lock ends, as on a fair system; that some orders were not left to choose from is told."""
    outcome = Interleaver(strategy, Budget(schedules=30, seconds=60)).run(spin_lock(is_let_go=True))
    assert outcome.ok, outcome.describe()
    assert not outcome.exhausted
    if strategy == "serial":
        assert outcome.spinning == {"spins", "spins, too"}
        assert "; spins, spins, too only went round, so others were let go on first" in outcome.describe()


def test_who_goes_round_for_ever_is_told() -> None:
    """Where all others went on as far as they could, and it asks all the same, there is no end."""
    failure = Interleaver(step_limit=500, shrink_seconds=0.0).run(spin_lock(is_let_go=False)).failure
    assert failure is not None
    assert failure.verdict.reason == "endless"
    assert "these only went round, although all others went on as far as they could: " in failure.verdict.message
    assert "spins at try lock" in failure.verdict.message


def test_a_loop_that_ends_is_left_alone() -> None:
    """It may be long: all its orders are searched, and exhausted."""

    def scenario(s: Scenario) -> None:
        def read() -> None:
            for _ in range(ROUNDS):
                point("read", "x", "r")

        s.worker("reads", read)
        s.worker("writes", lambda: point("write", "x", "w"))

    outcome = Interleaver(budget=Budget(schedules=1_000, seconds=60)).run(scenario)
    assert (outcome.exhausted, outcome.proof, outcome.spinning) == (True, ROUNDS + 1, frozenset())
