"""What a store must do. Its cases are in `sessionguard.testing`; a store that passes them keeps our promises.

Every method takes one command and answers it in one atomic step: no one ever sees or leaves half of it.
What a command asks, what absence means and what the reply says is written at the command
(`sessionguard.core.commands`). Rules for all of them:

* A store holds no clock of its own making: `command.at` decides, or the engine's clock if it is None.
* Nothing a store returns shares memory with what it keeps.
* A driver's errors are translated at one place, always `from` their cause: `StoreUnavailableError` if the
  outcome is unknown, `StoreTimeoutError` if nothing happened, `StoreDataError` if what is stored cannot be read.
* A store does not repeat by itself what failed: it says whether the failure is transient, and the drivers
  (`sessionguard.core.driving`) repeat the same command with its operation id.
* An outage is never reported as absence.
* Opening does no I/O; the store connects at first use, and anew in a forked child.
"""

from typing import Protocol, runtime_checkable

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.findings import Finding
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord


@runtime_checkable
class Store(Protocol):
    """A blocking store, usable from any thread."""

    @property
    def name(self) -> str:
        """A short word for messages, such as "sqlite"."""

    def identify(self, command: c.Identify) -> str: ...
    def create(self, command: c.Create) -> c.Opened: ...
    def get_or_create(self, command: c.GetOrCreate) -> c.Opened: ...
    def replace(self, command: c.Replace) -> c.Opened: ...
    def load(self, command: c.Load) -> c.Loaded: ...
    def get(self, command: c.Get) -> SessionRecord | None: ...
    def save(self, command: c.Save) -> c.Changed: ...
    def touch(self, command: c.Touch) -> c.Changed: ...
    def rotate(self, command: c.Rotate) -> c.Changed: ...
    def end(self, command: c.End) -> c.Changed: ...
    def end_owner(self, command: c.EndOwner) -> c.Ended: ...
    def sweep(self, command: c.Sweep) -> c.Ended: ...
    def purge(self, command: c.Purge) -> c.Purged: ...

    def distrust(self) -> None:
        """Drop every open connection: a reply was not for what was asked."""

    def close(self) -> None:
        """Release everything. Closing twice is fine; any other call afterwards raises `MisuseError`."""


@runtime_checkable
class ListingStore(Protocol):
    """A store that can list its sessions page by page."""

    def page(self, command: c.Page) -> c.PageOfRecords: ...


@runtime_checkable
class LockingStore(Protocol):
    """A store that can arbitrate locks with leases and growing fences."""

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply: ...
    def renew_lock(self, command: c.RenewLock) -> c.LockReply: ...
    def release_lock(self, command: c.ReleaseLock) -> c.LockReply: ...


@runtime_checkable
class LeasingStore(Protocol):
    """A store that knows who, on any machine, is using a session and its files."""

    def hold_lease(self, command: le.HoldLease) -> le.LeaseReply: ...
    def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply: ...
    def leased_until(self, command: le.FindLease) -> int | None: ...


@runtime_checkable
class FleetStore(Protocol):
    """A store that can say what is due before a clean-up, and let one runner at a time clean up."""

    def census(self, command: f.Census) -> f.Counted: ...
    def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]: ...
    def take_turn(self, command: f.TakeTurn) -> Outcome: ...
    def give_turn(self, command: f.GiveTurn) -> Outcome: ...


@runtime_checkable
class ExaminedStore(Protocol):
    """A store that can examine itself and its surroundings, and bring its schema up to date."""

    def examine(self) -> list[Finding]: ...
    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Apply the migrations that are due, each whole or not at all, and give their names; `dry_run` only names."""


@runtime_checkable
class ForgetfulStore(Protocol):
    """A store that may lose acknowledged changes and go on, as in a failover to a replica that lagged behind."""

    may_forget: bool


@runtime_checkable
class LimitingStore(Protocol):
    """A store that keeps the limit that an opening or a rotation carries (`at_most`), in the same atomic step.

    It counts what is active at that instant, without the expired and those that this very step ends. Guards whose
    policy sets `max_active` refuse a store that does not say so.
    """

    @property
    def limits_sessions(self) -> bool:
        """True."""


@runtime_checkable
class InlineReads(Protocol):
    """A store that can answer some commands at once, without waiting for any writer."""

    def answer_inline(self, command: c.Command[c.R]) -> c.R | None:
        """Give the reply if no write and no wait is needed for it; None means: ask in a thread."""


@runtime_checkable
class AsyncStore(Protocol):
    """An async store, usable from one event loop. Cancelling a call leaves it done, refused or unknown, never half."""

    @property
    def name(self) -> str:
        """A short word for messages, such as "sqlite"."""

    async def identify(self, command: c.Identify) -> str: ...
    async def create(self, command: c.Create) -> c.Opened: ...
    async def get_or_create(self, command: c.GetOrCreate) -> c.Opened: ...
    async def replace(self, command: c.Replace) -> c.Opened: ...
    async def load(self, command: c.Load) -> c.Loaded: ...
    async def get(self, command: c.Get) -> SessionRecord | None: ...
    async def save(self, command: c.Save) -> c.Changed: ...
    async def touch(self, command: c.Touch) -> c.Changed: ...
    async def rotate(self, command: c.Rotate) -> c.Changed: ...
    async def end(self, command: c.End) -> c.Changed: ...
    async def end_owner(self, command: c.EndOwner) -> c.Ended: ...
    async def sweep(self, command: c.Sweep) -> c.Ended: ...
    async def purge(self, command: c.Purge) -> c.Purged: ...

    async def distrust(self) -> None:
        """Drop every open connection: a reply was not for what was asked."""

    async def close(self) -> None:
        """Release everything. Closing twice is fine; any other call afterwards raises `MisuseError`."""


@runtime_checkable
class AsyncTwin(Protocol):
    """A blocking store with a native async one beside it."""

    def as_async(self) -> AsyncStore:
        """Give an async store with the same settings; it has connections of its own and is closed on its own."""
