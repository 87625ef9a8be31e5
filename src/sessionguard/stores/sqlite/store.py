"""The SQLite store: reads first, and a short immediate transaction only where something is to be written.

What one UPDATE can decide is one statement. Only if it matched nothing is the reason looked for, with the write
lock held, so that the answer is about one instant. (A deferred transaction that reads and then writes
would fail at once whenever another has written in between.)
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from sessionguard.core import commands as c
from sessionguard.core.data import join_fields, size_bytes
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import Outcome, State, Verb, allows, refusal_of, settled, state_of, touch_is_due
from sessionguard.core.opening import opened_record
from sessionguard.core.records import SessionRecord
from sessionguard.errors import ConfigurationError
from sessionguard.stores.contract import Finding
from sessionguard.stores.sqlite import examination, schema
from sessionguard.stores.sqlite.connections import Connections
from sessionguard.stores.sqlite.queries import (
    by_token,
    end_in_slot,
    has_done,
    in_slot,
    insert_exclusive,
    read_page,
    select_all,
    select_one,
)
from sessionguard.stores.sqlite.rows import sg_merge, to_row
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL
from sessionguard.stores.sqlite.transactions import Transactions


class SQLiteStore:
    """A `Store` with all abilities over one database file; usable from any thread, and again after a fork.

    Acknowledged changes survive the death of any process (synchronous=FULL). Every call may raise:
    `StoreTimeoutError`, other processes kept the database locked for `patience_seconds` and nothing was
    done; `StoreUnavailableError`, disk full, file gone or permission lost; `StoreDataError`, the file is
    damaged or its schema newer than this release.
    """

    name = "sqlite"

    def __init__(
        self, path: str | os.PathLike[str], *, journal_mode: str = "wal", patience_seconds: float = 5.0
    ) -> None:
        if journal_mode not in ("wal", "delete"):
            raise ConfigurationError("journal", journal_mode, 'use "wal", or "delete" where WAL cannot be trusted')
        self.path = os.fspath(path)
        self._connections = Connections(self.path, journal_mode=journal_mode, patience_seconds=patience_seconds)
        self._run = Transactions(self._connections, patience_seconds)
        self._patience_seconds = patience_seconds

    # Opening

    def identify(self, command: c.Identify) -> str:
        return self._run.read("identify", _deployment_id)

    def create(self, command: c.Create) -> c.Opened:
        new = command.new

        def insert(connection: sqlite3.Connection) -> c.Opened:
            record = opened_record(new, exclusive=False, generation=1, now_us=_now_us(command.at))
            try:
                connection.execute(SQL["insert"], to_row(record, new.lifetime))
            except sqlite3.IntegrityError:
                # The id is taken only if this very command was done before and its answer was lost.
                known = select_one(connection, "by_id", {"id": new.id})
                if known is None:
                    raise
                return c.Opened(known)
            return c.Opened(record)

        return self._run.write("create", insert)

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        found = self._run.read("get_or_create", lambda connection: _find_open(connection, command))
        return found or self._run.transact("get_or_create", lambda connection: _get_or_open(connection, command))

    def replace(self, command: c.Replace) -> c.Opened:
        def attempt(connection: sqlite3.Connection) -> c.Opened:
            now_us = _now_us(command.at)
            repeated = select_one(connection, "by_id", {"id": command.new.id})
            if repeated is not None:
                return c.Opened(repeated)
            former = in_slot(connection, command.new)
            ended = () if former is None else end_in_slot(connection, former, command.operation_id, now_us)
            return c.Opened(insert_exclusive(connection, command.new, now_us), ended)

        return self._run.transact("replace", attempt)

    # Reading

    def load(self, command: c.Load) -> c.Loaded:
        found = self._run.read("load", lambda connection: _find_loaded(connection, command))
        return found or self._run.transact("load", lambda connection: _load_and_touch(connection, command))

    def get(self, command: c.Get) -> SessionRecord | None:
        return self._run.read("get", lambda connection: _get(connection, command))

    def page(self, command: c.Page) -> c.PageOfRecords:
        return self._run.read("page", lambda connection: read_page(connection, command, _now_us(command.at)))

    def answer_inline(self, command: c.Command[c.R]) -> c.R | None:
        """Give the reply to a read that needs no write, or None."""
        work = _INLINE.get(type(command))
        if work is None:
            return None
        reply = self._run.read_at_once(command.verb, lambda connection: work(connection, command))
        return cast("c.R | None", reply)

    # Changing one session

    def save(self, command: c.Save) -> c.Changed:
        if not command.changes and not command.remove:
            return self._run.read("save", lambda connection: _judge_save(connection, command, ""))
        changes = join_fields(command.changes)
        parameters = {
            "id": command.session_id,
            "operation": command.operation_id,
            "changes": changes,
            "remove": json.dumps(command.remove),
            "expected_version": command.expected_version,
            "limit_bytes": command.limit_bytes,
        }
        return self._change(
            "save",
            lambda connection: select_one(connection, "save", parameters | {"now": _now_us(command.at)}),
            lambda connection: _judge_save(connection, command, changes),
        )

    def touch(self, command: c.Touch) -> c.Changed:
        return self._change(
            "touch",
            lambda connection: select_one(connection, "touch", {"id": command.session_id, "now": _now_us(command.at)}),
            lambda connection: _judge_ended(connection, command),
        )

    def rotate(self, command: c.Rotate) -> c.Changed:
        parameters = {
            "id": command.session_id,
            "grace_us": command.grace_us,
            "token_hash": command.token_hash,
            "expected_hash": command.expected_hash,
        }

        def attempt(connection: sqlite3.Connection) -> SessionRecord | None:
            rotated = select_one(connection, "rotate", parameters | {"now": _now_us(command.at)})
            if rotated is None or command.owner is None:
                return rotated
            # The session leaves its slot; the floor keeps the slot's generation used.
            if rotated.exclusive:
                connection.execute(SQL["raise_generation_floor"], (rotated.generation,))
            return select_one(connection, "give_owner", {"id": rotated.id, "owner": command.owner})

        def judge(connection: sqlite3.Connection) -> c.Changed:
            return _judge_rotation(connection, command)

        return self._change("rotate", attempt, judge, in_transaction=command.owner is not None)

    def end(self, command: c.End) -> c.Changed:
        parameters = {"id": command.session_id, "operation": command.operation_id, "reason": command.reason}
        return self._change(
            "end",
            lambda connection: select_one(connection, "end", parameters | {"now": _now_us(command.at)}),
            lambda connection: _judge_ended(connection, command),
        )

    def _change(
        self,
        operation: str,
        attempt: Callable[[sqlite3.Connection], SessionRecord | None],
        judge: Callable[[sqlite3.Connection], c.Changed],
        *,
        in_transaction: bool = False,
    ) -> c.Changed:
        changed = None if in_transaction else self._run.write(operation, attempt)
        if changed is not None:
            return c.Changed(Outcome.DONE, changed)

        def decide(connection: sqlite3.Connection) -> c.Changed:
            changed = attempt(connection)
            return judge(connection) if changed is None else c.Changed(Outcome.DONE, changed)

        return self._run.transact(operation, decide)

    # Changing many

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        operation = {"owner": command.owner, "operation": command.operation_id}
        chosen = {"scope": command.scope, "keep_id": command.keep_id, "reason": command.reason}

        def attempt(connection: sqlite3.Connection) -> c.Ended:
            # The owner may have come back since it was done; those sessions are not the ones that were meant.
            repeated = select_all(connection, "ended_by", operation)
            if repeated:
                return c.Ended(repeated)
            return c.Ended(select_all(connection, "end_owner", operation | chosen | {"now": _now_us(command.at)}))

        return self._run.transact("end_owner", attempt)

    def sweep(self, command: c.Sweep) -> c.Ended:
        def attempt(connection: sqlite3.Connection) -> c.Ended:
            now_us = _now_us(command.at)
            chosen = {"now": now_us, "limit": command.limit, "operation": command.operation_id}
            ended = select_all(connection, "sweep", chosen)
            full = len(ended) == command.limit
            has_more = full and bool(connection.execute(SQL["is_due"], {"now": now_us}).fetchone()[0])
            return c.Ended(tuple(sorted(ended, key=lambda record: record.expires_us)), has_more)

        return self._run.write("sweep", attempt)

    def purge(self, command: c.Purge) -> c.Purged:
        def attempt(connection: sqlite3.Connection) -> c.Purged:
            chosen = {"older_than": command.older_than_us, "limit": command.limit, "now": _now_us(command.at)}
            due = connection.execute(SQL["forgettable"], chosen).fetchall()
            forgotten = due[: command.limit]
            if forgotten:
                floor = max((generation for _, generation, seat in forgotten if seat is not None), default=0)
                connection.execute(SQL["raise_generation_floor"], (floor,))
                row_ids = [(row_id,) for row_id, _, _ in forgotten]
                connection.executemany(SQL["forget_locks"], row_ids)
                connection.executemany(SQL["forget"], row_ids)
            return c.Purged(len(forgotten), len(due) > command.limit)

        return self._run.transact("purge", attempt)

    # Locks

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        return self._lock(command, {"lease": command.lease_us})

    def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        return self._lock(command, {"lease": command.lease_us})

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        return self._lock(command, {})

    def _lock(self, command: c.AcquireLock | c.RenewLock | c.ReleaseLock, parameters: dict[str, Any]) -> c.LockReply:
        named = {"id": command.session_id, "name": command.name}

        def attempt(connection: sqlite3.Connection) -> c.LockReply:
            now_us = _now_us(command.at)
            asked = parameters | named | {"holder": command.holder, "now": now_us}
            held = connection.execute(SQL[command.verb], asked).fetchall()
            if held:
                return c.LockReply(Outcome.DONE, held[0][0])
            record = select_one(connection, "by_id", {"id": command.session_id})
            if command.verb == "acquire_lock" and (record is None or state_of(record, now_us) is not State.ACTIVE):
                return c.LockReply(Outcome.ENDED, 0)
            fence = connection.execute(SQL["lock_fence"], named).fetchone()
            return c.LockReply(Outcome.CONFLICT, 0 if fence is None else fence[0])

        return self._run.write(command.verb, attempt)

    # Surroundings

    def examine(self) -> list[Finding]:
        """Examine the file, its place, its schema and the SQLite library; changes nothing."""
        return examination.examine(self.path, self._connections)

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date and name what was applied, or with `dry_run` only what would be."""
        if dry_run:
            return examination.due_migrations(self.path)
        before = examination.due_migrations(self.path)
        self._run.read("migrate", lambda connection: schema.migrate(connection, self._patience_seconds))
        return before

    def distrust(self) -> None:
        """Close every connection that is not in use."""
        self._connections.drop_idle()

    def close(self) -> None:
        """Close all connections. Closing twice is fine; any other call afterwards raises `MisuseError`."""
        self._connections.close()


