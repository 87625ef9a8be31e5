"""Several searches that take turns, one schedule each: no single one finds every kind of race."""

from collections.abc import Sequence

from sessionguard.testing.schedule.strategies.strategy import Strategy
from sessionguard.testing.schedule.track import Track


class Turns:
    """The search; its name is that of whose turn it is."""

    is_exhausted = False

    def __init__(self, strategies: Sequence[Strategy]) -> None:
        self._strategies = strategies
        self._turn = -1

    @property
    def name(self) -> str:
        """The name of whose turn it is."""
        return self._current.name

    def begin(self) -> bool:
        """Give the turn to the next."""
        self._turn += 1
        return self._current.begin()

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Let it choose."""
        return self._current.choose(track, enabled)

    def end(self, track: Track) -> None:
        """Let it learn."""
        self._current.end(track)

    @property
    def _current(self) -> Strategy:
        return self._strategies[max(self._turn, 0) % len(self._strategies)]
