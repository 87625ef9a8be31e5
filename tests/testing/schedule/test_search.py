"""The portfolio under one budget, real-time order, and each random search by what it is for."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from sessionguard.core.points import point
from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.history import History, Illegal, Operation, Unknown, Verdict
from sessionguard.testing.history.model import Model
from sessionguard.testing.schedule import Budget, Interleaver, Scenario
from sessionguard.testing.schedule.accesses import Point
from sessionguard.testing.schedule.budget import Meter
from sessionguard.testing.schedule.errors import NondeterministicScenario
from sessionguard.testing.schedule.reports.html import render_html
from sessionguard.testing.schedule.reports.plain import plain_failure
from sessionguard.testing.schedule.strategies.bounded import Bounded
from sessionguard.testing.schedule.strategies.changing import ChangingPriorities
from sessionguard.testing.schedule.strategies.strategy import Strategy
from sessionguard.testing.schedule.strategies.weighted import UniformWalk
from sessionguard.testing.schedule.track import Track
from tests.testing.schedule.programs import Program, outcomes


class Register(Model[int]):
    """One number that is written and read."""

    def initial(self) -> int:
        """Zero."""
        return 0

    def step(self, state: int, operation: Operation) -> list[int]:
        """Give what it holds afterwards."""
        if operation.name == "write":
            return [int(operation.args["value"])]
        return [state] if operation.result == state else []


def stale_reads(s: Scenario) -> None:
    """Writes go to one place and reads come from another, which is brought up to date after the write returned."""
    store, replica = [0], [0]

    def write() -> None:
        with s.history.record("writer", "write", value=1) as op:
            point("write", "store", "w")
            store[0] = 1
            op.ok()
        point("replicate", "replica", "w")
        replica[0] = store[0]

    def read() -> None:
        with s.history.record("reader", "read") as op:
            point("read", "replica", "r")
            op.ok(replica[0])

    def linearizable(history: History) -> Verdict:
        return history.linearizable(Register)

    s.worker("writer", write)
    s.worker("reader", read)
    s.check(linearizable)


def test_what_only_real_time_shows_is_found() -> None:
    """A read that begins after a write has returned and does not see it is found, though no access tells it apart."""
    failure = Interleaver("dpor").run(stale_reads).failure
    assert failure is not None
    assert isinstance(failure.verdict.verdict, Illegal)
    assert failure.verdict.kinds == ("read",)
    assert Interleaver().run(stale_reads, replay=failure.replay_id).failure is not None


def test_the_order_of_operations_is_searched_where_accesses_are_independent() -> None:
    """A read that never sees the write is wrong only after it, though the two share nothing."""

    def scenario(s: Scenario) -> None:
        def write() -> None:
            with s.history.record("writer", "write", value=1) as op:
                point("write", "store", "w")
                op.ok()

        def read() -> None:
            with s.history.record("reader", "read") as op:
                point("read", "replica", "r")
                op.ok(0)

        s.worker("reader", read)
        s.worker("writer", write)
        s.check(lambda history: history.linearizable(Register))

    outcome = Interleaver("dpor").run(scenario)
    assert outcome.counts["source-DPOR"] == 1
    assert outcome.failure is not None
    assert outcome.failure.found_by == "source-DPOR with real time"


def test_a_call_is_noted_as_late_as_can_be() -> None:
    """In a serial schedule operations do not overlap: the second is called after the first has returned."""
    seen = set()

    def scenario(s: Scenario) -> None:
        def work(me: str) -> None:
            with s.history.record(me, "step") as op:
                point("step", "x", "w")
                op.ok()

        for name in "ab":
            s.worker(name, partial(work, name))

        def look(history: History) -> None:
            first, second = history.operations
            assert first.ret is not None
            seen.add(first.ret < second.call)

        s.check(look)

    assert Interleaver("serial").run(scenario).ok
    assert seen == {True}


@pytest.mark.parametrize("strategy", ["urw", "pos", "pct3"])
def test_random_searches_spend_nothing_on_calls(strategy: str) -> None:
    """A call that was begun goes on to its first access, so that its operation is as short as it can be."""
    split: list[object] = []

    def scenario(s: Scenario) -> None:
        def work(me: str) -> None:
            for _ in range(3):
                with s.history.record(me, "step") as op:
                    point("step", "x", "w")
                    op.ok()

        def look(history: History) -> None:
            assert s.steps
            pairs = itertools.pairwise(s.steps)
            split.extend(pair for pair in pairs if pair[0].point.mode == "call" and pair[0].worker != pair[1].worker)

        for name in "ab":
            s.worker(name, partial(work, name))
        s.check(look)

    assert Interleaver(strategy, Budget(schedules=50)).run(scenario).ok
    assert not split


def counting(s: Scenario, declared: str) -> None:
    """Two increments whose accesses are declared under different names, so they seem to be independent."""
    numbers = [0]
    told: list[int] = []

    def increment(me: str) -> None:
        resource = f"{declared} {me}" if declared == "wrong" else "n"
        point("read", resource, "r")
        read = numbers[0]
        point("write", resource, "w")
        numbers[0] = read + 1
        told.append(read + 1)

    def all_different(history: History) -> None:
        assert len(set(told)) == len(told)

    for name in "ab":
        s.worker(name, partial(increment, name))
    s.check(all_different)


@pytest.mark.parametrize("strategy", ["random", "urw", "pos", "pct3"])
def test_random_searches_do_not_trust_declarations(strategy: str) -> None:
    """A race that wrong declarations hide from source-DPOR is found by every random search."""
    wrong = partial(counting, declared="wrong")
    assert Interleaver("dpor").run(wrong).exhausted
    failure = Interleaver(strategy).run(wrong).failure
    assert failure is not None
    assert failure.minimal.preemptions == 1


def test_a_wrong_declaration_is_found_after_exhaustion() -> None:
    """A few random schedules follow a search that is exhausted; what they find says that a declaration is wrong."""
    outcome = Interleaver().run(partial(counting, declared="wrong"))
    failure = outcome.failure
    assert failure is not None
    assert failure.found_by not in ("serial", "source-DPOR", "source-DPOR with real time")
    assert (outcome.exhausted, outcome.proof) == (False, 0)
    assert "so a declaration is wrong" in failure.render()
    assert plain_failure(failure)["is_undeclared"]
    assert "so a declaration is wrong" in render_html(failure)
    told = Interleaver("random").run(partial(counting, declared="wrong")).failure
    assert told is not None
    assert "a declaration is wrong" not in told.render()


def test_exhaustion_stays_said_after_the_random_schedules() -> None:
    """They are at most twenty, or a tenth of what is left, and a search that found nothing is exhausted as before."""

    def scenario(s: Scenario) -> None:
        for name in "ab":
            s.worker(name, partial(point, "step", "x", "w"))

    outcome = Interleaver().run(scenario)
    assert (outcome.exhausted, outcome.proof, outcome.schedules) == (True, 2, 2 + 2 + 20)
    few = Interleaver(budget=Budget(schedules=34)).run(scenario)
    assert (few.exhausted, few.schedules) == (True, 2 + 2 + 3)


def test_one_budget_for_everything() -> None:
    """A scenario too large to exhaust leaves half of the schedules to the random searches, and none is too many."""

    def scenario(s: Scenario) -> None:
        def work() -> None:
            for _ in range(6):
                point("step", "x", "w")

        for name in "abcd":
            s.worker(name, work)

    outcome = Interleaver(budget=Budget(schedules=200, seconds=60)).run(scenario)
    assert outcome.schedules == 200
    assert not outcome.exhausted
    assert outcome.counts["serial"] == 6
    assert outcome.counts["source-DPOR"] == 97
    randomly = {name: count for name, count in outcome.counts.items() if name not in ("serial", "source-DPOR")}
    assert set(randomly) == {"URW", "POS", "PCT2", "PCT3", "PCT4"}
    assert max(randomly.values()) - min(randomly.values()) <= 1


def test_the_search_ends_in_time() -> None:
    """With no seconds left no further schedule is begun."""
    now = iter(range(100))
    meter = Meter(Budget(schedules=1_000, seconds=5.0), lambda: next(now))
    rounds = 0
    while not meter.is_spent:
        meter.count()
        rounds += 1
    assert rounds == 4
    assert meter.part(0.5).is_spent


def test_an_unknown_strategy_is_refused() -> None:
    """The error names those there are."""
    with pytest.raises(InvalidArgumentError, match="auto, serial, dpor"):
        Interleaver("best").run(stale_reads)


def test_a_verdict_that_was_not_reached_is_told() -> None:
    """A check that gave up is no failure, and no proof without a word either."""

    def scenario(s: Scenario) -> None:
        def gives_up(history: History) -> Verdict:
            return Unknown("no time")

        s.worker("a", partial(point, "step", "x", "w"))
        s.check(gives_up)

    outcome = Interleaver().run(scenario)
    assert outcome.ok
    assert outcome.unknown == outcome.schedules
    assert (outcome.exhausted, outcome.proof) == (False, 0)
    assert (
        outcome.describe()
        == f"nothing found in {outcome.schedules} schedules, 1 workers; {outcome.unknown} without a verdict"
    )


def test_a_depth_first_search_refuses_what_does_not_do_the_same_each_time() -> None:
    """The first run of a process differs from all later ones; a search that went by it would prove nothing."""
    runs = itertools.count()

    def scenario(s: Scenario) -> None:
        # The first two are the check for just this.
        label = "step" if next(runs) < 3 else "another step"
        for name in "ab":
            s.worker(name, partial(point, label, "x", "w"))

    with pytest.raises(NondeterministicScenario, match=r"'step' on 'x' .* once, and before 'another step'"):
        Interleaver("dfs").run(scenario)


def test_serial_orders_of_many_workers_begin_with_different_ones() -> None:
    """Of four workers not all orders are played; those that are come from the seed, and are no islands of the first."""

    def firsts(seed: int) -> list[str]:
        orders: list[str] = []

        def scenario(s: Scenario) -> None:
            for name in "abcd":
                s.worker(name, partial(point, "step", "x", "w"))
            s.check(lambda history: orders.append("".join("abcd"[step.worker] for step in s.steps)))

        assert Interleaver("serial", seed=seed).run(scenario).schedules == 6
        return orders[-6:]

    assert firsts(1) == firsts(1) != firsts(2)
    assert firsts(1)[:2] == ["abcd", "dcba"]
    assert len(set(firsts(1))) == 6
    assert len({order[0] for order in firsts(1)}) > 2


def played(strategy: Strategy, program: Program, rounds: int) -> Counter[object]:
    """Give how often each outcome came."""
    seen: Counter[object] = Counter()
    for _ in range(rounds):
        strategy.begin()
        seen[program.outcome(strategy)] += 1
    return seen


def test_a_uniform_walk_is_uniform() -> None:
    """With workers of very different lengths each schedule is about as likely as every other one."""
    program = Program(((("w", "x"),), (("r", "x"),) * 9))
    seen = played(UniformWalk(), program, 3_000)
    assert len(seen) == 10
    assert min(seen.values()) > 3_000 / 10 / 2
    assert max(seen.values()) < 3_000 / 10 * 2


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_changing_priorities_change_as_often_as_the_depth_says(depth: int) -> None:
    """With depth d no schedule has more than d - 1 preemptions."""
    program = Program(((("w", "x"),) * 6, (("w", "x"),) * 6))
    strategy = ChangingPriorities(depth)
    most = 0
    for _ in range(200):
        strategy.begin()
        watch = _Watch(strategy)
        program.outcome(watch)
        most = max(most, watch.preemptions)
    assert most == depth - 1


class _Watch:
    """Counts the preemptions of another strategy."""

    name = "watch"
    is_exhausted = False

    def __init__(self, strategy: Strategy) -> None:
        self.preemptions = 0
        self._strategy = strategy
        self.begin, self.end = strategy.begin, strategy.end

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Choose as it does."""
        chosen = self._strategy.choose(track, enabled)
        self.preemptions += track.current in enabled and chosen != track.current
        return chosen


