"""URW, the uniform random walk: every schedule is about equally likely, whatever the lengths of the workers.

A worker with more points before it is chosen more often, in proportion. How many there are is learned from earlier
schedules. Declarations are ignored, so it finds what wrong ones hide.
"""

import random
from collections import Counter
from collections.abc import Sequence

from sessionguard.testing.schedule.strategies.strategy import keep_running
from sessionguard.testing.schedule.track import Track


class UniformWalk:
    """The search."""

    name = "URW"
    is_exhausted = False

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(f"{seed}/urw")
        self._lengths: Counter[int] = Counter()
        self._done: Counter[int] = Counter()

    def begin(self) -> bool:
        """Forget how far the workers had come."""
        self._done.clear()
        return True

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Choose by what is left."""
        worker = keep_running(track, enabled)
        if worker is None:
            weights = [max(1, self._lengths[each] - self._done[each]) for each in enabled]
            (worker,) = self._random.choices(enabled, weights)
        self._done[worker] += 1
        return worker

    def end(self, track: Track) -> None:
        """Learn how many points each worker has: the most that it was seen to have."""
        self._lengths |= self._done
