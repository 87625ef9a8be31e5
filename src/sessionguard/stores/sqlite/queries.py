"""Small questions that several verbs of the SQLite store ask inside their transactions."""

import sqlite3
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sessionguard.core import commands as c
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import settled
from sessionguard.core.opening import opened_record
from sessionguard.core.paging import from_cursor, to_cursor
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.stores.sqlite.rows import to_record, to_row
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL

Parameters = Mapping[str, Any]

# Half of what SQLite holds, so that an instant may be added to it or taken from it.
_LARGEST: Final = 2**62


def instant_us(at: datetime | None) -> int:
    """Give the instant that a command names, or else the host's clock; asked late, it is no older than any wait."""
    return time.time_ns() // 1000 if at is None else to_us(at)


def storable(number: int) -> int:
    """Give `number`, or the nearest one that SQLite can compare with others; no instant or version is as large."""
    return max(-_LARGEST, min(number, _LARGEST))


def select_one(connection: sqlite3.Connection, statement: str, parameters: Parameters) -> SessionRecord | None:
    """Run the named statement and give its record, if it has one."""
    # fetchall, for a RETURNING statement that is not read to its end stays open, and its write with it.
    rows = connection.execute(SQL[statement], parameters).fetchall()
    return to_record(rows[0]) if rows else None


def select_all(connection: sqlite3.Connection, statement: str, parameters: Parameters) -> tuple[SessionRecord, ...]:
    """Run the named statement and give all its records."""
    return tuple(map(to_record, connection.execute(SQL[statement], parameters).fetchall()))


def in_slot(connection: sqlite3.Connection, new: NewSession) -> SessionRecord | None:
    """Give the active record of the slot that `new` would take, expired or not."""
    row = connection.execute(SQL["by_slot"], (new.owner, new.scope, new.external_id or "")).fetchone()
    return None if row is None else to_record(row)


def by_token(connection: sqlite3.Connection, token_hash: bytes) -> SessionRecord | None:
    """Give the record whose current or former token has this hash, whatever its state."""
    row = (
        connection.execute(SQL["by_token"], (token_hash,)).fetchone()
        or connection.execute(SQL["by_previous_token"], (token_hash,)).fetchone()
    )
    return None if row is None else to_record(row)


def has_done(connection: sqlite3.Connection, session_id: str, operation_id: str) -> bool:
    """Tell whether this operation was done to the session before."""
    return connection.execute(SQL["has_done"], {"id": session_id, "operation": operation_id}).fetchone() is not None


def insert_beside(connection: sqlite3.Connection, new: NewSession, now_us: int) -> SessionRecord:
    """Store `new` as a session that no slot knows."""
    record = opened_record(new, exclusive=False, generation=1, now_us=now_us)
    connection.execute(SQL["insert"], to_row(record, new.lifetime))
    return record


def insert_exclusive(connection: sqlite3.Connection, new: NewSession, now_us: int) -> SessionRecord:
    """Store `new` as the session of its slot, with the next generation; the slot must be free."""
    slot = (new.owner, new.scope, new.external_id or "")
    (generation,) = connection.execute(SQL["next_generation"], slot).fetchone()
    record = opened_record(new, exclusive=True, generation=generation, now_us=now_us)
    connection.execute(SQL["insert"], to_row(record, new.lifetime))
    return record


def read_page(connection: sqlite3.Connection, command: c.Page) -> c.PageOfRecords:
    """Give one page: newest first for one owner, by id otherwise."""
    now_us = instant_us(command.at)
    parameters: dict[str, Any] = {
        "scope": command.scope,
        "status": command.status,
        "limit": command.limit,
        "now": now_us,
        "after_id": command.cursor or "",
    }
    if command.owner is None:
        found = select_all(connection, "page", parameters)
    else:
        newest, after_id = (-(2**62), "") if command.cursor is None else from_cursor(command.cursor)
        position = {"owner": command.owner, "created": -newest, "after_id": after_id}
        found = select_all(connection, "page_of_owner", parameters | position)
    records = tuple(settled(record, now_us) for record in found[: command.limit])
    if len(found) <= command.limit:
        return c.PageOfRecords(records, None)
    return c.PageOfRecords(records, records[-1].id if command.owner is None else to_cursor(records[-1]))
