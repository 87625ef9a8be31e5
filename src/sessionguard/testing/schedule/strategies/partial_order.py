"""POS, partial order sampling (Yuan, Yang, Gu 2018): random priorities, drawn anew for what an access races with.

Orders of dependent accesses are sampled more evenly than by a random walk, which spends its luck on orders of
independent ones.
"""

import random
from collections.abc import Sequence

from sessionguard.testing.schedule.accesses import conflict
from sessionguard.testing.schedule.strategies.strategy import keep_running
from sessionguard.testing.schedule.track import Track


class PartialOrderSampling:
    """The search."""

    name = "POS"
    is_exhausted = False

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(f"{seed}/pos")
        self._priorities: dict[int, float] = {}

    def begin(self) -> bool:
        """Forget the priorities."""
        self._priorities = {}
        return True

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Choose the highest priority; then let it, and those it races with, draw again."""
        kept = keep_running(track, enabled)
        if kept is not None:
            self._priorities.pop(kept, None)
            return kept
        for worker in enabled:
            if worker not in self._priorities:
                self._priorities[worker] = self._random.random()
        chosen = max(enabled, key=lambda worker: self._priorities[worker])
        point = track.pending[chosen]
        for worker, waiting in track.waiting():
            if worker == chosen or (point is not None and conflict((point,), (waiting,))):
                self._priorities.pop(worker, None)
        return chosen

    def end(self, track: Track) -> None:
        """Learn nothing."""
