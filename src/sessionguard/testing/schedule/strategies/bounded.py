"""Every schedule with few preemptions: few enough, and a failing one is easy to read."""

from collections.abc import Sequence

from sessionguard.testing.schedule.track import Track


class Bounded:
    """Depth first through all schedules in which at most `bound` workers are interrupted while they could go on.

    With a bound of None it is every schedule. Within the bound nothing is left out, but a bound proves nothing.
    """

    is_exhausted = False

    def __init__(self, bound: int | None = None) -> None:
        self.name = "DFS" if bound is None else f"DFS b={bound}"
        self._bound = bound
        self._path: list[tuple[int, list[int]]] = []
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
            taken, options = self._path.pop()
            if taken + 1 < len(options):
                self._path.append((taken + 1, options))
                return True
        self.is_exhausted = self._bound is None
        return False

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Follow the path, then let the current one go on."""
        if self._depth == len(self._path):
            self._path.append((0, self._options(track, enabled)))
        taken, options = self._path[self._depth]
        self._depth += 1
        # In a scenario that does not do the same each time the path leads nowhere; the check for that says so later.
        chosen = options[taken] if options[taken] in enabled else enabled[0]
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
