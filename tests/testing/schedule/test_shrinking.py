"""The shrinker: nothing is left that the failure does not need, and it is still the same failure."""

from functools import partial

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
