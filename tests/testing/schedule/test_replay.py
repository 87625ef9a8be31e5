"""Replay ids: readable, repeatable, and of use after unrelated edits."""

import random
from collections.abc import Callable
from functools import partial

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from sessionguard.core.points import point
from sessionguard.errors import InvalidArgumentError
from sessionguard.testing import Profile
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, ReplayId, Scenario
from sessionguard.testing.schedule.replay import Segment
from tests.testing.schedule.async_programs import AsyncProgram, random_timed_program

names = st.text(min_size=1, max_size=8) | st.sampled_from(["seed=1", "seed="])
segments = st.builds(Segment, names, st.text(max_size=8), st.integers(1, 99)).map(
    lambda each: each if each.label else Segment(each.worker)
)
removals = st.frozensets(st.tuples(names, st.none() | st.integers(0, 9)), max_size=3)


@example(
    ReplayId((Segment("a.b;c", "x@y#1", 2), Segment("~d")), frozenset({("e.1", None), ("f.g", 2), ("~h", None)}), 3)
)
@given(st.builds(ReplayId, st.lists(segments, max_size=5).map(tuple), removals, st.integers(0, 99)))
def test_every_id_comes_back_from_its_text(replay: ReplayId) -> None:
    """Whatever workers and labels are called, `;`, `@`, `#`, `.` and quotes among it, the text says it all."""
    text = str(replay)
    assert ReplayId.parse(text) == replay
    assert text.isascii()
    assert "'" not in text
    assert " " not in text


@pytest.mark.parametrize("text", ["", "a@end", "sg2:a@end", "sg1:a", "sg1:a@INSERT", "sg1:a@INSERT#x"])
def test_what_is_no_id_is_refused(text: str) -> None:
    """The error says what an id looks like."""
    with pytest.raises(InvalidArgumentError, match=r"sg1|a@INSERT#1"):
        ReplayId.parse(text)


def race(extra: Callable[[], None] = lambda: None, more_points: int = 0) -> Callable[[Scenario], None]:
    """Give a check-then-insert, with points before it that have nothing to do with it."""

    def scenario(s: Scenario) -> None:
        rows: list[str] = []

        def get_or_create(me: str) -> None:
            for _ in range(more_points):
                point("log", f"log of {me}", "w")
            point("SELECT", "alice", "r")
            if not rows:
                extra()
                point("INSERT", "alice", "w")
                rows.append(me)

        def one_session(history: History) -> None:
            assert len(rows) <= 1

        for name in ("a", "b"):
            s.worker(name, partial(get_or_create, name))
        s.check(one_session)

    return scenario


def test_an_id_survives_unrelated_edits() -> None:
    """New points before, and between, change nothing: the segments name what matters."""
    failure = Interleaver().run(race()).failure
    assert failure is not None
    assert failure.replay_id == "sg1:a@INSERT#1;b@end;a@end"
    for scenario in (race(more_points=5), race(partial(point, "cache", "cache", "w"))):
        outcome = Interleaver().run(scenario, replay=failure.replay_id)
        assert outcome.replay_is_faithful
        assert outcome.failure is not None


def test_an_id_that_leads_nowhere_says_so() -> None:
    """When a label is gone the rest is run as well as can be, and the outcome tells that it was not followed."""
    outcome = Interleaver().run(race(), replay="sg1:a@UPDATE#1;b@end;a@end")
    assert outcome.ok
    assert outcome.replay_is_faithful is False


def test_the_nth_time_at_a_label_is_meant() -> None:
    """A segment that says #3 stops before the third access of that name."""
    orders: list[str] = []

    def scenario(s: Scenario) -> None:
        order: list[str] = []

        def work(me: str) -> None:
            for _ in range(4):
                point("step", "x", "w")
                order.append(me)

        for name in ("a", "b"):
            s.worker(name, partial(work, name))
        s.check(lambda history: orders.append("".join(order)))

    Interleaver().run(scenario, replay="sg1:a@step#3;b@step#2;a@end;b@end")
    assert orders == ["aabaabbb"]


def test_seed_and_removals_are_part_of_the_id() -> None:
    """A replay draws the same ids as the search did, and leaves out what the shrinker left out."""
    drawn: list[str] = []

    def scenario(s: Scenario) -> None:
        def work() -> None:
            point("draw", "x", "w")
            drawn.append(str(s.uuid()))

        def never(history: History) -> None:
            raise AssertionError

        for name in ("a", "b"):
            s.worker(name, work)
        s.check(never)

    failure = Interleaver(seed=7).run(scenario).failure
    assert failure is not None
    assert failure.replay_id == "sg1:seed=7;~a;b@end"
    last = drawn[-1]
    drawn.clear()
    Interleaver().run(scenario, replay=failure.replay_id)
    assert drawn == [last]


def failing_now_and_then(seed: int) -> tuple[Callable[[Scenario], None], Interleaver]:
    """Give a random program of tasks with time limits, one of whose outcomes is called a failure."""
    tasks = random_timed_program(random.Random(seed)).tasks
    dfs = Interleaver("dfs", Budget(schedules=150, seconds=60), shrink_seconds=0.3)
    every = AsyncProgram(tasks, set())
    dfs.run(every.build)
    wrong = random.Random(seed).choice(sorted(every.outcomes))

    def build(s: Scenario) -> None:
        this = AsyncProgram(tasks, set())
        this.build(s)

        def is_not_wrong(history: History) -> None:
            assert wrong not in this.outcomes

        s.check(is_not_wrong)

    return build, dfs


def test_the_ids_of_cancelled_tasks_bring_the_failure_back(sg_profile: Profile) -> None:
    """Whatever random tasks do that are cancelled where they stand, the id of a failure repeats it."""
    for seed in range(sg_profile.programs):
        build, dfs = failing_now_and_then(seed)
        failure = dfs.run(build).failure
        assert failure is not None
        assert failure.replayed == (2, 2), f"seed {seed}: {failure.replay_id}"
        assert dfs.run(build, replay=failure.replay_id).replay_is_faithful, f"seed {seed}: {failure.replay_id}"


def test_a_label_says_something() -> None:
    """Ids name places by their labels, so a point without one is an error of the scenario."""

    def scenario(s: Scenario) -> None:
        s.worker("a", lambda: point("", "x", "w"))
        s.worker("b", lambda: point("write", "x", "w"))

    failure = Interleaver().run(scenario).failure
    assert failure is not None
    assert "give the access a name" in failure.verdict.message


def test_a_report_says_when_its_id_does_not_hold() -> None:
    """A failure that its id did not bring back each time says so where it tells the id."""
    failure = Interleaver().run(race()).failure
    assert failure is not None
    assert "brought the failure back" not in failure.render()
    assert "in 1 of 2 runs" in evolve(failure, replayed=(1, 2)).render()
