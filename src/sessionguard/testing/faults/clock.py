"""A wrong clock: for this process, and for the servers that are started under it."""

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from sessionguard.testing.servers.faked_time import FakedTime

_NS_PER_US = 1000


class WrongClock:
    """The wall clock of this process is wrong by `offset` while this is open; `jump` sets it again meanwhile.

    That is `time.time()` and `time.time_ns()`, for every thread, and for children that are forked meanwhile. What
    asks the system in another way, such as `datetime.now()`, a name bound by `from time import time` before, or an
    engine written in C, sees the true time. `time.monotonic()` is right, as it is on a machine whose clock is wrong.

    A server of this kit that is started under it sees the wrong time by libfaketime, and jumps along; without
    libfaketime it does not start and says so. A server that ran before keeps the true time.
    """

    def __init__(self, offset: timedelta) -> None:
        self._offset = offset

    def __enter__(self) -> Self:
        self._true = time.time, time.time_ns
        self._servers = FakedTime()
        self._servers.set(self._offset)
        true_time, true_time_ns = self._true
        time.time = lambda: true_time() + self._offset.total_seconds()
        time.time_ns = lambda: true_time_ns() + self._offset // timedelta(microseconds=1) * _NS_PER_US
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        time.time, time.time_ns = self._true
        self._servers.close()

    @property
    def offset(self) -> timedelta:
        """How far the clock is ahead of the true time."""
        return self._offset

    def jump(self, by: timedelta) -> None:
        """The clock is set forward by so much at once, or back."""
        self._offset += by
        self._servers.set(self._offset)


def wrong_clock(offset: timedelta) -> WrongClock:
    """Give a context in which the clock is wrong by `offset`; it gives a `WrongClock`, whose `jump` sets it again."""
    return WrongClock(offset)
