"""Sessions in the memory of one process: the plainest store that keeps every promise, and the reference for the rest.

Nothing survives the process and nothing is shared between processes, so it refuses to work where several
workers serve one application.
"""

import heapq
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from attrs import define, evolve, field

from sessionguard.core import commands as c
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
from sessionguard.core.opening import ended_record, opened_record, touched_record
from sessionguard.core.paging import from_cursor, newest_first, to_cursor
from sessionguard.core.records import Lifetime, NewSession, SessionRecord
from sessionguard.errors import ConfigurationError, MisuseError

_Slot = tuple[str, str, str | None]
REMEMBERED_OPERATIONS: Final = 8


@define
class _Row:
    record: SessionRecord
    lifetime: Lifetime
    operations: deque[str] = field(factory=lambda: deque(maxlen=REMEMBERED_OPERATIONS))


@define
class _Lock:
    fence: int = 0
    holder: str | None = None
    until_us: int = 0


def open_memory(url: str, options: Mapping[str, str]) -> "MemoryStore":
    """Open `memory://`; the option `allow_per_process=true` lets every worker process keep sessions of its own."""
    if options.keys() - {"allow_per_process"}:
        # Not named: behind a question mark inside a password, the rest of the password would be an option.
        raise ConfigurationError.of_url(url, "memory:// has only the option allow_per_process")
    return MemoryStore(allow_per_process=options.get("allow_per_process", "").lower() in {"1", "true", "yes"})


