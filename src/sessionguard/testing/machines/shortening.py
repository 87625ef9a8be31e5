"""How long a run that fails may look for a shorter trace; when that time is up, the shortest so far is told."""

import sys
import time

from hypothesis.control import current_build_context
from hypothesis.errors import HypothesisException


class Shortening:
    """The time that one run may take after its first failure. Hypothesis would take five minutes. One for each run."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None
        self._was_cut = False

    def note_error(self) -> None:
        """Start the clock if an error of the test is on its way; say in the last replay that the search was cut."""
        error = sys.exc_info()[1]
        if not isinstance(error, Exception) or isinstance(error, HypothesisException):
            return
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        if self._was_cut and is_last_replay():
            error.add_note(f"a shorter trace was looked for {self._seconds:g} s (shrink_seconds), and there may be one")

    def go_on(self) -> None:
        """Return if there is time for this trace; else leave it, in a way that Hypothesis takes for no answer."""
        if self._until is not None and time.monotonic() > self._until and not is_last_replay():
            self._was_cut = True
            # Not as a trace that passes: Hypothesis has seen the beginnings of some fail, and would call that flaky.
            current_build_context().data.mark_overrun()

    def seconds_of(self, seconds: float) -> float:
        """Give as many of these seconds as are left."""
        if self._until is None or is_last_replay():
            return seconds
        return max(0.1, min(seconds, self._until - time.monotonic()))


def is_last_replay() -> bool:
    """Tell whether Hypothesis plays the trace that it reports."""
    return bool(current_build_context().is_final)
