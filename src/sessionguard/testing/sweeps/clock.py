"""A clock that all processes of a sweep share, and that only the sweep moves; on request their wall clock, too."""

import mmap
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from sessionguard.core.instants import from_us, to_us
from sessionguard.testing.schedule.clock import BEGINNING

_NUMBER: Final = struct.Struct("q")
_NS_PER_US: Final = 1000
_US_PER_S: Final = 1_000_000


class SharedClock:
    """Shows the same instant in a process and in all that were forked from it; for guards, `clock=run.clock`."""

    def __init__(self) -> None:
        # Anonymous and shared: what one of them writes, all of them read.
        self._memory = mmap.mmap(-1, _NUMBER.size)
        self.set(BEGINNING)

    def __call__(self) -> datetime:
        """Give the instant that it shows."""
        return from_us(self.us())

    def us(self) -> int:
        """Give the same in microseconds since the epoch."""
        number: int = _NUMBER.unpack_from(self._memory)[0]
        return number

    def set(self, instant: datetime) -> None:
        """Let it show `instant`."""
        _NUMBER.pack_into(self._memory, 0, to_us(instant))

    def advance(self, by: timedelta) -> None:
        """Move it by a duration, backwards too."""
        _NUMBER.pack_into(self._memory, 0, self.us() + by // timedelta(microseconds=1))

    @contextmanager
    def as_wall_clock(self) -> Iterator[None]:
        """Let `time.time()` and `time.time_ns()` of this process show it."""
        true = time.time, time.time_ns
        time.time = lambda: self.us() / _US_PER_S
        time.time_ns = lambda: self.us() * _NS_PER_US
        try:
            yield
        finally:
            time.time, time.time_ns = true
