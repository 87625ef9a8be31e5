"""What must be equal in the replies of two right stores, and a model that follows where both choices are right."""

from collections.abc import Callable
from typing import Any

import attrs

from sessionguard.core import commands as c
from sessionguard.core import leases as le
from sessionguard.core.data import decode
from sessionguard.core.records import SessionRecord
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry

_MANY_PAGES = 10_000


class FollowingModel(ModelStore):
    """The model, which among sessions that expired at one instant sweeps those that the store has swept."""

    def __init__(self) -> None:
        super().__init__()
        self._chosen: frozenset[str] = frozenset()

    def follow(self, reply: object) -> None:
        """Remember whom the store chose."""
        chosen = reply.records if isinstance(reply, c.Ended) else ()
        self._chosen = frozenset(record.id for record in chosen)

    def expired(self, now_us: int) -> list[Entry]:
        """Give what is to be swept, the longest expired first, among equals the chosen ones."""
        return sorted(super().expired(now_us), key=lambda e: (e.record.expires_us, e.record.id not in self._chosen))


def comparable(reply: Any) -> Any:
    """Give a reply as plain values, without what two right stores may do differently."""
    if isinstance(reply, SessionRecord):
        fields = attrs.asdict(reply) | {"data": repr(_ordered(decode(reply.data)))}
        # The numbers of a slot only have to grow, which the machine looks at by itself.
        del fields["generation"]
        return fields
    if isinstance(reply, c.Ended):
        return {record.id: comparable(record) for record in reply.records}, reply.has_more
    if isinstance(reply, c.LockReply):
        return reply.outcome
    if isinstance(reply, le.LeaseReply):
        # Fences only have to grow.
        return reply.outcome, reply.until_us, reply.reason
    if isinstance(reply, tuple):
        return [comparable(item) for item in reply]
    if attrs.has(type(reply)):
        return {field.name: comparable(getattr(reply, field.name)) for field in attrs.fields(type(reply))}
    return reply


def listed(question: Callable[..., c.Page], ask: Callable[[c.Page], c.PageOfRecords]) -> dict[str, Any]:
    """Walk a whole list; each record is there once, and one owner's are newest first."""
    records: list[SessionRecord] = []
    cursor = None
    for _ in range(_MANY_PAGES):
        command = question(cursor=cursor)
        page = ask(command)
        assert len(page.records) <= command.limit
        records.extend(page.records)
        cursor = page.cursor
        if cursor is None:
            break
    found = {record.id: comparable(record) for record in records}
    assert len(found) == len(records), "a session was listed twice"
    if question().owner is not None:
        created = [record.created_us for record in records]
        assert created == sorted(created, reverse=True), "one owner's sessions are listed newest first"
    return found


def _ordered(value: Any) -> Any:
    """Give a JSON value with its fields in order, so that its text can be compared, types included."""
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value
