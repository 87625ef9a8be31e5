"""Sessions in the memory of one process: the plainest store that keeps every promise, and the reference for the rest.

Nothing survives the process and nothing is shared between processes, so it refuses to work where several
workers serve one application.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.data import join_fields, merge, size_bytes
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import (
    EXPIRED_REASON,
    REPLACED_REASON,
    Outcome,
    State,
    Verb,
    allows,
    refusal_of,
    settled,
    state_of,
    touch_is_due,
)
from sessionguard.core.limits import ActiveLimit, endings_for_one_more, in_order
from sessionguard.core.paging import from_cursor, newest_first, to_cursor
from sessionguard.core.points import reach
from sessionguard.core.records import SessionRecord
from sessionguard.core.visitors import is_taken
from sessionguard.errors import MisuseError
from sessionguard.forking import after_fork
from sessionguard.stores import leases
from sessionguard.stores.memory.answers import Answers
from sessionguard.stores.memory.locks import Locks
from sessionguard.stores.memory.shelf import Row, Shelf
from sessionguard.stores.memory.turns import Turns
from sessionguard.stores.memory.workers import refuse_several_workers


class MemoryStore:
    """A `Store` with all abilities, atomic by one lock that is never held while waiting for anything."""

    name = "memory"
    limits_sessions = True

    def __init__(self, *, allow_per_process: bool = False) -> None:
        self._closed = False
        self._begin_empty()
        if allow_per_process:
            after_fork(self, MemoryStore._begin_empty)
        else:
            refuse_several_workers()

    def _begin_empty(self) -> None:
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._deployment_id = secrets.token_hex(16)
        self._shelf = Shelf()
        self._locks = Locks()
        self._turns = Turns()
        self._answers = Answers()

    def _enter(self, command: c.Command[Any]) -> None:
        # Before the mutex: whoever stands here holds nothing, and all that follows is one step.
        reach(command.verb, self.name, command)
        if self._closed:
            raise MisuseError("the memory store is closed; open a new one")
        if self._pid != os.getpid():
            # A copy of the parent's sessions would go on living a life of its own, unseen by anyone.
            raise MisuseError(
                "a memory store was carried over a fork, but sessions in memory belong to one process; use "
                "sqlite:// for several workers, or allow_per_process=true if losing sight of them is acceptable"
            )

    def answer_inline(self, command: c.Command[c.R]) -> c.R | None:
        """Give the reply to any command: nothing here ever waits."""
        reply: c.R = command.apply(self)
        return reply

    # Opening

    def identify(self, command: c.Identify) -> str:
        self._enter(command)
        return self._deployment_id

    def create(self, command: c.Create) -> c.Opened:
        self._enter(command)
        with self._mutex:
            known = self._opened_before(command)
            return known or self._opened(command, None, _now_us(command.at))

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        self._enter(command)
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._shelf.in_slot_of(command.new)
            is_own = row is not None and row.record.id == command.new.id
            if row is not None and not is_own and state_of(row.record, now_us) is State.ACTIVE:
                touched = touch_is_due(row.record, now_us)
                if touched:
                    row.touch(now_us)
                return c.Opened(row.record, touched=touched)
            known = self._opened_before(command)
            if known is not None:
                return known
            return self._opened(command, row, now_us)

    def replace(self, command: c.Replace) -> c.Opened:
        self._enter(command)
        with self._mutex:
            known = self._opened_before(command)
            if known is not None:
                return known
            return self._opened(command, self._shelf.in_slot_of(command.new), _now_us(command.at))

    def _opened(self, command: c.Create | c.GetOrCreate | c.Replace, former: Row | None, now_us: int) -> c.Opened:
        """Open the session, in the place of `former` if there is one, unless a limit leaves it no place."""
        new, finish = command.new, self._shelf.finish
        endings = self._endings(command.at_most, new.scope, new.owner, former, now_us)
        if endings is None:
            return c.REFUSED
        if former is not None:
            expired = state_of(former.record, now_us) is State.EXPIRED
            endings.append((former, EXPIRED_REASON if expired else REPLACED_REASON))
        ended = in_order([finish(row, reason, now_us, command.operation_id) for row, reason in endings])
        exclusive = not isinstance(command, c.Create)
        return c.Opened(self._shelf.insert(new, exclusive=exclusive, now_us=now_us), ended)

    def _endings(
        self, limit: ActiveLimit | None, scope: str, owner: str, but: Row | None, now_us: int
    ) -> list[tuple[Row, str]] | None:
        if limit is None:
            return []
        rows = {row.record.id: row for row in self._shelf.owned(scope, owner) if row is not but}
        endings = endings_for_one_more(limit, [row.record for row in rows.values()], now_us)
        return None if endings is None else [(rows[record.id], reason) for record, reason in endings]

    def _opened_before(self, command: c.Create | c.GetOrCreate | c.Replace) -> c.Opened | None:
        known = self._shelf.rows.get(command.new.id)
        if known is None:
            return None
        # Searched, not indexed: a repetition is rare.
        return c.Opened(known.record, self._ended_by(command.operation_id, known))

    def _ended_by(self, operation_id: str, but: Row) -> tuple[SessionRecord, ...]:
        rows = self._shelf.rows.values()
        return in_order(row.record for row in rows if row is not but and operation_id in row.operations)

    # Reading

    def load(self, command: c.Load) -> c.Loaded:
        self._enter(command)
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._shelf.with_token(command.token_hash)
            if row is None:
                return c.Loaded(None, refusal="unknown")
            refusal = refusal_of(row.record, command.token_hash, command.scope, now_us)
            if refusal is not None:
                return c.Loaded(None, refusal=refusal, refused_id=row.record.id)
            touched = command.extends and touch_is_due(row.record, now_us)
            if touched:
                row.touch(now_us)
            return c.Loaded(row.record, touched)

    def get(self, command: c.Get) -> SessionRecord | None:
        self._enter(command)
        with self._mutex:
            row = self._shelf.rows.get(command.session_id)
            return None if row is None else settled(row.record, _now_us(command.at))

    def page(self, command: c.Page) -> c.PageOfRecords:
        self._enter(command)
        with self._mutex:
            now_us = _now_us(command.at)
            found = sorted(self._matching(command, now_us), key=newest_first)
            after = None if command.cursor is None else from_cursor(command.cursor)
            rest = [record for record in found if after is None or newest_first(record) > after]
            page = tuple(rest[: command.limit])
            cursor = to_cursor(page[-1]) if len(rest) > len(page) else None
            return c.PageOfRecords(page, cursor)

    def _matching(self, command: c.Page, now_us: int) -> Iterator[SessionRecord]:
        for row in self._shelf.rows.values():
            record = settled(row.record, now_us)
            if (
                (command.scope is None or record.scope == command.scope)
                and (command.owner is None or record.owner == command.owner)
                and (command.status is None or (command.status == "active") == (record.reason is None))
            ):
                yield record

    # Changing one session

    def save(self, command: c.Save) -> c.Changed:
        self._enter(command)
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._shelf.rows.get(command.session_id)
            if row is None:
                return c.Changed(Outcome.ENDED, None)
            record = row.record
            if command.operation_id in row.operations:
                return c.Changed(Outcome.DONE, settled(record, now_us))
            if not allows(record, Verb.SAVE, now_us) or is_taken(record, command.meant):
                return c.Changed(Outcome.ENDED, settled(record, now_us))
            if command.fence is not None and self._is_fenced(row, command.fence):
                return c.Changed(Outcome.FENCED, record)
            if command.expected_version not in (None, record.version):
                return c.Changed(Outcome.CONFLICT, record)
            if not command.changes and not command.remove:
                return c.Changed(Outcome.DONE, record)
            data = merge(record.data, join_fields(command.changes), command.remove)
            if size_bytes(data) > command.limit_bytes:
                return c.Changed(Outcome.TOO_LARGE, record, size_bytes(data))
            row.record = evolve(record, data=data, version=record.version + 1)
            row.operations.append(command.operation_id)
            return c.Changed(Outcome.DONE, row.record)

    def _is_fenced(self, row: Row, fence: c.Fence) -> bool:
        if fence.name == le.LEASE:
            return fence.number < row.leases.floor
        return self._locks.is_fenced(row.record.id, fence)

    def touch(self, command: c.Touch) -> c.Changed:
        self._enter(command)
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._shelf.rows.get(command.session_id)
            if row is None or not allows(row.record, Verb.TOUCH, now_us) or is_taken(row.record, command.meant):
                return _refused(row, now_us)
            row.touch(now_us)
            return c.Changed(Outcome.DONE, row.record)

    def rotate(self, command: c.Rotate) -> c.Changed:
        self._enter(command)
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._shelf.rows.get(command.session_id)
            if row is None or not allows(row.record, Verb.ROTATE, now_us):
                return _refused(row, now_us)
            record = row.record
            if command.token_hash in (record.token_hash, record.previous_hash):
                before = () if command.at_most is None else self._ended_by(command.operation_id, row)
                return c.Changed(Outcome.DONE, record, ended=before)
            if record.token_hash != command.expected_hash:
                return c.Changed(Outcome.CONFLICT, record)
            return self._rotated(command, row, now_us)

    def _rotated(self, command: c.Rotate, row: Row, now_us: int) -> c.Changed:
        endings: list[tuple[Row, str]] | None = []
        if command.owner not in (None, row.record.owner):
            endings = self._endings(command.at_most, row.record.scope, command.owner or "", None, now_us)
        if endings is None:
            return c.Changed(Outcome.FULL, row.record)
        finish = self._shelf.finish
        ended = in_order([finish(other, reason, now_us, command.operation_id) for other, reason in endings])
        self._shelf.give_token(row, command.token_hash, command.grace_us, now_us)
        if command.owner is not None:
            self._shelf.give_owner(row, command.owner)
        return c.Changed(Outcome.DONE, row.record, ended=ended)

    def end(self, command: c.End) -> c.Changed:
        self._enter(command)
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._shelf.rows.get(command.session_id)
            if row is not None and command.operation_id in row.operations:
                return c.Changed(Outcome.DONE, row.record)
            if row is None or not allows(row.record, Verb.END, now_us) or is_taken(row.record, command.meant):
                return _refused(row, now_us)
            return c.Changed(Outcome.DONE, self._shelf.finish(row, command.reason, now_us, command.operation_id))

    # Changing many

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        self._enter(command)
        with self._mutex:
            # The owner may have come back since; those sessions are not the ones that were meant.
            again = self._answers.ended(command.operation_id, self._shelf.rows)
            if again is not None:
                return again
            now_us = _now_us(command.at)
            meant = [row for row in self._shelf.rows.values() if _is_meant(row, command, now_us)]
            finish = self._shelf.finish
            ended = c.Ended(tuple(finish(row, command.reason, now_us, command.operation_id) for row in meant))
            self._answers.remember_ended(command.operation_id, ended, now_us)
            return ended

    def sweep(self, command: c.Sweep) -> c.Ended:
        self._enter(command)
        with self._mutex:
            again = self._answers.ended(command.operation_id, self._shelf.rows)
            if again is not None:
                return again
            now_us = _now_us(command.at)
            records: list[SessionRecord] = []
            while len(records) < command.limit and (row := self._shelf.longest_expired(now_us)) is not None:
                records.append(self._shelf.finish(row, EXPIRED_REASON, now_us, command.operation_id))
            ended = c.Ended(tuple(records), self._shelf.longest_expired(now_us) is not None)
            if records:
                self._answers.remember_ended(command.operation_id, ended, now_us)
            return ended

    def purge(self, command: c.Purge) -> c.Purged:
        self._enter(command)
        with self._mutex:
            again = self._answers.purged(command.operation_id)
            if again is not None:
                return again
            now_us = _now_us(command.at)
            self._answers.forget(now_us)
            due = [row for row in self._shelf.rows.values() if row.is_forgettable(command.older_than_us, now_us)]
            due.sort(key=lambda row: (row.record.ended_us or 0, row.record.id))
            for row in due[: command.limit]:
                self._shelf.forget(row)
                self._locks.forget(row.record.id)
            purged = c.Purged(min(len(due), command.limit), len(due) > command.limit)
            if due:
                self._answers.remember_purged(command.operation_id, purged, now_us)
            return purged

    # Cleaning up

    def census(self, command: f.Census) -> f.Counted:
        self._enter(command)
        with self._mutex:
            active = self._shelf.active_count
            # One more than that is too many, however many more are due.
            most = max(command.floor, int(command.share * active) + 1)
            return f.Counted(len(self._shelf.due(_now_us(command.at), most)), active)

    def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        self._enter(command)
        with self._mutex:
            return tuple(row.record for row in self._shelf.due(_now_us(command.at), command.limit))

    def take_turn(self, command: f.TakeTurn) -> Outcome:
        self._enter(command)
        with self._mutex:
            return self._turns.take(command, _now_us(command.at))

    def give_turn(self, command: f.GiveTurn) -> Outcome:
        self._enter(command)
        with self._mutex:
            return self._turns.give(command, _now_us(command.at))

    # Locks

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        self._enter(command)
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._shelf.rows.get(command.session_id)
            if row is None or state_of(row.record, now_us) is not State.ACTIVE or is_taken(row.record, command.meant):
                return c.LockReply(Outcome.ENDED, 0)
            return self._locks.acquire(command, now_us)

    def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        self._enter(command)
        with self._mutex:
            return self._locks.renew(command, _now_us(command.at))

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        self._enter(command)
        with self._mutex:
            return self._locks.release(command)

    # Leases

    def hold_lease(self, command: le.HoldLease) -> le.LeaseReply:
        self._enter(command)
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._shelf.rows.get(command.session_id)
            if row is None:
                return le.LeaseReply(Outcome.ENDED)
            reply, kept = leases.hold(row.leases, row.record, command.holder in row.operations, command, now_us)
            row.leases = kept or row.leases
            if kept is not None and reply.reason is None:
                row.touch(now_us)
            return reply

    def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        self._enter(command)
        with self._mutex:
            row = self._shelf.rows.get(command.session_id)
            if row is None:
                return le.LeaseReply(Outcome.CONFLICT)
            was_released = command.holder in row.operations
            reply, kept = leases.release(row.leases, row.record, was_released, command.holder, _now_us(command.at))
            row.leases = kept or row.leases
            if kept is not None and reply.outcome is Outcome.DONE:
                row.operations.append(command.holder)
            return reply

    def leased_until(self, command: le.FindLease) -> int | None:
        self._enter(command)
        with self._mutex:
            row = self._shelf.rows.get(command.session_id)
            return None if row is None else row.leases.living(_now_us(command.at)).until_us or None

    # The end

    def distrust(self) -> None:
        """Nothing to drop: there is no connection."""

    def close(self) -> None:
        """Forget everything. Closing twice is fine; any other call afterwards raises `MisuseError`."""
        self._closed = True


def _now_us(at: datetime | None) -> int:
    return time.time_ns() // 1000 if at is None else to_us(at)


def _is_meant(row: Row, command: c.EndOwner, now_us: int) -> bool:
    record = row.record
    mine = record.owner == command.owner and command.scope in (None, record.scope)
    return mine and record.id != command.keep_id and allows(record, Verb.END, now_us)


def _refused(row: Row | None, now_us: int) -> c.Changed:
    return c.Changed(Outcome.ENDED, None if row is None else settled(row.record, now_us))
