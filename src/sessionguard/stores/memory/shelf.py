"""What the memory store keeps, findable by id, by token, by slot and by deadline. Called with its mutex held."""

import heapq
from collections import deque

from attrs import define, evolve, field

from sessionguard.core.opening import ended_record, opened_record, touched_record
from sessionguard.core.records import REMEMBERED_OPERATIONS, Lifetime, NewSession, SessionRecord
from sessionguard.stores.leases import NO_LEASES, Leases

_Slot = tuple[str, str, str | None]
_Owned = tuple[str, str]


@define
class Row:
    """One session: its record, which is replaced and never changed, and what was done to it last."""

    record: SessionRecord
    lifetime: Lifetime
    operations: deque[str] = field(factory=lambda: deque(maxlen=REMEMBERED_OPERATIONS))
    leases: Leases = NO_LEASES

    def touch(self, now_us: int) -> None:
        """Extend its life."""
        self.record = touched_record(self.record, self.lifetime, now_us)

    def is_forgettable(self, older_than_us: int | None, now_us: int) -> bool:
        """Tell whether it has ended, that as long ago as history is kept, and nobody holds it any more."""
        if self.record.ended_us is None or now_us < self.leases.until_us:
            return False
        kept_us = self.lifetime.retention_us if older_than_us is None else older_than_us
        return self.record.ended_us + kept_us <= now_us


class Shelf:
    """All rows. Every change keeps the ways to find them in step."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._tokens: dict[bytes, str] = {}
        self._slots: dict[_Slot, str] = {}
        self._owned: dict[_Owned, set[str]] = {}
        """The sessions of an owner in a scope that nobody has ended."""
        self._generations: dict[_Slot, int] = {}
        self._generation_floor = 0
        self.active_count = 0
        """How many nobody has ended, expired or not."""
        # One entry a session, (deadline, id); an entry whose session was touched is put right when met.
        self._deadlines: list[tuple[int, str]] = []

    def with_token(self, token_hash: bytes) -> Row | None:
        """Give the session with this token, the present or the previous one."""
        session_id = self._tokens.get(token_hash)
        return None if session_id is None else self.rows[session_id]

    def in_slot_of(self, new: NewSession) -> Row | None:
        """Give the session that holds the slot `new` asks for; it may have expired."""
        session_id = self._slots.get((new.scope, new.owner, new.external_id))
        return None if session_id is None else self.rows[session_id]

    def owned(self, scope: str, owner: str) -> list[Row]:
        """Give the sessions of an owner in a scope that nobody has ended; some may have expired."""
        return [self.rows[session_id] for session_id in self._owned.get((scope, owner), ())]

    def insert(self, new: NewSession, *, exclusive: bool, now_us: int) -> SessionRecord:
        """Open `new`, in its slot if `exclusive`; the slot must be free."""
        generation = 1
        if exclusive:
            slot = (new.scope, new.owner, new.external_id)
            generation = max(self._generations.get(slot, 0), self._generation_floor) + 1
            self._generations[slot] = generation
            self._slots[slot] = new.id
        record = opened_record(new, exclusive=exclusive, generation=generation, now_us=now_us)
        self.rows[new.id] = Row(record, new.lifetime)
        self._owned.setdefault((new.scope, new.owner), set()).add(new.id)
        self._tokens[new.token_hash] = new.id
        self.active_count += 1
        heapq.heappush(self._deadlines, (record.expires_us, record.id))
        return record

    def give_token(self, row: Row, token_hash: bytes, grace_us: int, now_us: int) -> None:
        """Make `token_hash` the present token; the one before stays valid for `grace_us`, the one before that ends."""
        record = row.record
        if record.previous_hash is not None:
            del self._tokens[record.previous_hash]
        self._tokens[token_hash] = record.id
        row.record = evolve(
            record, token_hash=token_hash, previous_hash=record.token_hash, previous_until_us=now_us + grace_us
        )

    def give_owner(self, row: Row, owner: str) -> None:
        """Make it the session of `owner`, beside the one in that owner's slot."""
        self._leave_slot(row.record)
        self._leave_owner(row.record)
        row.record = evolve(row.record, owner=owner, exclusive=False)
        self._owned.setdefault((row.record.scope, owner), set()).add(row.record.id)

    def finish(self, row: Row, reason: str, now_us: int, operation_id: str) -> SessionRecord:
        """End it; it stays as history."""
        self._leave_slot(row.record)
        self._leave_owner(row.record)
        self.active_count -= 1
        row.record = ended_record(row.record, row.lifetime, reason, now_us)
        row.operations.append(operation_id)
        return row.record

    def longest_expired(self, now_us: int) -> Row | None:
        """Give the session whose deadline passed first, of those that nobody has ended yet."""
        while self._deadlines and self._deadlines[0][0] <= now_us:
            deadline_us, session_id = self._deadlines[0]
            row = self.rows.get(session_id)
            if row is None or row.record.reason is not None:
                heapq.heappop(self._deadlines)
            elif row.record.expires_us != deadline_us:
                # It was touched since; others may have expired before its new deadline.
                heapq.heapreplace(self._deadlines, (row.record.expires_us, session_id))
            else:
                return row
        return None

    def due(self, now_us: int, most: int) -> list[Row]:
        """Give up to `most` of the sessions that have expired and that nobody has ended, the longest expired first."""
        found: list[Row] = []
        while len(found) < most and (row := self.longest_expired(now_us)) is not None:
            found.append(row)
            heapq.heappop(self._deadlines)
        for row in found:
            heapq.heappush(self._deadlines, (row.record.expires_us, row.record.id))
        return found

    def forget(self, row: Row) -> None:
        """Drop it and every way to find it."""
        record = row.record
        del self.rows[record.id]
        for token_hash in (record.token_hash, record.previous_hash):
            if token_hash is not None:
                self._tokens.pop(token_hash, None)
        slot = (record.scope, record.owner, record.external_id)
        if record.exclusive and slot not in self._slots:
            # The slot's counter goes with its history; the floor keeps its numbers used.
            self._generation_floor = max(self._generation_floor, self._generations.pop(slot, 0))

    def _leave_owner(self, record: SessionRecord) -> None:
        owned = self._owned[record.scope, record.owner]
        owned.discard(record.id)
        if not owned:
            del self._owned[record.scope, record.owner]

    def _leave_slot(self, record: SessionRecord) -> None:
        slot = (record.scope, record.owner, record.external_id)
        if self._slots.get(slot) == record.id:
            del self._slots[slot]
