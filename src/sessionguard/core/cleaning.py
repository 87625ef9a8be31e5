"""How sessions end by a call, how what they leave behind is removed, and how history is forgotten.

The record ends first, in one atomic operation; only then are files touched. Whatever interrupts the rest,
no session is half ended, and the next pass finishes the work.
"""

from datetime import timedelta

from attrs import field, frozen

from sessionguard.core import commands as c
from sessionguard.core import events as e
from sessionguard.core.arguments import is_session_id, positive, valid_reason, valid_text
from sessionguard.core.driving import Flow, perform
from sessionguard.core.garbage import as_stored
from sessionguard.core.instants import duration_us, with_unit
from sessionguard.core.lifecycle import REVOKED_REASON, Outcome
from sessionguard.core.removing import clear_up_after, quarantine_lost, remove_workspace
from sessionguard.core.reports import PurgeReport, Tally
from sessionguard.core.session import Session, record_of
from sessionguard.core.setting import Setting, valid_session
from sessionguard.core.sweeps import BATCH
from sessionguard.errors import InvalidArgumentError


@frozen
class CleaningFlows:
    """The flows that end sessions and remove what they leave."""

    _setting: Setting = field(alias="setting")

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
        removed = yield from clear_up_after(self._setting, record, Tally())
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
        tally = Tally()
        for record in ended.records:
            self._tell(e.SessionEnded(record.id, record.scope, record.owner, record.reason or REVOKED_REASON))
            yield from clear_up_after(self._setting, record, tally)
        return len(ended.records)

    def purge(self, older_than: timedelta | None, limit: int) -> Flow[PurgeReport]:
        """Forget ended sessions whose time as history is over."""
        limit = positive("limit", limit)
        if older_than is not None and (not isinstance(older_than, timedelta) or older_than < timedelta(0)):
            raise InvalidArgumentError(
                "older_than", older_than, with_unit(older_than, "give a timedelta of zero or more")
            )
        older_than_us = None if older_than is None else duration_us(older_than)
        purged, has_more = 0, True
        while has_more and purged < limit:
            batch = min(BATCH, limit - purged)
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
        record = yield from as_stored(session_id)
        if record is None and self._setting.may_forget:
            yield from quarantine_lost(self._setting, session_id)
        elif record is None or record.reason is not None:
            yield from remove_workspace(self._setting, session_id, Tally())

    def _tell(self, event: e.Event) -> None:
        self._setting.bus.publish(event)
