"""Opening and reading: what each of these verbs does in one shard.

The `find_` functions only read, and give None where something is to be written. The others are called with the shard
locked.
"""

import time
from datetime import datetime

from sessionguard.core import commands as c
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import (
    EXPIRED_REASON,
    REPLACED_REASON,
    State,
    refusal_of,
    settled,
    state_of,
    touch_is_due,
)
from sessionguard.core.limits import in_order
from sessionguard.core.opening import touched_record
from sessionguard.core.records import SessionRecord
from sessionguard.stores.file.rooms import Room
from sessionguard.stores.file.rows import Row
from sessionguard.stores.file.sessions import finish, insert, row_in_slot, row_of, row_with_token, store
from sessionguard.stores.file.views import Desk, View

_Opening = c.Create | c.GetOrCreate | c.Replace


def instant_us(at: datetime | None) -> int:
    """Give the instant that a command names, or else the host's clock; asked late, it is no older than any wait."""
    return time.time_ns() // 1000 if at is None else to_us(at)


# Reading


def find_open(view: View, command: c.GetOrCreate) -> c.Opened | None:
    """Give the active session of the slot if nothing is to be written about it."""
    row = row_in_slot(view, command.new)
    now_us = instant_us(command.at)
    if row is None or state_of(row.record, now_us) is not State.ACTIVE or _is_to_be_touched(row, command, now_us):
        return None
    if command.at_most is not None and row.record.id == command.new.id:
        # Whom this very command has ended lies in other shards, too.
        return None
    return _opened(view, command, row)


def find_loaded(view: View, command: c.Load) -> c.Loaded | None:
    """Give the session of the token, or why there is none; None if a touch is due."""
    now_us = instant_us(command.at)
    loaded = _loaded_at(view, command, now_us)
    is_to_be_touched = command.extends and loaded.record is not None and touch_is_due(loaded.record, now_us)
    return None if is_to_be_touched else loaded


def find_loaded_untouched(view: View, command: c.Load) -> c.Loaded:
    """Give the same, also if a touch is due that cannot be written down."""
    return _loaded_at(view, command, instant_us(command.at))


def _loaded_at(view: View, command: c.Load, now_us: int) -> c.Loaded:
    row = row_with_token(view, command.token_hash)
    if row is None:
        return c.Loaded(None, refusal="unknown")
    refusal = refusal_of(row.record, command.token_hash, command.scope, now_us)
    if refusal is not None:
        return c.Loaded(None, refusal=refusal, refused_id=row.record.id)
    return c.Loaded(row.record)


def find_record(view: View, command: c.Get) -> SessionRecord | None:
    """Give the record, an expired one as ended."""
    row = row_of(view, command.session_id)
    return None if row is None else settled(row.record, instant_us(command.at))


# With the shard locked


def create(desk: Desk, command: c.Create, room: Room | None = None) -> c.Opened:
    """Open a session that no slot knows."""
    known = row_of(desk, command.new.id)
    if known is not None:
        return _opened(desk, command, known, room=room)
    return _open(desk, command, None, instant_us(command.at), room)


def get_or_create(desk: Desk, command: c.GetOrCreate, room: Room | None = None) -> c.Opened:
    """Give the active session of the slot, touched when due, or open the new one in it."""
    now_us = instant_us(command.at)
    row = row_in_slot(desk, command.new)
    if row is not None and state_of(row.record, now_us) is State.ACTIVE:
        if not _is_to_be_touched(row, command, now_us):
            return _opened(desk, command, row, room=room)
        return _opened(desk, command, touched(desk, row, now_us), touched=True)
    known = row_of(desk, command.new.id)
    return _opened(desk, command, known, room=room) if known is not None else _open(desk, command, row, now_us, room)


def replace(desk: Desk, command: c.Replace, room: Room | None = None) -> c.Opened:
    """Open the new session in the slot, and end the one that was in it."""
    known = row_of(desk, command.new.id)
    if known is not None:
        return _opened(desk, command, known, room=room)
    return _open(desk, command, row_in_slot(desk, command.new), instant_us(command.at), room)


def load_and_touch(desk: Desk, command: c.Load) -> c.Loaded:
    """Give the session of the token, touched, or why there is none."""
    loaded = find_loaded(desk, command)
    row = None if loaded is not None else row_with_token(desk, command.token_hash)
    if row is None:
        return loaded or c.Loaded(None, refusal="unknown")
    return c.Loaded(touched(desk, row, instant_us(command.at)).record, True)


def touched(desk: Desk, row: Row, now_us: int) -> Row:
    """Give the row as seen now."""
    return store(desk, row, row.changed(touched_record(row.record, row.lifetime, now_us)))


def _is_to_be_touched(row: Row, command: c.GetOrCreate, now_us: int) -> bool:
    # Not by a repetition of the command that opened it: that one answers as it did the first time.
    return row.record.id != command.new.id and touch_is_due(row.record, now_us)


def _open(desk: Desk, command: _Opening, former: Row | None, now_us: int, room: Room | None) -> c.Opened:
    """Open the session, in the place of `former` if there is one, unless a limit leaves it no place."""
    ended = () if room is None else room.made(command.new.scope, former, now_us)
    if ended is None:
        return c.REFUSED
    if former is not None:
        expired = state_of(former.record, now_us) is State.EXPIRED
        reason = EXPIRED_REASON if expired else REPLACED_REASON
        ended = in_order((*ended, finish(desk, former, reason, now_us, command.operation_id)))
    exclusive = not isinstance(command, c.Create)
    return c.Opened(insert(desk, command.new, exclusive=exclusive, now_us=now_us, former=ended), in_order(ended))


def _opened(view: View, command: _Opening, row: Row, *, touched: bool = False, room: Room | None = None) -> c.Opened:
    if row.record.id != command.new.id:
        return c.Opened(row.record, (), touched)
    if room is not None:
        return c.Opened(row.record, room.ended_before(), touched)
    # This very command opened it, and its answer was lost: who was ended is told again.
    rows = (row_of(view, session_id) for session_id in row.former)
    return c.Opened(row.record, tuple(former.record for former in rows if former is not None), touched)