def _now_us(at: datetime | None) -> int:
    return time.time_ns() // 1000 if at is None else to_us(at)


# What reads need: each answers, or gives None if a write is needed


def _deployment_id(connection: sqlite3.Connection, _: object = None) -> str:
    return str(connection.execute(SQL["identify"]).fetchone()[0])


def _find_open(connection: sqlite3.Connection, command: c.GetOrCreate) -> c.Opened | None:
    record = in_slot(connection, command.new)
    if record is None:
        return None
    now_us = _now_us(command.at)
    if now_us >= record.expires_us or touch_is_due(record, now_us):
        return None
    return c.Opened(record)


def _find_loaded(connection: sqlite3.Connection, command: c.Load) -> c.Loaded | None:
    record = by_token(connection, command.token_hash)
    if record is None:
        return c.Loaded(None, False, "unknown")
    now_us = _now_us(command.at)
    refusal = refusal_of(record, command.token_hash, command.scope, now_us)
    if refusal is not None:
        return c.Loaded(None, False, refusal, record.id)
    return None if touch_is_due(record, now_us) else c.Loaded(record)


def _get(connection: sqlite3.Connection, command: c.Get) -> SessionRecord | None:
    record = select_one(connection, "by_id", {"id": command.session_id})
    return None if record is None else settled(record, _now_us(command.at))


