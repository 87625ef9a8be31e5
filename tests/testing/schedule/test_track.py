"""The state of one schedule: who may go on, and who waits for whom."""

import pytest

from sessionguard.testing.schedule.accesses import Point, conflict
from sessionguard.testing.schedule.track import NOBODY, EndlessError, Track


class First:
    """Lets the first go on."""

    def choose(self, track: Track, enabled: object) -> int:
        """Give the first."""
        return track.enabled()[0]


def taking(lock: str) -> Point:
    """Give the point before a lock."""
    return Point("take", lock, "acq")


def test_the_circle_is_told_without_those_who_only_wait_for_it() -> None:
    """Of four who wait, the two who wait for each other are the deadlock."""
    track = Track(["late", "a", "b", "later"], First())
    track.holders = {"L": 1, "M": 2, "N": 0}
    track.pending = [taking("L"), taking("M"), taking("L"), taking("N")]
    assert track.enabled() == []
    assert track.wait_cycle() == [(1, taking("M"), 2), (2, taking("L"), 1)]


def test_without_a_circle_everyone_who_waits_is_told() -> None:
    """A lock whose holder has ended is waited for in vain."""
    track = Track(["a", "b"], First())
    track.holders = {"L": 0}
    track.pending = [None, taking("L")]
    assert track.wait_cycle() == [(1, taking("L"), 0)]


def test_steps_are_counted_and_limited() -> None:
    """Nobody goes on when no one is there; too many steps are an error."""
    track = Track(["a"], First(), step_limit=1)
    assert track.decide() == NOBODY
    track.pending = [Point("step", "x", "w")]
    assert track.decide() == 0
    track.pending = [Point("step", "x", "w")]
    with pytest.raises(EndlessError):
        track.decide()


@pytest.mark.parametrize(
    "one, other, depend",
    [
        ("r", "r", False), ("r", "w", True), ("w", "w", True), ("acq", "acq", True), ("acq", "rel", True),
        ("call", "call", False), ("ret", "ret", False), ("call", "ret", True), ("try", "acq", True), ("-", "w", False),
    ],
)  # fmt: skip
def test_which_accesses_depend_on_each_other(one: str, other: str, depend: bool) -> None:
    """Those of one resource of which at least one changes it; never those of different resources."""
    assert conflict([Point("a", "x", one)], [Point("b", "x", other)]) is depend
    assert conflict([Point("a", "x", other)], [Point("b", "x", one)]) is depend
    assert not conflict([Point("a", "x", one)], [Point("b", "y", other)])
