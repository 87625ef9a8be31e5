"""A pass of the clean-up: judge how much is due, end it batch by batch, remove what it leaves, look for garbage.

Within each batch the record ends first, under its condition, then the files go, then it is told. Nothing that comes
later is needed for the safety of what came before, so a pass may stop or die anywhere: the next one goes on.
"""

from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from sessionguard.core import commands as c
from sessionguard.core import events as e
from sessionguard.core import fleet as f
from sessionguard.core.arguments import positive
from sessionguard.core.braking import Alarm, SweepBrake
from sessionguard.core.driving import Flow, perform
from sessionguard.core.garbage import collect_garbage, foresee, foresee_garbage
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.removing import clear_up_after
from sessionguard.core.reports import SweepReport, Tally
from sessionguard.core.setting import Setting

BATCH: Final = 200
"""One command of a sweep or purge deals with at most this many, so that no engine is busy with it for long."""
AT_ONCE: Final = 1000
"""A pass in the background ends so many before it looks whether it is to stop."""

RUN: Final = "sweep"
"""The turn of whoever sweeps at this moment, in the background or by a command."""
RUN_SECONDS: Final = 30.0
"""It is kept on with every batch; a runner that was killed hinders others no longer than this."""
LEAD: Final = "background sweeps"
"""The turn of the process whose passes in the background are those of the whole fleet."""


@frozen
class _Part:
    """What is to be done at once."""

    limit: int
    garbage_limit: int
    force: bool
    in_turn: bool
    is_counted: bool = False
    """Whether it may end no more than had been counted when the brake was asked."""


