"""Waits between tries: bounded, growing, spread."""

import os
from itertools import islice

from sessionguard.core.retrying import delays


def test_waits_come_to_the_bound_and_end() -> None:
    """Together they take about as long as allowed: the last one may go over, by less than the longest wait."""
    waits = list(delays(os.urandom, 10.0))
    assert 10.0 <= sum(waits) < 10.25
    assert sum(waits[:-1]) < 10.0


def test_ceiling_doubles_up_to_a_quarter_of_a_second() -> None:
    """The longest possible waits: 2 ms, twice that each time, never more than 250 ms."""
    longest = list(islice(delays(lambda length: b"\xff" * length, 100.0), 12))
    assert [round(wait * 1000) for wait in longest] == [2, 4, 8, 16, 32, 64, 128, 250, 250, 250, 250, 250]


def test_waits_are_spread_over_the_whole_interval() -> None:
    """Callers that failed together do not come back together."""
    firsts = [next(delays(os.urandom, 1.0)) for _ in range(200)]
    assert min(firsts) < 0.0004
    assert max(firsts) > 0.0016
