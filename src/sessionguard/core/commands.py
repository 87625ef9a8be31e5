"""What a flow may ask a store: one frozen value per verb, and the reply each verb gives.

One command is one atomic store operation. Every command carries `at`, the instant at which it is to be
judged; None means the engine's own clock. Every command that changes something carries an `operation_id`:
a store that gets the same one again, because a reply was lost, does nothing more and gives the first answer, with the
sessions as they are then. How long it can is said in `sessionguard.core.records`.

`verify` compares a reply with what was asked. It is pure and may be called by a store while it still
holds the connection; the drivers call it in any case, so that no caller is ever handed another's session.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, Literal

from attrs import field, frozen
from typing_extensions import TypeVar

from sessionguard.core.lifecycle import LIMIT_REASON, Outcome, Refusal
from sessionguard.core.limits import ActiveLimit
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.core.tokens import is_anonymous
from sessionguard.errors import IdentityMismatchError, MisuseError

R = TypeVar("R")
Status = Literal["active", "ended"]


class Command(Generic[R]):
    """A question to a store whose reply has type `R`."""

    __slots__ = ()
    verb: ClassVar[str]

    def apply(self, store: Any) -> Any:
        """Ask `store`: the reply of a blocking store, an awaitable of it from an async one."""
        return getattr(store, self.verb)(self)

    def verify(self, reply: R, store_name: str) -> None:
        """Raise `IdentityMismatchError` if `reply` is about something else than was asked."""


def _require(matches: bool, store_name: str, command: Command[Any], field_name: str) -> None:
    if not matches:
        raise IdentityMismatchError(store_name, command.verb, field_name)


def _require_ended_within(
    former: SessionRecord, scope: str, owner: str, store_name: str, command: Command[Any]
) -> None:
    _require(former.reason is not None, store_name, command, "reason")
    _require(former.scope == scope, store_name, command, "scope")
    _require(former.owner == owner, store_name, command, "owner")


# Opening a session


@frozen
class Opened:
    """An active session. It is new if its token hash is the one sent, so the answer to a repetition is right too.

    Without a record it `is_refused`: the owner has as many sessions in the scope as allowed, and nothing was changed.
    """

    _record: SessionRecord | None
    ended: tuple[SessionRecord, ...] = ()
    """Former sessions of the slot, and under a limit others of the owner in the scope, that this operation ended, with
    their reasons; the oldest first."""
    touched: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether the limit of the command left no place for the session."""
        return self._record is None

    @property
    def record(self) -> SessionRecord:
        """The session. Whoever asks a refusal for it gets nobody else's by mistake: that raises `MisuseError`."""
        if self._record is None:
            raise MisuseError("no session was opened: its owner has as many as the limit allows; look at is_refused")
        return self._record


REFUSED: Final = Opened(None)


@frozen
class _Open(Command[Opened]):
    new: NewSession
    at: datetime | None
    operation_id: str
    at_most: ActiveLimit | None = field(default=None, kw_only=True)
    """How many sessions of the owner may be active in the scope once this one is; None: any number."""

    def verify(self, reply: Opened, store_name: str) -> None:
        if reply.is_refused:
            _require(self.at_most is not None and not reply.ended, store_name, self, "refusal")
            return
        record, new = reply.record, self.new
        if record.owner != new.owner:
            raise IdentityMismatchError(store_name, self.verb, "owner")
        if record.scope != new.scope:
            raise IdentityMismatchError(store_name, self.verb, "scope")
        if record.external_id != new.external_id:
            raise IdentityMismatchError(store_name, self.verb, "external_id")
        if record.id != new.id and self.verb != "get_or_create":
            raise IdentityMismatchError(store_name, self.verb, "id")
        # The files of what was ended are removed next: it must be of this very slot, or what the limit is about.
        for former in reply.ended:
            _require(former.id != record.id, store_name, self, "id")
            _require_ended_within(former, new.scope, new.owner, store_name, self)
            is_of_slot = former.external_id == new.external_id and former.reason != LIMIT_REASON
            _require(is_of_slot or self.at_most is not None, store_name, self, "external_id")


@frozen
class Create(_Open):
    """Open a session that no slot knows."""

    verb: ClassVar[str] = "create"


@frozen
class GetOrCreate(_Open):
    """Give the active session of the slot, touched when due, or open the new one; end an expired one on the way."""

    verb: ClassVar[str] = "get_or_create"

    def apply(self, store: Any) -> Any:
        return store.get_or_create(self)


