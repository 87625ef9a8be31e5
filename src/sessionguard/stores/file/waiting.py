"""Waiting for the lock of a shard: threads of one process in turn, processes by short jittered tries."""

import threading
import time
from collections import deque
from contextlib import suppress

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.deadline import Deadline, short_delays


class Turns:
    """One queue per key, first come, first served, kept only while someone is in it."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Have no queue, as in a new process: in those of the parent stand threads that do not exist here."""
        self._mutex = threading.Lock()
        self._queues: dict[str, deque[threading.Lock]] = {}

    def take(self, key: str, place: threading.Lock, operation: str, deadline: Deadline) -> None:
        """Queue up at `place`, a new lock, and wait until it is first. Whatever happens, call `leave` afterwards.

        Raises:
            StoreTimeoutError: it was not first in time.
        """
        place.acquire()
        with self._mutex:
            queue = self._queues.setdefault(key, deque())
            queue.append(place)
            if queue[0] is place:
                return
        if not place.acquire(timeout=deadline.seconds_left):
            raise StoreTimeoutError(
                "file", operation, f"other threads kept writing for {deadline.patience_seconds:g} s"
            )

    def leave(self, key: str, place: threading.Lock) -> None:
        """Leave the queue, and let whoever is first now go on. Leaving twice is fine, also after half a leave."""
        with self._mutex:
            queue = self._queues.get(key)
            if queue is None:
                return
            if place in queue:
                queue.remove(place)
            if not queue:
                del self._queues[key]
                return
            # It may be on its way already, if this is the second time.
            with suppress(RuntimeError):
                queue[0].release()


def lock_exclusively(descriptor: int, operation: str, deadline: Deadline) -> None:
    """Take the lock of the open file for this open file alone; closing it, or the death of the process, frees it.

    Raises:
        StoreTimeoutError: others held it for the whole time.
    """
    delays = short_delays()
    while not _try_to_lock(descriptor):
        left = deadline.seconds_left
        if not left:
            raise StoreTimeoutError(
                "file", operation, f"another process kept a lock, for {deadline.patience_seconds:g} s with all waits"
            )
        time.sleep(min(left, next(delays)))


def _try_to_lock(descriptor: int) -> bool:
    import portalocker  # here, because it loads much, and redis where that is installed

    try:
        # flock: it belongs to this open descriptor, so that closing another one of the same file does not drop it.
        portalocker.lock(descriptor, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked:
        return False
    except portalocker.LockException as error:
        raise OSError(str(error)) from error
    return True


def unlock(descriptor: int) -> None:
    """Give the lock back. Doing it twice is fine."""
    import portalocker

    # Not by closing alone: a child forked meanwhile may have the descriptor for a moment, and with it the lock.
    try:
        portalocker.unlock(descriptor)
    except portalocker.LockException as error:
        raise OSError(str(error)) from error
