"""The virtual clock: it shows what it was set to, and moves only when somebody moves it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from sessionguard.core.instants import from_us, to_us
from sessionguard.testing.schedule.accesses import CLOCK

BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)

Access = Callable[[str, str, Literal["r"]], None]


class VirtualClock:
    """A clock for stores and guards (`clock=s.clock`): call it for an aware datetime.

    If the scenario has a clock actor, reading it is a point like any other access, so that every reading may come
    before or after the clock moves.
    """

    def __init__(self, start: datetime = BEGINNING, access: Access | None = None) -> None:
        self._us = to_us(start)
        self._start_us = self._us
        self._access = access
        self.is_moving = False
        """Whether somebody moves it while others read it."""

    def __call__(self) -> datetime:
        """Give the instant that it shows."""
        return from_us(self.us())

    def us(self) -> int:
        """Give the same in microseconds since the epoch."""
        if self.is_moving and self._access is not None:
            self._access("clock", CLOCK, "r")
        return self._us

    def peek_us(self) -> int:
        """Give the microseconds without being a point."""
        return self._us

    def peek_seconds(self) -> float:
        """Give the seconds since the clock was made without being a point."""
        return (self._us - self._start_us) / 1e6

    def time(self) -> float:
        """Give the seconds since the epoch, as `time.time` does."""
        return self.us() / 1e6

    def monotonic(self) -> float:
        """Give the seconds since the clock was made."""
        return (self.us() - self._start_us) / 1e6

    def advance(self, by: timedelta | float) -> None:
        """Move it by a duration, or by that many seconds; backwards, too."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self._us += step // timedelta(microseconds=1)

    def show_us(self, instant_us: int) -> None:
        """Let it show that many microseconds since the epoch."""
        self._us = instant_us

    def set(self, instant: datetime) -> None:
        """Let it show `instant`."""
        self._us = to_us(instant)