@pytest.mark.parametrize("bound, schedules", [(0, 2), (1, 6), (None, 20)])
def test_a_bound_leaves_nothing_out_within_it(bound: int | None, schedules: int) -> None:
    """Two workers of three points: 2 schedules without a preemption, 6 with at most one, 20 in all."""
    program = Program(((("w", "x"),) * 3, (("w", "x"),) * 3))
    strategy = Bounded(bound)
    assert outcomes(program, strategy)[1] == schedules
    assert strategy.is_exhausted is (bound is None)


@pytest.mark.parametrize("make", [UniformWalk, partial(ChangingPriorities, 3)])
def test_a_random_search_repeats_itself_by_its_seed(make: Callable[[int], Strategy]) -> None:
    """The same seed gives the same outcomes in the same order."""
    program = Program(((("w", "x"),) * 4, (("r", "x"),) * 4))
    first, second, third = (
        [strategy.begin() and program.outcome(strategy) for _ in range(20)] for strategy in (make(1), make(1), make(2))
    )
    assert first == second
    assert first != third


def test_a_point_is_told_by_its_label_and_resource() -> None:
    """A recorded call is told by its name alone."""
    assert str(Point("INSERT", "alice", "w")) == "INSERT alice"
    assert str(Point("get", "(operations)", "call")) == "get"
