"""The io engine in one schedule: accesses are points, and the waits of drivers are seen."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import takewhile

from sessionguard.core import points
from sessionguard.testing.schedule.io.listening import Access, Touched
from sessionguard.testing.schedule.io.naming import Place
from sessionguard.testing.schedule.io.waiting import Ticket, Waits
from sessionguard.testing.schedule.tasks import is_of_a_worker
from sessionguard.testing.schedule.track import NOBODY, Track


class Stopping:
    """Stops workers where they reach for what is shared. Tasks, of which `are_tasks` tells, stop only at awaits."""

    def __init__(self, track: Track, current: Callable[[], int], are_tasks: bool) -> None:
        self._track, self._current, self._are_tasks = track, current, are_tasks
        self.can_stop = not are_tasks
        self._places: dict[Hashable, Place] = {}
        self._polled: dict[tuple[int, Hashable], int] = {}
        self._sleeps: Counter[int] = Counter()
        self._slept_at: dict[int, int] = {}
        self._waits = Waits(track)

    def is_mine(self) -> bool:
        """Whether a worker asks, and not one that only shows what there is."""
        is_worker = self._current() != NOBODY or (self._are_tasks and is_of_a_worker())
        return is_worker and not self._track.is_looking()

    def place(self, name: Hashable) -> Place:
        """Give the place of that name."""
        return self._places.setdefault(name, Place(len(self._places), name))

    def reach(self, access: Access) -> None:
        """Stop before the access."""
        (resource, mode), *others = access.touched
        points.point(access.label, resource, mode)
        self._note(access.label, others)

    async def areach(self, access: Access) -> None:
        """Stop before the access of a task."""
        (resource, mode), *others = access.touched
        await points.apoint(access.label, resource, mode)
        self._note(access.label, others)

    def note(self, access: Access) -> None:
        """Let the step under way touch this, too."""
        self._note(access.label, access.touched)

    def wait(self, label: str, is_over: Callable[[], bool], *, may_give_up: bool = True) -> bool:
        """Stop until it is over."""
        return self._waits.wait(self._current(), label, is_over, may_give_up)

    def wait_for_others(self, label: str) -> bool:
        """Stop until another worker has done something."""
        me, before = self._current(), len(self._track.steps)
        # In which of several steps a real wait would end is not tried, so nothing is proved.
        self._track.has_strangers = True

        def has_anybody_gone_on() -> bool:
            # One that only looked whether it may go on has changed nothing for others.
            steps = self._track.steps[before:]
            return any(step.worker != me and not isinstance(step.point.resource, Ticket) for step in steps)

        return self.wait(label, has_anybody_gone_on)

    def sleep(self) -> None:
        """Stop until another worker has done something that has slept less often.

        Those who only ask again and again do not wake each other, so whoever they wait for goes on some time.
        """
        me = self._current()
        self._sleeps[me] += 1
        self._slept_at[me] = before = len(self._track.steps)
        self._track.has_strangers = True

        def has_anybody_gone_on() -> bool:
            others = [step.worker for step in self._track.steps[before:] if step.worker != me]
            return any(self._sleeps[worker] < self._sleeps[me] for worker in others)

        self.wait("sleep", has_anybody_gone_on)

    def has_polled(self, resource: Hashable) -> bool:
        """Whether this worker has slept since it asked for the same, or nobody else has done anything."""
        me, steps = self._current(), self._track.steps
        before = self._polled.get((me, resource))
        self._polled[me, resource] = len(steps)
        if before is None:
            return False
        if self._slept_at.get(me, -1) >= before:
            return True
        own = sum(1 for _ in takewhile(lambda step: step.worker == me, reversed(steps)))
        return own >= len(steps) - before

    def _note(self, label: str, touched: Sequence[Touched]) -> None:
        for resource, mode in touched:
            self._track.note(self._track.point(label, resource, mode))
