"""Opening and reading: what each of these verbs does in one step on one connection.

The `find_` functions only read, and give None where something is to be written. The others are called with the
write lock held.
"""

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import EXPIRED_REASON, REPLACED_REASON, refusal_of, settled, touch_is_due
from sessionguard.core.limits import in_order
from sessionguard.core.records import SessionRecord
from sessionguard.stores.sqlite.limiting import end_one, ended_before, ended_for_one_more
from sessionguard.stores.sqlite.queries import (
    by_token,
    in_slot,
    insert_beside,
    insert_exclusive,
    instant_us,
    select_all,
    select_one,
)
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL

# Reading


def find_deployment_id(connection: sqlite3.Connection, _: c.Identify) -> str:
    """Give the id that was drawn when the database was made."""
    return str(connection.execute(SQL["identify"]).fetchone()[0])


def find_open(connection: sqlite3.Connection, command: c.GetOrCreate) -> c.Opened | None:
    """Give the active session of the slot if nothing is to be written about it."""
    record = in_slot(connection, command.new)
    if record is None or record.id == command.new.id:
        return None
    now_us = instant_us(command.at)
    if now_us >= record.expires_us or touch_is_due(record, now_us):
        return None
    return c.Opened(record)


def find_loaded(connection: sqlite3.Connection, command: c.Load) -> c.Loaded | None:
    """Give the session of the token, or why there is none; None if a touch is due."""
    now_us = instant_us(command.at)
    loaded = _loaded_at(connection, command, now_us)
    is_to_be_touched = command.extends and loaded.record is not None and touch_is_due(loaded.record, now_us)
    return None if is_to_be_touched else loaded


def find_loaded_untouched(connection: sqlite3.Connection, command: c.Load) -> c.Loaded:
    """Give the same, also if a touch is due that cannot be written down."""
    return _loaded_at(connection, command, instant_us(command.at))


def _loaded_at(connection: sqlite3.Connection, command: c.Load, now_us: int) -> c.Loaded:
    record = by_token(connection, command.token_hash)
    if record is None:
        return c.Loaded(None, False, "unknown")
    refusal = refusal_of(record, command.token_hash, command.scope, now_us)
    return c.Loaded(record) if refusal is None else c.Loaded(None, False, refusal, record.id)


def find_record(connection: sqlite3.Connection, command: c.Get) -> SessionRecord | None:
    """Give the record, an expired one as ended."""
    record = select_one(connection, "by_id", {"id": command.session_id})
    return None if record is None else settled(record, instant_us(command.at))


INLINE: Final[dict[type, Callable[[sqlite3.Connection, Any], object]]] = {
    c.Get: find_record,
    c.GetOrCreate: find_open,
    c.Identify: find_deployment_id,
    c.Load: find_loaded,
}
"""What can be answered on an event loop; None, for whatever reason, means: ask again in a thread."""


# With the write lock held

_Opening = c.Create | c.GetOrCreate | c.Replace


def create(connection: sqlite3.Connection, command: c.Create) -> c.Opened:
    """Open a session that no slot knows."""
    try:
        record = insert_beside(connection, command.new, instant_us(command.at))
    except sqlite3.IntegrityError:
        # The id is taken only if this very command was done before and its answer was lost.
        known = opened_before(connection, command)
        if known is None:
            raise
        return known
    return c.Opened(record)


def create_if_allowed(connection: sqlite3.Connection, command: c.Create) -> c.Opened:
    """Open a session that no slot knows, if the limit of its owner allows."""
    return opened_before(connection, command) or _opened(connection, command, None, instant_us(command.at))


def get_or_create(connection: sqlite3.Connection, command: c.GetOrCreate) -> c.Opened:
    """Give the active session of the slot, touched when due, or open the new one in it."""
    now_us = instant_us(command.at)
    record = in_slot(connection, command.new)
    if record is not None and now_us < record.expires_us and record.id != command.new.id:
        if not touch_is_due(record, now_us):
            return c.Opened(record)
        touched = select_one(connection, "touch", {"id": record.id, "now": now_us})
        return c.Opened(touched or record, touched=touched is not None)
    # Only then: whether this is a repetition whose session has ended must not depend on whether a touch is due.
    return opened_before(connection, command) or _opened(connection, command, record, now_us)


def replace(connection: sqlite3.Connection, command: c.Replace) -> c.Opened:
    """Open the new session in the slot, and end the one that was in it."""
    now_us = instant_us(command.at)
    repeated = opened_before(connection, command)
    return repeated or _opened(connection, command, in_slot(connection, command.new), now_us)


def _opened(connection: sqlite3.Connection, command: _Opening, former: SessionRecord | None, now_us: int) -> c.Opened:
    """Open the session, in the place of `former` if there is one, unless a limit leaves it no place."""
    new, operation, ended = command.new, command.operation_id, tuple[SessionRecord, ...]()
    if command.at_most is not None:
        made = ended_for_one_more(connection, command.at_most, new.scope, new.owner, former, operation, now_us)
        if made is None:
            return c.REFUSED
        ended = made
    if former is not None:
        reason = EXPIRED_REASON if now_us >= former.expires_us else REPLACED_REASON
        ended = (*ended, end_one(connection, former.id, reason, operation, now_us))
    if isinstance(command, c.Create):
        return c.Opened(insert_beside(connection, new, now_us), in_order(ended))
    return c.Opened(insert_exclusive(connection, new, now_us), in_order(ended))


def opened_before(connection: sqlite3.Connection, command: _Opening) -> c.Opened | None:
    """Give the session that this very command has opened before, as it is now, and those that it ended; None if new."""
    new = command.new
    known = select_one(connection, "by_id", {"id": new.id})
    if known is None:
        return None
    if command.at_most is not None:
        return c.Opened(known, ended_before(connection, new.scope, new.owner, command.operation_id))
    slot = {"owner": new.owner, "scope": new.scope, "external_id": new.external_id or ""}
    ended = select_all(connection, "ended_in_slot", slot | {"operation": command.operation_id})
    return c.Opened(known, ended)


def load_and_touch(connection: sqlite3.Connection, command: c.Load) -> c.Loaded:
    """Give the session of the token, touched, or why there is none."""
    loaded = find_loaded(connection, command)
    if loaded is not None:
        return loaded
    record = by_token(connection, command.token_hash)
    touched = record and select_one(connection, "touch", {"id": record.id, "now": instant_us(command.at)})
    # Never give out the row read before: a touch that matched nothing means that the session is over.
    return c.Loaded(touched, True) if touched else c.Loaded(None, False, "expired", record.id if record else None)