_INLINE: dict[type, Callable[[sqlite3.Connection, Any], object]] = {
    c.GetOrCreate: _find_open,
    c.Identify: _deployment_id,
    c.Load: _find_loaded,
}


# What is decided with the write lock held


def _get_or_open(connection: sqlite3.Connection, command: c.GetOrCreate) -> c.Opened:
    now_us = _now_us(command.at)
    repeated = select_one(connection, "by_id", {"id": command.new.id})
    if repeated is not None:
        return c.Opened(repeated)
    record = in_slot(connection, command.new)
    if record is None:
        return c.Opened(insert_exclusive(connection, command.new, now_us))
    if now_us >= record.expires_us:
        ended = end_in_slot(connection, record, command.operation_id, now_us)
        return c.Opened(insert_exclusive(connection, command.new, now_us), ended)
    if not touch_is_due(record, now_us):
        return c.Opened(record)
    touched = select_one(connection, "touch", {"id": record.id, "now": now_us})
    return c.Opened(touched or record, touched=touched is not None)


def _load_and_touch(connection: sqlite3.Connection, command: c.Load) -> c.Loaded:
    loaded = _find_loaded(connection, command)
    if loaded is not None:
        return loaded
    record = by_token(connection, command.token_hash)
    touched = record and select_one(connection, "touch", {"id": record.id, "now": _now_us(command.at)})
    # Never give out the row read before: a touch that matched nothing means that the session is over.
    return c.Loaded(touched, True) if touched else c.Loaded(None, False, "expired", record.id if record else None)


