"""What a search is: it prepares a schedule, chooses at every step of it, and learns from how it went."""

from collections.abc import Sequence
from typing import Protocol

from sessionguard.testing.schedule.track import Track


class Strategy(Protocol):
    """A search. `begin`, then `choose` until the schedule is over, then `end`; then again, until `begin` says no."""

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def is_exhausted(self) -> bool:
        """Whether it has shown that no other schedule can come out differently."""

    def begin(self) -> bool:
        """Prepare for the next schedule; False if there is none left."""

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Give who goes on."""

    def end(self, track: Track) -> None:
        """Learn from the schedule that was just run to its end."""


def keep_running(track: Track, enabled: Sequence[int]) -> int | None:
    """Give the worker that must go on without a decision, if there is one.

    A call that was just noted goes on to its first access: stopping in between would only make the history say less.
    Only searches that are told of every step (not those that must explore each choice) may leave it out.
    """
    current = track.current
    if track.steps and track.steps[-1].point.mode == "call" and current in enabled:
        return current
    return None