@frozen
class Replace(_Open):
    """Open the new session in the slot and end the active one `replaced`, in one step."""

    verb: ClassVar[str] = "replace"


# Reading


@frozen
class Loaded:
    """The session of a token, or why there is none. `refused_id` is for the log, never for the client."""

    record: SessionRecord | None
    touched: bool = False
    refusal: Refusal | None = None
    refused_id: str | None = None


@frozen
class Load(Command[Loaded]):
    """Find the active session whose current or just-rotated token has this hash; touch it when due, if `extends`."""

    verb: ClassVar[str] = "load"
    token_hash: bytes = field(repr=False)
    scope: str | None
    at: datetime | None
    operation_id: str
    extends: bool = True

    def apply(self, store: Any) -> Any:
        return store.load(self)

    def verify(self, reply: Loaded, store_name: str) -> None:
        record = reply.record
        if record is None:
            return
        if record.token_hash != self.token_hash and record.previous_hash != self.token_hash:
            raise IdentityMismatchError(store_name, self.verb, "token")
        if self.scope is not None and record.scope != self.scope:
            raise IdentityMismatchError(store_name, self.verb, "scope")


@frozen
class Get(Command[SessionRecord | None]):
    """Give the record with this id, active or ended, or None. An expired one reads as ended."""

    verb: ClassVar[str] = "get"
    session_id: str
    at: datetime | None

    def verify(self, reply: SessionRecord | None, store_name: str) -> None:
        _require(reply is None or reply.id == self.session_id, store_name, self, "id")


@frozen
class PageOfRecords:
    """Some records, and where to go on; `cursor` is None at the end. Cursors are opaque."""

    records: tuple[SessionRecord, ...]
    cursor: str | None


@frozen
class Page(Command[PageOfRecords]):
    """List records, newest first within one owner. A record present all the while is listed exactly once."""

    verb: ClassVar[str] = "page"
    scope: str | None
    owner: str | None
    status: Status | None
    limit: int
    cursor: str | None
    at: datetime | None

    def verify(self, reply: PageOfRecords, store_name: str) -> None:
        for record in reply.records:
            _require(self.scope is None or record.scope == self.scope, store_name, self, "scope")
            _require(self.owner is None or record.owner == self.owner, store_name, self, "owner")


@frozen
class Identify(Command[str]):
    """Give the deployment id: 32 hexadecimal digits, drawn once when the store was made, the same for all its users."""

    verb: ClassVar[str] = "identify"


# Changing one session


@frozen
class Changed:
    """How a change ended. `record` is the session afterwards; None if it is not known at all."""

    outcome: Outcome
    record: SessionRecord | None
    size_bytes: int = 0
    """With TOO_LARGE: what the data would have taken."""
    ended: tuple[SessionRecord, ...] = ()
    """The others of the owner whom a rotation under a limit ended, with their reasons; the oldest first."""


@frozen
class _Change(Command[Changed]):
    session_id: str
    at: datetime | None
    operation_id: str
    meant: SessionRecord | None = field(default=None, kw_only=True, repr=False)
    """The session as the caller knows it; the reply must be about no other. ENDED: see `sessionguard.core.visitors`."""

    def verify(self, reply: Changed, store_name: str) -> None:
        record, meant = reply.record, self.meant
        if record is None:
            return
        _require(record.id == self.session_id, store_name, self, "id")
        if meant is not None:
            _require(record.scope == meant.scope, store_name, self, "scope")
            _require(record.generation == meant.generation, store_name, self, "generation")
            # An anonymous session may have received its owner since.
            _require(record.owner == meant.owner or is_anonymous(meant.owner), store_name, self, "owner")


@frozen
class Fence:
    """The number with which a lock of the session is held, so that whoever lost it can change nothing more."""

    name: str
    number: int
    floor: int | None = None
    """The lowest number that stays good now that this one has come; None: only this one and higher ones do."""

    @property
    def lowest(self) -> int:
        """Below this, nobody writes any more."""
        return self.number if self.floor is None else self.floor


@frozen
class Save(_Change):
    """Replace whole top-level fields and remove others; the rest stays as it is stored, whoever wrote it.

    FENCED: the lock of `fence` was given out with a higher number.
    """

    verb: ClassVar[str] = "save"
    changes: Mapping[str, str] = field(repr=False)
    """Field name -> its new value as JSON text."""
    remove: tuple[str, ...]
    expected_version: int | None
    limit_bytes: int
    fence: Fence | None = field(default=None, kw_only=True)


@frozen
class Touch(_Change):
    """Write down that the session was seen: extend it, up to its absolute timeout."""

    verb: ClassVar[str] = "touch"


