"""Which steps of a schedule depend on each other, and which pairs of them could have come the other way round."""

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from sessionguard.testing.schedule.accesses import Point, conflict, modes_conflict, with_wholes
from sessionguard.testing.schedule.track import Step

Clock = list[int]
"""For each worker the number of its last step that came before for a reason; -1 for none."""

_OF_OPERATIONS = frozenset({"call", "ret"})


class Race(NamedTuple):
    """A step that need not have come first, and who could run in its place so that it comes second."""

    earlier: int
    instead: tuple[int, ...]
    """The workers whose next step is the beginning of everything that does not need the earlier one."""


class Causality:
    """The steps of one schedule, taken in one after the other.

    Happens-before is kept as vector clocks: a step is after the last steps that conflict with it and after its worker's
    own. `is_strict` makes calls and returns depend on each other as well, as a check of real-time order needs.
    """

    def __init__(self, workers: int, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._own: list[Clock] = [[-1] * workers for _ in range(workers)]
        self._workers: list[int] = []
        self._clocks: list[Clock] = []
        self._accesses: list[Sequence[Point]] = []
        self._last: dict[Hashable, dict[tuple[str, int], int]] = {}
        """By resource: the last step of each worker in each mode."""
        self._locked: dict[Hashable, int] = {}
        """By lock: the step that took it last."""

    def add(self, step: Step, find_races: bool = True) -> list[Race]:
        """Take in the next step; give the races between it and steps before it, if asked to."""
        worker, number = step.worker, len(self._workers)
        accesses = self._visible([step.point, *step.notes] if step.notes else (step.point,))
        clock = list(self._own[worker])
        races = []
        if find_races and step.point.mode == "acq":
            races += self._lock_race(step.point, worker, clock)
        for earlier, may_swap in self._before(worker, accesses):
            owner = self._workers[earlier]
            if clock[owner] >= earlier:
                continue  # Something between them is the reason already.
            if find_races and may_swap:
                races.append(Race(earlier, self._initials(earlier, worker, clock)))
            self._join(clock, earlier)
        clock[worker] = number
        self._workers.append(worker)
        self._clocks.append(clock)
        self._accesses.append(accesses)
        self._own[worker] = clock
        self._remember(worker, number, accesses)
        return races

    def is_after(self, later: int, earlier: int) -> bool:
        """Whether one step comes after another for a reason, both by their numbers."""
        return self._clocks[later][self._workers[earlier]] >= earlier

    def waiting(self, worker: int, point: Point) -> list[Race]:
        """Give the race of a worker that still waits for a lock with the step that took it."""
        return self._lock_race(point, worker, self._own[worker])

    def stopped(self, place: int, worker: int, point: Point) -> Race:
        """Give the race of a worker with the step that took it from its point, as if it had gone on at the very end.

        At the end, because then everything that the step did not cause comes first, and what of that conflicts with
        the point is found as a race of its own in the schedule that this leads to.
        """
        owner = self._workers[place]
        clock = [-1] * len(self._own)
        for number in range(place + 1, len(self._workers)):
            if self._clocks[number][owner] < place and conflict(self._accesses[number], (point,)):
                self._join(clock, number)
        return Race(place, self._initials(place, worker, clock))

    def _before(self, worker: int, accesses: Sequence[Point]) -> Iterator[tuple[int, bool]]:
        """Give the last steps of others that conflict, latest first, and whether they could come later."""
        found: dict[int, bool] = {}
        for point in accesses:
            for (mode, owner), number in self._last.get(point.resource, {}).items():
                if owner != worker and modes_conflict(mode, point.mode):
                    # A lock is taken after it was released, not before: the race is between those who take it.
                    may_swap = point.mode != "acq" or mode not in ("acq", "rel")
                    found[number] = found.get(number, False) or may_swap
        return iter(sorted(found.items(), reverse=True))

    def _lock_race(self, point: Point, worker: int, clock: Clock) -> list[Race]:
        earlier = self._locked.get(point.resource)
        if earlier is None or self._workers[earlier] == worker or clock[self._workers[earlier]] >= earlier:
            return []
        return [Race(earlier, self._initials(earlier, worker, clock))]

    def _initials(self, earlier: int, worker: int, clock: Clock) -> tuple[int, ...]:
        """Give the workers that can take the first step of: all after `earlier` that does not need it, then `worker`.

        These are the source sets of Abdulla, Aronis, Jonsson and Sagonas (2014). Adding simply `worker` instead loses
        outcomes together with sleep sets.
        """
        owner = self._workers[earlier]
        firsts: dict[int, int] = {}
        initials: list[int] = []
        for number in range(earlier + 1, len(self._workers)):
            each = self._workers[number]
            if self._clocks[number][owner] >= earlier or each in firsts:
                continue
            self._note_first(firsts, initials, each, number, self._clocks[number])
        if worker not in firsts:
            self._note_first(firsts, initials, worker, len(self._workers), clock)
        return tuple(initials)

    @staticmethod
    def _note_first(firsts: dict[int, int], initials: list[int], worker: int, number: int, clock: Clock) -> None:
        if all(clock[other] < first for other, first in firsts.items()):
            initials.append(worker)
        firsts[worker] = number

    def _visible(self, accesses: Sequence[Point]) -> Sequence[Point]:
        if not self._is_strict:
            accesses = [point for point in accesses if point.mode not in _OF_OPERATIONS]
        return with_wholes(accesses)

    def _join(self, clock: Clock, earlier: int) -> None:
        for worker, number in enumerate(self._clocks[earlier]):
            if number > clock[worker]:
                clock[worker] = number

    def _remember(self, worker: int, number: int, accesses: Sequence[Point]) -> None:
        for point in accesses:
            self._last.setdefault(point.resource, {})[point.mode, worker] = number
            if point.mode in ("acq", "try"):
                self._locked[point.resource] = number
