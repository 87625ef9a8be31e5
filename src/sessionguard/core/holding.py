"""Holding a session for work that goes on after a request: its files stay, and it does not expire by idleness.

Where the store can, the claim is a lease there, so that all machines know of it: it lapses unless it is renewed, and
its fence tells whoever was stopped for longer that it no longer holds. Where the store cannot, only this machine knows
of the claim, by the lease on local files, and the session is kept alive by touches.
"""

from datetime import timedelta
from typing import Final, Protocol, cast

from attrs import define, frozen

from sessionguard.core import commands as c
from sessionguard.core import events as e
from sessionguard.core.driving import Flow, perform
from sessionguard.core.instants import from_us
from sessionguard.core.leases import HoldLease, LeaseReply, ReleaseLease, is_of_hold
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.locking import BEAT_SECONDS, LEASE_SECONDS, HeldLock
from sessionguard.core.removing import remove_workspace
from sessionguard.core.reports import Tally
from sessionguard.core.session import Session, record_of
from sessionguard.core.setting import Setting, valid_session
from sessionguard.core.visitors import ended_reason
from sessionguard.errors import LeaseLostError, MisuseError, SessionEndedError

_LEASE_US: Final = int(LEASE_SECONDS * 1_000_000)
_UNRENEWED: Final = f"it was not renewed for {timedelta(seconds=LEASE_SECONDS)}"


@define
class Tenure:
    """One claim on one session, as its holder knows it."""

    session: Session
    holder: str
    period_seconds: float
    """How often it is renewed."""
    fence: int | None = None
    floor: int | None = None
    lapses_at: float = 0.0
    """Until then it is certainly held, by seconds that never go back."""
    ended_reason: str | None = None
    """Why the session has ended while it was held, if it has."""
    lost_reason: str | None = None

    def require_fence(self) -> int:
        """Give the fence; raises `MisuseError` if there is none."""
        if self.fence is None:
            raise MisuseError("there is no fence: the session is not held yet, or its store keeps no leases")
        return self.fence


class Keeper(Protocol):
    """A hold, of whatever guard, that keeps the files of its session now."""

    @property
    def is_held(self) -> bool: ...

    def check(self) -> None: ...


def keeper_of(lock: HeldLock | None, fence: c.Fence | None) -> Keeper | None:
    """Give the hold that `lock`, with this fence, is; None if it is none, or held no more."""
    keeper = cast("Keeper", lock)
    return keeper if is_of_hold(fence) and keeper.is_held else None


@frozen
class HoldingFlows:
    """The flows behind `hold`."""

    setting: Setting

    def tenure(self, session: Session, beat_seconds: float) -> Tenure:
        """Name a new claim, renewed so often that the session cannot expire by idleness meanwhile."""
        return Tenure(valid_session(session), self.setting.mint.operation_id(), min(BEAT_SECONDS, beat_seconds))

    def name_anew(self, tenure: Tenure) -> None:
        """Draw another name: what was given back under the former one, as after an interruption, stays given back."""
        tenure.holder = self.setting.mint.operation_id()

    def begin(self, tenure: Tenure) -> Flow[None]:
        """Hold the session from now on. Raises `SessionEndedError` if it is over."""
        session = tenure.session
        if not self.setting.can_lease:
            yield from self._touch(tenure)
            return
        reply = yield from self._ask(tenure)
        if reply.outcome is Outcome.CONFLICT:
            raise LeaseLostError(session.id, "it was given back while it was asked for")
        if reply.outcome is not Outcome.DONE:
            if self.setting.bus.subscribers:
                about = (session.id, session.scope, session.owner)
                self.setting.bus.publish(e.ChangeRefused(*about, "hold", reply.reason))
            raise SessionEndedError(session.id, reply.reason)
        if reply.reason is not None:
            # Taken by an attempt whose reply was lost, and over since: nobody was told that he holds it.
            yield from self._let_go(tenure)
            raise SessionEndedError(session.id, reply.reason)
        tenure.fence, tenure.floor = reply.fence, reply.floor

    def keep(self, tenure: Tenure) -> Flow[None]:
        """Hold it for another lease, also once it has ended, or learn that the lease is lost.

        Raises `SessionEndedError` if the store keeps no leases and it has ended: there is nothing to keep alive.
        """
        if not self.setting.can_lease:
            yield from self._touch(tenure)
            return
        before = tenure.lapses_at
        reply = yield from self._ask(tenure)
        if reply.outcome is Outcome.DONE and reply.fence == tenure.fence:
            tenure.floor, tenure.ended_reason = reply.floor, reply.reason
        else:
            tenure.lapses_at = before
            self._lose(tenure, "it had lapsed when it was to be renewed")

    def finish(self, tenure: Tenure) -> Flow[None]:
        """Hold it no more. The last to let go of a session that is over removes files that only the store watched."""
        if not self.setting.can_lease:
            return
        if (yield from self._let_go(tenure)) is not Outcome.DONE:
            self._lose(tenure, "it had lapsed when it was given back")

    def _let_go(self, tenure: Tenure) -> Flow[Outcome]:
        reply = yield from perform(ReleaseLease(tenure.session.id, tenure.holder, self.setting.at()))
        if self.setting.leases_in_store and reply.reason is not None and reply.until_us == 0:
            # As it is stored: by a clock that is ahead it may only seem over, and a sweep ends it first.
            record = yield from perform(c.Get(tenure.session.id, from_us(0)))
            if record is not None and record.reason is not None:
                yield from remove_workspace(self.setting, tenure.session.id, Tally())
        return reply.outcome

    def abandon(self, tenure: Tenure) -> Flow[None]:
        """Let go if an interrupted `begin` took it."""
        if self.setting.can_lease:
            yield from perform(ReleaseLease(tenure.session.id, tenure.holder, self.setting.at()))

    def is_held(self, tenure: Tenure) -> bool:
        """Tell whether it is held for certain."""
        if tenure.lost_reason is not None:
            return False
        return not self.setting.can_lease or self.setting.monotonic() < tenure.lapses_at

    def check(self, tenure: Tenure) -> None:
        """Raise `LeaseLostError` if the lease is lost, or so long without a renewal that it must have lapsed."""
        if not self.is_held(tenure):
            raise LeaseLostError(tenure.session.id, tenure.lost_reason or _UNRENEWED)

    def _ask(self, tenure: Tenure) -> Flow[LeaseReply]:
        # Before it is asked: however long the answer takes, the lease does not end sooner.
        asked = self.setting.monotonic()
        session, at = tenure.session, self.setting.at()
        reply = yield from perform(HoldLease(session.id, tenure.holder, at, _LEASE_US, meant=record_of(session)))
        tenure.lapses_at = asked + LEASE_SECONDS
        return reply

    def _touch(self, tenure: Tenure) -> Flow[None]:
        session, operation = tenure.session, self.setting.mint.operation_id()
        reply = yield from perform(c.Touch(session.id, self.setting.at(), operation, meant=record_of(session)))
        if reply.outcome is not Outcome.DONE:
            tenure.ended_reason = ended_reason(reply.record, record_of(session))
            raise SessionEndedError(session.id, tenure.ended_reason)

    def _lose(self, tenure: Tenure, reason: str) -> None:
        if tenure.lost_reason is None:
            tenure.lost_reason = reason
            self.setting.bus.publish(e.LeaseLost(tenure.session.id, tenure.fence or 0, reason))
