"""Making a failure small: fewer workers and parts first, then fewer preemptions.

Operations are what the caller wrote, so leaving some out is worth most; the schedule is searched for again each time.
What remains must go as well as the whole does as long as nobody is interrupted. If it does not, then what fails is that
something is missing, such as the second count of two, and no longer the race.

Preemptions are not taken out of the failing schedule one by one: that ends in a local minimum. All schedules with 0, 1,
2, ... of them are tried in this order, and the first one that fails has as few as there can be.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import frozen

from sessionguard.testing.schedule.budget import Budget, Meter
from sessionguard.testing.schedule.execution import Execution, Stage
from sessionguard.testing.schedule.scenario import Removal, Worker
from sessionguard.testing.schedule.searching import run_once, search
from sessionguard.testing.schedule.strategies.bounded import Bounded
from sessionguard.testing.schedule.strategies.dpor import SourceDpor
from sessionguard.testing.schedule.strategies.strategy import Strategy
from sessionguard.testing.schedule.strategies.weighted import UniformWalk

_SCHEDULES_TO_DECIDE: Final = 300
_SCHEDULES_PER_BOUND: Final = 2000
_MOST_PARTS_FOR_PAIRS: Final = 12
_MOST_PREEMPTIONS: Final = 4
_UNINTERRUPTED: Final = 120
"""Schedules without a preemption that are run of a scenario: all orders of five workers."""


@frozen
class Minimal:
    """The smallest failing schedule that was found, and what it leaves out."""

    execution: Execution
    without: frozenset[Removal]
    runs: int
    """How many schedules it took."""


class Shrinker:
    """Shrinks one failure of one scenario, within a number of seconds."""

    def __init__(self, stage: Stage, execution: Execution, seconds: float = 5.0, seed: int = 0) -> None:
        assert execution.violation is not None
        self._stage, self._seed = stage, seed
        self._best, self._violation = execution, execution.violation
        self._without: frozenset[Removal] = frozenset()
        self._meter = Meter(Budget(schedules=1_000_000, seconds=seconds))
        self._whole: frozenset[bool] = frozenset()

    def shrink(self) -> Minimal:
        """Give the smallest schedule with the same failure; at worst it is the one given."""
        self._whole = self._uninterrupted(frozenset())
        self._drop_while_possible(self._single_workers)
        self._drop_while_possible(self._single_parts)
        self._drop_while_possible(self._pairs_of_parts)
        self._drop_preemptions()
        return Minimal(self._best, self._without, self._meter.schedules)

    def _drop_while_possible(self, candidates: Callable[[], Iterator[tuple[Removal, ...]]]) -> None:
        dropped = True
        while dropped and not self._meter.is_spent:
            dropped = any(self._fails_without(removal) for removal in candidates())

    def _single_workers(self) -> Iterator[tuple[Removal, ...]]:
        if len(self._workers) > 1:
            for worker in self._workers:
                yield ((worker.name, None),)

    def _single_parts(self) -> Iterator[tuple[Removal, ...]]:
        for removal in self._parts():
            yield (removal,)

    def _pairs_of_parts(self) -> Iterator[tuple[Removal, ...]]:
        parts = list(self._parts())
        if len(parts) <= _MOST_PARTS_FOR_PAIRS:
            yield from itertools.combinations(parts, 2)

    def _parts(self) -> Iterator[Removal]:
        for worker in self._workers:
            if len(worker.parts) > 1:
                yield from ((worker.name, number) for number in worker.numbers)

    @property
    def _workers(self) -> list[Worker]:
        return self._best.workers

    def _fails_without(self, removals: Iterable[Removal]) -> bool:
        without = self._without.union(removals)
        if not self._leaves_somebody(without):
            return False
        for strategy, schedules in self._deciders():
            found = self._find(strategy, without, schedules)
            if found is not None:
                if not self._goes_as_well(without):
                    return False
                self._best, self._without = found, without
                return True
        return False

    def _leaves_somebody(self, without: frozenset[Removal]) -> bool:
        """Whether any part of any worker would still be played."""
        parts = ((worker.name, number) for worker in self._workers for number in worker.numbers)
        return any((name, None) not in without and (name, number) not in without for name, number in parts)

    def _goes_as_well(self, without: frozenset[Removal]) -> bool:
        """Whether the rest passes without a preemption wherever the whole does: always, or in some order."""
        rest = self._uninterrupted(without)
        if self._passes_uninterrupted:
            return rest == {True}
        return True in rest or True not in self._whole

    @property
    def _passes_uninterrupted(self) -> bool:
        return self._whole == {True}

    def _uninterrupted(self, without: frozenset[Removal]) -> frozenset[bool]:
        """Give whether schedules without a preemption pass: all, none, or both; empty if there was no time for any."""
        seen: set[bool] = set()
        strategy, part = Bounded(0), self._meter.part(1.0, _UNINTERRUPTED)
        while not part.is_spent and strategy.begin():
            seen.add(run_once(self._stage, strategy, without).violation is None)
            part.count()
        return frozenset(seen)

    def _deciders(self) -> Iterator[tuple[Strategy, int]]:
        yield SourceDpor(), _SCHEDULES_TO_DECIDE
        if self._best.has_operations:
            yield SourceDpor(is_strict=True), _SCHEDULES_TO_DECIDE
        # Where a declaration is wrong, the searches that trust it cannot decide.
        yield UniformWalk(self._seed), _SCHEDULES_TO_DECIDE // 6

    def _drop_preemptions(self) -> None:
        fewest = 1 if self._passes_uninterrupted else 0
        for bound in range(fewest, min(self._best.preemptions, _MOST_PREEMPTIONS + 1)):
            found = self._find(Bounded(bound), self._without, _SCHEDULES_PER_BOUND)
            if found is not None:
                self._best = found
                return

    def _find(self, strategy: Strategy, without: frozenset[Removal], schedules: int) -> Execution | None:
        part = self._meter.part(1.0, schedules)
        return search(self._stage, strategy, part, without=without, like=self._violation)
