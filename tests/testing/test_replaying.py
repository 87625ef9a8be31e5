"""Ids of reports: each kind is told apart, and each fixture follows only its own."""

from datetime import timedelta

import pytest

from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.faults.cancelling import CANCEL_WAYS, CancelPoint
from sessionguard.testing.replaying import ReplayKind, kind_of
from sessionguard.testing.schedule.replay import ReplayId, Segment
from sessionguard.testing.sweeps.interrupting import InterruptPoint
from sessionguard.testing.sweeps.orders import Strike
from sessionguard.testing.sweeps.stops import Stop

STOP = Stop(3, "sg1:kill@a", 2)


@pytest.mark.parametrize("replay_id, kind", [
    (str(ReplayId((Segment("kill@", "raise@3"),), seed=7)), ReplayKind.SCHEDULE),
    *[(CancelPoint(way, 3, 2).id, ReplayKind.CANCEL) for way in CANCEL_WAYS],
    (InterruptPoint(3, 1).id, ReplayKind.INTERRUPT),
    (Strike("kill", 0).id_at(STOP), ReplayKind.KILL),
    (Strike("pause", 0).id_at(STOP), ReplayKind.KILL),
    (Strike("jump", 0, -timedelta(hours=1)).id_at(STOP), ReplayKind.JUMP),
    (Strike("jump", 0, timedelta(microseconds=1)).id_at(STOP), ReplayKind.JUMP),
    (Strike("fork", 0).id_at(STOP), ReplayKind.FORK),
])  # fmt: skip
def test_every_id_that_is_printed_has_a_kind(replay_id: str, kind: ReplayKind) -> None:
    """What a report prints is told to be what it is, whatever its labels look like."""
    assert kind_of(replay_id) is kind


@pytest.mark.parametrize("text", ["", "nonsense", "smash@rename#1", "sg2:a@end", "@INSERT#1"])
def test_what_nobody_prints_is_refused(text: str) -> None:
    """Another text is refused, with what ids look like."""
    with pytest.raises(InvalidArgumentError, match="give an id that a report printed"):
        kind_of(text)
