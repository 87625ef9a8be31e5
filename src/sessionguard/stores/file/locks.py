"""Locks of a session: one file beside it, so that a heartbeat does not write its data again; fences only grow."""

import json
from typing import Any

from attrs import asdict, define, field

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome, State, state_of
from sessionguard.core.records import REMEMBERED_OPERATIONS
from sessionguard.core.visitors import is_taken
from sessionguard.errors import StoreDataError
from sessionguard.stores.file.openings import instant_us
from sessionguard.stores.file.sessions import is_id, lock_path, row_of
from sessionguard.stores.file.views import Desk, View


@define
class _Lock:
    fence: int = 0
    holder: str | None = None
    until_us: int = 0
    released: list[tuple[str, int]] = field(factory=list)
    """Who gave it back, under which fence, newest first."""


def highest_fence(view: View, session_id: str, name: str) -> int:
    """Give the highest fence under which a lock was ever given out; 0 if it never was."""
    return _locks_of(view, session_id).get(name, _Lock()).fence


def acquire(desk: Desk, command: c.AcquireLock) -> c.LockReply:
    """Take the lock if it is free or lapsed and the session active."""
    now_us = instant_us(command.at)
    row = row_of(desk, command.session_id)
    if row is None or state_of(row.record, now_us) is not State.ACTIVE or is_taken(row.record, command.meant):
        return c.LockReply(Outcome.ENDED, 0)
    locks = _locks_of(desk, command.session_id)
    lock = locks.setdefault(command.name, _Lock())
    if lock.holder is not None and now_us < lock.until_us and lock.holder != command.holder:
        return c.LockReply(Outcome.CONFLICT, lock.fence)
    if lock.holder != command.holder or now_us >= lock.until_us:
        lock.fence += 1
    lock.holder, lock.until_us = command.holder, now_us + command.lease_us
    return _done(desk, command, locks)


def renew(desk: Desk, command: c.RenewLock) -> c.LockReply:
    """Keep the lock if it has not lapsed."""
    now_us = instant_us(command.at)
    locks = _locks_of(desk, command.session_id)
    lock = locks.get(command.name, _Lock())
    if lock.holder != command.holder or now_us >= lock.until_us:
        return c.LockReply(Outcome.CONFLICT, lock.fence)
    lock.until_us = now_us + command.lease_us
    return _done(desk, command, locks)


def release(desk: Desk, command: c.ReleaseLock) -> c.LockReply:
    """Give the lock back if it is still this holder's; whoever did so before is told the same again."""
    locks = _locks_of(desk, command.session_id)
    lock = locks.get(command.name, _Lock())
    if lock.holder != command.holder:
        for holder, fence in lock.released:
            if holder == command.holder:
                return c.LockReply(Outcome.DONE, fence)
        return c.LockReply(Outcome.CONFLICT, lock.fence)
    lock.holder = None
    lock.released = [(command.holder, lock.fence), *lock.released][:REMEMBERED_OPERATIONS]
    return _done(desk, command, locks)


def _done(desk: Desk, command: c.AcquireLock | c.RenewLock | c.ReleaseLock, locks: dict[str, _Lock]) -> c.LockReply:
    text = json.dumps({name: asdict(lock) for name, lock in locks.items()}, ensure_ascii=False)
    desk.put(lock_path(command.session_id), text.encode())
    return c.LockReply(Outcome.DONE, locks[command.name].fence)


def _locks_of(view: View, session_id: str) -> dict[str, _Lock]:
    text = view.file(lock_path(session_id)) if is_id(session_id) else None
    if text is None:
        return {}
    try:
        found: dict[str, dict[str, Any]] = json.loads(text)
        return {name: _Lock(**(values | {"released": [tuple(one) for one in values["released"]]}))
                for name, values in found.items()}  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"the file of the locks of session {session_id} is damaged; restore it from a backup, or remove it"
        raise StoreDataError("file", "read", message) from error
