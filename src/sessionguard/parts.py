"""What the blocking and the async guard are both made of."""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from sessionguard.core.braking import Alarm, SweepBrake, valid_brake
from sessionguard.core.checking import (
    has_ability,
    interval_seconds,
    may_forget,
    patience_seconds,
    require_limits,
    valid_age,
)
from sessionguard.core.cleaning import CleaningFlows
from sessionguard.core.commands import Command
from sessionguard.core.events import CallRepeated, EventBus, IdentityMismatched, Subscriber
from sessionguard.core.flows import SessionFlows
from sessionguard.core.holding import HoldingFlows
from sessionguard.core.hooks import Hooks
from sessionguard.core.locking import LockFlows
from sessionguard.core.policy import PolicyBook, SessionPolicy
from sessionguard.core.repeating import Patience
from sessionguard.core.session import Session, record_of
from sessionguard.core.setting import Setting, valid_session
from sessionguard.core.sweeps import SweepFlows
from sessionguard.core.tokens import KeyRing, Mint, TokenForm
from sessionguard.errors import ConfigurationError, IdentityMismatchError, MisuseError, StoreUnavailableError

if TYPE_CHECKING:
    from sessionguard.workspaces import Quota

Files = TypeVar("Files")

DEFAULT_PATIENCE: Final = timedelta(seconds=5)
DEFAULT_INTERVAL: Final = timedelta(minutes=1)
DEFAULT_BRAKE: Final = SweepBrake()

_log = logging.getLogger("sessionguard")
_background = logging.getLogger("sessionguard.background")


class GuardParts(Generic[Files]):
    """Settings, flows and subscribers; no call of its own waits for anything."""

    def __init__(
        self,
        files: Files | None,
        policy: SessionPolicy | Mapping[str, SessionPolicy] | None,
        keys: KeyRing | None,
        clock: Callable[[], datetime] | None,
        sweep_interval: timedelta | None,
        patience: timedelta,
        brake: SweepBrake | None,
        orphan_age: timedelta,
        token_form: TokenForm,
        *,
        store: Any,
        hooks: type[Hooks],
    ) -> None:
        if keys is not None and not isinstance(keys, KeyRing):
            raise ConfigurationError("keys", type(keys).__name__, "give a KeyRing, such as KeyRing({...}, current=...)")
        if clock is not None and not callable(clock):
            raise ConfigurationError("clock", clock, "give a function that returns an aware datetime")
        policies = PolicyBook(policy)
        if policies.limits_sessions:
            require_limits(store)
        can_lease = has_ability(store, "hold_lease")
        self.files = files
        self.bus = EventBus(_report_failed_subscriber)
        self.setting = Setting(
            policies,
            Mint(secrets.token_bytes, keys, token_form),
            self.bus,
            clock,
            time.monotonic,
            has_files=files is not None,
            may_forget=may_forget(store),
            can_lease=can_lease,
            leases_in_store=can_lease and getattr(files, "leases_in_store", False),
            has_fleet=has_ability(store, "census"),
            orphan_age=valid_age("orphan_age", orphan_age),
            wall=lambda: datetime.now(UTC),
            hooks=hooks(_report_failed_hook),
        )
        if getattr(files, "leases_in_store", False) and not can_lease:
            _log.warning("the store keeps no leases: files of a session that ends are removed while others use them")
        self.flows = SessionFlows(self.setting)
        self.cleaning = CleaningFlows(self.setting)
        self.sweeps = SweepFlows(
            self.setting,
            self.flows.open_workspaces,
            valid_brake(brake),
            Alarm(_background.error),
            Alarm(_background.warning),
            lambda: self.is_closed,
        )
        self.locking = LockFlows(self.setting)
        self.holding = HoldingFlows(self.setting)
        self.sweep_seconds = interval_seconds("sweep_interval", sweep_interval)
        self.patience = Patience(
            patience_seconds("patience", patience), time.monotonic, secrets.token_bytes, self._tell_repetition
        )
        self.is_closed = False

    def _tell_repetition(self, command: Command[Any], error: StoreUnavailableError) -> None:
        self.bus.publish(CallRepeated(error.store, command.verb, str(error)))

    def begin_anew(self) -> None:
        """Forget what only another process may go by: this one was forked from it."""
        self.flows.forget_deployment()
        self.sweeps.begin_anew()

    def require_open(self) -> None:
        """Raise `MisuseError` after the guard was closed."""
        if self.is_closed:
            raise MisuseError("the guard is closed; open a new one")

    def required_files(self) -> Files:
        """Give the workspaces, or raise `ConfigurationError` if there are none."""
        if self.files is None:
            raise ConfigurationError(
                "workspaces",
                None,
                "give the guard a folder: SessionGuard(..., workspaces=...), or a setting SESSIONGUARD_WORKSPACES",
            )
        return self.files

    def quota(self, session: Session) -> "Quota":
        """Give what the workspace of `session` may hold."""
        from sessionguard.workspaces import OwnerQuota, Quota

        policy = self.setting.policies.rules(valid_session(session).scope).policy
        owner = None
        if self.setting.policies.limits_owners:
            # Also where this scope has no limit: what is here counts in those that have one.
            owner = OwnerQuota(_key_of_owner(session.owner), policy.owner_bytes, policy.owner_files)
        return Quota(policy.workspace_bytes, policy.workspace_files, owner)

    def beat_seconds(self, session: Session) -> float:
        """Give how often a leased session is touched: often enough to miss two beats."""
        idle = self.setting.policies.rules(session.scope).policy.idle_timeout
        if record_of(session).expires_us < record_of(session).absolute_us:
            # This is the idle timeout it was opened with; the policy of that time may have been a shorter one.
            idle = min(idle, session.expires_at - session.last_seen_at)
        return idle.total_seconds() / 3

    def tell_mismatch(self, error: IdentityMismatchError) -> None:
        """Let the subscribers know that the store answered with another session."""
        self.bus.publish(IdentityMismatched(error.store, error.operation, error.field))


def _key_of_owner(owner: str) -> str:
    """Give what stands for an owner in names of files, in which his own, perhaps an e-mail address, must not be."""
    # Told apart from other hashes of the same text, which may be known elsewhere.
    return hashlib.blake2b(owner.encode("utf-8", "surrogatepass"), digest_size=20, person=b"sg owner quota").hexdigest()


def _report_failed_subscriber(subscriber: Subscriber, error: Exception) -> None:
    _log.error("the event subscriber %r failed", subscriber, exc_info=error)


def _report_failed_hook(function: Any, error: Exception) -> None:
    _log.error("the on_end hook %r failed; the session has ended all the same", function, exc_info=error)