@frozen
class Rotate(_Change):
    """Replace the token if it still is the expected one, and give an anonymous session its owner.

    The former token loads the session for `grace_us` more. CONFLICT: another rotation came first. FULL: the owner that
    it is to receive has as many others in its scope as `at_most` allows. A session that receives an owner leaves its
    slot, if it had one.
    """

    verb: ClassVar[str] = "rotate"
    expected_hash: bytes = field(repr=False)
    token_hash: bytes = field(repr=False)
    grace_us: int
    owner: str | None
    at_most: ActiveLimit | None = field(default=None, kw_only=True)
    """As with opening. A rotation without an owner, or with the one that the session has, adds none: it is free."""

    def verify(self, reply: Changed, store_name: str) -> None:
        super().verify(reply, store_name)
        _require(reply.outcome is not Outcome.FULL or self.at_most is not None, store_name, self, "refusal")
        scope = "" if reply.record is None else reply.record.scope
        for former in reply.ended:
            _require(former.id != self.session_id and self.at_most is not None, store_name, self, "id")
            _require_ended_within(former, scope, self.owner or "", store_name, self)


@frozen
class End(_Change):
    """End the session for `reason`. ENDED: it had ended or expired before; the first reason stays."""

    verb: ClassVar[str] = "end"
    reason: str


# Changing many


@frozen
class Ended:
    """The sessions that an operation ended, as they are now."""

    records: tuple[SessionRecord, ...]
    has_more: bool = False


@frozen
class EndOwner(Command[Ended]):
    """End every active session of `owner`, in one scope or all, but the one to keep. Gives those that it ended."""

    verb: ClassVar[str] = "end_owner"
    owner: str
    scope: str | None
    keep_id: str | None
    reason: str
    at: datetime | None
    operation_id: str

    def verify(self, reply: Ended, store_name: str) -> None:
        for record in reply.records:
            _require(record.reason is not None, store_name, self, "reason")
            _require(record.owner == self.owner, store_name, self, "owner")
            _require(self.scope is None or record.scope == self.scope, store_name, self, "scope")
            _require(record.id != self.keep_id, store_name, self, "id")


@frozen
class Sweep(Command[Ended]):
    """End up to `limit` expired sessions, the longest expired first; the condition is inside the operation."""

    verb: ClassVar[str] = "sweep"
    limit: int
    at: datetime | None
    operation_id: str

    def verify(self, reply: Ended, store_name: str) -> None:
        for record in reply.records:
            _require(record.reason is not None, store_name, self, "reason")


@frozen
class Purged:
    """How many ended sessions were forgotten."""

    count: int
    has_more: bool


@frozen
class Purge(Command[Purged]):
    """Forget up to `limit` sessions that ended at least `older_than_us` ago; None: as long ago as each was to be kept.

    Generations stay used: a slot whose history is forgotten goes on with a higher number.
    """

    verb: ClassVar[str] = "purge"
    older_than_us: int | None
    limit: int
    at: datetime | None
    operation_id: str


# Locks (an optional ability)


@frozen
class LockReply:
    """DONE: held, with this fence. CONFLICT: another holds it. ENDED: the session is over."""

    outcome: Outcome
    fence: int


@frozen
class _LockCommand(Command[LockReply]):
    session_id: str
    name: str
    holder: str
    """Names one claim, not one process; drawn at random for each `guard.lock` call."""
    at: datetime | None


@frozen
class AcquireLock(_LockCommand):
    """Take the lock for `lease_us` if it is free or lapsed; each taking gets a higher fence than all before.

    ENDED also for who holds it already, if he knows the session as a visitor's and it has received its owner since.
    """

    verb: ClassVar[str] = "acquire_lock"
    lease_us: int
    meant: SessionRecord | None = field(default=None, kw_only=True, repr=False)
    """The session as the caller knows it (`sessionguard.core.visitors`)."""


@frozen
class RenewLock(_LockCommand):
    """Keep the lock for `lease_us` from now. CONFLICT: it lapsed and is no longer this holder's."""

    verb: ClassVar[str] = "renew_lock"
    lease_us: int


@frozen
class ReleaseLock(_LockCommand):
    """Give the lock back. CONFLICT: it lapsed and was given to another, and nothing changed."""

    verb: ClassVar[str] = "release_lock"


# What is not a question to a store


@frozen
class Pause(Command[None]):
    """Let this many seconds pass."""

    verb: ClassVar[str] = "pause"
    seconds: float
