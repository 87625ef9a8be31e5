"""Waiting for SQLite's write lock, fairly.

SQLite's own busy handler lets one process keep the lock while another starves until its timeout: with 8
processes writing in a tight loop it took over 5 s and failed, while short jittered retries kept every
wait under 0.4 s at the same throughput. So connections have no busy handler, and this is the only waiting.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.deadline import Deadline, short_delays

R = TypeVar("R")


class Turn(Protocol):
    """A lock that knows its thread: `threading.RLock`."""

    def acquire(self, *, timeout: float) -> bool: ...
    def release(self) -> None: ...


def wait_for(turn: Turn, operation: str, deadline: Deadline, others: str) -> None:
    """Acquire `turn`, which is to be released whether or not this raises.

    Raises:
        StoreTimeoutError: it did not come in time; nothing was done.
    """
    if not turn.acquire(timeout=deadline.seconds_left):
        raise StoreTimeoutError("sqlite", operation, f"{others} for {deadline.patience_seconds:g} s")


def is_busy(error: Exception) -> bool:
    """Tell whether `error` means that another connection holds the lock and nothing was done."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def until_free(operation: str, attempt: Callable[[], R], deadline: Deadline) -> R:
    """Give the result of `attempt`, called again while the database is busy.

    Raises:
        StoreTimeoutError: it was busy until the deadline; nothing was done.
    """
    try:
        return attempt()
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    delays = short_delays()
    while True:
        time.sleep(next(delays))
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            if not deadline.seconds_left:
                raise StoreTimeoutError(
                    "sqlite",
                    operation,
                    f"another process kept the database locked, for {deadline.patience_seconds:g} s with all waits",
                ) from error
