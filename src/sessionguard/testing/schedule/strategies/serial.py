"""Serial schedules: one worker after the other, in different orders. What fails here is no race."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import Final

from sessionguard.testing.schedule.track import Track

_MOST_ORDERS: Final = 6


class Serial:
    """Every order of whole workers where those are few; else the order they are named in, its reverse, and a sample."""

    name = "serial"
    is_exhausted = False

    def __init__(self, count: int, seed: int = 0) -> None:
        self._orders = _orders(count, random.Random(f"{seed}/serial"))
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


def _orders(count: int, luck: random.Random) -> Iterator[tuple[int, ...]]:
    if math.factorial(count) <= _MOST_ORDERS:
        yield from itertools.permutations(range(count))
        return
    named = tuple(range(count))
    # A dict, because its order does not depend on hashes.
    orders = dict.fromkeys([named, named[::-1]])
    while len(orders) < _MOST_ORDERS:
        orders[tuple(luck.sample(named, count))] = None
    yield from orders
