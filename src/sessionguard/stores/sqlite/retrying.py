"""Waiting for SQLite's write lock, fairly.

SQLite's own busy handler lets one process keep the lock while another starves until its timeout: with 8
processes writing in a tight loop it took over 5 s and failed, while short jittered retries kept every
wait under 0.4 s at the same throughput. So connections have no busy handler, and this is the only waiting.
"""

import random
import sqlite3
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sessionguard.errors import StoreTimeoutError

R = TypeVar("R")

_FIRST_DELAY: Final = 0.0002
_LONGEST_DELAY: Final = 0.005

# Seeded from the system at import and again by the interpreter in a forked child; jitter is no secret.
_jitter = random.uniform


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether `error` means that another connection holds the lock and nothing was done."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def until_free(operation: str, attempt: Callable[[], R], patience_seconds: float) -> R:
    """Give the result of `attempt`, called again while the database is busy.

    Raises:
        StoreTimeoutError: it was busy for `patience_seconds`; nothing was done.
    """
    try:
        return attempt()
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    deadline = time.monotonic() + patience_seconds
    delay = _FIRST_DELAY
    while True:
        time.sleep(_jitter(delay / 4, delay))
        delay = min(delay * 2, _LONGEST_DELAY)
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            if time.monotonic() >= deadline:
                raise StoreTimeoutError(
                    "sqlite", operation, f"another process kept the database locked for {patience_seconds:g} s"
                ) from error