@define
class SweepFlows:
    """The flows of a pass, and what a runner remembers from one to the next."""

    _setting: Setting = field(alias="setting")
    _open_workspaces: Callable[[], Flow[str]] = field(alias="open_workspaces")
    _brake: SweepBrake | None = field(alias="brake")
    _alarm: Alarm = field(alias="alarm")
    _runner: str = field(init=False, default="")
    _leads: bool = field(init=False, default=False)
    _may_end: int = field(init=False, default=0)
    """So many had been counted, and found to be few enough, when the brake was last asked in this pass."""

    def begin_anew(self) -> None:
        """Be another runner from now on: a forked child must not go on with its parent's turn."""
        self._runner, self._leads = self._setting.mint.operation_id(), False

    def sweep(self, limit: int, *, force: bool, in_turn: bool) -> Flow[SweepReport]:
        """End what has expired, remove its workspaces, and finish removals that were interrupted or deferred."""
        limit = positive("limit", limit)
        part = _Part(limit, min(limit, AT_ONCE), force, in_turn)
        return (yield from self._in_turn(part))

    def in_background(self, interval_seconds: float, *, is_first: bool) -> Flow[SweepReport]:
        """Do a part of a pass in the background; with others of the fleet only as long as this process leads."""
        # Two passes may fail before another process takes over.
        self._leads = yield from self._take(LEAD, interval_seconds * 2.5)
        if not self._leads:
            return SweepReport(yielded=True)
        if is_first:
            self._may_end = 0
        # Garbage is looked for once in a pass, and the brake is asked again once all that it had counted has ended.
        part = _Part(AT_ONCE, AT_ONCE if is_first else 0, self._may_end > 0, in_turn=True, is_counted=True)
        return (yield from self._in_turn(part))

    def retire(self) -> Flow[None]:
        """Let another process lead at once, also if this one was interrupted in a pass."""
        if self._leads:
            self._leads = False
            for name in (RUN, LEAD):
                yield from self._give(name)

    def preview(self, limit: int, *, force: bool) -> Flow[SweepReport]:
        """Tell what a sweep would do, and change nothing."""
        limit, tally = positive("limit", limit), Tally()
        if not force and (yield from self._exceeding()) is not None:
            return SweepReport(braked=True)
        found = yield from perform(f.FindDue(limit + 1, self._setting.at()))
        due = found[:limit]
        if self._setting.has_files:
            deployment_id = yield from self._open_workspaces()
            for record in due:
                yield from foresee(record.id, tally)
            yield from foresee_garbage(self._setting, deployment_id, min(limit, AT_ONCE), tally)
        return tally.into(SweepReport(len(due), has_more=len(found) > limit))

    def _in_turn(self, part: "_Part") -> Flow[SweepReport]:
        if part.in_turn and not (yield from self._take(RUN, RUN_SECONDS)):
            return SweepReport(yielded=True)
        try:
            is_braked = not part.force and (yield from self._is_braked())
            report = SweepReport(braked=True) if is_braked else (yield from self._swept(part))
        except Exception:
            if part.in_turn:
                yield from self._give(RUN)
            raise
        if part.in_turn and not report.yielded:
            yield from self._give(RUN)
        return report

    def _swept(self, part: "_Part") -> Flow[SweepReport]:
        limit = min(part.limit, self._may_end) if part.is_counted else part.limit
        tally, ended, has_more, is_ours = Tally(), 0, True, True
        while has_more and ended < limit and is_ours:
            batch = min(BATCH, limit - ended)
            reply = yield from perform(c.Sweep(batch, self._setting.at(), self._setting.mint.operation_id()))
            ended, has_more = ended + len(reply.records), reply.has_more
            self._may_end -= len(reply.records)
            for record in reply.records:
                self._setting.bus.publish(e.SessionExpired(record.id, record.scope, record.owner))
                tally.count(record.id, (yield from clear_up_after(self._setting, record)))
            if not reply.records:
                # A store that gets no further must not be asked for ever.
                break
            is_ours = not part.in_turn or (yield from self._take(RUN, RUN_SECONDS))
        if is_ours and part.garbage_limit:
            yield from collect_garbage(self._setting, self._open_workspaces, part.garbage_limit, tally)
        return tally.into(SweepReport(ended, has_more=has_more, yielded=not is_ours))

    # The brake

    def _is_braked(self) -> Flow[bool]:
        counted = yield from self._exceeding()
        if counted is None:
            self._alarm.end()
            return False
        share = counted.due / counted.active
        self._setting.bus.publish(e.SweepBraked(counted.due, counted.active, share))
        self._alarm.ring(
            f"the sweep was stopped before it ended anything: at least {counted.due} of {counted.active} sessions are "
            "due at once. Look at the clocks of this host and of the store, at restored backups and at the policy; if "
            "they really are to end: sessionguard sweep --force, or guard.sweep(force=True)"
        )
        return True

    def _exceeding(self) -> Flow[f.Counted | None]:
        """Give the counts that make the brake hold, or None."""
        brake = self._brake
        if brake is None or not self._setting.has_fleet:
            # No bound of its own: nothing is asked again in this pass.
            self._may_end = AT_ONCE * AT_ONCE
            return None
        command = f.Census(self._setting.at(), brake.share, brake.floor)
        counted = yield from perform(command)
        if command.is_exceeded_by(counted):
            self._may_end = 0
            return counted
        self._may_end = max(counted.due, brake.floor)
        return None

    # Turns

    def _take(self, name: str, seconds: float) -> Flow[bool]:
        if not self._setting.has_fleet:
            return True
        if not self._runner:
            self.begin_anew()
        lease_us = int(seconds * 1_000_000)
        taken = yield from perform(f.TakeTurn(name, self._runner, self._setting.at(), lease_us))
        return taken is Outcome.DONE

    def _give(self, name: str) -> Flow[None]:
        if not self._setting.has_fleet or not self._runner:
            return
        try:
            yield from perform(f.GiveTurn(name, self._runner, self._setting.at()))
        except Exception as error:
            # It lapses; what was done must not be reported as failed for it.
            self._setting.bus.publish(e.CleanupFailed(None, f"{type(error).__name__}: {error}"))
