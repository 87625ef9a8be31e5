"""The SQLite store: reads first, and a short immediate transaction only where something is to be written.

What one UPDATE can decide is one statement. Only if it matched nothing is the reason looked for, with the write
lock held, so that the answer is about one instant. (A deferred transaction that reads and then writes
would fail at once whenever another has written in between.)
"""

import os
import sqlite3
from typing import TypeVar, cast

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.findings import Finding
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.errors import ConfigurationError, StoreUnavailableError
from sessionguard.stores.sqlite import changes, cleaning, examination, fleet, lease_rows, lock_rows, openings
from sessionguard.stores.sqlite.connections import Connections
from sessionguard.stores.sqlite.queries import read_page
from sessionguard.stores.sqlite.transactions import Transactions, Work
from sessionguard.stores.sqlite.translation import is_unwritable

Change = TypeVar("Change", c.Save, c.Touch, c.Rotate, c.End)


class SQLiteStore:
    """A `Store` with all abilities over one database file; usable from any thread, and again after a fork.

    Acknowledged changes survive the death of any process (synchronous=FULL). Every call may raise:
    `StoreTimeoutError`, other threads or processes kept the database locked until all that the call waited took
    about `patience_seconds`, and nothing was done; `StoreUnavailableError`, disk full, file gone or permission
    lost; `StoreDataError`, the file or a session in it is damaged, or the schema newer than this release.
    """

    name = "sqlite"
    limits_sessions = True

    def __init__(
        self, path: str | os.PathLike[str], *, journal_mode: str = "wal", patience_seconds: float = 5.0
    ) -> None:
        if journal_mode not in ("wal", "delete"):
            raise ConfigurationError("journal", journal_mode, 'use "wal", or "delete" where WAL cannot be trusted')
        # Absolute, for the process may change its working directory.
        self.path = os.path.abspath(os.fspath(path))
        self.patience_seconds = patience_seconds
        self._connections = Connections(self.path, journal_mode=journal_mode, patience_seconds=patience_seconds)
        self._run = Transactions(self._connections, patience_seconds)

    # Opening

    def identify(self, command: c.Identify) -> str:
        return self._run.read(openings.find_deployment_id, command)

    def create(self, command: c.Create) -> c.Opened:
        if command.at_most is not None:
            return self._run.transact(openings.create_if_allowed, command)
        return self._run.write(openings.create, command)

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        return self._run.read(openings.find_open, command) or self._run.transact(openings.get_or_create, command)

    def replace(self, command: c.Replace) -> c.Opened:
        return self._run.transact(openings.replace, command)

    # Reading

    def load(self, command: c.Load) -> c.Loaded:
        loaded = self._run.read(openings.find_loaded, command)
        if loaded is not None:
            return loaded
        try:
            return self._run.transact(openings.load_and_touch, command)
        except StoreUnavailableError as error:
            if not is_unwritable(error.__cause__):
                raise
            # That it was seen cannot be written down; whether it may be used is read once more.
            return self._run.read(openings.find_loaded_untouched, command)

    def get(self, command: c.Get) -> SessionRecord | None:
        return self._run.read(openings.find_record, command)

    def page(self, command: c.Page) -> c.PageOfRecords:
        return self._run.read(read_page, command)

    def answer_inline(self, command: c.Command[c.R]) -> c.R | None:
        """Give the reply to a read that needs no write, or None."""
        work = openings.INLINE.get(type(command))
        return None if work is None else cast("c.R | None", self._run.read_at_once(work, command))

    # Changing one session

    def save(self, command: c.Save) -> c.Changed:
        if not command.changes and not command.remove:
            return self._run.read(changes.judge_save, command)
        return self._change(changes.save, changes.judge_save, command)

    def touch(self, command: c.Touch) -> c.Changed:
        return self._change(changes.touch, changes.judge_ended, command)

    def rotate(self, command: c.Rotate) -> c.Changed:
        if command.at_most is not None:
            return self._run.transact(changes.rotate_if_allowed, command)
        return self._change(changes.rotate, changes.judge_rotation, command, in_one=command.owner is not None)

    def end(self, command: c.End) -> c.Changed:
        return self._change(changes.end, changes.judge_ended, command)

    def _change(
        self,
        attempt: Work[Change, SessionRecord | None],
        judge: Work[Change, c.Changed],
        command: Change,
        *,
        in_one: bool = False,
    ) -> c.Changed:
        def decide(connection: sqlite3.Connection, command: Change) -> c.Changed:
            changed = attempt(connection, command)
            return judge(connection, command) if changed is None else c.Changed(Outcome.DONE, changed)

        whole = self._run.whole(decide)

        def change(connection: sqlite3.Connection, command: Change) -> c.Changed:
            changed = attempt(connection, command)
            return whole(connection, command) if changed is None else c.Changed(Outcome.DONE, changed)

        return self._run.write(whole if in_one else change, command)

    # Changing many

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        return self._run.transact(cleaning.end_owner, command)

    def sweep(self, command: c.Sweep) -> c.Ended:
        return self._run.read(cleaning.find_nothing_expired, command) or self._run.transact(cleaning.sweep, command)

    def purge(self, command: c.Purge) -> c.Purged:
        return self._run.read(cleaning.find_nothing_forgettable, command) or self._run.transact(cleaning.purge, command)

    # Cleaning up

    def census(self, command: f.Census) -> f.Counted:
        return self._run.read(fleet.census, command)

    def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        return self._run.read(fleet.find_due, command)

    def take_turn(self, command: f.TakeTurn) -> Outcome:
        return self._run.write(fleet.take_turn, command)

    def give_turn(self, command: f.GiveTurn) -> Outcome:
        return self._run.transact(fleet.give_turn, command)

    # Locks

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        return self._run.write(lock_rows.acquire, command)

    def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        return self._run.write(lock_rows.renew, command)

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        return self._run.write(lock_rows.release, command)

    # Leases

    def hold_lease(self, command: le.HoldLease) -> le.LeaseReply:
        return self._run.transact(lease_rows.hold, command)

    def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        return self._run.transact(lease_rows.release, command)

    def leased_until(self, command: le.FindLease) -> int | None:
        return self._run.read(lease_rows.find, command)

    # Surroundings

    def examine(self) -> list[Finding]:
        """Examine the file, its place, its schema and the SQLite library; changes nothing."""
        return examination.examine(self.path, self._connections)

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date and name what was applied, or with `dry_run` only what would be."""
        due = examination.due_migrations(self.path, self._connections)
        if not dry_run:
            # The first connection migrates.
            self.identify(c.Identify())
        return due

    def distrust(self) -> None:
        """Close every connection: the idle ones now, the others as they come back."""
        self._connections.drop()

    def close(self) -> None:
        """Close all connections. Closing twice is fine; any other call afterwards raises `MisuseError`."""
        self._connections.close()
