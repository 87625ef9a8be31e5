"""PCT, probabilistic concurrency testing (Burckhardt et al. 2010): fixed priorities that change at a few points.

With d - 1 changes it finds every race that needs d orderings with a probability that has a lower bound. No one depth
finds all: on shallow races a uniform walk is faster, and depth 2 misses some races for ever.
"""

import random
from collections.abc import Sequence

from sessionguard.testing.schedule.strategies.strategy import keep_running
from sessionguard.testing.schedule.track import Track


class ChangingPriorities:
    """The search, with `depth` 2 or more."""

    is_exhausted = False

    def __init__(self, depth: int, seed: int = 0) -> None:
        self.name = f"PCT{depth}"
        self._random = random.Random(f"{seed}/pct{depth}")
        self._depth = depth
        self._longest = 0
        self._changes: set[int] = set()
        self._priorities: dict[int, float] = {}
        self._lowest = 0.0
        self._decisions = 0

    def begin(self) -> bool:
        """Draw the places of the changes, within the longest schedule seen."""
        places = range(max(self._longest, self._depth))
        self._changes = set(self._random.sample(places, min(self._depth - 1, len(places))))
        self._priorities, self._lowest, self._decisions = {}, 0.0, 0
        return True

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Choose the highest priority; at a change, the one who would go on comes last of all from now on."""
        for worker in range(len(self._priorities), len(track.names)):
            self._priorities[worker] = 1.0 + self._random.random()
        kept = keep_running(track, enabled)
        if kept is not None:
            return kept
        if self._decisions in self._changes:
            self._lowest -= 1.0
            self._priorities[self._best(enabled)] = self._lowest
        self._decisions += 1
        return self._best(enabled)

    def end(self, track: Track) -> None:
        """Learn how long a schedule is."""
        self._longest = max(self._longest, self._decisions)

    def _best(self, enabled: Sequence[int]) -> int:
        return max(enabled, key=lambda worker: self._priorities[worker])
