"""Sessions in one shard, findable by id, token and slot; every change keeps the ways to find them in step."""

import hashlib
import json
import re
from typing import Final

from attrs import evolve

from sessionguard.core.opening import ended_record, opened_record
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.core.tokens import shard_of
from sessionguard.errors import InvalidArgumentError, StoreDataError
from sessionguard.stores.file.rows import Row, opened_row, to_row, to_text
from sessionguard.stores.file.timelines import Timeline
from sessionguard.stores.file.views import Desk, View

EXPIRING: Final = Timeline("expiring")
ENDED: Final = Timeline("ended")
FORGETTABLE: Final = Timeline("forgettable")

_ID: Final = re.compile(r"[0-9a-f]{34}")


def is_id(session_id: str) -> bool:
    """Tell whether this can be the id of a session."""
    return _ID.fullmatch(session_id) is not None


def valid_id(session_id: str) -> str:
    """Give `session_id`, which becomes a file name, if it is one."""
    if not is_id(session_id):
        raise InvalidArgumentError("session id", session_id, "an id is 34 hexadecimal digits")
    return session_id


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def row_path(session_id: str) -> str:
    """Give the path of the file of a session."""
    return f"{shard_of(session_id)}/sessions/{session_id}.json"


def lock_path(session_id: str) -> str:
    """Give the path of the file of the locks of a session."""
    return f"{shard_of(session_id)}/locks/{session_id}.json"


def owner_folder(owner: str) -> str:
    """Give the folder with the entries of an owner; others may share it."""
    return f"owners/{_digest(owner)[:3]}"


def owner_prefix(owner: str) -> str:
    """Give how the names of the entries of an owner begin; the creation and the id follow."""
    return f"{_digest(owner)}."


def _token_path(token_hash: bytes) -> str:
    return f"{shard_of(token_hash)}/tokens/{token_hash.hex()}"


def _slot_path(shard: str, scope: str, owner: str, external_id: str | None) -> str:
    return f"{shard}/slots/{_digest(json.dumps([scope, owner, external_id]))}"


# Finding


def row_of(view: View, session_id: str) -> Row | None:
    """Give the session with this id."""
    if not is_id(session_id):
        return None
    text = view.file(row_path(session_id))
    return None if text is None else to_row(session_id, text)


def row_with_token(view: View, token_hash: bytes) -> Row | None:
    """Give the session with this token, the present or the previous one."""
    session_id = view.link(_token_path(token_hash))
    row = None if session_id is None else row_of(view, session_id)
    # An entry that leads to no session, or to one that has other tokens by now, is none.
    if row is None or token_hash not in (row.record.token_hash, row.record.previous_hash):
        return None
    return row


def row_in_slot(view: View, new: NewSession) -> Row | None:
    """Give the session that holds the slot `new` asks for; it may have expired."""
    session_id, _ = _slot(view, _slot_path(view.shard, new.scope, new.owner, new.external_id))
    row = row_of(view, session_id)
    return None if row is None or row.record.reason is not None else row


def _slot(view: View, path: str) -> tuple[str, int]:
    """Give who holds a slot, "" for no one, and the highest generation that is remembered of it."""
    target = view.link(path)
    if target is None:
        return "", 0
    session_id, _, generation = target.partition(".")
    return session_id, _number(generation)


def _number(text: str) -> int:
    if not text.isdigit():
        raise StoreDataError("file", "read", "an entry of a slot is damaged; restore the folder from a backup")
    return int(text)


def _floor(view: View) -> int:
    target = view.link(f"{view.shard}/floor")
    return 0 if target is None else _number(target)


# Changing


def insert(
    desk: Desk, new: NewSession, *, exclusive: bool, now_us: int, former: tuple[SessionRecord, ...] = ()
) -> SessionRecord:
    """Open `new`, in its slot if `exclusive`; the slot must be free."""
    valid_id(new.id)
    generation = 1
    if exclusive:
        path = _slot_path(desk.shard, new.scope, new.owner, new.external_id)
        generation = max(_slot(desk, path)[1], _floor(desk)) + 1
        desk.point(path, f"{new.id}.{generation}")
    record = opened_record(new, exclusive=exclusive, generation=generation, now_us=now_us)
    store(desk, None, opened_row(new, record, former))
    return record


def store(desk: Desk, former: Row | None, row: Row) -> Row:
    """Put `row` in the place of `former`, with all the entries that lead to it."""
    before, after = {} if former is None else _entries(former), _entries(row)
    for path, target in after.items():
        if before.pop(path, None) != target:
            desk.point(path, target)
    for path in before:
        desk.drop(path)
    desk.put(row_path(row.record.id), to_text(row))
    return row


def finish(desk: Desk, row: Row, reason: str, now_us: int, operation_id: str) -> SessionRecord:
    """End it; it stays as history."""
    _leave_slot(desk, row.record)
    ended = ended_record(row.record, row.lifetime, reason, now_us)
    return store(desk, row, row.changed(ended, operation_id)).record


def give_owner(desk: Desk, record: SessionRecord, owner: str) -> SessionRecord:
    """Give `record` as that of a session of `owner`, beside the one in that owner's slot; it leaves its own slot."""
    path = _path_of_slot(desk, record)
    session_id, generation = _slot(desk, path)
    if session_id == record.id:
        # No history of this slot will tell how far it came.
        _forget_slot(desk, path, generation)
    return evolve(record, owner=owner, exclusive=False)


def _leave_slot(desk: Desk, record: SessionRecord) -> None:
    path = _path_of_slot(desk, record)
    session_id, generation = _slot(desk, path)
    if session_id == record.id:
        desk.point(path, f".{generation}")


def forget(desk: Desk, row: Row) -> None:
    """Drop it and every way to find it."""
    record = row.record
    for path in (*_entries(row), row_path(record.id), lock_path(record.id)):
        desk.drop(path)
    path = _path_of_slot(desk, record)
    session_id, generation = _slot(desk, path)
    if record.exclusive and not session_id and generation:
        _forget_slot(desk, path, generation)


def _forget_slot(desk: Desk, path: str, generation: int) -> None:
    # The slot's counter goes with its history; the floor keeps its numbers used.
    desk.point(f"{desk.shard}/floor", str(max(_floor(desk), generation)))
    desk.drop(path)


def _path_of_slot(desk: Desk, record: SessionRecord) -> str:
    return _slot_path(desk.shard, record.scope, record.owner, record.external_id)


def _entries(row: Row) -> dict[str, str]:
    record = row.record
    entries = {_token_path(record.token_hash): record.id}
    if record.previous_hash is not None:
        entries[_token_path(record.previous_hash)] = record.id
    prefix = f"{owner_folder(record.owner)}/{owner_prefix(record.owner)}"
    entries[f"{prefix}{record.created_us}.{record.id}"] = record.id
    if record.ended_us is None:
        entries[EXPIRING.path(record.expires_us, record.id)] = record.id
    else:
        entries[ENDED.path(record.ended_us, record.id)] = record.id
        entries[FORGETTABLE.path(record.ended_us + row.lifetime.retention_us, record.id)] = record.id
    return entries
