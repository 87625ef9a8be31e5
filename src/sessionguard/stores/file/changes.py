"""Changing one session, with its shard locked."""

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.data import join_fields, merge, size_bytes
from sessionguard.core.leases import LEASE
from sessionguard.core.lifecycle import Outcome, Verb, allows, settled
from sessionguard.core.limits import in_order
from sessionguard.core.records import SessionRecord
from sessionguard.core.visitors import is_taken
from sessionguard.errors import StoreDataError
from sessionguard.stores.file import locks
from sessionguard.stores.file.openings import instant_us, touched
from sessionguard.stores.file.rooms import Room
from sessionguard.stores.file.rows import Row
from sessionguard.stores.file.sessions import finish, give_owner, row_of, store
from sessionguard.stores.file.views import Desk


def save(desk: Desk, command: c.Save) -> c.Changed:
    """Change and remove fields."""
    now_us = instant_us(command.at)
    row = row_of(desk, command.session_id)
    if row is None:
        return c.Changed(Outcome.ENDED, None)
    record = row.record
    if command.operation_id in row.operations:
        return c.Changed(Outcome.DONE, settled(record, now_us))
    if not allows(record, Verb.SAVE, now_us) or is_taken(record, command.meant):
        return c.Changed(Outcome.ENDED, settled(record, now_us))
    if command.fence is not None and _least_fence(desk, row, command.fence.name) > command.fence.number:
        return c.Changed(Outcome.FENCED, record)
    if command.expected_version not in (None, record.version):
        return c.Changed(Outcome.CONFLICT, record)
    if not command.changes and not command.remove:
        return c.Changed(Outcome.DONE, record)
    data = _merged(record, command)
    if size_bytes(data) > command.limit_bytes:
        return c.Changed(Outcome.TOO_LARGE, record, size_bytes(data))
    changed = row.changed(evolve(record, data=data, version=record.version + 1), command.operation_id)
    return c.Changed(Outcome.DONE, store(desk, row, changed).record)


def _least_fence(desk: Desk, row: Row, name: str) -> int:
    return row.leases.floor if name == LEASE else locks.highest_fence(desk, row.record.id, name)


def _merged(record: SessionRecord, command: c.Save) -> str:
    try:
        return merge(record.data, join_fields(command.changes), command.remove)
    except (ValueError, AttributeError, RecursionError) as error:
        message = f"the data of session {record.id} is not a JSON object; another program must have changed it"
        raise StoreDataError("file", "save", message) from error


def touch(desk: Desk, command: c.Touch) -> c.Changed:
    """Extend the session."""
    now_us = instant_us(command.at)
    row = row_of(desk, command.session_id)
    if row is None or not allows(row.record, Verb.TOUCH, now_us) or is_taken(row.record, command.meant):
        return _refused(row, now_us)
    return c.Changed(Outcome.DONE, touched(desk, row, now_us).record)


def rotate(desk: Desk, command: c.Rotate, room: Room | None = None) -> c.Changed:
    """Replace the token, and give an owner."""
    now_us = instant_us(command.at)
    row = row_of(desk, command.session_id)
    if row is None or not allows(row.record, Verb.ROTATE, now_us):
        return _refused(row, now_us)
    record = row.record
    if command.token_hash in (record.token_hash, record.previous_hash):
        return c.Changed(Outcome.DONE, record, ended=() if room is None else room.ended_before())
    if record.token_hash != command.expected_hash:
        return c.Changed(Outcome.CONFLICT, record)
    ended: tuple[SessionRecord, ...] | None = ()
    if room is not None and command.owner != record.owner:
        ended = room.made(record.scope, None, now_us)
    if ended is None:
        return c.Changed(Outcome.FULL, record)
    rotated = evolve(
        record,
        token_hash=command.token_hash,
        previous_hash=record.token_hash,
        previous_until_us=now_us + command.grace_us,
    )
    if command.owner is not None:
        rotated = give_owner(desk, rotated, command.owner)
    return c.Changed(Outcome.DONE, store(desk, row, row.changed(rotated)).record, ended=in_order(ended))


def end(desk: Desk, command: c.End) -> c.Changed:
    """End the session."""
    now_us = instant_us(command.at)
    row = row_of(desk, command.session_id)
    if row is not None and command.operation_id in row.operations:
        return c.Changed(Outcome.DONE, row.record)
    if row is None or not allows(row.record, Verb.END, now_us) or is_taken(row.record, command.meant):
        return _refused(row, now_us)
    return c.Changed(Outcome.DONE, finish(desk, row, command.reason, now_us, command.operation_id))


def _refused(row: Row | None, now_us: int) -> c.Changed:
    return c.Changed(Outcome.ENDED, None if row is None else settled(row.record, now_us))