class MemoryStore:
    """A `Store` with all abilities, atomic by one lock that is never held while waiting for anything."""

    name = "memory"

    def __init__(self, *, allow_per_process: bool = False) -> None:
        self._allow_per_process = allow_per_process
        self._mutex = threading.Lock()
        self._closed = False
        self._start_empty()
        if not allow_per_process:
            _refuse_several_workers()

    def _start_empty(self) -> None:
        self._pid = os.getpid()
        self._deployment_id = secrets.token_hex(16)
        self._rows: dict[str, _Row] = {}
        self._tokens: dict[bytes, str] = {}
        self._slots: dict[_Slot, str] = {}
        self._generations: dict[_Slot, int] = {}
        self._generation_floor = 0
        # One entry a session, (deadline, id); an entry whose session was touched is put right when met.
        self._deadlines: list[tuple[int, str]] = []
        self._locks: dict[tuple[str, str], _Lock] = {}

    def _enter(self) -> None:
        if self._closed:
            raise MisuseError("the memory store is closed; open a new one")
        if self._pid != os.getpid():
            # A copy of the parent's sessions would go on living a life of its own, unseen by anyone.
            if not self._allow_per_process:
                raise MisuseError(
                    "a memory store was carried over a fork, but sessions in memory belong to one process; use "
                    "sqlite:// for several workers, or allow_per_process=true if losing sight of them is acceptable"
                )
            self._mutex = threading.Lock()
            self._start_empty()

    def answer_inline(self, command: c.Command[c.R]) -> c.R | None:
        """Give the reply to any command: nothing here ever waits."""
        reply: c.R = command.apply(self)
        return reply

    # Opening

    def identify(self, command: c.Identify) -> str:
        self._enter()
        return self._deployment_id

    def create(self, command: c.Create) -> c.Opened:
        self._enter()
        with self._mutex:
            known = self._rows.get(command.new.id)
            if known is not None:
                return c.Opened(known.record)
            return c.Opened(self._insert(command.new, exclusive=False, now_us=_now_us(command.at)))

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._slot_row(command.new)
            if row is not None and state_of(row.record, now_us) is State.ACTIVE:
                touched = touch_is_due(row.record, now_us)
                if touched:
                    self._touch(row, now_us)
                return c.Opened(row.record, touched=touched)
            known = self._rows.get(command.new.id)
            if known is not None:
                return c.Opened(known.record)
            ended = () if row is None else (self._finish(row, EXPIRED_REASON, now_us, command.operation_id),)
            return c.Opened(self._insert(command.new, exclusive=True, now_us=now_us), ended)

    def replace(self, command: c.Replace) -> c.Opened:
        self._enter()
        with self._mutex:
            known = self._rows.get(command.new.id)
            if known is not None:
                return c.Opened(known.record)
            now_us = _now_us(command.at)
            row = self._slot_row(command.new)
            ended: tuple[SessionRecord, ...] = ()
            if row is not None:
                expired = state_of(row.record, now_us) is State.EXPIRED
                reason = EXPIRED_REASON if expired else REPLACED_REASON
                ended = (self._finish(row, reason, now_us, command.operation_id),)
            return c.Opened(self._insert(command.new, exclusive=True, now_us=now_us), ended)

    # Reading

    def load(self, command: c.Load) -> c.Loaded:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            session_id = self._tokens.get(command.token_hash)
            if session_id is None:
                return c.Loaded(None, refusal="unknown")
            row = self._rows[session_id]
            refusal = refusal_of(row.record, command.token_hash, command.scope, now_us)
            if refusal is not None:
                return c.Loaded(None, refusal=refusal, refused_id=session_id)
            touched = touch_is_due(row.record, now_us)
            if touched:
                self._touch(row, now_us)
            return c.Loaded(row.record, touched)

    def get(self, command: c.Get) -> SessionRecord | None:
        self._enter()
        with self._mutex:
            row = self._rows.get(command.session_id)
            return None if row is None else settled(row.record, _now_us(command.at))

    def page(self, command: c.Page) -> c.PageOfRecords:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            found = sorted(self._matching(command, now_us), key=newest_first)
            after = None if command.cursor is None else from_cursor(command.cursor)
            rest = [record for record in found if after is None or newest_first(record) > after]
            page = tuple(rest[: command.limit])
            cursor = to_cursor(page[-1]) if len(rest) > len(page) else None
            return c.PageOfRecords(page, cursor)

    def _matching(self, command: c.Page, now_us: int) -> Iterator[SessionRecord]:
        for row in self._rows.values():
            record = settled(row.record, now_us)
            if (
                (command.scope is None or record.scope == command.scope)
                and (command.owner is None or record.owner == command.owner)
                and (command.status is None or (command.status == "active") == (record.reason is None))
            ):
                yield record

    # Changing one session

    def save(self, command: c.Save) -> c.Changed:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._rows.get(command.session_id)
            if row is None:
                return c.Changed(Outcome.ENDED, None)
            record = row.record
            if command.operation_id in row.operations:
                return c.Changed(Outcome.DONE, settled(record, now_us))
            if not allows(record, Verb.SAVE, now_us):
                return c.Changed(Outcome.ENDED, settled(record, now_us))
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

    def touch(self, command: c.Touch) -> c.Changed:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._rows.get(command.session_id)
            if row is None or not allows(row.record, Verb.TOUCH, now_us):
                return _refused(row, now_us)
            self._touch(row, now_us)
            return c.Changed(Outcome.DONE, row.record)

    def rotate(self, command: c.Rotate) -> c.Changed:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._rows.get(command.session_id)
            if row is None or not allows(row.record, Verb.ROTATE, now_us):
                return _refused(row, now_us)
            record = row.record
            if command.token_hash in (record.token_hash, record.previous_hash):
                return c.Changed(Outcome.DONE, record)
            if record.token_hash != command.expected_hash:
                return c.Changed(Outcome.CONFLICT, record)
            if record.previous_hash is not None:
                del self._tokens[record.previous_hash]
            self._tokens[command.token_hash] = record.id
            row.record = evolve(
                record,
                token_hash=command.token_hash,
                previous_hash=record.token_hash,
                previous_until_us=now_us + command.grace_us,
            )
            if command.owner is not None:
                self._give_owner(row, command.owner)
            return c.Changed(Outcome.DONE, row.record)

    def end(self, command: c.End) -> c.Changed:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._rows.get(command.session_id)
            if row is not None and command.operation_id in row.operations:
                return c.Changed(Outcome.DONE, row.record)
            if row is None or not allows(row.record, Verb.END, now_us):
                return _refused(row, now_us)
            return c.Changed(Outcome.DONE, self._finish(row, command.reason, now_us, command.operation_id))

    # Changing many

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        self._enter()
        with self._mutex:
            repeated = [row.record for row in self._rows.values() if command.operation_id in row.operations]
            if repeated:
                # The owner may have come back since; those sessions are not the ones that were meant.
                return c.Ended(tuple(repeated))
            now_us = _now_us(command.at)
            return c.Ended(
                tuple(
                    self._finish(row, command.reason, now_us, command.operation_id)
                    for row in list(self._rows.values())
                    if row.record.owner == command.owner
                    and command.scope in (None, row.record.scope)
                    and row.record.id != command.keep_id
                    and allows(row.record, Verb.END, now_us)
                )
            )

    def sweep(self, command: c.Sweep) -> c.Ended:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            ended: list[SessionRecord] = []
            while len(ended) < command.limit and (row := self._longest_expired(now_us)) is not None:
                ended.append(self._finish(row, EXPIRED_REASON, now_us, command.operation_id))
            return c.Ended(tuple(ended), self._longest_expired(now_us) is not None)

    def purge(self, command: c.Purge) -> c.Purged:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            due = [row for row in self._rows.values() if _is_forgettable(row, command.older_than_us, now_us)]
            due.sort(key=lambda row: (row.record.ended_us or 0, row.record.id))
            for row in due[: command.limit]:
                self._forget(row.record)
            return c.Purged(min(len(due), command.limit), len(due) > command.limit)

    # Locks

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            row = self._rows.get(command.session_id)
            if row is None or state_of(row.record, now_us) is not State.ACTIVE:
                return c.LockReply(Outcome.ENDED, 0)
            lock = self._locks.setdefault((command.session_id, command.name), _Lock())
            if lock.holder is not None and now_us < lock.until_us and lock.holder != command.holder:
                return c.LockReply(Outcome.CONFLICT, lock.fence)
            if lock.holder != command.holder or now_us >= lock.until_us:
                lock.fence += 1
            lock.holder, lock.until_us = command.holder, now_us + command.lease_us
            return c.LockReply(Outcome.DONE, lock.fence)

    def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        self._enter()
        with self._mutex:
            now_us = _now_us(command.at)
            lock = self._locks.get((command.session_id, command.name))
            if lock is None or lock.holder != command.holder or now_us >= lock.until_us:
                return c.LockReply(Outcome.CONFLICT, 0 if lock is None else lock.fence)
            lock.until_us = now_us + command.lease_us
            return c.LockReply(Outcome.DONE, lock.fence)

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        self._enter()
        with self._mutex:
            lock = self._locks.get((command.session_id, command.name))
            if lock is None or lock.holder != command.holder:
                return c.LockReply(Outcome.CONFLICT, 0 if lock is None else lock.fence)
            lock.holder = None
            return c.LockReply(Outcome.DONE, lock.fence)

    # The end

    def distrust(self) -> None:
        """Nothing to drop: there is no connection."""

    def close(self) -> None:
        """Forget everything. Closing twice is fine; any other call afterwards raises `MisuseError`."""
        self._closed = True

    # Parts of the above, called with the mutex held

    def _slot_row(self, new: NewSession) -> _Row | None:
        session_id = self._slots.get((new.scope, new.owner, new.external_id))
        return None if session_id is None else self._rows[session_id]

    def _insert(self, new: NewSession, *, exclusive: bool, now_us: int) -> SessionRecord:
        generation = 1
        if exclusive:
            slot = (new.scope, new.owner, new.external_id)
            generation = max(self._generations.get(slot, 0), self._generation_floor) + 1
            self._generations[slot] = generation
            self._slots[slot] = new.id
        record = opened_record(new, exclusive=exclusive, generation=generation, now_us=now_us)
        self._rows[new.id] = _Row(record, new.lifetime)
        self._tokens[new.token_hash] = new.id
        heapq.heappush(self._deadlines, (record.expires_us, record.id))
        return record

    def _touch(self, row: _Row, now_us: int) -> None:
        row.record = touched_record(row.record, row.lifetime, now_us)

    def _finish(self, row: _Row, reason: str, now_us: int, operation_id: str) -> SessionRecord:
        self._leave_slot(row.record)
        row.record = ended_record(row.record, row.lifetime, reason, now_us)
        row.operations.append(operation_id)
        return row.record

    def _longest_expired(self, now_us: int) -> _Row | None:
        while self._deadlines and self._deadlines[0][0] <= now_us:
            deadline_us, session_id = self._deadlines[0]
            row = self._rows.get(session_id)
            if row is None or row.record.reason is not None:
                heapq.heappop(self._deadlines)
            elif row.record.expires_us != deadline_us:
                # It was touched since; others may have expired before its new deadline.
                heapq.heapreplace(self._deadlines, (row.record.expires_us, session_id))
            else:
                return row
        return None

    def _leave_slot(self, record: SessionRecord) -> None:
        slot = (record.scope, record.owner, record.external_id)
        if self._slots.get(slot) == record.id:
            del self._slots[slot]

    def _give_owner(self, row: _Row, owner: str) -> None:
        self._leave_slot(row.record)
        row.record = evolve(row.record, owner=owner, exclusive=False)

    def _forget(self, record: SessionRecord) -> None:
        del self._rows[record.id]
        for token_hash in (record.token_hash, record.previous_hash):
            if token_hash is not None:
                self._tokens.pop(token_hash, None)
        for key in [key for key in self._locks if key[0] == record.id]:
            del self._locks[key]
        slot = (record.scope, record.owner, record.external_id)
        if record.exclusive and slot not in self._slots:
            # The slot's counter goes with its history; the floor keeps its numbers used.
            self._generation_floor = max(self._generation_floor, self._generations.pop(slot, 0))


def _now_us(at: datetime | None) -> int:
    return time.time_ns() // 1000 if at is None else to_us(at)


def _refused(row: _Row | None, now_us: int) -> c.Changed:
    return c.Changed(Outcome.ENDED, None if row is None else settled(row.record, now_us))


def _is_forgettable(row: _Row, older_than_us: int | None, now_us: int) -> bool:
    if row.record.ended_us is None:
        return False
    kept_us = row.lifetime.retention_us if older_than_us is None else older_than_us
    return row.record.ended_us + kept_us <= now_us


def _refuse_several_workers() -> None:
    workers = os.environ.get("WEB_CONCURRENCY", "")
    if workers.isdigit() and int(workers) > 1:
        raise ConfigurationError(
            "WEB_CONCURRENCY",
            workers,
            "memory:// keeps sessions in one process, so several workers would each see only some; use sqlite:///...",
        )
