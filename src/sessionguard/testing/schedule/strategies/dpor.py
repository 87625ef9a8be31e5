"""Source-DPOR with sleep sets: one schedule of each kind that the declared accesses can tell apart.

After Abdulla, Aronis, Jonsson and Sagonas, "Optimal dynamic partial order reduction" (2014), algorithm 1. A step that
could have come later (see `causality`) gets an alternative in its place; what was tried there sleeps until something
that depends on it happens. Nothing is bounded, so having no alternative left is a proof, at the declared points.
"""

from collections.abc import Sequence

from sessionguard.testing.schedule.accesses import Point, conflict
from sessionguard.testing.schedule.causality import Causality
from sessionguard.testing.schedule.errors import first_difference
from sessionguard.testing.schedule.track import Step, Track

Footprint = tuple[Point, ...]


class _Node:
    """One place on the path: who can go on there, what is to be tried, and what sleeps."""

    __slots__ = ("chosen", "enabled", "pending", "sleep", "step", "to_try")

    def __init__(
        self, enabled: tuple[int, ...], pending: tuple[Point | None, ...], sleep: dict[int, Footprint]
    ) -> None:
        self.enabled, self.pending, self.sleep = enabled, pending, sleep
        self.chosen = -1
        self.to_try: set[int] = set()
        self.step: Step | None = None

    def footprint(self) -> Footprint:
        """Give what the chosen step touched."""
        assert self.step is not None
        return (self.step.point, *self.step.notes)


class SourceDpor:
    """The search. With `is_strict` the order of calls and returns counts as well."""

    def __init__(self, is_strict: bool = False) -> None:
        self.name = "source-DPOR with real time" if is_strict else "source-DPOR"
        self.is_exhausted = False
        self.redundant = 0
        """How many schedules came out to be like one before."""
        self._is_strict = is_strict
        self._path: list[_Node] = []
        self._depth = 0
        self._fresh = 0
        """From which step on the schedule is a new one."""
        self._is_spoiled = False
        self._is_asleep = False
        self._where_asleep: tuple[Point | None, ...] = ()

    def begin(self) -> bool:
        """Go back to the last place with something left to try."""
        if self._is_spoiled:
            return False
        if not self._path:
            return not self.is_exhausted and self._restart(0)
        while self._path:
            node = self._path[-1]
            node.sleep[node.chosen] = node.footprint()
            left = node.to_try - node.sleep.keys()
            if left:
                node.chosen = min(left)
                return self._restart(len(self._path) - 1)
            self._path.pop()
        self.is_exhausted = True
        return False

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Follow the path, then lengthen it by whoever is current."""
        if track.has_blocked:
            # A worker that waits for something undeclared runs beside another: the path cannot be taken again.
            self._is_spoiled = True
            return track.current if track.current in enabled else enabled[0]
        depth, path = self._depth, self._path
        self._depth += 1
        if depth and not self._is_asleep:
            path[depth - 1].step = track.steps[-1]
        if depth < len(path):
            node = path[depth]
            if node.pending != tuple(track.pending):
                raise first_difference(depth, track.names, node.pending, track.pending)
            return node.chosen
        if self._is_asleep:
            return track.current if track.current in enabled else enabled[0]
        return self._lengthen(track, tuple(enabled))

    def end(self, track: Track) -> None:
        """Find the races of the schedule, and remember what to try instead."""
        if self._is_spoiled or track.has_blocked:
            self._is_spoiled = True
            return
        if self._path and track.steps:
            # Nobody was asked after it, so nothing has told it yet; what stands there is what was tried there before.
            self._path[-1].step = track.steps[len(self._path) - 1]
        causality = Causality(len(track.names), self._is_strict)
        for number in range(len(self._path)):
            for race in causality.add(track.steps[number], number >= self._fresh):
                self._try_instead(race.earlier, race.instead)
        self._try_who_was_stopped(track, causality)
        if not self._is_asleep:
            for worker, point in track.waiting():
                for race in causality.waiting(worker, point):
                    self._try_instead(race.earlier, race.instead)

    def _try_who_was_stopped(self, track: Track, causality: Causality) -> None:
        """Where a step took others from their points (a cancelled task or timer), let those come before it, too."""
        end = self._where_asleep if self._is_asleep else track.pending
        for place, node in enumerate(self._path):
            if not track.steps[place].notes:
                continue
            after = self._path[place + 1].pending if place + 1 < len(self._path) else end
            for worker in node.enabled:
                point = node.pending[worker]
                if worker != node.chosen and point is not None and after[worker] != point:
                    self._try_instead(place, causality.stopped(place, worker, point).instead)

    def _restart(self, fresh: int) -> bool:
        self._depth, self._fresh, self._is_asleep = 0, fresh, False
        return True

    def _lengthen(self, track: Track, enabled: tuple[int, ...]) -> int:
        sleep = self._still_asleep(track)
        awake = [worker for worker in enabled if worker not in sleep]
        if not awake:
            # Whatever comes now was explored from an earlier place; the run only has to come to an end.
            self._is_asleep = True
            self._where_asleep = tuple(track.pending)
            self.redundant += 1
            return track.current if track.current in enabled else enabled[0]
        node = _Node(enabled, tuple(track.pending), sleep)
        node.chosen = track.current if track.current in awake else awake[0]
        node.to_try.add(node.chosen)
        self._path.append(node)
        return node.chosen

    def _still_asleep(self, track: Track) -> dict[int, Footprint]:
        if not self._path:
            return {}
        before = self._path[-1]
        done = self._visible(before.footprint())
        return {
            worker: footprint
            for worker, footprint in before.sleep.items()
            if worker != before.chosen and not conflict(done, self._visible(footprint))
        }

    def _visible(self, footprint: Footprint) -> Footprint:
        if self._is_strict:
            return footprint
        return tuple(point for point in footprint if point.mode not in ("call", "ret"))

    def _try_instead(self, place: int, workers: tuple[int, ...]) -> None:
        node = self._path[place]
        # One that sleeps here counts as tried: what it leads to was explored from an earlier place.
        if not node.to_try.isdisjoint(workers) or not node.sleep.keys().isdisjoint(workers):
            return
        possible = [worker for worker in workers if worker in node.enabled]
        # Tasks start and wake each other by more than declared locks; one that was not there yet could not run instead.
        node.to_try.update(possible[-1:] or node.enabled)
