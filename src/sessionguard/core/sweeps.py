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
from sessionguard.core.garbage import Garbage, foresee, foresee_garbage
from sessionguard.core.removing import clear_up_after
from sessionguard.core.reports import SweepReport, Tally
from sessionguard.core.setting import Setting
from sessionguard.core.turns import LEAD, RUN, RUN_SECONDS, Turns

BATCH: Final = 200
"""One command of a sweep or purge deals with at most this many, so that no engine is busy with it for long."""
AT_ONCE: Final = 1000
"""A pass in the background ends so many before it looks whether it is to stop."""


Progress = Callable[[int, int], object]
"""Is told how many sessions a sweep has ended, and how many it means to end."""


@frozen
class _Part:
    """What is to be done at once."""

    limit: int
    force: bool
    in_turn: bool
    is_counted: bool = False
    """Whether it may end no more than had been counted when the brake was asked."""
    progress: Progress | None = None


@define
class SweepFlows:
    """The flows of a pass, and what a runner remembers from one to the next."""

    _setting: Setting = field(alias="setting")
    _open_workspaces: Callable[[], Flow[str]] = field(alias="open_workspaces")
    _brake: SweepBrake | None = field(alias="brake")
    _alarm: Alarm = field(alias="alarm")
    _failing: Alarm = field(alias="failing")
    _is_stopping: Callable[[], bool] = field(alias="is_stopping")
    """Asked between two sessions: who closes a guard must not wait for the files of a thousand."""
    _turns: Turns = field(init=False)
    _garbage: Garbage = field(init=False)
    _may_end: int = field(init=False, default=0)
    """So many had been counted, and found to be few enough, when the brake was last asked in this pass."""

    def __attrs_post_init__(self) -> None:
        self._turns = Turns(self._setting)
        self._garbage = Garbage(self._setting, self._turns, self._open_workspaces, self._is_stopping)

    def begin_anew(self) -> None:
        """Be another runner from now on: a forked child must not go on with its parent's turns."""
        self._turns.begin_anew()

    def sweep(self, limit: int, *, force: bool, in_turn: bool, progress: Progress | None = None) -> Flow[SweepReport]:
        """End what has expired, remove its workspaces, and finish removals that were interrupted or deferred."""
        limit, tally = positive("limit", limit), Tally()
        report = yield from self._in_turn(_Part(limit, force, in_turn, progress=progress), tally)
        if force or (yield from self._lets_pass(report)):
            yield from self._garbage.collect(min(limit, AT_ONCE), tally, in_turn=in_turn)
        return self._judged(tally, report)

    def in_background(self, interval_seconds: float, *, is_first: bool) -> Flow[SweepReport]:
        """Do a part of a pass in the background.

        Sessions are ended by the one process that leads the fleet; each place for files is looked after by one of the
        processes that have it.
        """
        # Two passes may fail before another process takes over.
        lead_seconds, tally = interval_seconds * 2.5, Tally()
        report = SweepReport(yielded=True)
        if (yield from self._turns.take(LEAD, lead_seconds)):
            if is_first:
                self._may_end = 0
            # The brake is asked again once all that it had counted has ended.
            part = _Part(AT_ONCE, self._may_end > 0, in_turn=True, is_counted=True)
            report = yield from self._in_turn(part, tally)
        # Looked for once in a pass.
        if is_first and (yield from self._lets_pass(report)):
            yield from self._garbage.collect(AT_ONCE, tally, in_turn=True, lead_seconds=lead_seconds)
        return self._judged(tally, report)

    def retire(self) -> Flow[None]:
        """Let other processes take over at once, also if this one was interrupted in a pass."""
        yield from self._turns.retire()

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

    def _in_turn(self, part: "_Part", tally: Tally) -> Flow[SweepReport]:
        if part.in_turn and not (yield from self._turns.take(RUN, RUN_SECONDS)):
            return SweepReport(yielded=True)
        try:
            is_braked = not part.force and (yield from self._is_braked())
            report = SweepReport(braked=True) if is_braked else (yield from self._swept(part, tally))
        except Exception:
            yield from self._done(part)
            raise
        # Not in a `finally`: of a flow that is closed nothing can be asked.
        yield from self._done(part)
        return report

    def _done(self, part: "_Part") -> Flow[None]:
        if part.in_turn:
            yield from self._turns.give(RUN)

    def _swept(self, part: "_Part", tally: Tally) -> Flow[SweepReport]:
        limit = min(part.limit, self._may_end) if part.is_counted else part.limit
        ended, has_more, is_ours = 0, True, True
        progress = yield from self._told(part)
        while has_more and ended < limit and is_ours:
            batch = min(BATCH, limit - ended)
            reply = yield from perform(c.Sweep(batch, self._setting.at(), self._setting.mint.operation_id()))
            ended, has_more = ended + len(reply.records), reply.has_more
            self._may_end -= len(reply.records)
            for position, record in enumerate(reply.records, ended - len(reply.records) + 1):
                self._setting.bus.publish(e.SessionExpired(record.id, record.scope, record.owner))
                # They have ended, so whatever happens to the turn or the guard, who waits for that is told of each.
                is_late = self._is_stopping()
                yield from clear_up_after(self._setting, record, tally, is_late=is_late)
                progress(position)
                # Within the batch, too: its files may take longer than the turn lasts.
                is_ours = is_ours and (not part.in_turn or (yield from self._turns.keep(RUN, RUN_SECONDS)))
            if not reply.records or self._is_stopping():
                # A store that gets no further must not be asked for ever.
                break
            is_ours = is_ours and (not part.in_turn or (yield from self._turns.take(RUN, RUN_SECONDS)))
        return SweepReport(ended, has_more=has_more, yielded=not is_ours)

    def _told(self, part: "_Part") -> Flow[Callable[[int], object]]:
        """Give what is to be called with how many have ended."""
        tell = part.progress
        if tell is None:
            return lambda ended: None
        total = part.limit
        if self._setting.has_fleet:
            # With the limit as floor it counts all that are due, but no more than needed.
            total = min(total, (yield from perform(f.Census(self._setting.at(), 0.5, total))).due)
        tell(0, total)
        return lambda ended: tell(ended, max(ended, total))

    def _judged(self, tally: Tally, report: SweepReport) -> SweepReport:
        """Give the report, and let the log know of files that could not be removed."""
        report = tally.into(report)
        if report.failed:
            self._failing.ring(
                f"the files of {report.failed} ended sessions could not be removed, the first for {tally.failure}; "
                "each pass tries again, and the events CleanupFailed tell of each"
            )
        elif report.workspaces_removed:
            self._failing.end()
        return report

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
            "due at once. Look at the clocks of this host and of the store, at restored backups and at the policy, and "
            "at what would end: sessionguard sweep --dry-run --force, or guard.sweep(dry_run=True, force=True). If "
            "they really are to end, the same without the dry run ends them; if as many often do, give the guard "
            "brake=SweepBrake(share=...)"
        )
        return True

    def _lets_pass(self, report: SweepReport) -> Flow[bool]:
        """Tell whether files may be removed after the sessions; asked where another runner ended those."""
        if report.yielded and self._setting.has_files:
            return (yield from self._exceeding()) is None
        return not report.braked

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
