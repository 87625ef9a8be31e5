"""An exact repetition: the recorded choice at every step, and an error as soon as the workers stand elsewhere."""

from collections.abc import Sequence

from sessionguard.testing.schedule.errors import NondeterministicScenario, first_difference
from sessionguard.testing.schedule.track import Step, Track


class Tape:
    """The same schedule again."""

    name = "repetition"
    is_exhausted = False

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._place = 0

    def begin(self) -> bool:
        """Rewind."""
        self._place = 0
        return True

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Choose what was chosen.

        Raises:
            NondeterministicScenario: other workers can go on now, or the chosen one stands before another point.
        """
        place = self._place
        self._place += 1
        if place >= len(self._steps):
            worker = enabled[0]
            raise first_difference(place, track.names[worker:], [None], [track.pending[worker]])
        step = self._steps[place]
        now = track.pending[step.worker]
        if now != step.point:
            raise first_difference(place, track.names[step.worker :], [step.point], [now])
        if list(enabled) != list(step.enabled):
            raise NondeterministicScenario(place, _told(track.names, step.enabled, enabled))
        return step.worker

    def end(self, track: Track) -> None:
        """Notice a schedule that ended early.

        Raises:
            NondeterministicScenario: some steps are missing.
        """
        if self._place < len(self._steps):
            step = self._steps[self._place]
            raise first_difference(self._place, track.names[step.worker :], [step.point], [None])


def _told(names: Sequence[str], before: Sequence[int], now: Sequence[int]) -> str:
    first, second = (", ".join(names[worker] for worker in workers) for workers in (before, now))
    return f"{first} could go on once, and {second} now"
