"""How long one call waits for its turn among processes, and how it waits: by short tries at random distances."""

import random
import time
from collections.abc import Iterator
from typing import Final

_FIRST_DELAY: Final = 0.0002
_LONGEST_DELAY: Final = 0.005

# Seeded from the system at import and again by the interpreter in a forked child; jitter is no secret.
_jitter = random.uniform


class Deadline:
    """When the patience of one call is over, whatever it waits for and however often."""

    def __init__(self, patience_seconds: float) -> None:
        self.patience_seconds = patience_seconds
        self._at = time.monotonic() + patience_seconds

    @property
    def seconds_left(self) -> float:
        """How long the call may still wait; 0 if its patience is over."""
        return max(0.0, self._at - time.monotonic())


def short_delays() -> Iterator[float]:
    """Give the seconds to wait between one try and the next, without end: growing, and never in step with others."""
    delay = _FIRST_DELAY
    while True:
        yield _jitter(delay / 4, delay)
        delay = min(delay * 2, _LONGEST_DELAY)
