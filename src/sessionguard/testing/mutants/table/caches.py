"""A cache before the store, with entries that live for a while: what an end has dropped may come back."""

from functools import partial
from pathlib import Path

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.mutants.table.rows import Make
from sessionguard.testing.schedule import Scenario
from sessionguard.testing.schedule.clock import VirtualClock

_SESSION = "session of ana"
_CACHED_US = 10_000_000


class RefillsAfterTheEnd:
    """A load that missed the cache puts back what it read, though the session was ended in the meantime."""

    def __init__(self, folder: Path) -> None:
        self.rows = {_SESSION}
        self.cache: dict[str, int] = {}
        self.dropped = 0

    def load(self, clock: VirtualClock) -> bool:
        """Tell whether the session is there."""
        now = clock.us()
        point("cache get", "cache", "r")
        dropped = self.dropped
        if self.cache.get(_SESSION, 0) > now:
            return True
        point("SELECT", _SESSION, "r")
        is_there = _SESSION in self.rows
        point("cache put", "cache", "w")
        if is_there and self.may_fill(dropped):
            self.cache[_SESSION] = now + _CACHED_US
        return is_there

    def may_fill(self, dropped: int) -> bool:
        """Tell whether what was read may be kept."""
        return True

    def end(self) -> None:
        """End the session."""
        point("DELETE", _SESSION, "w")
        self.rows.discard(_SESSION)
        point("cache drop", "cache", "w")
        self.cache.pop(_SESSION, None)
        self.dropped += 1


class RefillsUnlessDropped(RefillsAfterTheEnd):
    """Keeps what it read only if nothing was dropped from the cache since it looked there."""

    def may_fill(self, dropped: int) -> bool:
        return dropped == self.dropped


class NeverCaches(RefillsAfterTheEnd):
    """Reads the store each time."""

    def may_fill(self, dropped: int) -> bool:
        return False


def an_end_under_a_cache(s: Scenario, make: Make, folder: Path) -> None:
    """A session is cached until the clock moves on; then it is loaded by two, and ended by one of them before."""
    sessions = make(folder)
    if sessions.may_fill(0):
        sessions.cache[_SESSION] = s.clock.us() + _CACHED_US

    def load(me: str) -> None:
        with s.history.record(me, "load") as op:
            op.ok(sessions.load(s.clock))

    def end() -> None:
        with s.history.record("logout", "end") as op:
            sessions.end()
            op.ok()

    s.clock_actor([30.0])
    s.worker("request", partial(load, "request"))
    s.worker("logout", end, partial(load, "logout"))
    s.check(ended_stays_ended)


def ended_stays_ended(history: History) -> None:
    """Who asks after the end was told is not told that the session is there."""
    ends = [operation.ret for operation in history.operations if operation.name == "end" and operation.ret is not None]
    for operation in history.operations:
        is_late = any(operation.call > end for end in ends)
        assert not (operation.name == "load" and operation.result is True and is_late), "an ended session was loaded"
