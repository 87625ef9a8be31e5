"""Waits between tries: growing, bounded, spread."""

import os
from itertools import islice

from sessionguard.core.retrying import delays


def test_ceiling_doubles_up_to_a_quarter_of_a_second() -> None:
    """The longest possible waits: 2 ms, twice that each time, never more than 250 ms."""
    longest = list(islice(delays(lambda length: b"\xff" * length), 12))
    assert [round(wait * 1000) for wait in longest] == [2, 4, 8, 16, 32, 64, 128, 250, 250, 250, 250, 250]


def test_waits_are_spread_over_the_whole_interval() -> None:
    """Callers that failed together do not come back together."""
    firsts = [next(delays(os.urandom)) for _ in range(200)]
    assert min(firsts) < 0.0004
    assert max(firsts) > 0.0016
