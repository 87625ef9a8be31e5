"""A clock that stands until a test moves it."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Says what time it is; pass it as `clock`."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, duration: timedelta = timedelta(0), **parts: float) -> None:
        """Let time pass: a `timedelta`, or its parts such as `minutes=5`."""
        self.now += duration + timedelta(**parts)
