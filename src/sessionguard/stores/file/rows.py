"""One session as a file: JSON text and back, pure."""

import json
from typing import Any, Final

from attrs import evolve, fields, frozen

from sessionguard.core.records import REMEMBERED_OPERATIONS, Lifetime, NewSession, SessionRecord
from sessionguard.errors import IdentityMismatchError, StoreDataError
from sessionguard.stores.leases import NO_LEASES, Leases, of_json

_HASHES: Final = ("token_hash", "previous_hash")
_RECORD: Final = tuple(one.name for one in fields(SessionRecord))
_LIFETIME: Final = tuple(one.name for one in fields(Lifetime))


@frozen
class Row:
    """A session: its record, and what the store knows about it beyond that."""

    record: SessionRecord
    lifetime: Lifetime
    operations: tuple[str, ...] = ()
    """The last operations on it, newest first."""
    former: tuple[str, ...] = ()
    """The ids of the sessions that ended as it opened."""
    leases: Leases = NO_LEASES

    def changed(self, record: SessionRecord, operation_id: str | None = None) -> "Row":
        """Give the row after an operation, which is remembered if it is named."""
        remembered = self.operations
        if operation_id is not None:
            remembered = (operation_id, *remembered)[:REMEMBERED_OPERATIONS]
        return evolve(self, record=record, operations=remembered)


def opened_row(new: NewSession, record: SessionRecord, former: tuple[SessionRecord, ...] = ()) -> Row:
    """Give the row of a session that opens."""
    return Row(record, new.lifetime, (), tuple(one.id for one in former))


def to_text(row: Row) -> bytes:
    """Give the content of the file of `row`."""
    record, lifetime = row.record, row.lifetime
    values: dict[str, Any] = {name: getattr(record, name) for name in _RECORD}
    for name in _HASHES:
        values[name] = None if values[name] is None else values[name].hex()
    values["lifetime"] = {name: getattr(lifetime, name) for name in _LIFETIME}
    values["operations"], values["former"] = row.operations, row.former
    if row.leases.count:
        values["leases"] = row.leases.text()
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def to_row(session_id: str, text: bytes) -> Row:
    """Give the row whose file has this content.

    Raises:
        StoreDataError: it is not the content of such a file.
        IdentityMismatchError: it is that of another session.
    """
    try:
        values = json.loads(text)
        lifetime, operations, former = values.pop("lifetime"), values.pop("operations"), values.pop("former")
        leases = of_json(values.pop("leases", None))
        for name in _HASHES:
            values[name] = None if values[name] is None else bytes.fromhex(values[name])
        row = Row(SessionRecord(**values), Lifetime(**lifetime), tuple(operations), tuple(former), leases)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"the file of session {session_id} is damaged; restore it from a backup, or remove it"
        raise StoreDataError("file", "read", message) from error
    if row.record.id != session_id:
        raise IdentityMismatchError("file", "read", "id")
    return row
