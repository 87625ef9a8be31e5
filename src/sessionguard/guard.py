"""`SessionGuard`: the blocking face of the library; one short method per flow."""

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sessionguard.beating import Heart
from sessionguard.core.braking import SweepBrake
from sessionguard.core.checking import is_async_store, required_ability, valid_store
from sessionguard.core.commands import Create, Fence, GetOrCreate, Replace, Status
from sessionguard.core.driving import Flow, run
from sessionguard.core.events import Event, Subscriber
from sessionguard.core.flows import Modifier
from sessionguard.core.holding import keeper_of
from sessionguard.core.hooks import Hook, Hooks
from sessionguard.core.listing import list_page
from sessionguard.core.locking import DEFAULT_TIMEOUT, HeldLock, fence_of
from sessionguard.core.policy import SessionPolicy
from sessionguard.core.reports import PurgeReport, SweepReport
from sessionguard.core.session import Session
from sessionguard.core.setting import DEFAULT_ORPHAN_AGE, valid_session
from sessionguard.core.sweeps import AT_ONCE, Progress
from sessionguard.core.tokens import KeyRing, TokenForm
from sessionguard.errors import (
    ConfigurationError,
    IdentityMismatchError,
    LeaseLostError,
    MisuseError,
    SessionEndedError,
)
from sessionguard.locks import SessionHold, SessionLock
from sessionguard.locks.gates import Gates
from sessionguard.parts import DEFAULT_BRAKE, DEFAULT_INTERVAL, DEFAULT_PATIENCE, GuardParts
from sessionguard.stores.contract import AsyncStore, Store
from sessionguard.stores.opening import open_store
from sessionguard.sweeping import Sweeper

if TYPE_CHECKING:
    from sessionguard.workspaces import Workspace, Workspaces

R = TypeVar("R")


