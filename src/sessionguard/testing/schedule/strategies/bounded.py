"""Every schedule with few preemptions: few enough, and a failing one is easy to read."""

from collections.abc import Sequence

from sessionguard.testing.schedule.accesses import Point
from sessionguard.testing.schedule.errors import first_difference
from sessionguard.testing.schedule.track import Track


class _Place:
    """One place on the path: who can be chosen there, who is, and where everybody stands."""

    __slots__ = ("options", "pending", "taken")

    def __init__(self, options: list[int], pending: tuple[Point | None, ...]) -> None:
        self.options, self.pending = options, pending
        self.taken = 0


class Bounded:
    """Depth first through all schedules in which at most `bound` workers are interrupted while they could go on.

    With a bound of None it is every schedule, and a scenario that does not do the same each time is refused with
    `NondeterministicScenario`. Within the bound nothing is left out, but a bound proves nothing.
    """

    is_exhausted = False

    def __init__(self, bound: int | None = None) -> None:
        self.name = "DFS" if bound is None else f"DFS b={bound}"
        self._bound = bound
        self._path: list[_Place] = []
        self._depth = 0
        self._preemptions = 0
        self._is_first = True

    def begin(self) -> bool:
        """Go back to the last place with something left to try."""
        self._depth = self._preemptions = 0
        if self._is_first:
            self._is_first = False
            return True
        while self._path:
            place = self._path[-1]
            place.taken += 1
            if place.taken < len(place.options):
                return True
            self._path.pop()
        self.is_exhausted = self._bound is None
        return False

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Follow the path, then let the current one go on."""
        if self._depth == len(self._path):
            self._path.append(_Place(self._options(track, enabled), tuple(track.pending)))
        place = self._path[self._depth]
        if self._bound is None and not track.has_blocked and place.pending != tuple(track.pending):
            raise first_difference(self._depth, track.names, place.pending, track.pending)
        self._depth += 1
        # Where something undeclared was waited for the path may lead nowhere; then nothing is proved.
        wanted = place.options[place.taken]
        chosen = wanted if wanted in enabled else enabled[0]
        self._preemptions += track.current in enabled and chosen != track.current
        return chosen

    def end(self, track: Track) -> None:
        """Learn nothing."""

    def _options(self, track: Track, enabled: Sequence[int]) -> list[int]:
        if track.current not in enabled:
            return list(enabled)
        if self._bound is not None and self._preemptions >= self._bound:
            return [track.current]
        return [track.current, *(worker for worker in enabled if worker != track.current)]
