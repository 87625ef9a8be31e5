"""The locks of the sessions: who holds which, until when, under which fence. Called with the store's mutex held."""

from collections import deque

from attrs import define, field

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import REMEMBERED_OPERATIONS


@define
class _Lock:
    fence: int = 0
    holder: str | None = None
    until_us: int = 0
    released: deque[tuple[str, int]] = field(factory=lambda: deque(maxlen=REMEMBERED_OPERATIONS))
    """Who gave it back last, with which fences."""


class Locks:
    """Kept by session, so that a session takes its locks with it. Fences grow as long as the session is kept."""

    def __init__(self) -> None:
        self._locks: dict[str, dict[str, _Lock]] = {}

    def acquire(self, command: c.AcquireLock, now_us: int) -> c.LockReply:
        """Give the lock to the holder if nobody else has it now."""
        lock = self._locks.setdefault(command.session_id, {}).setdefault(command.name, _Lock())
        if lock.holder is not None and now_us < lock.until_us and lock.holder != command.holder:
            return c.LockReply(Outcome.CONFLICT, lock.fence)
        if lock.holder != command.holder or now_us >= lock.until_us:
            lock.fence += 1
        lock.holder, lock.until_us = command.holder, now_us + command.lease_us
        return c.LockReply(Outcome.DONE, lock.fence)

    def renew(self, command: c.RenewLock, now_us: int) -> c.LockReply:
        """Let the holder keep the lock, unless it has lapsed or is another's."""
        lock = self._found(command.session_id, command.name)
        if lock is None or lock.holder != command.holder or now_us >= lock.until_us:
            return c.LockReply(Outcome.CONFLICT, 0 if lock is None else lock.fence)
        lock.until_us = now_us + command.lease_us
        return c.LockReply(Outcome.DONE, lock.fence)

    def release(self, command: c.ReleaseLock) -> c.LockReply:
        """Take the lock from the holder, unless it is another's; who has given it back is told so again."""
        lock = self._found(command.session_id, command.name)
        if lock is None:
            return c.LockReply(Outcome.CONFLICT, 0)
        if lock.holder == command.holder:
            lock.holder = None
            lock.released.append((command.holder, lock.fence))
            return c.LockReply(Outcome.DONE, lock.fence)
        for holder, fence in lock.released:
            if holder == command.holder:
                return c.LockReply(Outcome.DONE, fence)
        return c.LockReply(Outcome.CONFLICT, lock.fence)

    def is_fenced(self, session_id: str, fence: c.Fence) -> bool:
        """Tell whether that lock of the session was given out with a higher number."""
        lock = self._found(session_id, fence.name)
        return lock is not None and fence.number < lock.fence

    def forget(self, session_id: str) -> None:
        """Drop all locks of a session that is gone."""
        self._locks.pop(session_id, None)

    def __len__(self) -> int:
        return sum(map(len, self._locks.values()))

    def _found(self, session_id: str, name: str) -> _Lock | None:
        return self._locks.get(session_id, {}).get(name)
