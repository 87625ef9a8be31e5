"""Taking, keeping and giving back a named lock of one session.

A lock is a lease with a fence: it lapses unless it is renewed, so a holder that died hinders nobody for long, and
whoever takes it gets a higher fence than everyone before. A holder that was stopped past its lease cannot know that it
is no longer alone; a resource that refuses lower fences can.
"""

from datetime import timedelta
from typing import Final, NoReturn, Protocol

from attrs import evolve, frozen

from sessionguard.core import commands as c
from sessionguard.core import events as e
from sessionguard.core.arguments import valid_lock_name
from sessionguard.core.driving import Flow, perform
from sessionguard.core.instants import with_unit
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.session import Session, record_of
from sessionguard.core.setting import Setting, valid_session
from sessionguard.core.visitors import LOGIN_REASON, ended_reason
from sessionguard.errors import InvalidArgumentError, LockTimeoutError, SessionEndedError

LEASE_SECONDS: Final = 15.0
# A third of the lease leaves room for two missed beats.
BEAT_SECONDS: Final = LEASE_SECONDS / 3
DEFAULT_TIMEOUT: Final = timedelta(seconds=10)

_LEASE_US: Final = int(LEASE_SECONDS * 1_000_000)
_FIRST_WAIT: Final = 0.001
_LONGEST_WAIT: Final = 0.025


@frozen
class Claim:
    """One attempt to hold one lock."""

    session: Session
    name: str
    holder: str
    timeout_seconds: float

    @property
    def session_id(self) -> str:
        """The session that it is a lock of."""
        return self.session.id


class HeldLock(Protocol):
    """What `guard.lock` gives, inside its block."""

    @property
    def session_id(self) -> str:
        """The session that it is a lock of."""

    @property
    def name(self) -> str:
        """Its name within the session."""

    @property
    def fence(self) -> int:
        """The number with which it is held."""


def fence_of(lock: HeldLock | None, session: Session) -> c.Fence | None:
    """Give what a change of `session` made under `lock` must carry.

    Raises `MisuseError` if the lock was never held, and `InvalidArgumentError` if it is no lock of the session. Under
    one that was given back, the change is refused once another has taken it.
    """
    if lock is None:
        return None
    try:
        session_id, fence = lock.session_id, c.Fence(lock.name, lock.fence, getattr(lock, "floor", None))
    except AttributeError:
        remedy = "give what guard.lock(session, name) or guard.hold(session) gave"
        raise InvalidArgumentError("lock", type(lock).__name__, remedy) from None
    if session_id != valid_session(session).id:
        raise InvalidArgumentError("lock", session_id, f"it is a lock of another session than {session.id}")
    return fence


@frozen
class LockFlows:
    """The flows behind `lock`."""

    setting: Setting

    def claim(self, session: Session, name: str, timeout: timedelta) -> Claim:
        """Check the arguments of `lock` and name a new claim."""
        if not isinstance(timeout, timedelta) or timeout < timedelta(0):
            raise InvalidArgumentError("timeout", timeout, with_unit(timeout, "give a timedelta of zero or more"))
        operation = self.setting.mint.operation_id()
        return Claim(valid_session(session), valid_lock_name(name), operation, timeout.total_seconds())

    def anew(self, claim: Claim) -> Claim:
        """Give the same claim under a new name: a late release of one attempt must not end what the next one took."""
        return evolve(claim, holder=self.setting.mint.operation_id())

    def acquire(self, claim: Claim, already_waited: float = 0.0) -> Flow[int]:
        """Give the fence with which the lock is held, waiting while others hold it."""
        monotonic, ceiling, meant = self.setting.monotonic, _FIRST_WAIT, record_of(claim.session)
        deadline = monotonic() + claim.timeout_seconds - already_waited
        while True:
            at = self.setting.at()
            reply = yield from perform(c.AcquireLock(meant.id, claim.name, claim.holder, at, _LEASE_US, meant=meant))
            if reply.outcome is Outcome.DONE:
                return reply.fence
            if reply.outcome is Outcome.ENDED:
                yield from self._refused(claim)
            left = deadline - monotonic()
            if left <= 0:
                raise LockTimeoutError(claim.session_id, claim.name, claim.timeout_seconds)
            # Half the interval at least, so that those who wait do not keep the store busy.
            fraction = int.from_bytes(self.setting.mint.random_bytes(2), "big") / 2**16
            yield from perform(c.Pause(min(ceiling * (0.5 + fraction / 2), left)))
            ceiling = min(ceiling * 2, _LONGEST_WAIT)

    def _refused(self, claim: Claim) -> Flow[NoReturn]:
        known = yield from perform(c.Get(claim.session_id, self.setting.at()))
        reason = ended_reason(known, record_of(claim.session))
        if reason == LOGIN_REASON:
            # The session goes on, and must not wait for an attempt before the login whose reply was lost.
            yield from self.abandon(claim)
        raise SessionEndedError(claim.session_id, reason)

    def renew(self, claim: Claim, fence: int) -> Flow[bool]:
        """Keep the lock for another lease; False if it had lapsed."""
        command = c.RenewLock(claim.session_id, claim.name, claim.holder, self.setting.at(), _LEASE_US)
        reply = yield from perform(command)
        return self._still_ours(claim, fence, reply)

    def release(self, claim: Claim, fence: int) -> Flow[bool]:
        """Give the lock back; False if it had lapsed and another has taken it since."""
        reply = yield from perform(c.ReleaseLock(claim.session_id, claim.name, claim.holder, self.setting.at()))
        return self._still_ours(claim, fence, reply)

    def abandon(self, claim: Claim) -> Flow[None]:
        """Give the lock back if an interrupted `acquire` took it."""
        yield from perform(c.ReleaseLock(claim.session_id, claim.name, claim.holder, self.setting.at()))

    def _still_ours(self, claim: Claim, fence: int, reply: c.LockReply) -> bool:
        ours = reply.outcome is Outcome.DONE and reply.fence == fence
        if not ours:
            self.setting.bus.publish(e.LockLost(claim.session_id, claim.name, fence))
        return ours
