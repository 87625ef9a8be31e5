"""Debug mode: which accesses each step really made, beside those that its point declares.

A point that names the wrong resource, or none of what a step touches, hides a race: the search takes two steps for
independent that are not. So here nobody is stopped at io; it is written down, and when the schedule is over, two steps
of different workers that nothing orders, that declare nothing in common and touch the same all the same, are told.
"""

from collections.abc import Callable, Hashable, Iterator
from itertools import combinations
from typing import Final

from attrs import frozen

from sessionguard.testing.schedule.accesses import Point, conflict
from sessionguard.testing.schedule.causality import Causality
from sessionguard.testing.schedule.io.listening import Access
from sessionguard.testing.schedule.io.naming import Place
from sessionguard.testing.schedule.track import NOBODY, Step, Track

_CHANGES: Final = ("INSERT ", "UPDATE ", "DELETE ", "REPLACE ")


@frozen
class Made:
    """One access as it was made."""

    worker: int
    step: int
    """The number of the step in which it was made, from 0."""
    access: Access

    def meets(self, other: "Made") -> bool:
        """Whether both reach the same and one of them writes; of one table, the same rows as far as they are named."""
        mine, theirs = self.access, other.access
        if mine.rows and theirs.rows and mine.rows.isdisjoint(theirs.rows):
            return False
        return conflict(_points(mine), _points(theirs))


def _points(access: Access) -> list[Point]:
    return [Point(access.label, resource, mode) for resource, mode in access.touched]


class Recording:
    """Writes down what workers do in one schedule, and stops nobody."""

    can_stop = False

    def __init__(self, track: Track, current: Callable[[], int]) -> None:
        self._track, self._current = track, current
        self._places: dict[Hashable, Place] = {}
        self._made: list[Made] = []
        self._unseen: dict[int, list[Access]] = {}
        """What workers have changed in transactions that are open."""

    def is_mine(self) -> bool:
        """Whether a worker asks, and not one that only shows what there is."""
        return self._current() != NOBODY and not self._track.is_looking()

    def place(self, name: Hashable) -> Place:
        """Give the place of that name."""
        return self._places.setdefault(name, Place(len(self._places), name))

    def reach(self, access: Access) -> None:
        """Write it down."""
        self.note(access)

    async def areach(self, access: Access) -> None:
        """Write it down."""
        self.note(access)

    def note(self, access: Access) -> None:
        """Write it down, in the last step that this worker was granted; before its first point it is alone."""
        worker = self._current()
        if access.label == "BEGIN":
            self._unseen[worker] = []
        elif access.label == "COMMIT":
            # Only now do others see what was written.
            for each in self._unseen.pop(worker, []):
                self._write_down(worker, each)
        elif worker in self._unseen and access.label.startswith(_CHANGES):
            self._unseen[worker].append(access)
        else:
            self._write_down(worker, access)

    def _write_down(self, worker: int, access: Access) -> None:
        numbers = range(len(self._track.steps) - 1, -1, -1)
        step = next((number for number in numbers if self._track.steps[number].worker == worker), None)
        if step is not None:
            self._made.append(Made(worker, step, access))

    def wait(self, label: str, is_over: Callable[[], bool], *, may_give_up: bool = True) -> bool:
        """Never asked: nobody is stopped."""
        return False

    def wait_for_others(self, label: str) -> bool:
        """Never asked."""
        return False

    def sleep(self) -> None:
        """Never asked."""

    def has_polled(self, resource: Hashable) -> bool:
        """Never asked."""
        return False

    def undeclared(self) -> Iterator[str]:
        """Yield a sentence for each two accesses that meet although the points before them say that they do not."""
        steps = self._track.steps
        causality = Causality(len(self._track.names), False)
        for step in steps:
            causality.add(step, find_races=False)
        for one, other in combinations(self._made, 2):
            if one.worker == other.worker or not one.meets(other):
                continue
            earlier, later = sorted((one, other), key=lambda made: made.step)
            if not causality.is_after(later.step, earlier.step):
                yield self._sentence(earlier, later, steps)

    def _sentence(self, earlier: Made, later: Made, steps: list[Step]) -> str:
        told = [
            f"{self._track.names[made.worker]} did {made.access.label} after its point {steps[made.step].point}"
            for made in (earlier, later)
        ]
        return f"{told[0]}, {told[1]}: both reach {_common(earlier, later)}, and their points do not say so"


def _common(one: Made, other: Made) -> str:
    return next(
        str(mine.resource)
        for mine in _points(one.access)
        for theirs in _points(other.access)
        if conflict((mine,), (theirs,))
    )
