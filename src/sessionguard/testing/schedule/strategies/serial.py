"""Serial schedules: one worker after the other, in different orders. What fails here is no race."""

import itertools
from collections.abc import Sequence
from typing import Final

from sessionguard.testing.schedule.track import Track

_MOST_ORDERS: Final = 6


class Serial:
    """Every order of whole workers, as long as those are few."""

    name = "serial"
    is_exhausted = False

    def __init__(self, count: int) -> None:
        self._orders = itertools.islice(itertools.permutations(range(count)), _MOST_ORDERS)
        self._order: tuple[int, ...] = ()

    def begin(self) -> bool:
        """Take the next order."""
        order = next(self._orders, None)
        self._order = order or ()
        return order is not None

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Let the current one go on as long as it can, then the next in order."""
        if track.current in enabled:
            return track.current
        return next((worker for worker in self._order if worker in enabled), enabled[0])

    def end(self, track: Track) -> None:
        """Learn nothing."""
