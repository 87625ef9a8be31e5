"""What a case works with: commands at instants it chooses, about sessions whose ids and tokens are real ones."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from attrs import field, frozen

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.data import encode_fields, join_fields
from sessionguard.core.instants import duration_us, to_us
from sessionguard.core.limits import ActiveLimit
from sessionguard.core.records import REMEMBERED_US, Lifetime, NewSession, SessionRecord
from sessionguard.core.tokens import Mint, shard_tag

TICK: Final = timedelta(microseconds=1)
SECOND: Final = timedelta(seconds=1)
TOUCH: Final = timedelta(minutes=1)
GRACE: Final = timedelta(seconds=20)
IDLE: Final = timedelta(minutes=10)
ABSOLUTE: Final = timedelta(hours=1)
RETENTION: Final = timedelta(days=1)
START: Final = timedelta(0)
REMEMBERED: Final = timedelta(microseconds=REMEMBERED_US)

SCOPE: Final = "desk"
LIMIT_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32

LIFETIME: Final = Lifetime(
    idle_us=duration_us(IDLE),
    absolute_us=duration_us(ABSOLUTE),
    touch_us=duration_us(TOUCH),
    retention_us=duration_us(RETENTION),
)
KEEPS_DATA: Final = Lifetime(
    idle_us=LIFETIME.idle_us,
    absolute_us=LIFETIME.absolute_us,
    touch_us=LIFETIME.touch_us,
    retention_us=LIFETIME.retention_us,
    keeps_data=True,
)

_BEGINNING: Final = datetime(2031, 5, 4, 12, 0, 0, 250_001, tzinfo=UTC)

Known = SessionRecord | NewSession
"""Whatever has the id and the token hash of a session."""


@frozen
class Elsewhere(c.Command[c.R]):
    """The same question, asked through another connection to the same sessions."""

    verb = "elsewhere"
    command: c.Command[c.R]
    store: Any = field(repr=False)

    def apply(self, store: Any) -> Any:
        """Ask the other connection, whatever store the flow is driven with."""
        return self.command.apply(self.store)

    def verify(self, reply: c.R, store_name: str) -> None:
        self.command.verify(reply, store_name)


@frozen
class Stage:
    """Builds the commands of one case. `at` is counted from the beginning of the case: no case waits for time."""

    deployment_id: str
    other: Any = field(default=None, repr=False)
    """Another connection to the same sessions; the store itself if it has only one."""
    connect: Callable[[], Any] = field(default=lambda: None, repr=False)
    """Gives one more connection, of the kind that the case is played with; the case closes it."""
    mint: Mint = field(factory=lambda: Mint(secrets.token_bytes), repr=False)

    def instant(self, at: timedelta) -> datetime:
        """Give the instant `at` after the beginning."""
        return _BEGINNING + at

    def us(self, at: timedelta) -> int:
        """Give the same in microseconds since the epoch, as records carry it."""
        return to_us(self.instant(at))

    def operation(self) -> str:
        """Give an operation id that was never used."""
        return self.mint.operation_id()

    def new(
        self,
        owner: str = "ana",
        *,
        scope: str = SCOPE,
        external_id: str | None = None,
        data: Mapping[str, Any] | None = None,
        lifetime: Lifetime = LIFETIME,
    ) -> NewSession:
        """Give a session to be opened, with an id and a token that never existed before."""
        minted = self.mint.new(self.deployment_id, owner)
        text = join_fields(encode_fields(data, max_depth=MAX_DEPTH))
        return NewSession(minted.session_id, scope, owner, external_id, minted.token_hash, text, lifetime)

    # Opening: either a session from `new`, or what `new` takes

    def create(
        self,
        who: str | NewSession = "ana",
        *,
        at: timedelta = START,
        at_most: ActiveLimit | None = None,
        **details: Any,
    ) -> c.Create:
        """Ask for a session that no slot knows."""
        return c.Create(self._new(who, details), self.instant(at), self.operation(), at_most=at_most)

    def get_or_create(
        self,
        who: str | NewSession = "ana",
        *,
        at: timedelta = START,
        at_most: ActiveLimit | None = None,
        **details: Any,
    ) -> c.GetOrCreate:
        """Ask for the one session of a slot."""
        return c.GetOrCreate(self._new(who, details), self.instant(at), self.operation(), at_most=at_most)

    def replace(
        self,
        who: str | NewSession = "ana",
        *,
        at: timedelta = START,
        at_most: ActiveLimit | None = None,
        **details: Any,
    ) -> c.Replace:
        """Ask for a new session in a slot."""
        return c.Replace(self._new(who, details), self.instant(at), self.operation(), at_most=at_most)

    def _new(self, who: str | NewSession, details: dict[str, Any]) -> NewSession:
        return who if isinstance(who, NewSession) else self.new(who, **details)

    # Reading

    def load(
        self, token: Known | bytes, *, scope: str | None = None, extends: bool = True, at: timedelta = START
    ) -> c.Load:
        """Ask for the session of the current token of a session, or of this token hash."""
        token_hash = token if isinstance(token, bytes) else token.token_hash
        return c.Load(token_hash, scope, self.instant(at), self.operation(), extends)

    def get(self, session: Known, *, at: timedelta = START) -> c.Get:
        """Ask for the record as it is."""
        return self.get_by_id(session.id, at=at)

    def get_by_id(self, session_id: str, *, at: timedelta = START) -> c.Get:
        """Ask for the record with this id as it is."""
        return c.Get(session_id, self.instant(at))

    def page(
        self,
        *,
        owner: str | None = None,
        scope: str | None = None,
        status: c.Status | None = "active",
        limit: int = 100,
        cursor: str | None = None,
        at: timedelta = START,
    ) -> c.Page:
        """Ask for one page of the list."""
        return c.Page(scope, owner, status, limit, cursor, self.instant(at))

    # Changing

    def save(
        self,
        session: Known,
        changes: Mapping[str, Any] | None = None,
        *,
        remove: tuple[str, ...] = (),
        expected_version: int | None = None,
        limit_bytes: int = LIMIT_BYTES,
        fence: c.Fence | None = None,
        at: timedelta = START,
    ) -> c.Save:
        """Ask for fields to be replaced and removed."""
        fields = encode_fields(changes, max_depth=MAX_DEPTH)
        return c.Save(
            session.id, self.instant(at), self.operation(), fields, remove, expected_version, limit_bytes, fence=fence
        )

    def touch(self, session: Known, *, at: timedelta = START) -> c.Touch:
        """Ask for being seen to be written down."""
        return c.Touch(session.id, self.instant(at), self.operation())

    def rotate(
        self,
        session: Known,
        *,
        owner: str | None = None,
        grace: timedelta = GRACE,
        at: timedelta = START,
        at_most: ActiveLimit | None = None,
    ) -> c.Rotate:
        """Ask for a new token in the place of the one that `session` shows."""
        fresh = self.mint.renewed(session.id).token_hash
        known = session.id, self.instant(at), self.operation(), session.token_hash
        return c.Rotate(*known, fresh, duration_us(grace), owner, at_most=at_most)

    def end(self, session: Known, reason: str = "revoked", *, at: timedelta = START) -> c.End:
        """Ask for the session to end."""
        return c.End(session.id, self.instant(at), self.operation(), reason)

    def end_owner(
        self,
        owner: str,
        *,
        scope: str | None = None,
        keep: Known | None = None,
        reason: str = "revoked",
        at: timedelta = START,
    ) -> c.EndOwner:
        """Ask for all sessions of an owner to end."""
        keep_id = None if keep is None else keep.id
        return c.EndOwner(owner, scope, keep_id, reason, self.instant(at), self.operation())

    def sweep(self, limit: int = 1000, *, at: timedelta = START) -> c.Sweep:
        """Ask for what expired to be ended."""
        return c.Sweep(limit, self.instant(at), self.operation())

    def purge(self, older_than: timedelta | None = None, limit: int = 1000, *, at: timedelta = START) -> c.Purge:
        """Ask for history to be forgotten."""
        older_than_us = None if older_than is None else duration_us(older_than)
        return c.Purge(older_than_us, limit, self.instant(at), self.operation())

    # Cleaning up

    def census(self, share: float = 0.2, floor: int = 1, *, at: timedelta = START) -> f.Census:
        """Ask whether more than this share of the active sessions is due."""
        return f.Census(self.instant(at), share, floor)

    def find_due(self, limit: int = 1000, *, at: timedelta = START) -> f.FindDue:
        """Ask what a sweep would end."""
        return f.FindDue(limit, self.instant(at))

    def take_turn(
        self, holder: str, name: str = "rounds", *, lease: timedelta = SECOND, at: timedelta = START
    ) -> f.TakeTurn:
        """Ask for a turn."""
        return f.TakeTurn(name, holder, self.instant(at), duration_us(lease))

    def give_turn(self, holder: str, name: str = "rounds", *, at: timedelta = START) -> f.GiveTurn:
        """Give a turn back."""
        return f.GiveTurn(name, holder, self.instant(at))

    # Locks

    def acquire(
        self, session: Known, holder: str, name: str = "door", *, lease: timedelta = SECOND, at: timedelta = START
    ) -> c.AcquireLock:
        """Ask for a lock."""
        return c.AcquireLock(session.id, name, holder, self.instant(at), duration_us(lease))

    def renew(
        self, session: Known, holder: str, name: str = "door", *, lease: timedelta = SECOND, at: timedelta = START
    ) -> c.RenewLock:
        """Ask for a lock to be kept."""
        return c.RenewLock(session.id, name, holder, self.instant(at), duration_us(lease))

    def release(self, session: Known, holder: str, name: str = "door", *, at: timedelta = START) -> c.ReleaseLock:
        """Give a lock back."""
        return c.ReleaseLock(session.id, name, holder, self.instant(at))

    # Leases

    def hold(self, session: Known, holder: str, *, lease: timedelta = SECOND, at: timedelta = START) -> le.HoldLease:
        """Hold a session."""
        return le.HoldLease(session.id, holder, self.instant(at), duration_us(lease))

    def let_go(self, session: Known, holder: str, *, at: timedelta = START) -> le.ReleaseLease:
        """Hold it no more."""
        return le.ReleaseLease(session.id, holder, self.instant(at))

    def leased(self, session: Known, *, at: timedelta = START) -> le.FindLease:
        """Ask until when anybody holds it."""
        return le.FindLease(session.id, self.instant(at))

    # Others

    def visitors(self, owner: str, count: int) -> list[str]:
        """Give owners of sessions that `owner` may receive, all of other shards than `owner`."""
        return list(islice((name for name, is_near in self._visitors(owner) if not is_near), count))

    def neighbour(self, owner: str) -> str:
        """Give an owner of sessions that `owner` may receive, of the same shard as `owner`."""
        return next(name for name, is_near in self._visitors(owner) if is_near)

    def _visitors(self, owner: str) -> Iterator[tuple[str, bool]]:
        home = shard_tag(self.deployment_id, owner)
        while True:
            name = self.mint.anonymous_owner()
            # Past the cache of it: these are never asked for again.
            yield name, shard_tag.__wrapped__(self.deployment_id, name) == home

    def elsewhere(self, command: c.Command[c.R]) -> "Elsewhere[c.R]":
        """Ask the same through another connection."""
        return Elsewhere(command, self.other)
