"""Locks that are there and do not help: given back too early, taken in two orders, or held by the dead."""

import fcntl
import json
import os
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.mutants.table.rows import Make
from sessionguard.testing.schedule import Scenario

# Row 11: a lock released early


class WritesAfterUnlocking:
    """Reads a counter under a lock, and writes it back when the lock has been released."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self.mutex = threading.Lock()

    def increment(self) -> int:
        """Count one more, and give the number."""
        with self.mutex:
            number = self.read() + 1
        self.write(number)
        return number

    def read(self) -> int:
        """Give the last number."""
        point("SELECT", "count", "r")
        return self.count

    def write(self, number: int) -> None:
        """Keep the number."""
        point("UPDATE", "count", "w")
        self.count = number


class WritesUnderTheLock(WritesAfterUnlocking):
    """Reads and writes a counter under a lock."""

    def increment(self) -> int:
        with self.mutex:
            number = self.read() + 1
            self.write(number)
            return number


class AddsInOneStep(WritesAfterUnlocking):
    """Adds one in the database, without any lock."""

    def increment(self) -> int:
        point("UPDATE ... RETURNING", "count", "w")
        self.count += 1
        return self.count


def three_updates(s: Scenario, make: Make, folder: Path) -> None:
    """Three callers count."""
    counter = make(folder)

    def increment(me: str) -> None:
        with s.history.record(me, "increment") as op:
            op.ok(counter.increment())

    s.adopt(counter)
    for name in ("one", "two", "three"):
        s.worker(name, partial(increment, name))
    s.check(every_update_counts)


def every_update_counts(history: History) -> None:
    """Each caller was given another number."""
    numbers = [operation.result for operation in history.operations if operation.outcome == "ok"]
    assert len(set(numbers)) == len(numbers), "an update was lost"


# Row 26: two locks in two orders


class LocksInTwoOrders:
    """`end` takes the lock of the sessions and then that of the index, `sweep` the other way round."""

    def __init__(self, folder: Path) -> None:
        self.sessions_lock = threading.Lock()
        self.index_lock = threading.Lock()
        self.sessions = {"one", "two"}
        self.index = {"one", "two"}

    def end(self) -> None:
        """End one session."""
        with self.sessions_lock:
            point("DELETE", "sessions", "w")
            self.sessions.discard("one")
            with self.index_lock:
                point("drop", "index", "w")
                self.index.discard("one")

    def sweep(self) -> None:
        """End what has expired."""
        with self.index_lock:
            point("drop", "index", "w")
            self.index.discard("two")
            with self.sessions_lock:
                point("DELETE", "sessions", "w")
                self.sessions.discard("two")


class LocksInOneOrder(LocksInTwoOrders):
    """Both take the lock of the sessions first."""

    def sweep(self) -> None:
        with self.sessions_lock, self.index_lock:
            point("DELETE", "sessions", "w")
            self.sessions.discard("two")
            point("drop", "index", "w")
            self.index.discard("two")


class LocksOneAtATime(LocksInTwoOrders):
    """`sweep` gives one lock back before it takes the other."""

    def sweep(self) -> None:
        with self.sessions_lock:
            point("DELETE", "sessions", "w")
            self.sessions.discard("two")
        with self.index_lock:
            point("drop", "index", "w")
            self.index.discard("two")


def an_end_and_a_sweep(s: Scenario, make: Make, folder: Path) -> None:
    """A session is ended while others are swept."""
    store = make(folder)
    s.adopt(store)
    s.worker("end", store.end)
    s.worker("sweep", store.sweep)


# Row 18: locks of the dead

LEASE_US: Final = 10_000_000


class LocksUntilReleased:
    """The lock is a file that its holder makes and removes; who dies in between locks everybody out."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"

    def acquire(self, now_us: int) -> bool:
        """Take the lock if it is free."""
        point("take", "lock", "w")
        try:
            self.path.open("x").close()
        except FileExistsError:
            return False
        return True

    def release(self) -> None:
        """Give it back."""
        point("release", "lock", "w")
        self.path.unlink()


class LeasesTheLock(LocksUntilReleased):
    """The lock is a file with the instant until which it counts, judged and written under a lock of the system."""

    def acquire(self, now_us: int) -> bool:
        with (self.path.with_suffix(".guard")).open("w") as guard:
            point("judge", "lock", "w")
            fcntl.flock(guard, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if json.loads(self.path.read_text()) > now_us:
                    return False
            beside = self.path.with_suffix(".beside")
            beside.write_text(json.dumps(now_us + LEASE_US))
            point("take", "lock", "w")
            os.replace(beside, self.path)
            return True


class LocksByTheSystem(LocksUntilReleased):
    """The lock is one of the system (flock), which ends with the process that holds it."""

    def acquire(self, now_us: int) -> bool:
        point("take", "lock", "w")
        self.file = self.path.open("w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        point("release", "lock", "w")
        self.file.close()
