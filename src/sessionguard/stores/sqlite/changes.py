"""Changing one session: the one statement that decides each change, and why it matched nothing.

The first is tried on its own. Only if it matched nothing is the reason looked for, with the write lock held, so that
the answer is about one instant.
"""

import json
import sqlite3

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.data import join_fields, size_bytes
from sessionguard.core.instants import from_us
from sessionguard.core.leases import LEASE
from sessionguard.core.lifecycle import Outcome, Verb, allows, settled
from sessionguard.core.limits import in_order
from sessionguard.core.records import SessionRecord
from sessionguard.core.visitors import is_taken, visitor_of
from sessionguard.stores.sqlite.lease_rows import floor_of
from sessionguard.stores.sqlite.limiting import ended_before, ended_for_one_more
from sessionguard.stores.sqlite.lock_rows import fence_of
from sessionguard.stores.sqlite.queries import has_done, instant_us, select_one, storable
from sessionguard.stores.sqlite.rows import sg_merge
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL


def save(connection: sqlite3.Connection, command: c.Save) -> SessionRecord | None:
    """Change and remove fields in one statement; None if it matched nothing."""
    parameters = {
        "id": command.session_id,
        "now": instant_us(command.at),
        "operation": command.operation_id,
        "changes": join_fields(command.changes),
        "remove": json.dumps(command.remove),
        "expected_version": None if command.expected_version is None else storable(command.expected_version),
        "limit_bytes": command.limit_bytes,
        "visitor": visitor_of(command.meant),
    }
    if command.fence is None:
        return select_one(connection, "save", parameters)
    fence = {"lock": command.fence.name, "fence": storable(command.fence.number)}
    return select_one(connection, "save_fenced", parameters | fence)


def judge_save(connection: sqlite3.Connection, command: c.Save) -> c.Changed:
    """Tell why a save matched nothing, or that one without changes would have been allowed."""
    record = select_one(connection, "by_id", {"id": command.session_id})
    if record is None:
        return c.Changed(Outcome.ENDED, None)
    now_us = instant_us(command.at)
    if has_done(connection, command.session_id, command.operation_id):
        return c.Changed(Outcome.DONE, settled(record, now_us))
    if not allows(record, Verb.SAVE, now_us) or is_taken(record, command.meant):
        return c.Changed(Outcome.ENDED, settled(record, now_us))
    if command.fence is not None and command.fence.number < _least(connection, command.session_id, command.fence.name):
        return c.Changed(Outcome.FENCED, record)
    if command.expected_version not in (None, record.version):
        return c.Changed(Outcome.CONFLICT, record)
    if not command.changes and not command.remove:
        return c.Changed(Outcome.DONE, record)
    merged = sg_merge(record.data, join_fields(command.changes), json.dumps(command.remove))
    return c.Changed(Outcome.TOO_LARGE, record, size_bytes(merged))


def _least(connection: sqlite3.Connection, session_id: str, name: str) -> int:
    return floor_of(connection, session_id) if name == LEASE else fence_of(connection, session_id, name)


def touch(connection: sqlite3.Connection, command: c.Touch) -> SessionRecord | None:
    """Extend the session in one statement; None if it matched nothing."""
    parameters = {"id": command.session_id, "now": instant_us(command.at), "visitor": visitor_of(command.meant)}
    return select_one(connection, "touch_of", parameters)


def end(connection: sqlite3.Connection, command: c.End) -> SessionRecord | None:
    """End the session in one statement; None if it matched nothing."""
    parameters = {
        "id": command.session_id,
        "now": instant_us(command.at),
        "operation": command.operation_id,
        "reason": command.reason,
        "visitor": visitor_of(command.meant),
    }
    return select_one(connection, "end_of", parameters)


def judge_ended(connection: sqlite3.Connection, command: c.Touch | c.End) -> c.Changed:
    """Tell why a touch or an end matched nothing."""
    record = select_one(connection, "by_id", {"id": command.session_id})
    if record is None:
        return c.Changed(Outcome.ENDED, None)
    if has_done(connection, command.session_id, command.operation_id):
        return c.Changed(Outcome.DONE, record)
    return c.Changed(Outcome.ENDED, settled(record, instant_us(command.at)))


def rotate(connection: sqlite3.Connection, command: c.Rotate) -> SessionRecord | None:
    """Replace the token, and with the write lock held the owner; None if the statement matched nothing."""
    parameters = {
        "id": command.session_id,
        "now": instant_us(command.at),
        "grace_us": command.grace_us,
        "token_hash": command.token_hash,
        "expected_hash": command.expected_hash,
    }
    rotated = select_one(connection, "rotate", parameters)
    if rotated is None or command.owner is None:
        return rotated
    # The session leaves its slot; the floor keeps the slot's generation used.
    if rotated.exclusive:
        connection.execute(SQL["raise_generation_floor"], (rotated.generation,))
    return select_one(connection, "give_owner", {"id": rotated.id, "owner": command.owner})


def rotate_if_allowed(connection: sqlite3.Connection, command: c.Rotate) -> c.Changed:
    """Replace the token and give the owner, if the limit of that owner allows; with the write lock held."""
    record = select_one(connection, "by_id", {"id": command.session_id})
    # One instant for all, so that the rotation does not find the session expired after others had to go for it.
    now_us = instant_us(command.at)
    command = evolve(command, at=from_us(now_us))
    if record is None or not allows(record, Verb.ROTATE, now_us) or record.token_hash != command.expected_hash:
        return judge_rotation(connection, command)
    ended: tuple[SessionRecord, ...] | None = ()
    if command.at_most is not None and command.owner not in (None, record.owner):
        about = (record.scope, str(command.owner), None, command.operation_id, now_us)
        ended = ended_for_one_more(connection, command.at_most, *about)
    if ended is None:
        return c.Changed(Outcome.FULL, record)
    return c.Changed(Outcome.DONE, rotate(connection, command), ended=in_order(ended))


def judge_rotation(connection: sqlite3.Connection, command: c.Rotate) -> c.Changed:
    """Tell why a rotation matched nothing."""
    record = select_one(connection, "by_id", {"id": command.session_id})
    now_us = instant_us(command.at)
    if record is None or not allows(record, Verb.ROTATE, now_us):
        return c.Changed(Outcome.ENDED, None if record is None else settled(record, now_us))
    if command.token_hash not in (record.token_hash, record.previous_hash):
        return c.Changed(Outcome.CONFLICT, record)
    if command.at_most is None:
        return c.Changed(Outcome.DONE, record)
    again = ended_before(connection, record.scope, command.owner or record.owner, command.operation_id)
    return c.Changed(Outcome.DONE, record, ended=again)
