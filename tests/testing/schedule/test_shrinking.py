"""The shrinker: nothing is left that the failure does not need, and it is still the same failure."""

import asyncio
from functools import partial

import pytest

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Interleaver, Scenario


def touch(me: str, times: int = 3) -> None:
    """Do something that has nothing to do with the race."""
    for _ in range(times):
        point("touch", me, "w")


def test_workers_and_parts_that_do_not_matter_are_left_out() -> None:
    """Of six workers with up to two parts each, two workers with one part each remain."""

    def scenario(s: Scenario) -> None:
        numbers = [0]
        told: list[int] = []

        def increment() -> None:
            point("read", "n", "r")
            read = numbers[0]
            point("write", "n", "w")
            numbers[0] = read + 1
            told.append(read + 1)

        def all_different(history: History) -> None:
            assert len(set(told)) == len(told)

        for name in "abc":
            s.worker(name, partial(touch, name), increment)
        s.worker("f", increment)
        for name in "de":
            s.worker(name, partial(touch, name))
        s.check(all_different)

    for strategy in ("auto", "random"):
        failure = Interleaver(strategy).run(scenario).failure
        assert failure is not None
        assert len(failure.minimal.names) == 2
        assert all(len(worker.parts) == 1 for worker in failure.minimal.workers)
        assert len(failure.minimal.steps) == 4
        assert failure.minimal.preemptions == 1


def test_another_failure_is_not_taken_for_this_one() -> None:
    """Leaving a worker out that makes another check fail is no smaller version of the failure at hand."""

    def scenario(s: Scenario) -> None:
        rows: list[str] = []

        def insert(me: str) -> None:
            point("look", "rows", "r")
            if len(rows) < 1:
                point("insert", "rows", "w")
                rows.append(me)

        def one_row(history: History) -> None:
            assert len(rows) <= 1

        def the_guest_came(history: History) -> None:
            assert "guest" in visitors

        visitors: list[str] = []
        for name in "ab":
            s.worker(name, partial(insert, name))
        s.worker("guest", lambda: visitors.append("guest"))
        s.check(the_guest_came, one_row)

    failure = Interleaver().run(scenario).failure
    assert failure is not None
    assert failure.verdict.judge == "one_row"
    assert set(failure.minimal.names) == {"a", "b", "guest"}


def test_a_failure_of_one_worker_alone_comes_down_to_it() -> None:
    """What is wrong in every order has one worker and no preemption, and is not called a race."""

    def scenario(s: Scenario) -> None:
        def fails() -> None:
            point("before", "x", "w")
            raise LookupError("alice")

        s.worker("a", partial(touch, "a"))
        s.worker("b", fails)
        s.worker("c", partial(touch, "c"))

    failure = Interleaver().run(scenario).failure
    assert failure is not None
    assert failure.minimal.names == ["b"]
    assert failure.minimal.preemptions == 0
    assert not failure.render().startswith("RACE")


def test_the_last_two_parts_are_not_both_left_out() -> None:
    """A failure that takes two calls of one worker comes down to these, and never to a scenario without workers."""

    def scenario(s: Scenario) -> None:
        calls: list[str] = []

        def call(name: str) -> None:
            point("call", "x", "w")
            calls.append(name)

        def nobody_calls_twice(history: History) -> None:
            assert len(calls) == len(set(calls))

        for name in ("a", "b"):
            s.worker(name, partial(call, name), partial(call, name))
        s.check(nobody_calls_twice)

    failure = Interleaver().run(scenario).failure
    assert failure is not None
    assert [(worker.name, len(worker.parts)) for worker in failure.minimal.workers] in ([("a", 2)], [("b", 2)])


def test_as_few_preemptions_as_there_can_be() -> None:
    """A failure that needs two interruptions keeps two, however many the search found it with."""

    def scenario(s: Scenario) -> None:
        log: list[str] = []

        def work(me: str) -> None:
            for _ in range(3):
                point("step", "x", "w")
                log.append(me)

        def never_in_turns(history: History) -> None:
            assert "".join(log) != "abbbaa"[: len(log)] or len(log) < 6
            assert "aba" not in "".join(log)

        for name in "ab":
            s.worker(name, partial(work, name))
        s.check(never_in_turns)

    for strategy in ("urw", "pct3", "dfs"):
        failure = Interleaver(strategy).run(scenario).failure
        assert failure is not None
        assert failure.minimal.preemptions <= 2


def test_a_scenario_that_cannot_do_without_a_worker_is_no_smaller_failure() -> None:
    """A check that breaks when a worker is missing does not count as the same failure."""

    def scenario(s: Scenario) -> None:
        results: dict[str, int] = {}

        def work(me: str) -> None:
            point("step", "x", "w")
            results[me] = len(results)

        def a_is_first(history: History) -> None:
            assert results["a"] < results["b"]

        for name in "ab":
            s.worker(name, partial(work, name))
        s.check(a_is_first)

    failure = Interleaver().run(scenario).failure
    assert failure is not None
    assert failure.minimal.names == ["a", "b"]
    assert failure.verdict.judge == "a_is_first"


@pytest.mark.parametrize("strategy", ["auto", "random"])
def test_a_check_that_counts_is_not_taken_for_a_race_of_fewer(strategy: str) -> None:
    """Without one of two workers the count is wrong in every order; that is another failure, so both stay."""

    def scenario(s: Scenario) -> None:
        rows = {"n": 0}

        def increment() -> None:
            point("GET", "n", "r")
            read = rows["n"]
            point("SET", "n", "w")
            rows["n"] = read + 1

        def nothing_is_lost(history: History) -> None:
            assert rows["n"] == 3, "an update was lost"

        s.worker("a", partial(touch, "a"), increment)
        s.worker("b", increment, increment)
        s.worker("c", partial(touch, "c"))
        s.check(nothing_is_lost)

    failure = Interleaver(strategy).run(scenario).failure
    assert failure is not None
    assert failure.minimal.names == ["a", "b"]
    assert [worker.numbers for worker in failure.minimal.workers] == [(1,), (0, 1)]
    assert failure.minimal.preemptions == 1
    assert failure.render().startswith("RACE")
    assert failure.replayed == (2, 2)


def test_a_check_that_counts_tasks_is_not_taken_for_a_race_of_fewer() -> None:
    """Tasks that only wait for time race without a preemption; what is left must still go well in some order."""

    def scenario(s: Scenario) -> None:
        rows = {"n": 0}

        async def increment() -> None:
            read = rows["n"]
            await asyncio.sleep(1)
            rows["n"] = read + 1

        def nothing_is_lost(history: History) -> None:
            assert rows["n"] == 2

        for name in "ab":
            s.task(name, increment)
        s.check(nothing_is_lost)

    failure = Interleaver().run(scenario).failure
    assert failure is not None
    assert [worker.name for worker in failure.minimal.workers] == ["a", "b"]


def test_the_rest_must_go_well_in_every_order_if_the_whole_does() -> None:
    """Without the third worker only one of two orders shows what is wrong; that is no race any more."""

    def scenario(s: Scenario) -> None:
        log: list[list[str]] = [[]]

        def append(me: str) -> None:
            point("GET", "log", "r")
            read = log[0]
            point("SET", "log", "w")
            log[0] = [*read, me]

        def c_is_not_lost(history: History) -> None:
            assert log[0] != ["b", "a"]

        for name in "abc":
            s.worker(name, partial(append, name))
        s.check(c_is_not_lost)

    failure = Interleaver().run(scenario).failure
    assert failure is not None
    assert failure.minimal.names == ["a", "b", "c"]
    assert failure.minimal.preemptions == 1
