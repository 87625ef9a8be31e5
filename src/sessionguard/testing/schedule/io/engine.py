"""What the engines do around each schedule so that io is seen in it, and nothing outside of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sessionguard.testing.schedule.io import files, locks, postgres, redis_commands, sleeping, sqlite
from sessionguard.testing.schedule.io.listening import listening
from sessionguard.testing.schedule.io.recording import Recording
from sessionguard.testing.schedule.io.replacing import Replacements
from sessionguard.testing.schedule.io.stopping import Stopping
from sessionguard.testing.schedule.track import Track

_are_replaced = False
"""Nothing is replaced twice: it would tell twice of each access."""


class IoPoints:
    """The replaced functions of one search; without `is_on` there are none.

    With `are_checked` nobody is stopped at them, and what is done is compared with the points that are declared.
    """

    def __init__(self, is_on: bool, *, are_checked: bool = False) -> None:
        self._is_on, self._are_checked = is_on or are_checked, are_checked
        self._replacements: Replacements | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let them be in the place of the real ones until the block, one schedule with all around it, is left."""
        global _are_replaced
        if not self._is_on or _are_replaced:
            yield
            return
        if self._replacements is None:
            self._replacements = _all_of_them()
        _are_replaced = True
        try:
            self._replacements.do()
            yield
        finally:
            self._replacements.undo()
            _are_replaced = False

    @contextmanager
    def listening(self, track: Track, current: Callable[[], int], are_tasks: bool) -> Iterator[None]:
        """Let workers stop at them until the block is left."""
        if not self._is_on:
            yield
            return
        if self._are_checked:
            recording = Recording(track, current)
            with listening(recording):
                yield
            track.undeclared = list(recording.undeclared())
            return
        with listening(Stopping(track, current, are_tasks)):
            yield

    def close(self) -> None:
        """Leave nothing behind: modules that were imported meanwhile have the real functions, too."""
        if self._replacements is not None:
            self._replacements.sweep()


def _all_of_them() -> Replacements:
    replacements = Replacements()
    for module in (files, locks, sleeping, sqlite, postgres, redis_commands):
        module.add(replacements)
    replacements.replace_by_name()
    return replacements
