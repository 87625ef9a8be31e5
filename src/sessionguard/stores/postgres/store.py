"""The PostgreSQL store, blocking: every verb is one function of the database, called in one round trip.

What a verb does is written in `migrations/`; what is sent and how the answer is read, in `questions.py`.
"""

from typing import TypeVar

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.findings import Finding
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.points import reach
from sessionguard.core.records import SessionRecord
from sessionguard.stores.postgres import examination, questions, schema
from sessionguard.stores.postgres.async_store import AsyncPostgresStore
from sessionguard.stores.postgres.connections import Connections
from sessionguard.stores.postgres.questions import C, Question
from sessionguard.stores.postgres.settings import settings_of
from sessionguard.stores.postgres.translation import NAME
from sessionguard.stores.postgres.wire import wire_of

R = TypeVar("R")


class PostgresStore:
    """A `Store` with all abilities over one schema of a database; usable from any thread, and again after a fork.

    An acknowledged change is committed, and as durable as the server's `synchronous_commit` makes it. Every call may
    raise: `StoreUnavailableError`, the server could not be asked or did not answer; `StoreTimeoutError`, what the
    call needed stayed locked or in use for `patience_seconds`, and nothing was done; `StoreDataError`, what is stored
    cannot be read, or the schema is newer than this release.
    """

    name = NAME
    limits_sessions = True

    def __init__(
        self,
        conninfo: str,
        *,
        schema: str = "sessionguard",
        pool_size: int = 10,
        patience_seconds: float = 5.0,
        prepare: bool = True,
        migrate: bool = True,
    ) -> None:
        self.settings = settings_of(
            conninfo,
            schema=schema,
            pool_size=pool_size,
            patience_seconds=patience_seconds,
            prepare=prepare,
            migrate=migrate,
        )
        self.patience_seconds = patience_seconds
        self._connections = Connections(self.settings, wire_of(self.settings))

    def as_async(self) -> AsyncPostgresStore:
        """Give an async store with the same settings; it has connections of its own and is closed on its own."""
        return AsyncPostgresStore.of(self.settings)

    def _ask(self, question: Question[C, R], command: C) -> R:
        reach(question.verb, self.name, command)
        return question.reply(self._connections.ask(question.verb, question.parameters(command)))

    # Opening

    def identify(self, command: c.Identify) -> str:
        return self._ask(questions.IDENTIFY, command)

    def create(self, command: c.Create) -> c.Opened:
        return self._ask(questions.of_create(command), command)

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        return self._ask(questions.of_get_or_create(command), command)

    def replace(self, command: c.Replace) -> c.Opened:
        return self._ask(questions.of_replace(command), command)

    # Reading

    def load(self, command: c.Load) -> c.Loaded:
        return self._ask(questions.LOAD, command)

    def get(self, command: c.Get) -> SessionRecord | None:
        return self._ask(questions.GET, command)

    def page(self, command: c.Page) -> c.PageOfRecords:
        return self._ask(questions.PAGE, command)

    # Changing one session

    def save(self, command: c.Save) -> c.Changed:
        return self._ask(questions.of_save(command), command)

    def touch(self, command: c.Touch) -> c.Changed:
        return self._ask(questions.of_touch(command), command)

    def rotate(self, command: c.Rotate) -> c.Changed:
        return self._ask(questions.of_rotate(command), command)

    def end(self, command: c.End) -> c.Changed:
        return self._ask(questions.of_end(command), command)

    # Changing many

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        return self._ask(questions.END_OWNER, command)

    def sweep(self, command: c.Sweep) -> c.Ended:
        return self._ask(questions.SWEEP, command)

    def purge(self, command: c.Purge) -> c.Purged:
        return self._ask(questions.PURGE, command)

    # Cleaning up

    def census(self, command: f.Census) -> f.Counted:
        return self._ask(questions.CENSUS, command)

    def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        return self._ask(questions.FIND_DUE, command)

    def take_turn(self, command: f.TakeTurn) -> Outcome:
        return self._ask(questions.TAKE_TURN, command)

    def give_turn(self, command: f.GiveTurn) -> Outcome:
        return self._ask(questions.GIVE_TURN, command)

    # Locks

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        return self._ask(questions.of_acquire_lock(command), command)

    def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        return self._ask(questions.RENEW_LOCK, command)

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        return self._ask(questions.RELEASE_LOCK, command)

    # Leases

    def hold_lease(self, command: le.HoldLease) -> le.LeaseReply:
        return self._ask(questions.of_hold_lease(command), command)

    def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        return self._ask(questions.RELEASE_LEASE, command)

    def leased_until(self, command: le.FindLease) -> int | None:
        return self._ask(questions.LEASED_UNTIL, command)

    # Surroundings

    def examine(self) -> list[Finding]:
        """Examine the server, the schema and the connections; changes nothing."""
        return examination.examine(self._connections, self.settings)

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date and name what was applied, or with `dry_run` only what would be."""
        script = schema.due if dry_run else schema.migrated
        return self._connections.play("migrate", script(self.settings.schema), schema.LONGEST_SECONDS)

    def distrust(self) -> None:
        """Close every connection: the idle ones now, the others as they come back."""
        self._connections.drop()

    def close(self) -> None:
        """Close all connections. Closing twice is fine; any other call afterwards raises `MisuseError`."""
        self._connections.close()
