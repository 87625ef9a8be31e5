"""How sessions end: by a call, by time, and how what they leave behind is removed.

The record ends first, in one atomic operation; only then are files touched. Whatever interrupts the rest,
no session is half ended, and the next pass finishes the work.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from attrs import field, frozen

from sessionguard.core import commands as c
from sessionguard.core import events as e
from sessionguard.core.arguments import is_session_id, valid_reason, valid_text
from sessionguard.core.driving import Flow, perform
from sessionguard.core.instants import duration_us, from_us
from sessionguard.core.lifecycle import REVOKED_REASON, Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.core.removing import quarantine_lost, remove_workspace
from sessionguard.core.session import Removed, Session, record_of
from sessionguard.core.setting import Setting, valid_session
from sessionguard.errors import InvalidArgumentError

# One command of a sweep or purge deals with at most this many, so that no engine is busy with it for long.
_BATCH: Final = 200


@frozen
class SweepReport:
    """What a pass of `sweep` did."""

    ended: int = 0
    skipped_in_use: int = 0
    """Workspaces of ended sessions that wait for their last lease."""
    workspaces_removed: int = 0
    bytes_freed: int = 0
    has_more: bool = False
    """More had expired than the limit allowed to end."""


@frozen
class PurgeReport(SweepReport):
    """What a pass of `purge` did. It ends nothing, so of a sweep's counts only `has_more` can differ from zero."""

    purged: int = 0
    """Ended sessions that are forgotten now."""


class _Tally:
    def __init__(self) -> None:
        # By session: one that was just ended may be met again among the garbage of the same pass.
        self.in_use: set[str] = set()
        self.removed = 0
        self.bytes = 0

    def count(self, session_id: str, removed: Removed) -> None:
        if removed.deferred:
            self.in_use.add(session_id)
            return
        self.in_use.discard(session_id)
        if removed.files or removed.bytes:
            self.removed += 1
            self.bytes += removed.bytes


@frozen
class CleaningFlows:
    """The flows that end sessions and remove what they leave."""

    _setting: Setting = field(alias="setting")
    _open_workspaces: Callable[[], Flow[str]] = field(alias="open_workspaces")

    def end(self, session: Session, reason: str) -> Flow[Session | None]:
        """End one session and remove its workspace."""
        valid_session(session)
        operation = self._setting.mint.operation_id()
        command = c.End(session.id, self._setting.at(), operation, valid_reason(reason), meant=record_of(session))
        reply = yield from perform(command)
        record = reply.record
        if reply.outcome is not Outcome.DONE or record is None:
            return None
        self._tell(e.SessionEnded(record.id, record.scope, record.owner, reason))
        removed = yield from remove_workspace(self._setting, record.id)
        return Session(record, removed=removed)

    def end_owner(self, owner: str, scope: str | None, keep: Session | str | None) -> Flow[int]:
        """End all sessions of `owner` but one, and remove their workspaces."""
        valid_text("owner", owner)
        if scope is not None:
            valid_text("scope", scope)
        keep_id = keep.id if isinstance(keep, Session) else keep
        if keep_id is not None and not is_session_id(keep_id):
            raise InvalidArgumentError("keep", keep, "give the Session to keep, or its id")
        operation = self._setting.mint.operation_id()
        at = self._setting.at()
        ended = yield from perform(c.EndOwner(owner, scope, keep_id, REVOKED_REASON, at, operation))
        for record in ended.records:
            self._tell(e.SessionEnded(record.id, record.scope, record.owner, record.reason or REVOKED_REASON))
            yield from remove_workspace(self._setting, record.id)
        return len(ended.records)

    def sweep(self, limit: int) -> Flow[SweepReport]:
        """End what has expired, remove its workspaces, and finish removals that were interrupted or deferred."""
        limit = _positive("limit", limit)
        tally = _Tally()
        ended, has_more = 0, True
        while has_more and ended < limit:
            batch = min(_BATCH, limit - ended)
            reply = yield from perform(c.Sweep(batch, self._setting.at(), self._setting.mint.operation_id()))
            ended, has_more = ended + len(reply.records), reply.has_more
            for record in reply.records:
                tally.count(record.id, (yield from self._sweep_away(record)))
            if not reply.records:
                # A store that gets no further must not be asked for ever.
                break
        yield from self._collect_garbage(limit, tally)
        return SweepReport(ended, len(tally.in_use), tally.removed, tally.bytes, has_more)

    def purge(self, older_than: timedelta | None, limit: int) -> Flow[PurgeReport]:
        """Forget ended sessions whose time as history is over."""
        limit = _positive("limit", limit)
        if older_than is not None and (not isinstance(older_than, timedelta) or older_than < timedelta(0)):
            raise InvalidArgumentError("older_than", older_than, "give a timedelta of zero or more")
        older_than_us = None if older_than is None else duration_us(older_than)
        purged, has_more = 0, True
        while has_more and purged < limit:
            batch = min(_BATCH, limit - purged)
            operation = self._setting.mint.operation_id()
            reply = yield from perform(c.Purge(older_than_us, batch, self._setting.at(), operation))
            purged, has_more = purged + reply.count, reply.has_more
            if not reply.count:
                break
        return PurgeReport(purged=purged, has_more=has_more)

    def clear_up(self, session_id: str, deployment_id: str) -> Flow[None]:
        """Remove what a lease made for a session that has ended, if the store that said so is of this deployment."""
        if (yield from perform(c.Identify())) != deployment_id:
            return
        record = yield from self._as_stored(session_id)
        if record is None and self._setting.may_forget:
            yield from quarantine_lost(self._setting, session_id)
        elif record is None or record.reason is not None:
            yield from remove_workspace(self._setting, session_id)

    def _as_stored(self, session_id: str) -> Flow[SessionRecord | None]:
        """Give the record as it was before anything expired: who removes files must not go by a clock.

        What has expired by a clock that is ahead may be in use by all others; a sweep ends it first.
        """
        return (yield from perform(c.Get(session_id, from_us(0))))

    def _sweep_away(self, record: SessionRecord) -> Flow[Removed]:
        self._tell(e.SessionExpired(record.id, record.scope, record.owner))
        return (yield from remove_workspace(self._setting, record.id))

    def _collect_garbage(self, limit: int, tally: _Tally) -> Flow[None]:
        if not self._setting.has_files:
            return
        try:
            deployment_id = yield from self._open_workspaces()
            found = yield from perform(c.FindGarbage(limit, deployment_id))
        except Exception as error:
            # What was ended stays ended and is reported; the next pass looks for garbage again.
            self._tell(e.CleanupFailed(None, f"{type(error).__name__}: {error}"))
            return
        garbage, lost = [], []
        for session_id in found:
            record = yield from self._as_stored(session_id)
            # A workspace outlives its session only by accident or by a lease; ids are never used again.
            if record is None and self._setting.may_forget:
                lost.append(session_id)
            elif record is None or record.reason is not None:
                garbage.append(session_id)
        # Asked last: to a store that took the place of another meanwhile, every session of that is unknown.
        if garbage + lost and (yield from perform(c.Identify())) != deployment_id:
            self._tell(e.CleanupFailed(None, "the store became another one meanwhile, so no garbage was removed"))
            return
        for session_id in garbage:
            tally.count(session_id, (yield from remove_workspace(self._setting, session_id)))
        for session_id in lost:
            yield from quarantine_lost(self._setting, session_id)

    def _tell(self, event: e.Event) -> None:
        self._setting.bus.publish(event)


def _positive(argument: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise InvalidArgumentError(argument, value, "give a whole number above zero")
    return value
