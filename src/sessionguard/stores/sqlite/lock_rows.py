"""Locks of a session as rows: taken, kept and given back in one statement each; the fence only ever grows."""

import sqlite3
from collections.abc import Mapping

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome, State, state_of
from sessionguard.core.visitors import is_taken, visitor_of
from sessionguard.stores.sqlite.queries import instant_us, select_one
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL


def acquire(connection: sqlite3.Connection, command: c.AcquireLock) -> c.LockReply:
    """Take the lock if it is free or lapsed and the session active."""
    now_us = instant_us(command.at)
    asked = {"now": now_us, "lease": command.lease_us, "visitor": visitor_of(command.meant)}
    held = _changed(connection, command, asked)
    if held is not None:
        return held
    record = select_one(connection, "by_id", {"id": command.session_id})
    if record is None or state_of(record, now_us) is not State.ACTIVE or is_taken(record, command.meant):
        return c.LockReply(Outcome.ENDED, 0)
    return _not_ours(connection, command)


def renew(connection: sqlite3.Connection, command: c.RenewLock) -> c.LockReply:
    """Keep the lock if it has not lapsed."""
    asked = {"now": instant_us(command.at), "lease": command.lease_us}
    return _changed(connection, command, asked) or _not_ours(connection, command)


def release(connection: sqlite3.Connection, command: c.ReleaseLock) -> c.LockReply:
    """Give the lock back if it is still this holder's; who has given it back before is told so again."""
    return _changed(connection, command, {}) or _released(connection, command) or _not_ours(connection, command)


def fence_of(connection: sqlite3.Connection, session_id: str, name: str) -> int:
    """Give the highest number with which the lock was given out; 0 if nobody has taken it."""
    fence = connection.execute(SQL["lock_fence"], {"id": session_id, "name": name}).fetchone()
    return 0 if fence is None else int(fence[0])


def _changed(
    connection: sqlite3.Connection,
    command: c.AcquireLock | c.RenewLock | c.ReleaseLock,
    asked: Mapping[str, int | str | None],
) -> c.LockReply | None:
    parameters = {"id": command.session_id, "name": command.name, "holder": command.holder, **asked}
    held = connection.execute(SQL[command.verb], parameters).fetchall()
    return c.LockReply(Outcome.DONE, held[0][0]) if held else None


def _released(connection: sqlite3.Connection, command: c.ReleaseLock) -> c.LockReply | None:
    named = {"id": command.session_id, "name": command.name, "holder": command.holder}
    lock = connection.execute(SQL["released"], named).fetchone()
    if lock is None:
        return None
    releases, quoted_holder = lock
    fence, is_whole, _ = f",{releases}".partition(f",{quoted_holder}:")[2].partition(",")
    return c.LockReply(Outcome.DONE, int(fence)) if is_whole else None


def _not_ours(connection: sqlite3.Connection, command: c.AcquireLock | c.RenewLock | c.ReleaseLock) -> c.LockReply:
    return c.LockReply(Outcome.CONFLICT, fence_of(connection, command.session_id, command.name))
