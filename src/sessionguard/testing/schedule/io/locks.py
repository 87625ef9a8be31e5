"""Locks of files. A worker waits for one where the scheduler sees it, never in the operating system.

Whether a lock is free again is tried, before each decision, by taking it for an instant: a lock goes with the last
descriptor that is closed, which nothing tells of.
"""

import fcntl
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from sessionguard.testing.schedule.io.listening import Access, Listener, mine
from sessionguard.testing.schedule.io.paths import lock_of, name_of, path_of_descriptor
from sessionguard.testing.schedule.io.replacing import Replacements


def add(replacements: Replacements) -> None:
    """Let `fcntl` tell of its locks. Those of `lockf` are the process's own: its threads never wait for each other."""
    replacements.replace(fcntl, "flock", _flocking)


def _flocking(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def flock(fd: Any, operation: int) -> Any:
        listener = mine()
        path = None if listener is None else path_of_descriptor(fd if isinstance(fd, int) else fd.fileno())
        if listener is None or path is None:
            return real(fd, operation)
        resource, name = lock_of(listener, path), name_of(path)
        if operation & fcntl.LOCK_UN:
            listener.reach(Access(f"unlock {name}", [(resource, "w")]))
            return real(fd, operation)
        access = Access(f"lock {name}", [(resource, "w")])
        listener.reach(access)
        if not listener.can_stop:
            return real(fd, operation)
        return _take(listener, real, fd, operation, path, access)

    return flock


def _take(listener: Listener, real: Callable[..., Any], fd: Any, operation: int, path: str, access: Access) -> Any:
    may_fail = bool(operation & fcntl.LOCK_NB)
    resource = access.touched[0][0]
    while True:
        try:
            return real(fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            # Who asks again and again until it is free waits as others do; who asks once is told at once.
            if may_fail and not listener.has_polled(resource):
                raise
            is_free = _probe(real, path, operation)
            if not listener.wait(f"wait to {access.label}", is_free, may_give_up=may_fail):
                raise
            listener.note(access)


def _probe(real: Callable[..., Any], path: str, operation: int) -> Callable[[], bool]:
    kind = fcntl.LOCK_SH if operation & fcntl.LOCK_SH else fcntl.LOCK_EX

    def is_free() -> bool:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return True  # It is gone, or cannot be looked at; who waits will see.
        try:
            real(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    return is_free