class SessionGuard:
    """Opens, finds, changes and ends sessions in one store. Thread-safe; forked children may go on using it.

    `workspaces` is the folder in which sessions get private directories, or a URL such as `s3://bucket/prefix`; without
    it `workspace` cannot be used. `keys` are the secrets under which token hashes are stored. `clock` replaces the
    engine's clock, for tests. `sweep_interval` is how often expired sessions are ended in the background; None turns
    that off. `patience` is how long a call goes on asking a store that cannot answer for the moment. With `token_form`
    "key" the tokens have the form that Django's session keys have; both forms are understood in any case.

    Every call may raise `StoreUnavailableError` (the outcome is unknown; safe to repeat), and
    `MisuseError` after `close`.
    """

    def __init__(
        self,
        store: Store | AsyncStore,
        workspaces: "str | os.PathLike[str] | Workspaces | None" = None,
        policy: SessionPolicy | Mapping[str, SessionPolicy] | None = None,
        *,
        keys: KeyRing | None = None,
        clock: Callable[[], datetime] | None = None,
        sweep_interval: timedelta | None = DEFAULT_INTERVAL,
        patience: timedelta = DEFAULT_PATIENCE,
        brake: SweepBrake | None = DEFAULT_BRAKE,
        orphan_age: timedelta = DEFAULT_ORPHAN_AGE,
        token_form: TokenForm = "token",
    ) -> None:
        if is_async_store(store):
            raise ConfigurationError("store", type(store).__name__, "it is an async store; use AsyncSessionGuard")
        self._store: Store = valid_store(store)
        self._owns_store = False
        self._parts = GuardParts(
            _opened(workspaces),
            policy,
            keys,
            clock,
            sweep_interval,
            patience,
            brake,
            orphan_age,
            token_form,
            store=self._store,
            hooks=Hooks,
        )
        self._gates = Gates()
        self._heart = Heart()
        self._sweeper: Sweeper | None = None
        self._sweeping: dict[int, object] = {}
        self._pid: int | None = None
        self._is_wound_up = False

    @classmethod
    def open(
        cls,
        url: str,
        workspaces: "str | os.PathLike[str] | Workspaces | None" = None,
        policy: SessionPolicy | Mapping[str, SessionPolicy] | None = None,
        *,
        keys: KeyRing | None = None,
        clock: Callable[[], datetime] | None = None,
        sweep_interval: timedelta | None = DEFAULT_INTERVAL,
        patience: timedelta = DEFAULT_PATIENCE,
        brake: SweepBrake | None = DEFAULT_BRAKE,
        orphan_age: timedelta = DEFAULT_ORPHAN_AGE,
        token_form: TokenForm = "token",
    ) -> Self:
        """Give a guard over the store that `url` names; it connects at first use and is closed with the guard."""
        store: Any = open_store(url)
        if is_async_store(store):
            raise ConfigurationError("store URL", url.partition("://")[0], "it is async only; use AsyncSessionGuard")
        guard = cls(
            store,
            workspaces,
            policy,
            keys=keys,
            clock=clock,
            sweep_interval=sweep_interval,
            patience=patience,
            brake=brake,
            orphan_age=orphan_age,
            token_form=token_form,
        )
        guard._owns_store = True
        return guard

    # Opening a session

    def create(
        self,
        owner: str | None = None,
        *,
        scope: str = "default",
        data: Mapping[str, Any] | None = None,
        external_id: str | None = None,
    ) -> Session:
        """Give a new session with its `token`; `get_or_create` never finds it.

        Without an owner it belongs to a visitor without a name, who is like no other.
        """
        return self._run(self._parts.flows.open(Create, owner, scope, data, external_id))

    def get_or_create(
        self,
        owner: str,
        *,
        scope: str = "default",
        data: Mapping[str, Any] | None = None,
        external_id: str | None = None,
    ) -> Session:
        """Give the one active session of the slot (scope, owner, external_id); `is_new` tells if it was opened now.

        However many callers ask at once, all get the same session; one of them has its `token`. `data` is for
        a new session only.
        """
        return self._run(self._parts.flows.open(GetOrCreate, owner, scope, data, external_id))

    def replace(
        self,
        owner: str,
        *,
        scope: str = "default",
        data: Mapping[str, Any] | None = None,
        external_id: str | None = None,
    ) -> Session:
        """Give a new session in the slot; the former one, if there was one, has ended `replaced` in the same step."""
        return self._run(self._parts.flows.open(Replace, owner, scope, data, external_id))

    # Reading

    def load(self, token: object, *, scope: str | None = None, extend: bool = True) -> Session | None:
        """Give the active session of `token`, in `scope` or any; None for every token that leads to none.

        That the session was seen is written down when due, but not with `extend=False`: for requests that a program
        makes by itself, which must not keep a session alive that nobody uses.
        """
        return self._run(self._parts.flows.load(token, scope, extend))

    def get(self, session_id: str) -> Session | None:
        """Give the session with this id, active or ended; None if there is none. For trusted callers."""
        return self._run(self._parts.flows.get(session_id))

    def sessions(
        self, *, scope: str | None = None, owner: str | None = None, status: Status | None = "active"
    ) -> Iterator[Session]:
        """Iterate over sessions, those of one owner newest first; `status` None means active and ended ones.

        A session that is there all the while is given exactly once.
        """
        required_ability(self._store, "page", "sessions()")
        cursor: str | None = None
        while True:
            page, cursor = self._run(list_page(self._parts.setting, scope, owner, status, cursor))
            yield from page
            if cursor is None:
                return

    # Changing

    def save(
        self,
        session: Session,
        changes: Mapping[str, Any] | None = None,
        *,
        remove: tuple[str, ...] | list[str] = (),
        expected_version: int | None = None,
        lock: HeldLock | None = None,
    ) -> Session:
        """Replace the fields of `changes` whole, remove those in `remove`, and give the session as it is stored then.

        Fields that others saved meanwhile stay. Raises `SessionEndedError` if the session is over, and
        `SessionConflictError` if `expected_version` is given and not the stored one. With a `lock` of this session that
        is held, `LockLostError` if it lapsed and another holds it or has held it since.
        """
        return self._run(self._parts.flows.save(session, changes, remove, expected_version, lock))

    def modify(self, session: Session, function: Modifier, *, lock: HeldLock | None = None) -> Session:
        """Let `function` change a private copy of the data and store it, if no one else stored meanwhile.

        Otherwise `function` is called again with the newer data; after about ten seconds of that
        `SessionConflictError` is raised. `function` may return the new data, or None if it changed the copy. `lock` is
        that of `save`.
        """
        return self._run(self._parts.flows.modify(session, function, lock))

    def touch(self, session: Session, *, when_due: bool = False) -> Session:
        """Give the session with its idle time begun anew, up to its absolute timeout.

        With `when_due` only if it was not seen for the touch interval of its policy, as `load` does it; else the
        session is given as it is, and no store is asked. Raises `SessionEndedError` if it is over.
        """
        return self._run(self._parts.flows.touch(session, when_due))

    def rotate(self, session: Session, *, owner: str | None = None) -> Session:
        """Give the session with a new `token`; the former one works on for the grace of its policy.

        An anonymous session may receive its owner. If another rotation came first, `token` is None.
        """
        return self._run(self._parts.flows.rotate(session, owner))

    # Ending

    def end(self, session: Session, reason: str = "revoked") -> Session | None:
        """Give the session, ended now for `reason`, with what was `removed`; None if it had ended before."""
        return self._run(self._parts.cleaning.end(session, reason))

    def end_owner(self, owner: str, *, scope: str | None = None, keep: Session | str | None = None) -> int:
        """End every active session of `owner`, in `scope` or all, but `keep`; gives how many that were."""
        return self._run(self._parts.cleaning.end_owner(owner, scope, keep))

    def sweep(
        self,
        limit: int = 1000,
        *,
        force: bool = False,
        dry_run: bool = False,
        in_turn: bool = False,
        progress: Progress | None = None,
    ) -> SweepReport:
        """End up to `limit` expired sessions and remove their workspaces; what is in use stays.

        If more is due than the `brake` of the guard lets pass, nothing is done, unless with `force`. With `dry_run` the
        report tells what would be done. With `in_turn` no session is ended while another runner of the fleet has that
        turn, and no place for files is searched while another has that of the place. `progress` is called with how many
        have ended and how many are to, first with 0 and then after each; what it raises ends the sweep.
        """
        if dry_run:
            required_ability(self._store, "find_due", "sweep(dry_run=True)")
            return self._run(self._parts.sweeps.preview(limit, force=force))
        return self._run(self._parts.sweeps.sweep(limit, force=force, in_turn=in_turn, progress=progress))

    def purge(self, older_than: timedelta | None = None, *, limit: int = 10_000) -> PurgeReport:
        """Forget up to `limit` sessions that ended `older_than` ago; None: as long ago as their policy says."""
        return self._run(self._parts.cleaning.purge(older_than, limit))

    # Workspaces and locks

    @contextlib.contextmanager
    def workspace(self, session: Session, *, lock: HeldLock | None = None) -> "Iterator[Workspace]":
        """Lend the private directory of `session`; it is not removed, and the session kept alive, inside the block.

        Raises `SessionEndedError` if the session is over, unless a hold on it that is held is given as `lock`. Under a
        `lock` of this session that is held, what is written after a later holder of that lock opened the workspace
        raises `LockLostError` and leaves what was there.
        """
        fence = fence_of(lock, session)
        keeper = keeper_of(lock, fence)
        if keeper is not None:
            with self._opened_files(session, fence) as files:
                # Only as long as it is held were they there all the time; they may have been made anew since.
                keeper.check()
                self._run(self._parts.flows.require_still_meant(session))
                yield files
            return
        if self._parts.setting.leases_in_store:
            with self.hold(session), self._opened_files(session, fence) as files:
                # The hold is older than the files are open: a login may lie between.
                self._run(self._parts.flows.require_still_meant(session))
                yield files
            return
        lease = self._leased(session, fence)
        try:
            beat = self._heart.add(lambda: self._keep_alive(session), self._parts.beat_seconds(session))
            try:
                yield lease
            finally:
                self._heart.remove(beat)
        finally:
            lease.close()

    def _keep_alive(self, session: Session) -> None:
        # Once: one thread serves all beats, and those of a store that answers must not wait for one that does not.
        self._run(self._parts.flows.touch(session), is_patient=False)

    def _opened_files(self, session: Session, fence: Fence | None) -> "Workspace":
        self._run(self._parts.flows.open_workspaces())
        return self._parts.required_files().lease(session.id, self._parts.quota(session), fence)

    def _leased(self, session: Session, fence: Fence | None) -> "Workspace":
        files, quota = self._parts.required_files(), self._parts.quota(session)
        # Asked each time: files that are put where another deployment's are would be lost to everyone else.
        deployment_id = self._run(self._parts.flows.open_workspaces())
        try:
            lease = files.lease(session.id, quota, fence)
        except LeaseLostError:
            # Being removed, because the session has ended: then touch says so.
            self.touch(session)
            raise
        try:
            # Asked with the lease held: whoever ends the session from now on leaves its files alone meanwhile.
            self.touch(session)
        except BaseException as error:
            lease.close()
            if isinstance(error, SessionEndedError):
                # Taking the lease may have made the directory anew.
                self._run(self._parts.cleaning.clear_up(session.id, deployment_id))
            raise
        return lease

    def hold(self, session: Session) -> SessionHold:
        """Give the hold on `session` for work that outlives a request: a `with` block, or `acquire` and `release`.

        Until it is released, from whichever thread, the files of the session are not removed, and it does not expire by
        idleness. Many may hold it at once. Raises `SessionEndedError` on acquiring if the session is over.
        """
        holding = self._parts.holding
        tenure = holding.tenure(session, self._parts.beat_seconds(valid_session(session)))
        run_once = partial(self._run, is_patient=False)
        return SessionHold(tenure, holding, self._run, run_once, self._heart, partial(self._held_files, session))

    def _held_files(self, session: Session) -> "Workspace | None":
        if self._parts.files is None or self._parts.setting.leases_in_store:
            return None
        return self._leased(session, None)

    def lock(self, session: Session, name: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> SessionLock:
        """Give the lock `name` of `session`, to be held in a `with` block; it waits at most `timeout` to enter.

        Raises `LockTimeoutError` on entering if others hold it for that long.
        """
        required_ability(self._store, "acquire_lock", "lock()")
        locking = self._parts.locking
        run_once = partial(self._run, is_patient=False)
        claim = locking.claim(session, name, timeout)
        return SessionLock(claim, locking, self._run, run_once, self._gates, self._heart)

    # The guard itself

    def on_end(self, function: Hook) -> Callable[[], None]:
        """Call `function` with each session that a call of this guard ended; gives a function that ends that.

        It is called when the session has ended and its files were dealt with, which `removed` tells. What it raises is
        logged and hinders nobody.
        """
        return self._parts.setting.hooks.add(function)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Let `subscriber` hear every event (`sessionguard.core.events`); gives a function that ends it."""
        return self._parts.bus.subscribe(subscriber)

    def publish(self, event: Event) -> None:
        """Let every subscriber hear `event`; for adapters, which see what no store is ever asked."""
        self._parts.bus.publish(event)

    def close(self) -> None:
        """Stop the background work, and close the store if this guard opened it. Closing twice is fine."""
        if self._is_wound_up:
            return
        self._parts.is_closed = True
        try:
            if self._pid == os.getpid():
                if self._sweeper is not None:
                    self._sweeper.stop()
                run(self._parts.sweeps.retire(), self._store)
            self._heart.close()
        finally:
            if self._owns_store:
                self._store.close()
        # Last: a call that was interrupted before leaves the rest to the next.
        self._is_wound_up = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _beneath(self) -> "tuple[Store, Workspaces | None]":
        """Give the store and the place for files, for commands: to be examined and not to be closed."""
        return self._store, self._parts.files

    @contextlib.contextmanager
    def _without_background(self) -> Iterator[None]:
        """Begin no sweep by itself inside the block, for commands that only look; the next use after it does."""
        seconds, had_begun = self._parts.sweep_seconds, self._pid == os.getpid()
        self._parts.sweep_seconds = None
        try:
            yield
        finally:
            self._parts.sweep_seconds = seconds
            if not had_begun:
                # Once more at the next use, which then finds that there is something to begin.
                self._pid = None

    def _sweep_in_background(self, *, is_first: bool) -> SweepReport:
        seconds = self._parts.sweep_seconds or DEFAULT_INTERVAL.total_seconds()
        return self._run(self._parts.sweeps.in_background(seconds, is_first=is_first))

    def _run(self, flow: Flow[R], *, is_patient: bool = True) -> R:
        if self._parts.is_closed or self._pid != os.getpid():
            self._ready()
        patience = self._parts.patience if is_patient else None
        try:
            return run(flow, self._store, self._parts.files, time.sleep, patience)
        except IdentityMismatchError as error:
            self._parts.tell_mismatch(error)
            raise

    def _ready(self) -> None:
        """Do what is done once per process, at first use. Threads may come here together."""
        self._parts.require_open()
        pid = os.getpid()
        if self._pid == pid:
            return
        self._parts.begin_anew()
        if self._parts.files is not None:
            run(self._parts.flows.open_workspaces(), self._store, self._parts.files, time.sleep, self._parts.patience)
        me = object()
        if self._parts.sweep_seconds is not None and self._sweeping.setdefault(pid, me) is me:
            self._sweeper = Sweeper(_background_pass(weakref.ref(self)), self._parts.sweep_seconds)
            self._sweeper.start()
        self._pid = pid


def _opened(workspaces: "str | os.PathLike[str] | Workspaces | None") -> "Workspaces | None":
    if workspaces is None:
        return None
    # Here, so that a guard without workspaces does not pay for loading them.
    from sessionguard.workspaces.opening import open_workspaces

    return open_workspaces(workspaces)


def _background_pass(guard_reference: "weakref.ref[SessionGuard]") -> Callable[[], bool]:
    # A weak reference, so that the thread does not keep alive a guard that everyone else has dropped.
    def sweep_pass() -> bool:
        guard = guard_reference()
        if guard is None or guard._parts.is_closed:
            return False
        try:
            # Batch by batch until nothing is due, so that no crowd of expired sessions outlives the next intervals.
            swept = guard._sweep_in_background(is_first=True)
            while swept.has_more and swept.ended and not swept.yielded:
                swept = guard._sweep_in_background(is_first=False)
            # Who must not end sessions must not forget any either: the same clock may be wrong.
            while (
                not swept.braked
                and not swept.yielded
                and (purged := guard.purge(limit=AT_ONCE)).has_more
                and purged.purged
            ):
                pass
        except MisuseError:
            # Closed meanwhile, which is no failure worth a line in the log.
            if not guard._parts.is_closed:
                raise
        return not guard._parts.is_closed

    return sweep_pass
