"""The PostgreSQL store for event loops: the same questions as the blocking one, awaited."""

from typing import Self, TypeVar

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.findings import Finding
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.points import areach
from sessionguard.core.records import SessionRecord
from sessionguard.stores.postgres import examination, questions, schema
from sessionguard.stores.postgres.async_connections import AsyncConnections
from sessionguard.stores.postgres.questions import C, Question
from sessionguard.stores.postgres.settings import Settings, settings_of
from sessionguard.stores.postgres.translation import NAME
from sessionguard.stores.postgres.wire import wire_of

R = TypeVar("R")


class AsyncPostgresStore:
    """An `AsyncStore` with all abilities over one schema of a database; each event loop has connections of its own.

    It raises what `PostgresStore` raises. A call that is cancelled is done, refused or unknown, never half done.
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
        self._settle(
            settings_of(
                conninfo,
                schema=schema,
                pool_size=pool_size,
                patience_seconds=patience_seconds,
                prepare=prepare,
                migrate=migrate,
            )
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Give an unconnected store with these settings."""
        store = cls.__new__(cls)
        store._settle(settings)
        return store

    def _settle(self, settings: Settings) -> None:
        self.settings = settings
        self.patience_seconds = settings.patience_seconds
        self._connections = AsyncConnections(settings, wire_of(settings))

    async def _ask(self, question: Question[C, R], command: C) -> R:
        await areach(question.verb, self.name, command)
        return question.reply(await self._connections.ask(question.verb, question.parameters(command)))

    # Opening

    async def identify(self, command: c.Identify) -> str:
        return await self._ask(questions.IDENTIFY, command)

    async def create(self, command: c.Create) -> c.Opened:
        return await self._ask(questions.of_create(command), command)

    async def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        return await self._ask(questions.of_get_or_create(command), command)

    async def replace(self, command: c.Replace) -> c.Opened:
        return await self._ask(questions.of_replace(command), command)

    # Reading

    async def load(self, command: c.Load) -> c.Loaded:
        return await self._ask(questions.LOAD, command)

    async def get(self, command: c.Get) -> SessionRecord | None:
        return await self._ask(questions.GET, command)

    async def page(self, command: c.Page) -> c.PageOfRecords:
        return await self._ask(questions.PAGE, command)

    # Changing one session

    async def save(self, command: c.Save) -> c.Changed:
        return await self._ask(questions.of_save(command), command)

    async def touch(self, command: c.Touch) -> c.Changed:
        return await self._ask(questions.of_touch(command), command)

    async def rotate(self, command: c.Rotate) -> c.Changed:
        return await self._ask(questions.of_rotate(command), command)

    async def end(self, command: c.End) -> c.Changed:
        return await self._ask(questions.of_end(command), command)

    # Changing many

    async def end_owner(self, command: c.EndOwner) -> c.Ended:
        return await self._ask(questions.END_OWNER, command)

    async def sweep(self, command: c.Sweep) -> c.Ended:
        return await self._ask(questions.SWEEP, command)

    async def purge(self, command: c.Purge) -> c.Purged:
        return await self._ask(questions.PURGE, command)

    # Cleaning up

    async def census(self, command: f.Census) -> f.Counted:
        return await self._ask(questions.CENSUS, command)

    async def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        return await self._ask(questions.FIND_DUE, command)

    async def take_turn(self, command: f.TakeTurn) -> Outcome:
        return await self._ask(questions.TAKE_TURN, command)

    async def give_turn(self, command: f.GiveTurn) -> Outcome:
        return await self._ask(questions.GIVE_TURN, command)

    # Locks

    async def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        return await self._ask(questions.of_acquire_lock(command), command)

    async def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        return await self._ask(questions.RENEW_LOCK, command)

    async def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        return await self._ask(questions.RELEASE_LOCK, command)

    # Leases

    async def hold_lease(self, command: le.HoldLease) -> le.LeaseReply:
        return await self._ask(questions.of_hold_lease(command), command)

    async def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        return await self._ask(questions.RELEASE_LEASE, command)

    async def leased_until(self, command: le.FindLease) -> int | None:
        return await self._ask(questions.LEASED_UNTIL, command)

    # Surroundings

    async def examine(self) -> list[Finding]:
        """Examine the server, the schema and the connections; changes nothing."""
        return await examination.examine_async(self._connections, self.settings)

    async def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date and name what was applied, or with `dry_run` only what would be."""
        script = schema.due if dry_run else schema.migrated
        return await self._connections.play("migrate", script(self.settings.schema), schema.LONGEST_SECONDS)

    async def distrust(self) -> None:
        """Close every connection: the idle ones now, the others as they come back."""
        self._connections.drop()

    async def close(self) -> None:
        """Close all connections. Closing twice is fine; any other call afterwards raises `MisuseError`."""
        self._connections.close()
