"""Keep a file or folder to oneself for a moment, across threads and processes; who stands still is passed by.

It is locked while it is kept. Whoever keeps it for long gives signs of life. One who gives none, such as a process that
was stopped, keeps nobody waiting for longer than a lease lasts: what he keeps loses its name and another takes its
place. So all that he does then has to be without effect: before anything others see he has to ask `is_still_named`.
"""

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sessionguard.errors import WorkspaceError
from sessionguard.workspaces.local.descriptors import is_still_named, open_directory

ASIDE: Final = ".aside-"
"""Stands between the name of what was put aside and something random."""

# Below the lease of a lock, 15 seconds, also for one who waits first for a book and then for the account of an owner.
_PATIENCE_SECONDS = 7.0
_QUIET_SECONDS = 5.0
_BEAT_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 0.002

Open = Callable[[str, int], int]


@contextmanager
def kept(
    name: str, parent: int, opening: Open, session_id: str, beat: Callable[[], None] = lambda: None
) -> Iterator[int]:
    """Give a descriptor of `name` in `parent`, made by `opening` if absent, that nobody else keeps meanwhile.

    `beat` is called again and again while others keep it.

    Raises:
        WorkspaceError: they kept it for too long; nothing was done.
    """
    patience = _Patience(name, parent, session_id, beat)
    while True:
        descriptor = opening(name, parent)
        try:
            if not patience.get(descriptor):
                continue
            try:
                # What was replaced would have two keepers, one of each.
                if is_still_named(name, parent, descriptor):
                    os.utime(descriptor)
                    yield descriptor
                    return
            finally:
                unlock(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def kept_if_free(name: str, parent: int, opening: Open) -> Iterator[int | None]:
    """Give the same; None if others keep it. Never waits."""
    descriptor = opening(name, parent)
    try:
        if not lock(descriptor):
            yield None
            return
        try:
            yield descriptor if is_still_named(name, parent, descriptor) else None
        finally:
            unlock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def not_passed_by(parent: int) -> Iterator[None]:
    """In the block nothing in `parent` is put aside, however still its keepers stand; others wait for them in vain.

    For what cannot be made void later, and only that: one who is stopped in the block keeps all others out.
    """
    folder = open_directory(".", parent)
    try:
        # Others have this lock for the length of a rename.
        while not lock(folder):
            time.sleep(_PAUSE_SECONDS)
        try:
            yield
        finally:
            unlock(folder)
    finally:
        os.close(folder)


def lock(descriptor: int) -> bool:
    """Tell whether it is locked now for us alone. Never waits."""
    from filelock import lock_descriptor  # here, because it loads much

    return lock_descriptor(descriptor, blocking=False)


def unlock(descriptor: int) -> None:
    """Unlock it: not by closing alone, for a child forked meanwhile may still have the descriptor."""
    from filelock import unlock_descriptor

    unlock_descriptor(descriptor)


class Pulse:
    """Signs of life of one who keeps something: as many as others need, however often it is asked for one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._next = time.monotonic() + _BEAT_SECONDS

    def beat(self) -> None:
        """Be alive."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _BEAT_SECONDS
            # A disk that is mounted read-only by now is no reason to give up counting.
            with suppress(OSError):
                os.utime(self._descriptor)


class _Patience:
    """How long one waits until something is free, whoever keeps it meanwhile."""

    def __init__(self, name: str, parent: int, session_id: str, beat: Callable[[], None]) -> None:
        self._name = name
        self._parent = parent
        self._session_id = session_id
        self._beat = beat
        self._began = time.monotonic()

    def get(self, descriptor: int) -> bool:
        """Wait, and tell whether it is ours now; False if it has lost its name meanwhile."""
        sign, since = 0, time.monotonic()
        while not lock(descriptor):
            self._beat()
            if not is_still_named(self._name, self._parent, descriptor):
                return False
            now, latest = time.monotonic(), os.fstat(descriptor).st_mtime_ns
            if latest != sign:
                sign, since = latest, now
            elif now - since > _QUIET_SECONDS and self._put_aside(descriptor):
                return False
            if now - self._began > _PATIENCE_SECONDS:
                raise WorkspaceError(self._session_id, self._complaint(descriptor))
            time.sleep(random.uniform(0.0005, 0.004))
        return True

    def _put_aside(self, descriptor: int) -> bool:
        """Take its name from what somebody keeps who stands still; False if another is about to."""
        folder = open_directory(".", self._parent)
        try:
            if not lock(folder):
                return False
            try:
                # One at a time: the second would take the name from what the first has put in its place.
                if is_still_named(self._name, self._parent, descriptor):
                    new_name = f"{self._name}{ASIDE}{secrets.token_hex(8)}"
                    os.rename(self._name, new_name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
            finally:
                unlock(folder)
        finally:
            os.close(folder)
        return True

    def _complaint(self, descriptor: int) -> str:
        pid = _keeper_of(descriptor)
        who = "another process" if pid is None else f"process {pid}"
        return f"{who} has kept its ledger for too long; let it go on or end it"


def _keeper_of(descriptor: int) -> int | None:
    """Give the process that holds the lock, as far as the kernel tells, see proc(5)."""
    state = os.fstat(descriptor)
    place = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
    with suppress(OSError, ValueError, IndexError), open("/proc/locks", encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if words[1] == "FLOCK" and words[5] == place and int(words[4]) > 0:
                return int(words[4])
    return None
