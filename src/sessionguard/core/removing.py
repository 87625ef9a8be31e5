"""Removing the workspace of a session that has ended, and keeping apart that of one that was lost."""

from typing import Final

from sessionguard.core import events as e
from sessionguard.core.driving import Flow, perform
from sessionguard.core.file_commands import QuarantineWorkspace, RemoveWorkspace
from sessionguard.core.hooks import CallHooks
from sessionguard.core.leases import FindLease
from sessionguard.core.records import SessionRecord
from sessionguard.core.reports import Tally
from sessionguard.core.session import NOTHING_REMOVED, Removed, Session
from sessionguard.core.setting import Setting

_DEFERRED: Final = Removed(deferred=True)
_FAILED: Final = Removed(deferred=True, failed=True)


def clear_up_after(setting: Setting, record: SessionRecord, tally: Tally, *, is_late: bool = False) -> Flow[Removed]:
    """Remove the workspace of a session that this call has ended, and then let the hooks of the application know.

    Where it `is_late`, for the guard is being closed, the files are left to the next pass.
    """
    if is_late and setting.has_files:
        removed = _DEFERRED
        tally.count(record.id, removed)
    else:
        removed = yield from remove_workspace(setting, record.id, tally)
    if setting.hooks:
        yield from perform(CallHooks(setting.hooks, Session(record, removed=removed)))
    return removed


def remove_workspace(setting: Setting, session_id: str, tally: Tally) -> Flow[Removed]:
    """Remove a workspace; a failure is told and left to the next pass, for the session has ended already."""
    if not setting.has_files:
        return NOTHING_REMOVED
    removed = _FAILED if tally.is_place_lost else (yield from _removed(setting, session_id, tally))
    tally.count(session_id, removed)
    return removed


def _removed(setting: Setting, session_id: str, tally: Tally) -> Flow[Removed]:
    try:
        if (yield from _is_held(setting, session_id)):
            # Nobody begins to hold a session that is over: once this is the other way, it stays so.
            removed = _DEFERRED
        else:
            removal = yield from perform(RemoveWorkspace(session_id))
            removed = Removed(removal.files, removal.bytes, removal.deferred)
    except Exception as error:
        setting.bus.publish(e.CleanupFailed(session_id, tally.note(error)))
        return _FAILED
    if removed != NOTHING_REMOVED:
        setting.bus.publish(e.WorkspaceRemoved(session_id, removed.files, removed.bytes, removed.deferred))
    return removed


def _is_held(setting: Setting, session_id: str) -> Flow[bool]:
    if not setting.leases_in_store:
        # Then the place itself knows who uses what.
        return False
    return (yield from perform(FindLease(session_id, setting.at()))) is not None


def keep_apart(setting: Setting, session_id: str) -> Flow[bool]:
    """Put the files of a lost session into quarantine, for a person to judge; False if that kept nothing."""
    if not setting.has_files:
        return False
    try:
        return (yield from perform(QuarantineWorkspace(session_id)))
    except Exception as error:
        setting.bus.publish(e.CleanupFailed(session_id, f"{type(error).__name__}: {error}"))
        return False


def quarantine_lost(setting: Setting, session_id: str) -> Flow[None]:
    """Keep the files of a session that the store does not know, and tell that it was lost if there were any.

    Without files nothing tells a session that was lost from one that ended and was forgotten.
    """
    if (yield from keep_apart(setting, session_id)):
        setting.bus.publish(e.SessionLost(session_id))