# Why a change matched nothing, told with the write lock held


def _judge_save(connection: sqlite3.Connection, command: c.Save, changes: str) -> c.Changed:
    record = select_one(connection, "by_id", {"id": command.session_id})
    if record is None:
        return c.Changed(Outcome.ENDED, None)
    now_us = _now_us(command.at)
    if has_done(connection, command.session_id, command.operation_id):
        return c.Changed(Outcome.DONE, settled(record, now_us))
    if not allows(record, Verb.SAVE, now_us):
        return c.Changed(Outcome.ENDED, settled(record, now_us))
    if command.expected_version not in (None, record.version):
        return c.Changed(Outcome.CONFLICT, record)
    if not changes:
        return c.Changed(Outcome.DONE, record)
    return c.Changed(Outcome.TOO_LARGE, record, size_bytes(sg_merge(record.data, changes, json.dumps(command.remove))))


def _judge_rotation(connection: sqlite3.Connection, command: c.Rotate) -> c.Changed:
    record = select_one(connection, "by_id", {"id": command.session_id})
    now_us = _now_us(command.at)
    if record is None or not allows(record, Verb.ROTATE, now_us):
        return c.Changed(Outcome.ENDED, None if record is None else settled(record, now_us))
    repeated = command.token_hash in (record.token_hash, record.previous_hash)
    return c.Changed(Outcome.DONE if repeated else Outcome.CONFLICT, record)


def _judge_ended(connection: sqlite3.Connection, command: c.Touch | c.End) -> c.Changed:
    record = select_one(connection, "by_id", {"id": command.session_id})
    if record is None:
        return c.Changed(Outcome.ENDED, None)
    if has_done(connection, command.session_id, command.operation_id):
        return c.Changed(Outcome.DONE, record)
    return c.Changed(Outcome.ENDED, settled(record, _now_us(command.at)))
